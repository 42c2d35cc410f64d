//! What many measurements come to.

/// Percentiles of measurements, in their unit, by nearest rank.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Spread {
    /// How many.
    pub count: usize,
    /// Half of them are not larger.
    pub p50: u64,
    /// 95 in a hundred are not larger.
    pub p95: u64,
    /// The largest.
    pub max: u64,
}

impl Spread {
    /// Of these; None if there are none.
    #[must_use]
    pub fn of(mut values: Vec<u64>) -> Option<Self> {
        values.sort_unstable();
        let rank =
            |percent: usize| values.get((values.len() * percent).div_ceil(100).checked_sub(1)?).copied();
        Some(Self { count: values.len(), p50: rank(50)?, p95: rank(95)?, max: rank(100)? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nearest_ranks() {
        let rows = [
            (vec![7], Some((7, 7, 7)), "one is everything"),
            ((1..=100).rev().collect(), Some((50, 95, 100)), "a hundred, in any order"),
            (vec![1, 2, 3], Some((2, 3, 3)), "three"),
            (vec![], None, "nothing measured"),
        ];
        for (values, want, why) in rows {
            assert_eq!(Spread::of(values).map(|spread| (spread.p50, spread.p95, spread.max)), want, "{why}");
        }
    }
}
