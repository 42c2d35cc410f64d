//! A weight matrix in its blocks.

use super::activations::Acts;
use super::layout::{gather, interleave, units};
use super::tiles::Tiles;
use super::{GROUP, Isa, Lanes, Scratch};
use crate::ops::math::dot;
use crate::ops::threads::{self, Parts};
use crate::ops::wide::wide;
use crate::quant::{Format, QuantError, dequantise};
use std::ops::Range;

/// Rows of activations that are multiplied with a group of weights while both are in the cache.
const PASS: usize = 128;

/// The most activations that a kernel takes at once.
const WIDEST: usize = 8;

/// Weights' bytes, times the activations they are multiplied with, that are worth handing to another thread: a few
/// microseconds' work, where handing over takes one (measured).
const WORTH: usize = 64 << 10;

/// A weight matrix, `[rows, cols]` as in the files, rows being outputs.
///
/// In memory it takes what it takes in the file, but for up to 15 rows of padding. Formats with a kernel of their own
/// (F32, F16, Q8_0, Q4_0, Q4_K, Q6_K) are interleaved; of others, a row at a time is dequantised as it is used, which is slow.
#[derive(Clone)]
pub struct Packed {
    format: Format,
    rows: usize,
    cols: usize,
    /// Groups of 16 rows, the last one filled up with zeros.
    bytes: Vec<u8>,
}

impl Packed {
    /// Takes the blocks of a file, row after row, and interleaves them in place.
    ///
    /// # Errors
    /// If the bytes are not such a matrix, or hold a scale that is no number.
    pub fn new(format: Format, rows: usize, cols: usize, mut bytes: Vec<u8>) -> Result<Self, QuantError> {
        let row_bytes = format.row_bytes(cols)?;
        if cols == 0 {
            return Err(QuantError::Columns { format, cols, block: format.block_len() });
        }
        let expected = row_bytes.saturating_mul(rows);
        if bytes.len() != expected {
            let (weights, found) = (rows.saturating_mul(cols), bytes.len());
            return Err(QuantError::Length { format, weights, expected, found });
        }
        let padding = (rows.next_multiple_of(GROUP) - rows) * row_bytes;
        bytes.reserve_exact(padding);
        bytes.resize(expected + padding, 0);
        interleave(format, row_bytes, &mut bytes)?;
        Ok(Self { format, rows, cols, bytes })
    }

    /// Outputs.
    #[must_use]
    pub const fn rows(&self) -> usize {
        self.rows
    }

    /// Inputs.
    #[must_use]
    pub const fn cols(&self) -> usize {
        self.cols
    }

    /// How the weights are stored.
    #[must_use]
    pub const fn format(&self) -> Format {
        self.format
    }

    /// The bytes as they lie in memory: interleaved, and padded to whole groups.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// One row as floats: a look-up in an embedding.
    ///
    /// # Shapes
    /// - `out`: `[cols]`
    ///
    /// # Panics
    /// If there is no such row or `out` has another length.
    pub fn row_to_f32(&self, row: usize, out: &mut [f32]) {
        assert!(row < self.rows, "row {row} of a matrix of {} rows", self.rows);
        assert_eq!(out.len(), self.cols);
        let group = self.group(row / GROUP);
        let (size, lane) = (self.format.block_bytes(), row % GROUP);
        let Some(units) = units(self.format) else {
            let row_bytes = group.len() / GROUP;
            return self.decode(&group[lane * row_bytes..(lane + 1) * row_bytes], out);
        };
        let mut block = [0; Format::Q6_K.block_bytes()];
        let chunks = group.chunks_exact(GROUP * size).zip(out.chunks_exact_mut(self.format.block_len()));
        for (chunk, out) in chunks {
            gather(units, chunk, lane, &mut block[..size]);
            self.decode(&block[..size], out);
        }
    }

    fn decode(&self, blocks: &[u8], out: &mut [f32]) {
        dequantise(self.format, blocks, out).expect("whole blocks, since `new` checked the matrix");
    }

    fn group(&self, group: usize) -> &[u8] {
        let size = self.bytes.len() / self.rows.div_ceil(GROUP);
        &self.bytes[group * size..(group + 1) * size]
    }

