//! Interleaving the rows of a group, in place.

use super::GROUP;
use crate::quant::{Format, QuantError};

/// Parts of a block that are next to each other in memory too, as units that are kept together.
#[derive(Debug, Clone, Copy)]
pub(super) struct Run {
    /// Where in the block it begins.
    from: usize,
    /// Units in it.
    count: usize,
    /// Bytes of a unit. Two bytes are a half float.
    bytes: usize,
}

const fn run(from: usize, count: usize, bytes: usize) -> Run {
    Run { from, count, bytes }
}

/// Scale, scales of the sub-blocks, then, for each four weights of half a block's runs of 32, two times lower bits
/// and upper bits: the kernel reads straight on, which is what a memory is fast at.
const Q6_K: [Run; 2 + 48] = {
    let mut runs = [run(208, 1, 2); 50];
    runs[1] = run(192, 16, 1);
    let mut i = 0;
    while i < 16 {
        let (half, quad) = (i / 8, i % 8);
        runs[2 + 3 * i] = run(half * 64 + quad * 4, 1, 4);
        runs[3 + 3 * i] = run(half * 64 + 32 + quad * 4, 1, 4);
        runs[4 + 3 * i] = run(128 + half * 32 + quad * 4, 1, 4);
        i += 1;
    }
    runs
};

/// A block of `format` in the order of memory.
/// `None`: the format has no kernel and its rows are left as they are.
pub(super) fn units(format: Format) -> Option<&'static [Run]> {
    const F32: [Run; 1] = [run(0, 1, 4)];
    const F16: [Run; 1] = [run(0, 1, 2)];
    const Q8_0: [Run; 2] = [run(0, 1, 2), run(2, 8, 4)];
    const Q4_0: [Run; 2] = [run(0, 1, 2), run(2, 4, 4)];
    const Q4_K: [Run; 3] = [run(0, 2, 2), run(4, 12, 1), run(16, 32, 4)];
    Some(match format {
        Format::F32 => &F32,
        Format::F16 => &F16,
        Format::Q8_0 => &Q8_0,
        Format::Q4_0 => &Q4_0,
        Format::Q4_K => &Q4_K,
        Format::Q6_K => &Q6_K,
        _ => return None,
    })
}

/// Interleaves rows, 16 at a time.
///
/// # Shapes
/// - `bytes`: whole groups of rows of `row_bytes`
///
/// # Errors
/// [`QuantError::NotFinite`] for a scale (or a half float) that is infinite or NaN.
pub(super) fn interleave(format: Format, row_bytes: usize, bytes: &mut [u8]) -> Result<(), QuantError> {
    let Some(units) = units(format) else { return Ok(()) };
    let mut rows = vec![0; GROUP * row_bytes];
    for (number, group) in bytes.chunks_exact_mut(GROUP * row_bytes).enumerate() {
        rows.copy_from_slice(group);
        for (row, bytes) in rows.chunks_exact(row_bytes).enumerate() {
            if !spread(format, units, bytes, row, group) {
                return Err(QuantError::NotFinite { format, row: number * GROUP + row });
            }
        }
    }
    Ok(())
}

/// Writes one row to its lane; false if a half float in it is not finite.
fn spread(format: Format, units: &[Run], row: &[u8], lane: usize, group: &mut [u8]) -> bool {
    let size = format.block_bytes();
    if size == 2 && matches!(units, [Run { from: 0, count: 1, bytes: 2 }]) {
        // A half float is a block of its own: to go through them one by one costs more than to move them.
        spread_units::<2>(row.len() / 2, row, lane, group);
        return row.as_chunks::<2>().0.iter().all(|half| half[1] & 0x7C != 0x7C);
    }
    let mut finite = true;
    for (block, chunk) in row.chunks_exact(size).zip(group.chunks_exact_mut(GROUP * size)) {
        let mut at = 0;
        for &Run { from, count, bytes } in units {
            let (from, to) = (&block[from..], &mut chunk[GROUP * at..]);
            match bytes {
                4 => spread_units::<4>(count, from, lane, to),
                2 => spread_units::<2>(count, from, lane, to),
                _ => spread_units::<1>(count, from, lane, to),
            }
            finite &= bytes != 2 || (0..count).all(|i| from[2 * i + 1] & 0x7C != 0x7C);
            at += count * bytes;
        }
    }
    finite
}

fn spread_units<const BYTES: usize>(count: usize, from: &[u8], lane: usize, to: &mut [u8]) {
    for (unit, slot) in from.chunks_exact(BYTES).zip(to.chunks_exact_mut(GROUP * BYTES)).take(count) {
        slot[lane * BYTES..(lane + 1) * BYTES].copy_from_slice(unit);
    }
}

/// Gathers one block of one row from an interleaved group's chunk.
pub(super) fn gather(units: &[Run], chunk: &[u8], lane: usize, block: &mut [u8]) {
    let mut at = 0;
    for &Run { from, count, bytes } in units {
        for unit in 0..count {
            let (held, to) = (GROUP * (at + unit * bytes) + lane * bytes, from + unit * bytes);
            block[to..to + bytes].copy_from_slice(&chunk[held..held + bytes]);
        }
        at += count * bytes;
    }
}
