//! Blocks of 256 weights whose sub-blocks have quantised scales. `block` and `out` are one block long.

use super::half_at;

/// Weights of a block.
pub(crate) const K: usize = 256;

/// Scale and minimum of sub-block `j` of Q4_K and Q5_K: eight pairs of 6 bits in 12 bytes. The upper two bits of
/// the last four pairs are in the upper bits of the first eight bytes.
#[inline(always)]
fn sub_scale(packed: &[u8], j: usize) -> (u8, u8) {
    if j < 4 {
        (packed[j] & 63, packed[j + 4] & 63)
    } else {
        let low = packed[j + 4];
        ((low & 0xF) | ((packed[j - 4] >> 6) << 4), (low >> 4) | ((packed[j] >> 6) << 4))
    }
}

/// 16 bytes of `scale | min << 4`, 64 bytes of 2 bits, scale and minimum of the block.
pub(super) fn q2_k(block: &[u8], out: &mut [f32]) {
    let (scales, bits) = (&block[..16], &block[16..80]);
    let (d, dmin) = (half_at(block, 80), half_at(block, 82));
    for (sub, weights) in out.chunks_exact_mut(16).enumerate() {
        let (scale, min) = (d * f32::from(scales[sub] & 0xF), dmin * f32::from(scales[sub] >> 4));
        let (from, shift) = two_bits(sub);
        for (weight, &q) in weights.iter_mut().zip(&bits[from..]) {
            *weight = scale * f32::from((q >> shift) & 3) - min;
        }
    }
}

/// Where the 16 two-bit values of a sub-block begin, and by how much they are shifted: 32 bytes hold the 128 weights
/// of half a block, 32 of them at each shift.
const fn two_bits(sub: usize) -> (usize, usize) {
    let (half, within) = (sub / 8, sub % 8);
    (half * 32 + (within % 2) * 16, (within / 2) * 2)
}

/// 32 bytes of third bits (set: do not subtract 4), 64 bytes of 2 bits, 12 bytes of 6-bit scales, the block's scale.
pub(super) fn q3_k(block: &[u8], out: &mut [f32]) {
    let (third, bits, scales) = (&block[..32], &block[32..96], &block[96..108]);
    let d = half_at(block, 108);
    for (sub, weights) in out.chunks_exact_mut(16).enumerate() {
        let low = if sub < 8 { scales[sub] & 0xF } else { scales[sub - 8] >> 4 };
        let high = (scales[8 + sub % 4] >> (2 * (sub / 4))) & 3;
        let scale = d * (f32::from(low | (high << 4)) - 32.0);
        let (from, shift) = two_bits(sub);
        let third = &third[(sub % 2) * 16..];
        for ((weight, &q), &high) in weights.iter_mut().zip(&bits[from..]).zip(third) {
            let lowered = if (high >> (sub / 2)) & 1 == 0 { 4.0 } else { 0.0 };
            *weight = scale * (f32::from((q >> shift) & 3) - lowered);
        }
    }
}

/// The block's scale and minimum, 12 bytes of sub-block scales, 128 bytes of nibbles.
pub(super) fn q4_k(block: &[u8], out: &mut [f32]) {
    let (d, dmin) = (half_at(block, 0), half_at(block, 2));
    for (sub, weights) in out.chunks_exact_mut(32).enumerate() {
        let (scale, min) = sub_scale(&block[4..16], sub);
        let (scale, min) = (d * f32::from(scale), dmin * f32::from(min));
        for (weight, &q) in weights.iter_mut().zip(&block[16 + sub / 2 * 32..]) {
            *weight = scale * f32::from((q >> (sub % 2 * 4)) & 0xF) - min;
        }
    }
}

/// As Q4_K, with 32 bytes of fifth bits before the nibbles, one bit per sub-block.
pub(super) fn q5_k(block: &[u8], out: &mut [f32]) {
    let (d, dmin) = (half_at(block, 0), half_at(block, 2));
    for (sub, weights) in out.chunks_exact_mut(32).enumerate() {
        let (scale, min) = sub_scale(&block[4..16], sub);
        let (scale, min) = (d * f32::from(scale), dmin * f32::from(min));
        let nibbles = &block[48 + sub / 2 * 32..];
        for ((weight, &q), &fifth) in weights.iter_mut().zip(nibbles).zip(&block[16..48]) {
            let q = ((q >> (sub % 2 * 4)) & 0xF) | (((fifth >> sub) & 1) << 4);
            *weight = scale * f32::from(q) - min;
        }
    }
}

/// 128 bytes of low nibbles, 64 bytes of upper two bits, 16 signed scales, the block's scale.
pub(super) fn q6_k(block: &[u8], out: &mut [f32]) {
    let (low, high, scales) = (&block[..128], &block[128..192], &block[192..208]);
    let d = half_at(block, 208);
    for (sub, weights) in out.chunks_exact_mut(16).enumerate() {
        let scale = d * f32::from(scales[sub] as i8);
        // A half block is four runs of 32: run 0 and 1 in the low nibbles, 2 and 3 in the high ones of the same bytes.
        let (half, run, odd) = (sub / 8, sub % 8 / 2, sub % 2);
        let low = &low[half * 64 + (run % 2) * 32 + odd * 16..];
        let high = &high[half * 32 + odd * 16..];
        for ((weight, &low), &high) in weights.iter_mut().zip(low).zip(high) {
            let q = ((low >> (run / 2 * 4)) & 0xF) | (((high >> (run * 2)) & 3) << 4);
            *weight = scale * (f32::from(q) - 32.0);
        }
    }
}
