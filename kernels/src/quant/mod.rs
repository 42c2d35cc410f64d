//! Block formats of weights as plain bytes: what GGUF files hold, read and written without burn.
//!
//! A row of a matrix is a run of blocks. A block is a few weights in a few bits each, with a scale (and, in some
//! formats, an offset) of its own; a "K" block is 256 weights whose sub-blocks have scales that are quantised too.
//!
//! ```text
//!  Q8_0   d:f16  32 × i8                       w = d·q
//!  Q4_0   d:f16  32 × u4                       w = d·(q − 8)
//!  Q4_K   d:f16 dmin:f16  8 × (u6, u6)  256 × u4   w = d·scale·q − dmin·min
//! ```
//!
//! Layouts and arithmetic are those of the ggml project (`ggml-common.h`, `ggml-quants.c`); `tests/ops_quant.rs`
//! compares with its Python package to the bit.

mod encode;
mod k_blocks;
mod plain_blocks;

pub use encode::quantise;
pub(crate) use k_blocks::K;

/// How the weights of a matrix are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[allow(non_camel_case_types, reason = "the names that the files use")]
pub enum Format {
    /// 32-bit floats.
    F32,
    /// 16-bit floats.
    F16,
    /// The upper half of 32-bit floats.
    BF16,
    /// 4 bits and a scale per 32.
    Q4_0,
    /// 4 bits, a scale and an offset per 32.
    Q4_1,
    /// 5 bits and a scale per 32.
    Q5_0,
    /// 5 bits, a scale and an offset per 32.
    Q5_1,
    /// 8 bits and a scale per 32.
    Q8_0,
    /// 2 bits, sub-blocks of 16 with scale and minimum.
    Q2_K,
    /// 3 bits, sub-blocks of 16 with a scale.
    Q3_K,
    /// 4 bits, sub-blocks of 32 with scale and minimum.
    Q4_K,
    /// 5 bits, sub-blocks of 32 with scale and minimum.
    Q5_K,
    /// 6 bits, sub-blocks of 16 with a scale.
    Q6_K,
}

/// Why bytes or numbers cannot be (de)quantised.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum QuantError {
    /// A row is not whole blocks. Cure: another format for this matrix (quantisers fall back to blocks of 32).
    #[error("rows of {cols} weights are not whole blocks of {block}: {format:?} cannot hold this matrix")]
    Columns {
        /// The format.
        format: Format,
        /// Weights of a row.
        cols: usize,
        /// Weights of a block.
        block: usize,
    },
    /// The bytes do not hold as many weights as asked for. Cure: the file is cut short or is described wrongly.
    #[error("{found} bytes where {expected} hold {weights} weights in {format:?}: the file is damaged")]
    Length {
        /// The format.
        format: Format,
        /// Weights asked for.
        weights: usize,
        /// Bytes that they take; the largest number if that overflows.
        expected: usize,
        /// Bytes given.
        found: usize,
    },
    /// A scale is infinite or no number. Cure: the file is damaged, download it again.
    #[error("row {row} of a matrix in {format:?} holds a number that is not finite: the file is damaged")]
    NotFinite {
        /// The format.
        format: Format,
        /// Which row.
        row: usize,
    },
    /// No quantiser is written for this format. Cure: Q8_0, Q4_0, F16, BF16 or F32.
    #[error("weights can be turned into F32, F16, BF16, Q8_0 and Q4_0 here, not into {0:?}")]
    NoEncoder(Format),
}

impl Format {
    /// Every format.
    pub const ALL: [Self; 13] = [
        Self::F32,
        Self::F16,
        Self::BF16,
        Self::Q4_0,
        Self::Q4_1,
        Self::Q5_0,
        Self::Q5_1,
        Self::Q8_0,
        Self::Q2_K,
        Self::Q3_K,
        Self::Q4_K,
        Self::Q5_K,
        Self::Q6_K,
    ];

