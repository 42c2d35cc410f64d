//! The kernels, once for all instruction sets: `T` rows of activations with one group of 16 rows of weights.
//!
//! Each is inlined into a function that enables the instruction set (see `kernels!`), and so are the functions of
//! [`Simd`] into it. All check the lengths that they are given once, before the loops that read through pointers.

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

/// Vectors of a group: two of 8 rows, or one of 16 (the second is then not used).
const HALVES: usize = 2;

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

#[inline(always)]
unsafe fn store<S: Simd, const T: usize>(sums: [[S::Floats; T]; HALVES], out: &mut [Lanes]) {
    for half in 0..GROUP / S::ROWS {
        for (row, out) in out.iter_mut().enumerate() {
            // SAFETY: half · ROWS is below 16.
            unsafe { S::store(sums[half][row], out.as_mut_ptr().add(half * S::ROWS)) };
        }
    }
}

/// Per block: `sum(q·a)·d·scale`.
#[inline(always)]
pub(super) unsafe fn q8_0<S: Simd, const T: usize>(group: &[u8], acts: &Acts<'_>, out: &mut [Lanes]) {
    const CHUNK: usize = GROUP * Format::Q8_0.block_bytes();
    let blocks = check::<S>(Format::Q8_0, T, group, acts, out);
    // SAFETY: `check` compared the lengths with what the indices below reach.
    unsafe {
        let mut total = [[S::floats(0.0); T]; HALVES];
        for block in 0..blocks {
            let chunk = group.as_ptr().add(block * CHUNK);
            for half in 0..GROUP / S::ROWS {
                let at = half * S::ROWS;
                let mut sums = [S::ints(0); T];
                for row in 0..T {
                    sums[row] = S::start_signed(*acts.sums.get_unchecked(row * blocks + block));
                }
                for quad in 0..8 {
                    let weights = S::load_signed(chunk.add(GROUP * 2 + quad * GROUP * 4 + at * 4));
                    for row in 0..T {
                        let a = (row * blocks * 8 + block * 8 + quad) * S::QUAD_BYTES;
                        sums[row] = S::dot_signed(sums[row], weights, acts.quads.as_ptr().add(a));
                    }
                }
                let d = S::load_halves(chunk.add(at * 2));
                for row in 0..T {
                    let scaled = S::mul_floats(S::to_floats(S::finish(sums[row])), d);
                    let scale = S::floats(*acts.scales.get_unchecked(row * blocks + block));
                    total[half][row] = S::add_floats(total[half][row], S::mul_floats(scaled, scale));
                }
            }
        }
        store::<S, T>(total, out);
    }
}

