//! A counter-based generator: the same key and counter give the same numbers, in any order, on any device.

/// Philox4x32-10 (Salmon et al. 2011, "Parallel random numbers: as easy as 1, 2, 3"): 128 random bits for a 64-bit
/// key and a 128-bit counter. There is no state, so a job that moves to another peer draws the same numbers there.
#[must_use]
pub fn philox(key: [u32; 2], counter: [u32; 4]) -> [u32; 4] {
    const ROUNDS: u32 = 10;
    (0..ROUNDS).fold(counter, |block, round| mix(block, key_of(key, round)))
}

/// A number in `[0, 1)` with 53 random bits, for one position of a job with this seed.
#[must_use]
pub fn uniform(seed: u64, position: u64) -> f64 {
    let [high, low, ..] = philox(halves(seed), [position as u32, (position >> 32) as u32, 0, 0]);
    let bits = ((u64::from(high) << 32) | u64::from(low)) >> 11;
    bits as f64 / (1u64 << 53) as f64
}

fn halves(seed: u64) -> [u32; 2] {
    [seed as u32, (seed >> 32) as u32]
}

/// Keys advance by the golden ratio and by √3 − 1.
fn key_of(key: [u32; 2], round: u32) -> [u32; 2] {
    const WEYL: [u32; 2] = [0x9E37_79B9, 0xBB67_AE85];
    [key[0].wrapping_add(WEYL[0].wrapping_mul(round)), key[1].wrapping_add(WEYL[1].wrapping_mul(round))]
}

fn mix([a, b, c, d]: [u32; 4], [k0, k1]: [u32; 2]) -> [u32; 4] {
    let first = u64::from(a) * 0xD251_1F53;
    let second = u64::from(c) * 0xCD9E_8D57;
    [(second >> 32) as u32 ^ b ^ k0, second as u32, (first >> 32) as u32 ^ d ^ k1, first as u32]
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The known answers that its authors publish with Random123 (`kat_vectors`, philox4x32 10).
    #[test]
    fn philox_gives_the_published_answers() {
        let rows = [
            ([0; 2], [0; 4], [0x6627_e8d5, 0xe169_c58d, 0xbc57_ac4c, 0x9b00_dbd8]),
            ([u32::MAX; 2], [u32::MAX; 4], [0x408f_276d, 0x41c8_3b0e, 0xa20b_c7c6, 0x6d54_51fd]),
            (
                [0xa409_3822, 0x299f_31d0],
                [0x243f_6a88, 0x85a3_08d3, 0x1319_8a2e, 0x0370_7344],
                [0xd16c_fe09, 0x94fd_cceb, 0x5001_e420, 0x2412_6ea1],
            ),
        ];
        for (key, counter, expected) in rows {
            assert_eq!(philox(key, counter), expected, "key {key:08x?}, counter {counter:08x?}");
        }
    }

    #[test]
    fn uniform_is_below_one_even_and_depends_on_position_only() {
        let forward: Vec<f64> = (0..10_000).map(|position| uniform(7, position)).collect();
        let mut backward: Vec<f64> = (0..10_000).rev().map(|position| uniform(7, position)).collect();
        backward.reverse();
        assert_eq!(forward, backward, "the order of asking must not matter");
        assert!(forward.iter().all(|value| (0.0..1.0).contains(value)));
        let mean = forward.iter().sum::<f64>() / 10_000.0;
        assert!((mean - 0.5).abs() < 0.015, "five standard errors around one half, got {mean}");
        assert_ne!(uniform(7, 0), uniform(8, 0), "another seed gives other numbers");
    }
}
