//! Sets of block numbers as runs, in memory and on the wire.

use crate::limits;
use serde::de::{Error, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fmt;
use std::ops::Range;

/// A set of numbers. Its runs are in order and neither touch nor overlap. On the wire each run is two small numbers: how
/// far it begins behind the one before, and how long it is.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Blocks(Vec<Range<u32>>);

impl Blocks {
    /// All of `0..numbers`.
    #[must_use]
    pub fn all(numbers: u32) -> Self {
        Self::from_iter(std::iter::once(0..numbers))
    }

    /// True if there are none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// How many numbers.
    #[must_use]
    pub fn len(&self) -> u32 {
        self.0.iter().map(|run| run.end - run.start).sum()
    }

    /// Its runs, in order.
    #[must_use]
    pub fn runs(&self) -> &[Range<u32>] {
        &self.0
    }

    /// One past the last number; 0 if there are none.
    #[must_use]
    pub fn end(&self) -> u32 {
        self.0.last().map_or(0, |run| run.end)
    }

    /// True if the number is in it.
    #[must_use]
    pub fn contains(&self, number: u32) -> bool {
        let after = self.0.partition_point(|run| run.end <= number);
        self.0.get(after).is_some_and(|run| run.start <= number)
    }

    /// Adds one number.
    pub fn insert(&mut self, number: u32) {
        let at = self.0.partition_point(|run| run.end < number);
        match self.0.get_mut(at) {
            Some(run) if run.start <= number && number < run.end => {}
            Some(run) if run.end == number => {
                run.end += 1;
                if self.0.get(at + 1).is_some_and(|next| next.start == number + 1) {
                    self.0[at].end = self.0.remove(at + 1).end;
                }
            }
            Some(run) if run.start == number + 1 => run.start = number,
            _ => self.0.insert(at, number..number + 1),
        }
    }

    /// Takes one number away.
    pub fn remove(&mut self, number: u32) {
        let at = self.0.partition_point(|run| run.end <= number);
        let Some(run) = self.0.get(at).cloned().filter(|run| run.start <= number) else { return };
        let parts = [run.start..number, number + 1..run.end].into_iter().filter(|part| !part.is_empty());
        self.0.splice(at..=at, parts);
    }

    /// What is in either.
    #[must_use]
    pub fn or(&self, other: &Self) -> Self {
        self.iter_runs().chain(other.iter_runs()).collect()
    }

    /// What is in both.
    #[must_use]
    pub fn and(&self, other: &Self) -> Self {
        let (mut runs, mut one, mut two) = (Vec::new(), 0, 0);
        while let (Some(a), Some(b)) = (self.0.get(one), other.0.get(two)) {
            let both = a.start.max(b.start)..a.end.min(b.end);
            if !both.is_empty() {
                runs.push(both);
            }
            if a.end < b.end { one += 1 } else { two += 1 }
        }
        Self(runs)
    }

    /// What is in this one only.
    #[must_use]
    pub fn minus(&self, other: &Self) -> Self {
        let (mut runs, mut next) = (Vec::new(), 0);
        for run in &self.0 {
            let mut start = run.start;
            while other.0.get(next).is_some_and(|hole| hole.end <= start) {
                next += 1;
            }
            let mut hole = next;
            while let Some(taken) = other.0.get(hole).filter(|taken| taken.start < run.end) {
                if taken.start > start {
                    runs.push(start..taken.start);
                }
                start = start.max(taken.end);
                hole += 1;
            }
            if start < run.end {
                runs.push(start..run.end);
            }
        }
        Self(runs)
    }

    /// All numbers, in order, from `start` to the end and then those before it.
    pub fn iter_from(&self, start: u32) -> impl Iterator<Item = u32> {
        let at = self.0.partition_point(|run| run.end <= start);
        let (before, after) = self.0.split_at(at);
        let tail = after.iter().map(move |run| run.start.max(start)..run.end);
        let cut = after.first().map(|run| run.start..start).filter(|run| !run.is_empty());
        tail.chain(before.iter().cloned()).chain(cut).flatten()
    }

    /// All numbers, in order.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = u32> {
        self.0.iter().cloned().flatten()
    }

    /// What of it lies in a range.
    #[must_use]
    pub fn within(&self, range: Range<u32>) -> Self {
        let first = self.0.partition_point(|run| run.end <= range.start);
        let runs = self.0[first..].iter().take_while(|run| run.start < range.end);
        Self(runs.map(|run| run.start.max(range.start)..run.end.min(range.end)).collect())
    }

    /// Its first runs, so many at most.
    #[must_use]
    pub fn first(&self, runs: usize) -> Self {
        Self(self.0.iter().take(runs).cloned().collect())
    }

    /// The same in sets of `runs` runs at most.
    pub fn chunks(&self, runs: usize) -> impl Iterator<Item = Self> {
        self.0.chunks(runs).map(|runs| Self(runs.to_vec()))
    }

    fn iter_runs(&self) -> impl Iterator<Item = Range<u32>> {
        self.0.iter().cloned()
    }
}

