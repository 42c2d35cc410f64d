//! The kernels, once for all instruction sets: `T` rows of activations with one group of 16 rows of weights.
//!
//! Each is inlined into a function that enables the instruction set (see `kernels!`), and so are the functions of
//! [`Simd`] into it. All check the lengths that they are given once, before the loops that read through pointers.

#![allow(
    clippy::needless_range_loop,
    reason = "one row indexes sums, scales and activations alike; unrolled loops over arrays stay in registers"
)]

use super::activations::Acts;
use super::simd::Simd;
use super::{GROUP, Lanes};
use crate::quant::{Format, K};

/// A kernel: a group's bytes, the activations of its rows, and where the outputs go, one [`Lanes`] per row.
///
/// Safe to call where its instruction set is.
pub(super) type Tile = unsafe fn(group: &[u8], acts: &Acts<'_>, out: &mut [Lanes]);

/// Kernels of one format and instruction set, for ever fewer rows at once, down to one.
pub(super) type Tiles = &'static [(usize, Tile)];

/// Checks every length that a kernel relies on; gives blocks per row.
fn check<S: Simd>(format: Format, rows: usize, group: &[u8], acts: &Acts<'_>, out: &[Lanes]) -> usize {
    let blocks = acts.cols / format.block_len();
    assert_eq!(acts.cols % format.block_len(), 0);
    assert_eq!(group.len(), blocks * GROUP * format.block_bytes());
    assert_eq!(out.len(), rows);
    match super::activations::blocking(format) {
        Some((block, sub)) => {
            assert_eq!(acts.quads.len(), rows * acts.cols / 4 * S::QUAD_BYTES);
            assert_eq!(acts.scales.len(), rows * acts.cols / block);
            assert_eq!(acts.sums.len(), rows * acts.cols / sub);
        }
        None => assert_eq!(acts.floats.len(), rows * acts.cols),
    }
    blocks
}

/// Where `unit` of a block lies that has `each` of them: block number `block` of number `row` of rows of `blocks`.
///
/// Every place is within a slice whose length [`check`] has seen, so that nothing wraps, and nothing here has to look
/// for it in the innermost loops.
#[inline(always)]
const fn place(row: usize, blocks: usize, block: usize, each: usize, unit: usize) -> usize {
    row.wrapping_mul(blocks).wrapping_add(block).wrapping_mul(each).wrapping_add(unit)
}

/// Stores the outputs of the rows from `at` on.
#[inline(always)]
unsafe fn store<S: Simd, const T: usize>(total: [S::Floats; T], at: usize, out: &mut [Lanes]) {
    for (total, out) in total.into_iter().zip(out) {
        // SAFETY: `at` is a multiple of ROWS below 16.
        unsafe { S::store(total, out.as_mut_ptr().add(at)) };
    }
}

/// Per block: `sum(q·a)·d·scale`.
#[inline(always)]
pub(super) unsafe fn q8_0<S: Simd, const T: usize>(group: &[u8], acts: &Acts<'_>, out: &mut [Lanes]) {
    const CHUNK: usize = GROUP * Format::Q8_0.block_bytes();
    let blocks = check::<S>(Format::Q8_0, T, group, acts, out);
    // SAFETY: `check` compared the lengths with what the indices below reach.
    unsafe {
        let masks = S::masks();
        for at in (0..GROUP).step_by(S::ROWS) {
            let mut total = [S::floats(0.0); T];
            for block in 0..blocks {
                let chunk = group.as_ptr().add(place(0, 0, block, CHUNK, 0));
                let mut sums = [S::ints(0); T];
                for row in 0..T {
                    sums[row] = S::start_signed(*acts.sums.get_unchecked(place(row, blocks, block, 1, 0)));
                }
                for quad in 0..8 {
                    let weights = S::load_signed(chunk.add(GROUP * 2 + quad * GROUP * 4 + at * 4));
                    for row in 0..T {
                        let a = place(row, blocks, block, 8 * S::QUAD_BYTES, quad * S::QUAD_BYTES);
                        sums[row] = S::dot_signed(sums[row], weights, acts.quads.as_ptr().add(a));
                    }
                }
                let d = S::load_finishing_halves(chunk.add(at * 2), masks);
                for row in 0..T {
                    let scaled = S::mul_floats(S::to_floats(sums[row]), d);
                    let scale = S::floats(*acts.scales.get_unchecked(place(row, blocks, block, 1, 0)));
                    total[row] = S::add_floats(total[row], S::mul_floats(scaled, scale));
                }
            }
            store::<S, T>(total, at, out);
        }
    }
}

/// Per block: `sum((q − 8)·a)·d·scale`.
#[inline(always)]
pub(super) unsafe fn q4_0<S: Simd, const T: usize>(group: &[u8], acts: &Acts<'_>, out: &mut [Lanes]) {
    const CHUNK: usize = GROUP * Format::Q4_0.block_bytes();
    let blocks = check::<S>(Format::Q4_0, T, group, acts, out);
    // SAFETY: `check` compared the lengths with what the indices below reach.
    unsafe {
        let masks = S::masks();
        for at in (0..GROUP).step_by(S::ROWS) {
            let mut total = [S::floats(0.0); T];
            for block in 0..blocks {
                let chunk = group.as_ptr().add(place(0, 0, block, CHUNK, 0));
                let mut sums = [S::ints(0); T];
                for row in 0..T {
                    sums[row] = S::start_nibbles(
                        acts.sums.get_unchecked(place(row, blocks, block, 1, 0)).wrapping_mul(-8),
                    );
                }
                for quad in 0..4 {
                    let pairs = S::load_pairs(chunk.add(GROUP * 2 + quad * GROUP * 4 + at * 4));
                    let a = |row: usize, quad: usize| {
                        let at = place(row, blocks, block, 8 * S::QUAD_BYTES, quad * S::QUAD_BYTES);
                        acts.quads.as_ptr().add(at)
                    };
                    // One half after the other: registers for both are more than wasm has.
                    let low = S::low(pairs, masks);
                    for row in 0..T {
                        sums[row] = S::dot_low(sums[row], low, a(row, quad));
                    }
                    let high = S::high(pairs, masks);
                    for row in 0..T {
                        sums[row] = S::dot_high(sums[row], high, a(row, quad + 4));
                    }
                }
                let d = S::load_finishing_halves(chunk.add(at * 2), masks);
                for row in 0..T {
                    let scaled = S::mul_floats(S::to_floats(sums[row]), d);
                    let scale = S::floats(*acts.scales.get_unchecked(place(row, blocks, block, 1, 0)));
                    total[row] = S::add_floats(total[row], S::mul_floats(scaled, scale));
                }
            }
            store::<S, T>(total, at, out);
        }
    }
}

/// Scales and minima of sub-blocks `2·pair` and `2·pair + 1`, from 12 vectors of packed bytes.
#[inline(always)]
unsafe fn sub_scales<S: Simd>(packed: *const u8, sub: usize) -> (S::Ints, S::Ints) {
    // SAFETY: the caller's; `sub` is below 8.
    unsafe {
        let byte = |j: usize| S::unsigned(packed.add(j * GROUP));
        if sub < 4 {
            return (S::bits::<0>(byte(sub), 63), S::bits::<0>(byte(sub + 4), 63));
        }
        let low = byte(sub + 4);
        let scale = S::join(S::bits::<0>(low, 15), S::bits::<6>(byte(sub - 4), 3));
        (scale, S::join(S::bits::<4>(low, 15), S::bits::<6>(byte(sub), 3)))
    }
}

/// Per block: `(sum(scale·sum(q·a))·d − sum(min·sum(a))·dmin)·scale`.
#[inline(always)]
pub(super) unsafe fn q4_k<S: Simd, const T: usize>(group: &[u8], acts: &Acts<'_>, out: &mut [Lanes]) {
    const CHUNK: usize = GROUP * Format::Q4_K.block_bytes();
    let blocks = check::<S>(Format::Q4_K, T, group, acts, out);
    // SAFETY: `check` compared the lengths with what the indices below reach.
    unsafe {
        let masks = S::masks();
        for at in (0..GROUP).step_by(S::ROWS) {
            let mut total = [S::floats(0.0); T];
            for block in 0..blocks {
                let chunk = group.as_ptr().add(place(0, 0, block, CHUNK, 0));
                let (mut scaled, mut offset) = ([S::ints(0); T], [S::ints(0); T]);
                for pair in 0..4 {
                    let (mut lows, mut highs) = ([S::start_nibbles(0); T], [S::start_nibbles(0); T]);
                    for quad in 0..8 {
                        let from = GROUP * 16 + (pair * 8 + quad) * GROUP * 4 + at * 4;
                        let pairs = S::load_pairs(chunk.add(from));
                        let a = |row: usize, quad: usize| {
                            let quad = (pair * 16 + quad) * S::QUAD_BYTES;
                            acts.quads.as_ptr().add(place(row, blocks, block, K / 4 * S::QUAD_BYTES, quad))
                        };
                        let low = S::low(pairs, masks);
                        for row in 0..T {
                            lows[row] = S::dot_low(lows[row], low, a(row, quad));
                        }
                        let high = S::high(pairs, masks);
                        for row in 0..T {
                            highs[row] = S::dot_high(highs[row], high, a(row, quad + 8));
                        }
                    }
                    for (odd, sums) in [lows, highs].into_iter().enumerate() {
                        let sub = 2 * pair + odd;
                        let (scale, min) = sub_scales::<S>(chunk.add(GROUP * 4 + at), sub);
                        for row in 0..T {
                            let sum = *acts.sums.get_unchecked(place(row, blocks, block, 8, sub));
                            scaled[row] = S::add(scaled[row], S::mul(S::finish(sums[row]), scale));
                            offset[row] = S::add(offset[row], S::mul(min, S::ints(sum)));
                        }
                    }
                }
                let d = S::load_halves(chunk.add(at * 2), masks);
                let dmin = S::load_halves(chunk.add(GROUP * 2 + at * 2), masks);
                for row in 0..T {
                    let scaled = S::mul_floats(S::to_floats(scaled[row]), d);
                    let value = S::sub_floats(scaled, S::mul_floats(S::to_floats(offset[row]), dmin));
                    let scale = S::floats(*acts.scales.get_unchecked(place(row, blocks, block, 1, 0)));
                    total[row] = S::add_floats(total[row], S::mul_floats(value, scale));
                }
            }
            store::<S, T>(total, at, out);
        }
    }
}

/// The part of [`q6_k`] that two runs of 32 weights have under one scale each: sixteen weights of each run.
#[inline(always)]
unsafe fn q6_k_part<S: Simd, const T: usize, const SECOND: bool>(
    scaled: &mut [S::Ints; T],
    (chunk, at): (*const u8, usize),
    acts: &Acts<'_>,
    block: usize,
    (side, odd): (usize, usize),
    masks: S::Masks,
) {
    let blocks = acts.cols / K;
    let sub = side * 8 + 2 * usize::from(SECOND) + odd;
    // SAFETY: the caller compared the lengths with what the indices below reach.
    unsafe {
        let (mut first, mut third) = ([S::ints(0); T], [S::ints(0); T]);
        for row in 0..T {
            let from = place(row, blocks, block, 16, sub);
            first[row] = S::ints(acts.sums.get_unchecked(from).wrapping_mul(-32));
            third[row] = S::ints(acts.sums.get_unchecked(from + 4).wrapping_mul(-32));
        }
        for quad in 0..4 {
            let units = chunk.add(GROUP * (18 + (side * 8 + odd * 4 + quad) * 12) + at * 4);
            let low = units.add(GROUP * 4 * usize::from(SECOND));
            let [a, c] = S::load_six::<SECOND>(low, units.add(GROUP * 8), masks);
            for row in 0..T {
                let quad = (sub * 4 + quad) * S::QUAD_BYTES;
                let quad = acts.quads.as_ptr().add(place(row, blocks, block, K / 4 * S::QUAD_BYTES, quad));
                first[row] = S::dot_six(first[row], a, quad);
                third[row] = S::dot_six(third[row], c, quad.add(16 * S::QUAD_BYTES));
            }
        }
        let scales = chunk.add(GROUP * (2 + sub) + at);
        let (one, three) = (S::signed_bytes(scales), S::signed_bytes(scales.add(GROUP * 4)));
        for row in 0..T {
            scaled[row] = S::add(scaled[row], S::mul(first[row], one));
            scaled[row] = S::add(scaled[row], S::mul(third[row], three));
        }
    }
}

/// Per block: `sum(scale·sum((q − 32)·a))·d·scale`.
#[inline(always)]
pub(super) unsafe fn q6_k<S: Simd, const T: usize>(group: &[u8], acts: &Acts<'_>, out: &mut [Lanes]) {
    const CHUNK: usize = GROUP * Format::Q6_K.block_bytes();
    let blocks = check::<S>(Format::Q6_K, T, group, acts, out);
    // SAFETY: `check` compared the lengths with what the indices below reach.
    unsafe {
        let masks = S::masks();
        for at in (0..GROUP).step_by(S::ROWS) {
            let mut total = [S::floats(0.0); T];
            for block in 0..blocks {
                let chunk = group.as_ptr().add(place(0, 0, block, CHUNK, 0));
                let mut scaled = [S::ints(0); T];
                for part in [(0, 0), (0, 1), (1, 0), (1, 1)] {
                    q6_k_part::<S, T, false>(&mut scaled, (chunk, at), acts, block, part, masks);
                    q6_k_part::<S, T, true>(&mut scaled, (chunk, at), acts, block, part, masks);
                }
                let d = S::load_halves(chunk.add(at * 2), masks);
                for row in 0..T {
                    let value = S::mul_floats(S::to_floats(scaled[row]), d);
                    let scale = S::floats(*acts.scales.get_unchecked(place(row, blocks, block, 1, 0)));
                    total[row] = S::add_floats(total[row], S::mul_floats(value, scale));
                }
            }
            store::<S, T>(total, at, out);
        }
    }
}

/// Floats: even and odd columns have a sum each, so that additions need not wait for each other.
#[inline(always)]
unsafe fn floats<S: Simd, const T: usize, const HALVED: bool>(
    group: &[u8],
    acts: &Acts<'_>,
    out: &mut [Lanes],
) {
    let (format, bytes) = if HALVED { (Format::F16, 2) } else { (Format::F32, 4) };
    let cols = check::<S>(format, T, group, acts, out);
    // SAFETY: `check` compared the lengths with what the indices below reach.
    unsafe {
        let masks = S::masks();
        for at in (0..GROUP).step_by(S::ROWS) {
            let (mut even, mut odd) = ([S::floats(0.0); T], [S::floats(0.0); T]);
            for column in 0..cols {
                let from = group.as_ptr().add(place(0, 0, column, GROUP * bytes, at * bytes));
                let weights = if HALVED { S::load_halves(from, masks) } else { S::load_floats(from) };
                // What was odd becomes even: one body for both, without a branch.
                std::mem::swap(&mut even, &mut odd);
                for row in 0..T {
                    let x = S::floats(*acts.floats.get_unchecked(place(row, cols, column, 1, 0)));
                    odd[row] = S::add_floats(odd[row], S::mul_floats(weights, x));
                }
            }
            for row in 0..T {
                even[row] = S::add_floats(even[row], odd[row]);
            }
            store::<S, T>(even, at, out);
        }
    }
}

#[inline(always)]
pub(super) unsafe fn f32<S: Simd, const T: usize>(group: &[u8], acts: &Acts<'_>, out: &mut [Lanes]) {
    // SAFETY: the caller's promise is all that it asks.
    unsafe { floats::<S, T, false>(group, acts, out) }
}

#[inline(always)]
pub(super) unsafe fn f16<S: Simd, const T: usize>(group: &[u8], acts: &Acts<'_>, out: &mut [Lanes]) {
    // SAFETY: the caller's promise is all that it asks.
    unsafe { floats::<S, T, true>(group, acts, out) }
}

/// `pub(super) fn tiles(Format) -> Tiles` of one instruction set, each kernel compiled for it: for so many rows of
/// activations, with such vectors.
macro_rules! kernels {
    ([$($feature:tt)*] $($rows:literal: $simd:ty),*) => {
        /// The kernels of `format`; of floats, where it has none.
        pub(super) fn tiles(format: crate::quant::Format) -> crate::ops::matmul::cpu::tiles::Tiles {
            use crate::ops::matmul::cpu::{Lanes, activations::Acts, simd::Simd, tiles};
            use crate::quant::Format;
            macro_rules! compiled {
                ($name:ident) => {
                    $($feature)*
                    unsafe fn $name<S: Simd, const T: usize>(group: &[u8], acts: &Acts<'_>, out: &mut [Lanes]) {
                        // SAFETY: the caller's promise, the instruction set, is all that it asks.
                        unsafe { tiles::$name::<S, T>(group, acts, out) }
                    }
                };
            }
            compiled!(q8_0);
            compiled!(q4_0);
            compiled!(q4_k);
            compiled!(q6_k);
            compiled!(f32);
            compiled!(f16);
            match format {
                Format::Q8_0 => &[$(($rows, q8_0::<$simd, $rows>)),*],
                Format::Q4_0 => &[$(($rows, q4_0::<$simd, $rows>)),*],
                Format::Q4_K => &[$(($rows, q4_k::<$simd, $rows>)),*],
                Format::Q6_K => &[$(($rows, q6_k::<$simd, $rows>)),*],
                Format::F16 => &[$(($rows, f16::<$simd, $rows>)),*],
                _ => &[$(($rows, f32::<$simd, $rows>)),*],
            }
        }
    };
}
pub(super) use kernels;