    /// The format behind a tensor type number of a GGUF file (`enum ggml_type`), if it is known here.
    #[must_use]
    pub const fn from_gguf(number: u32) -> Option<Self> {
        Some(match number {
            0 => Self::F32,
            1 => Self::F16,
            2 => Self::Q4_0,
            3 => Self::Q4_1,
            6 => Self::Q5_0,
            7 => Self::Q5_1,
            8 => Self::Q8_0,
            10 => Self::Q2_K,
            11 => Self::Q3_K,
            12 => Self::Q4_K,
            13 => Self::Q5_K,
            14 => Self::Q6_K,
            30 => Self::BF16,
            _ => return None,
        })
    }

    /// Weights of one block.
    #[must_use]
    pub const fn block_len(self) -> usize {
        match self {
            Self::F32 | Self::F16 | Self::BF16 => 1,
            Self::Q4_0 | Self::Q4_1 | Self::Q5_0 | Self::Q5_1 | Self::Q8_0 => 32,
            Self::Q2_K | Self::Q3_K | Self::Q4_K | Self::Q5_K | Self::Q6_K => K,
        }
    }

    /// Bytes of one block.
    #[must_use]
    pub const fn block_bytes(self) -> usize {
        match self {
            Self::F32 => 4,
            Self::F16 | Self::BF16 => 2,
            Self::Q4_0 => 2 + 16,
            Self::Q4_1 => 4 + 16,
            Self::Q5_0 => 2 + 4 + 16,
            Self::Q5_1 => 4 + 4 + 16,
            Self::Q8_0 => 2 + 32,
            Self::Q2_K => K / 16 + K / 4 + 4,
            Self::Q3_K => K / 8 + K / 4 + 12 + 2,
            Self::Q4_K => 4 + 12 + K / 2,
            Self::Q5_K => 4 + 12 + K / 8 + K / 2,
            Self::Q6_K => K / 2 + K / 4 + K / 16 + 2,
        }
    }

    /// Bytes of a row of `cols` weights.
    ///
    /// # Errors
    /// [`QuantError::Columns`] if that is not a whole number of blocks; [`QuantError::Length`] if it overflows.
    pub fn row_bytes(self, cols: usize) -> Result<usize, QuantError> {
        let block = self.block_len();
        if !cols.is_multiple_of(block) {
            return Err(QuantError::Columns { format: self, cols, block });
        }
        (cols / block).checked_mul(self.block_bytes()).ok_or(QuantError::Length {
            format: self,
            weights: cols,
            expected: usize::MAX,
            found: 0,
        })
    }
}

/// Turns blocks into floats.
///
/// # Shapes
/// - `bytes`: `out.len()` weights in `format`, whole blocks
///
/// # Errors
/// If the bytes do not hold exactly that many weights; `out` is then untouched.
pub fn dequantise(format: Format, bytes: &[u8], out: &mut [f32]) -> Result<(), QuantError> {
    let expected = format.row_bytes(out.len())?;
    if bytes.len() != expected {
        let (weights, found) = (out.len(), bytes.len());
        return Err(QuantError::Length { format, weights, expected, found });
    }
    let blocks = bytes.chunks_exact(format.block_bytes()).zip(out.chunks_exact_mut(format.block_len()));
    // Chosen once, not per block: a block of F32 is one weight.
    macro_rules! each {
        ($decode:path) => {
            blocks.for_each(|(block, out)| $decode(block, out))
        };
    }
    match format {
        Format::F32 => each!(plain_blocks::f32),
        Format::F16 => each!(plain_blocks::f16),
        Format::BF16 => each!(plain_blocks::bf16),
        Format::Q4_0 => each!(plain_blocks::q4_0),
        Format::Q4_1 => each!(plain_blocks::q4_1),
        Format::Q5_0 => each!(plain_blocks::q5_0),
        Format::Q5_1 => each!(plain_blocks::q5_1),
        Format::Q8_0 => each!(plain_blocks::q8_0),
        Format::Q2_K => each!(k_blocks::q2_k),
        Format::Q3_K => each!(k_blocks::q3_k),
        Format::Q4_K => each!(k_blocks::q4_k),
        Format::Q5_K => each!(k_blocks::q5_k),
        Format::Q6_K => each!(k_blocks::q6_k),
    }
    Ok(())
}

/// The little-endian half float at byte `at`, widened.
#[inline(always)]
pub(crate) fn half_at(bytes: &[u8], at: usize) -> f32 {
    half::f16::from_le_bytes([bytes[at], bytes[at + 1]]).to_f32()
}