impl FromIterator<Range<u32>> for Blocks {
    fn from_iter<I: IntoIterator<Item = Range<u32>>>(runs: I) -> Self {
        let mut all: Vec<Range<u32>> = runs.into_iter().filter(|run| !run.is_empty()).collect();
        all.sort_unstable_by_key(|run| run.start);
        let mut merged: Vec<Range<u32>> = Vec::new();
        for run in all {
            match merged.last_mut() {
                Some(last) if run.start <= last.end => last.end = last.end.max(run.end),
                _ => merged.push(run),
            }
        }
        Self(merged)
    }
}

impl FromIterator<u32> for Blocks {
    fn from_iter<I: IntoIterator<Item = u32>>(numbers: I) -> Self {
        numbers.into_iter().map(|number| number..number.saturating_add(1)).collect()
    }
}

impl fmt::Debug for Blocks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(&self.0).finish()
    }
}

impl Serialize for Blocks {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let ends = [0].into_iter().chain(self.0.iter().map(|run| run.end));
        serializer.collect_seq(
            self.0.iter().zip(ends).map(|(run, before)| (run.start - before, run.end - run.start)),
        )
    }
}

impl<'de> Deserialize<'de> for Blocks {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_seq(Runs)
    }
}

struct Runs;

impl<'de> Visitor<'de> for Runs {
    type Value = Blocks;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "at most {} runs of numbers", limits::SWARM_RUNS)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut runs: A) -> Result<Blocks, A::Error> {
        let (mut all, mut end) = (Vec::new(), 0u32);
        while let Some((gap, length)) = runs.next_element::<(u32, u32)>()? {
            let start = end.checked_add(gap).ok_or_else(|| Error::custom("a run beyond all numbers"))?;
            end = start.checked_add(length).ok_or_else(|| Error::custom("a run beyond all numbers"))?;
            if all.len() == limits::SWARM_RUNS || length == 0 || (gap == 0 && !all.is_empty()) {
                return Err(Error::custom("too many runs, or an empty one, or two that touch"));
            }
            all.push(start..end);
        }
        Ok(Blocks(all))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    /// The same by another way, for sets of numbers below 64.
    fn plain(blocks: &Blocks) -> BTreeSet<u32> {
        (0..64).filter(|&number| blocks.contains(number)).collect()
    }

    fn of(bits: u64) -> Blocks {
        (0..64).filter(|bit| bits >> bit & 1 == 1).collect()
    }

    /// Bits that come in runs of all lengths.
    fn bits(seed: u64) -> u64 {
        let mixed = super::super::hash::mix(seed);
        match seed % 3 {
            0 => mixed,
            1 => mixed & (mixed << 1) & (mixed << 2),
            _ => mixed | (mixed << 1) | (mixed << 2),
        }
    }

    #[test]
    fn sets_of_runs_are_sets() {
        for seed in 0..2_000 {
            let (a, b) = (of(bits(seed)), of(bits(seed + 7_777)));
            let (one, two) = (plain(&a), plain(&b));
            assert_eq!(plain(&a.or(&b)), &one | &two);
            assert_eq!(plain(&a.and(&b)), &one & &two);
            assert_eq!(plain(&a.minus(&b)), &one - &two);
            assert_eq!((a.len() as usize, a.is_empty()), (one.len(), one.is_empty()));
            assert!(a.iter().eq(one.iter().copied()));
            let start = (seed % 65) as u32;
            let range = start / 2..start;
            assert_eq!(a.within(range.clone()), a.and(&std::iter::once(range).collect()));
            let turned = one.range(start..).chain(one.range(..start)).copied();
            assert!(a.iter_from(start).eq(turned), "{a:?} from {start}");
            let (mut more, mut less) = (a.clone(), a.clone());
            two.iter().for_each(|&number| more.insert(number));
            two.iter().for_each(|&number| less.remove(number));
            assert_eq!((more, less), (a.or(&b), a.minus(&b)), "runs are merged the same way");
        }
    }

    #[test]
    fn sets_survive_the_wire_and_take_little_of_it() {
        for seed in 0..200 {
            let set = of(bits(seed));
            let bytes = postcard::to_stdvec(&set).unwrap();
            assert!(bytes.len() <= 1 + 2 * set.runs().len());
            assert_eq!(postcard::from_bytes::<Blocks>(&bytes).unwrap(), set);
        }
        let halves: Blocks = (0..u32::from(u16::MAX)).step_by(16).collect();
        assert!(halves.runs().len() <= limits::SWARM_RUNS);
        let bytes = postcard::to_stdvec(&halves).unwrap();
        assert!(bytes.len() < limits::CONTROL_BYTES / 4, "{} bytes", bytes.len());
    }

    #[test]
    fn what_is_no_set_is_refused() {
        let rows: [(&[(u32, u32)], &str); 4] = [
            (&[(0, 0)], "an empty run"),
            (&[(0, 1), (0, 1)], "two runs that are one"),
            (&[(u32::MAX, 1)], "a run beyond all numbers"),
            (&[(9, u32::MAX)], "and another"),
        ];
        for (runs, why) in rows {
            let bytes = postcard::to_stdvec(runs).unwrap();
            assert!(postcard::from_bytes::<Blocks>(&bytes).is_err(), "{why}");
        }
        let many = vec![(1u32, 1u32); limits::SWARM_RUNS + 1];
        let bytes = postcard::to_stdvec(&many).unwrap();
        assert!(postcard::from_bytes::<Blocks>(&bytes).is_err(), "more runs than allowed");
    }
}
