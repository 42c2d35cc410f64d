//! Interleaving the rows of a group, in place.

use super::GROUP;
use crate::quant::{Format, QuantError};

/// The units of a block that are kept together, in order: so many of so many bytes. Two bytes are half floats.
/// `None`: the format has no integer kernel and its rows are left as they are.
pub(super) fn units(format: Format) -> Option<&'static [(usize, usize)]> {
    Some(match format {
        Format::F32 => &[(1, 4)],
        Format::F16 => &[(1, 2)],
        Format::Q8_0 => &[(1, 2), (8, 4)],
        Format::Q4_0 => &[(1, 2), (4, 4)],
        Format::Q4_K => &[(2, 2), (12, 1), (32, 4)],
        Format::Q6_K => &[(48, 4), (16, 1), (1, 2)],
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
fn spread(format: Format, units: &[(usize, usize)], row: &[u8], lane: usize, group: &mut [u8]) -> bool {
    let size = format.block_bytes();
    let mut finite = true;
    for (block, chunk) in row.chunks_exact(size).zip(group.chunks_exact_mut(GROUP * size)) {
        let mut at = 0;
        for &(count, bytes) in units {
            let (from, to) = (&block[at..], &mut chunk[GROUP * at..]);
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
pub(super) fn gather(units: &[(usize, usize)], chunk: &[u8], lane: usize, block: &mut [u8]) {
    let mut at = 0;
    for &(count, bytes) in units {
        for unit in 0..count {
            let (from, to) = (GROUP * (at + unit * bytes) + lane * bytes, at + unit * bytes);
            block[to..to + bytes].copy_from_slice(&chunk[from..from + bytes]);
        }
        at += count * bytes;
    }
}