/// Per block: `sum((q − 8)·a)·d·scale`.
#[inline(always)]
pub(super) unsafe fn q4_0<S: Simd, const T: usize>(group: &[u8], acts: &Acts<'_>, out: &mut [Lanes]) {
    const CHUNK: usize = GROUP * Format::Q4_0.block_bytes();
    let blocks = check::<S>(Format::Q4_0, T, group, acts, out);
    // SAFETY: `check` compared the lengths with what the indices below reach.
    unsafe {
        let mut total = [[S::floats(0.0); T]; HALVES];
        for block in 0..blocks {
            let chunk = group.as_ptr().add(block * CHUNK);
            for half in 0..GROUP / S::ROWS {
                let at = half * S::ROWS;
                let mut sums = [S::ints(0); T];
                for row in 0..T {
                    sums[row] = S::start_nibbles(-8 * *acts.sums.get_unchecked(row * blocks + block));
                }
                for quad in 0..4 {
                    let (low, high) = S::load_nibbles(chunk.add(GROUP * 2 + quad * GROUP * 4 + at * 4));
                    for row in 0..T {
                        let a = (row * blocks * 8 + block * 8 + quad) * S::QUAD_BYTES;
                        let a = acts.quads.as_ptr().add(a);
                        sums[row] = S::dot_low(sums[row], low, a);
                        sums[row] = S::dot_high(sums[row], high, a.add(4 * S::QUAD_BYTES));
                    }
                }
                let d = S::load_halves(chunk.add(at * 2));
                for row in 0..T {
                    let scaled = S::mul_floats(S::to_floats(S::finish(sums[row])), d);
                    let scale = S::floats(*acts.scales.get_unchecked(row * blocks + block));
                    total[half][row] = S::add_floats(total[half][row], S::mul_floats(scaled, scale));
                }
            }
        }
        store::<S, T>(total, out);
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
        let mut total = [[S::floats(0.0); T]; HALVES];
        for block in 0..blocks {
            let chunk = group.as_ptr().add(block * CHUNK);
            for half in 0..GROUP / S::ROWS {
                let at = half * S::ROWS;
                let (mut scaled, mut offset) = ([S::ints(0); T], [S::ints(0); T]);
                for pair in 0..4 {
                    let (mut lows, mut highs) = ([S::start_nibbles(0); T], [S::start_nibbles(0); T]);
                    for quad in 0..8 {
                        let from = GROUP * 16 + (pair * 8 + quad) * GROUP * 4 + at * 4;
                        let (low, high) = S::load_nibbles(chunk.add(from));
                        for row in 0..T {
                            let a = ((row * blocks + block) * (K / 4) + pair * 16 + quad) * S::QUAD_BYTES;
                            let a = acts.quads.as_ptr().add(a);
                            lows[row] = S::dot_low(lows[row], low, a);
                            highs[row] = S::dot_high(highs[row], high, a.add(8 * S::QUAD_BYTES));
                        }
                    }
                    for (odd, sums) in [lows, highs].into_iter().enumerate() {
                        let sub = 2 * pair + odd;
                        let (scale, min) = sub_scales::<S>(chunk.add(GROUP * 4 + at), sub);
                        for row in 0..T {
                            let sum = *acts.sums.get_unchecked((row * blocks + block) * 8 + sub);
                            scaled[row] = S::add(scaled[row], S::mul(S::finish(sums[row]), scale));
                            offset[row] = S::add(offset[row], S::mul(min, S::ints(sum)));
                        }
                    }
                }
                let d = S::load_halves(chunk.add(at * 2));
                let dmin = S::load_halves(chunk.add(GROUP * 2 + at * 2));
                for row in 0..T {
                    let scaled = S::mul_floats(S::to_floats(scaled[row]), d);
                    let value = S::sub_floats(scaled, S::mul_floats(S::to_floats(offset[row]), dmin));
                    let scale = S::floats(*acts.scales.get_unchecked(row * blocks + block));
                    total[half][row] = S::add_floats(total[half][row], S::mul_floats(value, scale));
                }
            }
        }
        store::<S, T>(total, out);
    }
}

/// Per block: `sum(scale·sum((q − 32)·a))·d·scale`.
#[inline(always)]
pub(super) unsafe fn q6_k<S: Simd, const T: usize>(group: &[u8], acts: &Acts<'_>, out: &mut [Lanes]) {
    const CHUNK: usize = GROUP * Format::Q6_K.block_bytes();
    let blocks = check::<S>(Format::Q6_K, T, group, acts, out);
    // SAFETY: `check` compared the lengths with what the indices below reach.
    unsafe {
        let mut total = [[S::floats(0.0); T]; HALVES];
        for block in 0..blocks {
            let chunk = group.as_ptr().add(block * CHUNK);
            for half in 0..GROUP / S::ROWS {
                let at = half * S::ROWS;
                let mut scaled = [S::ints(0); T];
                // Sixteen weights of each of the four runs of 32 in half a block have one scale per run.
                for part in 0..4 {
                    let (side, odd) = (part / 2, part % 2);
                    let mut sums = [[S::ints(0); T]; 4];
                    for (run, sums) in sums.iter_mut().enumerate() {
                        for (row, sum) in sums.iter_mut().enumerate() {
                            let from = (row * blocks + block) * 16 + side * 8 + run * 2 + odd;
                            *sum = S::ints(-32 * *acts.sums.get_unchecked(from));
                        }
                    }
                    for quad in odd * 4..odd * 4 + 4 {
                        let bytes = |unit: usize| chunk.add(unit * GROUP * 4 + at * 4);
                        let low = [bytes(side * 16 + quad), bytes(side * 16 + 8 + quad)];
                        let weights = S::load_six(low, bytes(32 + side * 8 + quad));
                        for run in 0..4 {
                            for row in 0..T {
                                let a = (row * blocks + block) * (K / 4) + side * 32 + run * 8 + quad;
                                let a = acts.quads.as_ptr().add(a * S::QUAD_BYTES);
                                sums[run][row] = S::dot_six(sums[run][row], weights[run], a);
                            }
                        }
                    }
                    for (run, sums) in sums.iter().enumerate() {
                        let sub = side * 8 + run * 2 + odd;
                        let scale = S::signed_bytes(chunk.add(GROUP * (192 + sub) + at));
                        for row in 0..T {
                            scaled[row] = S::add(scaled[row], S::mul(sums[row], scale));
                        }
                    }
                }
                let d = S::load_halves(chunk.add(GROUP * 208 + at * 2));
                for row in 0..T {
                    let value = S::mul_floats(S::to_floats(scaled[row]), d);
                    let scale = S::floats(*acts.scales.get_unchecked(row * blocks + block));
                    total[half][row] = S::add_floats(total[half][row], S::mul_floats(value, scale));
                }
            }
        }
        store::<S, T>(total, out);
    }
}

