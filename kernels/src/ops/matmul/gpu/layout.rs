//! How a matrix lies in GPU buffers: quants in vectors of four words, block scales apart.
//!
//! A block of a file is 34, 18 or 210 bytes, which no shader reads in aligned words. On upload its quants go to
//! `quants` as they are, in 16-byte vectors, and its f16 scale to `scales`, two to a word. Q4_K is 144 bytes, nine
//! vectors, and stays as it is.

use crate::ops::gpu::Error;
use crate::quant::Format;

/// Where the parts of one block of the file go.
#[derive(Debug, Clone, Copy)]
pub(super) struct Layout {
    pub(super) format: Format,
    /// Weights of a row.
    pub(super) cols: usize,
    /// 16-byte vectors of quants in a row.
    pub(super) vectors: usize,
    /// Words of scales in a row; 0 where scales are among the quants.
    pub(super) scale_words: usize,
    /// Weights that one invocation takes in one step.
    pub(super) chunk: usize,
}

/// Bytes of a vector of four words.
pub(super) const VECTOR: usize = 16;

impl Layout {
    /// # Errors
    /// If there is no kernel for the format, or a row is not whole steps.
    pub(super) fn of(format: Format, cols: usize) -> Result<Self, Error> {
        let (chunk, bits, scales) = match format {
            Format::F32 if cols.is_multiple_of(16) => (16, 32, false),
            Format::F32 => (4, 32, false),
            Format::F16 | Format::BF16 => (8, 16, false),
            Format::Q8_0 => (32, 8, true),
            Format::Q4_0 => (32, 4, true),
            Format::Q4_K => (32, 4, false),
            Format::Q6_K => (64, 6, true),
            other => return Err(unsupported(other, cols, "has no GPU kernel")),
        };
        let whole = format.block_len().max(chunk);
        if cols == 0 || !cols.is_multiple_of(whole) {
            return Err(unsupported(format, cols, "needs rows of whole blocks"));
        }
        let blocks = cols / format.block_len();
        let vectors = match format {
            Format::Q4_K => blocks * 9,
            Format::Q6_K => blocks * 13,
            _ => cols * bits / 8 / VECTOR,
        };
        Ok(Self { format, cols, vectors, scale_words: if scales { blocks.div_ceil(2) } else { 0 }, chunk })
    }

    /// Bytes of a row in the file.
    pub(super) fn file_bytes(&self) -> usize {
        self.cols / self.format.block_len() * self.format.block_bytes()
    }

    /// Bytes of a row in `quants`, the larger of the two buffers.
    pub(super) const fn row_bytes(&self) -> usize {
        self.vectors * VECTOR
    }

    /// Whole rows of the file as (quants, scales).
    pub(super) fn repack(&self, rows: &[u8]) -> (Vec<u8>, Vec<u8>) {
        match self.format {
            Format::Q8_0 => self.split(rows, 0, 0x0080_8080),
            Format::Q4_0 => self.split(rows, 0, 0x8000_0000),
            Format::Q6_K => self.split(rows, 208, 0),
            _ => (rows.to_vec(), Vec::new()),
        }
    }

    /// Takes the two bytes of its scale, at `scale`, out of each block, and flips the bits of `flipped` in each word
    /// of the rest: the shader then converts without shifts (see the formats' WGSL).
    fn split(&self, rows: &[u8], scale: usize, flipped: u32) -> (Vec<u8>, Vec<u8>) {
        let count = rows.len() / self.file_bytes();
        let mut all = Vec::with_capacity(count * self.row_bytes());
        let mut scales = Vec::with_capacity(count * self.scale_words * 4);
        for row in rows.chunks_exact(self.file_bytes()) {
            for block in row.chunks_exact(self.format.block_bytes()) {
                all.extend_from_slice(&block[..scale]);
                all.extend_from_slice(&block[scale + 2..]);
                scales.extend_from_slice(&block[scale..scale + 2]);
            }
            // A row begins with a word of its own.
            scales.resize(scales.len().next_multiple_of(4), 0);
        }
        let flipped = flipped.to_le_bytes();
        all.iter_mut().enumerate().for_each(|(at, byte)| *byte ^= flipped[at % 4]);
        (all, scales)
    }
}

fn unsupported(format: Format, cols: usize, why: &str) -> Error {
    Error::Unsupported(format!("{format:?} with rows of {cols} {why}; turn the matrix into F32 or Q8_0"))
}
