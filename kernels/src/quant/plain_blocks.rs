//! Floats, and blocks of 32 weights with one scale each. `block` and `out` are one block long, the caller sees to it.

use super::half_at;

pub(super) fn f32(block: &[u8], out: &mut [f32]) {
    out[0] = f32::from_le_bytes([block[0], block[1], block[2], block[3]]);
}

pub(super) fn f16(block: &[u8], out: &mut [f32]) {
    out[0] = half_at(block, 0);
}

pub(super) fn bf16(block: &[u8], out: &mut [f32]) {
    out[0] = f32::from_bits(u32::from(u16::from_le_bytes([block[0], block[1]])) << 16);
}

pub(super) fn q8_0(block: &[u8], out: &mut [f32]) {
    let d = half_at(block, 0);
    for (weight, &q) in out.iter_mut().zip(&block[2..]) {
        *weight = f32::from(q as i8) * d;
    }
}

pub(super) fn q4_0(block: &[u8], out: &mut [f32]) {
    let d = half_at(block, 0);
    let (first, second) = out.split_at_mut(16);
    for ((a, b), &q) in first.iter_mut().zip(second).zip(&block[2..]) {
        *a = (f32::from(q & 0xF) - 8.0) * d;
        *b = (f32::from(q >> 4) - 8.0) * d;
    }
}

pub(super) fn q4_1(block: &[u8], out: &mut [f32]) {
    let (d, m) = (half_at(block, 0), half_at(block, 2));
    let (first, second) = out.split_at_mut(16);
    for ((a, b), &q) in first.iter_mut().zip(second).zip(&block[4..]) {
        *a = f32::from(q & 0xF) * d + m;
        *b = f32::from(q >> 4) * d + m;
    }
}

pub(super) fn q5_0(block: &[u8], out: &mut [f32]) {
    let d = half_at(block, 0);
    five_bits(&block[2..], out, |q| (f32::from(q) - 16.0) * d);
}

pub(super) fn q5_1(block: &[u8], out: &mut [f32]) {
    let (d, m) = (half_at(block, 0), half_at(block, 2));
    five_bits(&block[4..], out, |q| f32::from(q) * d + m);
}

/// 32 fifth bits, then 16 pairs of nibbles.
fn five_bits(bits: &[u8], out: &mut [f32], weight: impl Fn(u8) -> f32) {
    let fifth = u32::from_le_bytes([bits[0], bits[1], bits[2], bits[3]]);
    let (first, second) = out.split_at_mut(16);
    for (j, ((a, b), &q)) in first.iter_mut().zip(second).zip(&bits[4..]).enumerate() {
        *a = weight((q & 0xF) | (((fifth >> j) & 1) << 4) as u8);
        *b = weight((q >> 4) | (((fifth >> (j + 16)) & 1) << 4) as u8);
    }
}
