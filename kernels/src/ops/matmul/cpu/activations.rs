//! Activations as 8-bit integers, one scale per block, made once per product.

use super::Isa;
use crate::ops::threads::{self, Parts};
use crate::ops::wide::wide;
use crate::quant::{Format, K};

/// Activations that are worth handing to another thread to quantise: some microseconds' work.
const WORTH: usize = 8 << 10;

/// Memory that products reuse, so that a token allocates nothing.
#[derive(Debug, Default)]
pub struct Scratch {
    /// `[n, cols]`
    quants: Vec<i8>,
    /// `quants` widened and reordered for wasm, `[n, cols]`.
    wide: Vec<i16>,
    /// `[n, cols / block]`
    scales: Vec<f32>,
    /// Sums of the integers of each sub-block, `[n, cols / sub-block]`.
    sums: Vec<i32>,
}

/// The activations of the rows of one tile, or of all.
#[derive(Debug, Clone, Copy)]
pub(super) struct Acts<'a> {
    /// Weights of a row.
    pub cols: usize,
    /// What the kernel of this instruction set multiplies; one i8 or one i16 per weight.
    pub quads: &'a [u8],
    /// One per block.
    pub scales: &'a [f32],
    /// One per sub-block.
    pub sums: &'a [i32],
    /// Unquantised, `[n, cols]`.
    pub floats: &'a [f32],
}

impl Acts<'_> {
    /// Rows `from..from + count` of `n`.
    pub fn rows(&self, n: usize, from: usize, count: usize) -> Self {
        fn part<T>(all: &[T], n: usize, from: usize, count: usize) -> &[T] {
            let each = all.len() / n;
            &all[from * each..(from + count) * each]
        }
        Self {
            cols: self.cols,
            quads: part(self.quads, n, from, count),
            scales: part(self.scales, n, from, count),
            sums: part(self.sums, n, from, count),
            floats: part(self.floats, n, from, count),
        }
    }
}

/// Weights under one scale of the activations, and under one sum; none for formats that multiply floats.
pub(super) const fn blocking(format: Format) -> Option<(usize, usize)> {
    match format {
        Format::Q8_0 | Format::Q4_0 => Some((32, 32)),
        Format::Q4_K => Some((K, 32)),
        Format::Q6_K => Some((K, 16)),
        _ => None,
    }
}

impl Scratch {
    /// Quantises `x` as the kernels of `format` want it.
    pub(super) fn prepare<'a>(&'a mut self, format: Format, isa: Isa, x: &'a [f32], cols: usize) -> Acts<'a> {
        let Self { quants, wide: wider, scales, sums } = self;
        let (block, sub) = blocking(format).unwrap_or((1, 1));
        let integers = if blocking(format).is_some() { x.len() } else { 0 };
        quants.resize(integers, 0);
        scales.resize(integers / block, 0.0);
        sums.resize(integers / sub, 0);
        if integers > 0 {
            let (quants, scales, sums) = (Parts::new(quants), Parts::new(scales), Parts::new(sums));
            threads::each(x.len() / cols, WORTH.div_ceil(cols), |rows| {
                let part = rows.start * cols..rows.end * cols;
                let of = |size: usize| part.start / size..part.end / size;
                // SAFETY: what belongs to these rows, which are this thread's.
                let (quants, scales, sums) =
                    unsafe { (quants.part(part.clone()), scales.part(of(block)), sums.part(of(sub))) };
                wide(|| quantise(&x[part.clone()], block, quants, scales));
                wide(|| sum(quants, sub, sums));
            });
        }
        let quads = if isa.widens() {
            wider.resize(integers, 0);
            widen(format, quants, wider);
            bytes_of_wide(wider)
        } else {
            bytes_of(quants)
        };
        Acts { cols, quads, scales, sums, floats: x }
    }
}

/// The bytes of integers.
fn bytes_of(values: &[i8]) -> &[u8] {
    // SAFETY: the same memory; i8 and u8 have one size, one alignment, and no invalid values.
    unsafe { std::slice::from_raw_parts(values.as_ptr().cast(), values.len()) }
}

fn bytes_of_wide(values: &[i16]) -> &[u8] {
    // SAFETY: the same memory, of twice as many bytes, which need no alignment and have no invalid values.
    unsafe { std::slice::from_raw_parts(values.as_ptr().cast(), values.len() * 2) }
}

/// Quantises to `-127..=127` by the largest magnitude of each block, halves to even.
///
/// A block with an infinity or a NaN gets a scale that is not finite, so that it cannot pass unseen.
#[inline(always)]
fn quantise(x: &[f32], block: usize, quants: &mut [i8], scales: &mut [f32]) {
    let blocks = x.chunks_exact(block).zip(quants.chunks_exact_mut(block));
    for ((x, quants), scale) in blocks.zip(scales) {
        // As integers, magnitudes order like floats, with infinity and then NaN above all.
        let largest = x.iter().fold(0, |largest, value| (value.to_bits() & 0x7FFF_FFFF).max(largest));
        let largest = f32::from_bits(largest);
        *scale = largest / 127.0;
        let inverse = if largest == 0.0 { 0.0 } else { 127.0 / largest };
        for (quant, value) in quants.iter_mut().zip(x) {
            // Adding 1.5·2²³ leaves the rounded integer in the lowest bits of the sum.
            *quant = (value * inverse + 12_582_912.0).to_bits() as i8;
        }
    }
}

#[inline(always)]
fn sum(quants: &[i8], sub: usize, sums: &mut [i32]) {
    for (quants, sum) in quants.chunks_exact(sub).zip(sums) {
        *sum = quants.iter().map(|&quant| i32::from(quant)).sum();
    }
}

/// Orders four activations `a₀a₁a₂a₃` as `a₀a₂ a₁a₃`: wasm multiplies pairs of 16 bits, and the even and the odd
/// bytes of a word of weights come apart with one instruction each, if they may stay where they are in the word.
/// The factors make up for where they stay, so that all products of a block come out times 256 (Q6_K: times 1).
fn widen(format: Format, quants: &[i8], wide: &mut [i16]) {
    let quads = quants.chunks_exact(4).zip(wide.chunks_exact_mut(4));
    for (number, (quant, wide)) in quads.enumerate() {
        let [even, odd] = match format {
            Format::Q8_0 => [1, 256],
            Format::Q6_K => [1, 1],
            Format::Q4_0 if number % 8 < 4 => [256, 1],
            Format::Q4_K if number % 16 < 8 => [256, 1],
            _ => [16, 256],
        };
        let [a, b, c, d] = [0, 1, 2, 3].map(|i| i16::from(quant[i]));
        wide.copy_from_slice(&[a * even, c * even, b * odd, d * odd]);
    }
}