/// Floats: even and odd columns have a sum each, so that additions need not wait for each other.
#[inline(always)]
unsafe fn float_tile<S: Simd, const T: usize>(
    bytes: usize,
    group: &[u8],
    acts: &Acts<'_>,
    out: &mut [Lanes],
    load: unsafe fn(*const u8) -> S::Floats,
) {
    // SAFETY: the caller compared the lengths with what the indices below reach.
    unsafe {
        let mut total = [[S::floats(0.0); T]; HALVES];
        for half in 0..GROUP / S::ROWS {
            let mut sums = [[S::floats(0.0); T]; 2];
            let mut step = |column: usize, parity: usize| {
                let weights = load(group.as_ptr().add((column * GROUP + half * S::ROWS) * bytes));
                for row in 0..T {
                    let x = S::floats(*acts.floats.get_unchecked(row * acts.cols + column));
                    sums[parity][row] = S::add_floats(sums[parity][row], S::mul_floats(weights, x));
                }
            };
            for pair in 0..acts.cols / 2 {
                step(2 * pair, 0);
                step(2 * pair + 1, 1);
            }
            if acts.cols % 2 == 1 {
                step(acts.cols - 1, 0);
            }
            for row in 0..T {
                total[half][row] = S::add_floats(sums[0][row], sums[1][row]);
            }
        }
        store::<S, T>(total, out);
    }
}

#[inline(always)]
pub(super) unsafe fn f32<S: Simd, const T: usize>(group: &[u8], acts: &Acts<'_>, out: &mut [Lanes]) {
    check::<S>(Format::F32, T, group, acts, out);
    // SAFETY: lengths are checked; `load_floats` reads ROWS · 4 bytes.
    unsafe { float_tile::<S, T>(4, group, acts, out, S::load_floats) }
}

#[inline(always)]
pub(super) unsafe fn f16<S: Simd, const T: usize>(group: &[u8], acts: &Acts<'_>, out: &mut [Lanes]) {
    check::<S>(Format::F16, T, group, acts, out);
    // SAFETY: lengths are checked; `load_halves` reads ROWS · 2 bytes.
    unsafe { float_tile::<S, T>(2, group, acts, out, S::load_halves) }
}

/// `pub(super) fn tiles(Format) -> Tiles` of one instruction set, each kernel compiled for it.
macro_rules! kernels {
    ($simd:ty, [$($feature:tt)*], integers: [$($int:literal),*], floats: [$($float:literal),*]) => {
        /// The kernels of `format`; of floats, where it has none.
        pub(super) fn tiles(format: crate::quant::Format) -> crate::ops::matmul::cpu::tiles::Tiles {
            use crate::ops::matmul::cpu::{Lanes, activations::Acts, tiles};
            use crate::quant::Format;
            macro_rules! compiled {
                ($name:ident) => {
                    $($feature)*
                    unsafe fn $name<const T: usize>(group: &[u8], acts: &Acts<'_>, out: &mut [Lanes]) {
                        // SAFETY: the caller's promise, the instruction set, is all that it asks.
                        unsafe { tiles::$name::<$simd, T>(group, acts, out) }
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
                Format::Q8_0 => &[$(($int, q8_0::<$int>)),*],
                Format::Q4_0 => &[$(($int, q4_0::<$int>)),*],
                Format::Q4_K => &[$(($int, q4_k::<$int>)),*],
                Format::Q6_K => &[$(($int, q6_k::<$int>)),*],
                Format::F16 => &[$(($float, f16::<$float>)),*],
                _ => &[$(($float, f32::<$float>)),*],
            }
        }
    };
}
pub(super) use kernels;
