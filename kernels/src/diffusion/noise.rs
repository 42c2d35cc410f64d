//! The noise that a picture begins as: the same for a seed on whichever device draws it.

use crate::random::philox;

/// `count` numbers of the standard normal distribution, drawn by Marsaglia's polar method from a counter: each depends on
/// the seed and its place alone. Nothing but arithmetic and square roots, so that all machines give the same bits.
#[must_use]
pub fn noise(seed: u64, count: usize) -> Vec<f32> {
    let pairs = (0..count.div_ceil(2) as u64).flat_map(|pair| normal_pair(seed, pair));
    pairs.take(count).map(|value| value as f32).collect()
}

/// Tells these numbers apart from all others that are drawn with the same seed.
const STREAM: u32 = 0x7061_696e;

fn normal_pair(seed: u64, pair: u64) -> [f64; 2] {
    let key = [seed as u32, (seed >> 32) as u32];
    // A pair outside of the unit circle is drawn again; 64 times in a row happens once in 10⁴³.
    for attempt in 0..64 {
        let [a, b, c, d] = philox(key, [pair as u32, (pair >> 32) as u32, attempt, STREAM]);
        let (x, y) = (between(a, b), between(c, d));
        let square = x * x + y * y;
        if square > 0.0 && square < 1.0 {
            let factor = (-2.0 * ln(square) / square).sqrt();
            return [x * factor, y * factor];
        }
    }
    [0.0, 0.0]
}

/// Between −1 and 1, with 53 random bits.
fn between(high: u32, low: u32) -> f64 {
    let bits = ((u64::from(high) << 32) | u64::from(low)) >> 11;
    bits as f64 / (1u64 << 52) as f64 - 1.0
}

/// The natural logarithm of a positive number: machines differ in their own. `ln m = 2·artanh((m − 1)/(m + 1))` for the
/// mantissa between √½ and √2, within 1e-15.
fn ln(x: f64) -> f64 {
    let bits = x.to_bits();
    let mut exponent = ((bits >> 52) & 0x7ff) as i64 - 1023;
    let mut mantissa = f64::from_bits((bits & ((1 << 52) - 1)) | (1023 << 52));
    if mantissa > std::f64::consts::SQRT_2 {
        mantissa *= 0.5;
        exponent += 1;
    }
    let ratio = (mantissa - 1.0) / (mantissa + 1.0);
    let square = ratio * ratio;
    let series = (0..12).rev().fold(0.0, |sum, k| sum * square + 1.0 / f64::from(2 * k + 1));
    exponent as f64 * std::f64::consts::LN_2 + 2.0 * ratio * series
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn logarithms_are_right() {
        for i in 1..10_000 {
            let x = f64::from(i) * f64::from(i) / 5e6;
            assert!((ln(x) - x.ln()).abs() <= 4e-15 * x.ln().abs().max(1.0), "ln {x}");
        }
    }

    #[test]
    fn noise_is_normal_and_depends_on_seed_and_place_alone() {
        let all = noise(7, 100_000);
        let of = |power: i32| all.iter().map(|x| f64::from(*x).powi(power)).sum::<f64>() / 1e5;
        // Five standard errors each.
        assert!(of(1).abs() < 0.016 && (of(2) - 1.0).abs() < 0.023, "mean {}, square {}", of(1), of(2));
        assert!(of(3).abs() < 0.062 && (of(4) - 3.0).abs() < 0.16, "cube {}, fourth {}", of(3), of(4));
        assert_eq!(all[..999], noise(7, 999));
        assert_ne!(all[..10], noise(8, 10));
    }

    /// Bits that native code and wasm have to agree on.
    #[test]
    fn noise_is_the_same_everywhere() {
        let found: Vec<u32> = noise(1, 4).iter().map(|x| x.to_bits()).collect();
        assert_eq!(found, EXPECTED, "{found:08x?}");
    }

    const EXPECTED: [u32; 4] = [0x3f3f_f72f, 0xbe23_dc5d, 0x3f4a_aaf2, 0x3fb4_fe89];
}