    /// `out = x · Wᵀ`. Each row of `out` has the same bits whatever the other rows are.
    ///
    /// Products with quantised weights quantise `x` to 8 bits per block, which is off by at most half a step of the
    /// largest magnitude in the block, and by a quarter on average. Infinities and NaN stay visible in the outputs.
    ///
    /// # Shapes
    /// - `x`: `[n, cols]`
    /// - `out`: `[n, rows]`
    ///
    /// # Panics
    /// If the slices have other lengths.
    pub fn matmul(&self, x: &[f32], n: usize, out: &mut [f32], scratch: &mut Scratch) {
        self.matmul_with(Isa::best(), x, n, out, scratch);
    }

    /// [`Self::matmul`] with the instructions of one's choice; all give the same bits.
    ///
    /// # Panics
    /// If the slices have other lengths.
    pub fn matmul_with(&self, isa: Isa, x: &[f32], n: usize, out: &mut [f32], scratch: &mut Scratch) {
        assert_eq!(x.len(), n * self.cols, "x must be [{n}, {}]", self.cols);
        assert_eq!(out.len(), n * self.rows, "out must be [{n}, {}]", self.rows);
        if n == 0 || self.rows == 0 {
            return;
        }
        if units(self.format).is_none() {
            return self.matmul_decoded(x, out);
        }
        let acts = scratch.prepare(self.format, isa, x, self.cols);
        let tiles = isa.tiles(self.format);
        let out = Parts::new(out);
        self.share(n, |groups| {
            for from in (0..n).step_by(PASS) {
                let rows = PASS.min(n - from);
                let acts = acts.rows(n, from, rows);
                for group in groups.clone() {
                    multiply(tiles, self.group(group), &acts, rows, |row, lanes| {
                        let (start, end) = (group * GROUP, self.rows.min((group + 1) * GROUP));
                        let row = (from + row) * self.rows;
                        // SAFETY: these columns are this group's, which is this thread's.
                        let to = unsafe { out.part(row + start..row + end) };
                        to.copy_from_slice(&lanes[..end - start]);
                    });
                }
            }
        });
    }

    /// Calls `work` with ranges of groups, on as many threads as there are, for `n` rows of activations.
    fn share(&self, n: usize, work: impl Fn(Range<usize>) + Sync) {
        let groups = self.rows.div_ceil(GROUP);
        let each = (self.bytes.len() / groups).saturating_mul(n);
        threads::each(groups, WORTH.div_ceil(each), work);
    }

    /// `out = x · Wᵀ` with `x` as it is, never rounded to 8 bits: slow, for comparing with other programs.
    ///
    /// # Shapes
    /// As [`Self::matmul`].
    ///
    /// # Panics
    /// As [`Self::matmul`].
    pub fn matmul_exact(&self, x: &[f32], n: usize, out: &mut [f32]) {
        assert_eq!(x.len(), n * self.cols, "x must be [{n}, {}]", self.cols);
        assert_eq!(out.len(), n * self.rows, "out must be [{n}, {}]", self.rows);
        self.matmul_decoded(x, out);
    }

    /// Formats without a kernel: a row of weights is dequantised, then multiplied with all activations.
    fn matmul_decoded(&self, x: &[f32], out: &mut [f32]) {
        if out.is_empty() {
            return;
        }
        let out = Parts::new(out);
        self.share(x.len() / self.cols, |groups| {
            let mut decoded = vec![0.0; self.cols];
            for row in groups.start * GROUP..self.rows.min(groups.end * GROUP) {
                self.row_to_f32(row, &mut decoded);
                let decoded = &decoded[..];
                wide(|| {
                    for (number, x) in x.chunks_exact(self.cols).enumerate() {
                        let at = number * self.rows + row;
                        // SAFETY: this column is of a group that is this thread's.
                        let to = unsafe { out.part(at..at + 1) };
                        to[0] = dot(x, decoded);
                    }
                });
            }
        });
    }
}

/// One group of weights with `rows` rows of activations, as many at a time as there is a kernel for.
fn multiply(tiles: Tiles, group: &[u8], acts: &Acts<'_>, rows: usize, mut put: impl FnMut(usize, &Lanes)) {
    let mut lanes = [[0.0; GROUP]; WIDEST];
    let mut done = 0;
    for &(width, tile) in tiles {
        while rows - done >= width {
            // SAFETY: `tiles` come from an `Isa`, which exists only where its instructions do.
            unsafe { tile(group, &acts.rows(rows, done, width), &mut lanes[..width]) };
            for (row, lanes) in lanes[..width].iter().enumerate() {
                put(done + row, lanes);
            }
            done += width;
        }
    }
}

impl std::fmt::Debug for Packed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Packed({:?}, {} × {})", self.format, self.rows, self.cols)
    }
}
