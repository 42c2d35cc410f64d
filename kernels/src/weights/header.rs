//! What the files of a checkpoint hold, whatever their format.

use crate::error::Error;
use crate::limits;
use crate::quant::{Format, dequantise, quantise};
use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

/// The tensors of a checkpoint under the names of the Hugging Face hub, and where they lie.
/// Every range is inside its file and fits its tensor's shape.
#[derive(Debug, Clone, PartialEq)]
pub struct Header {
    pub(super) tensors: BTreeMap<String, Entry>,
    /// Bytes of all files together.
    pub(super) file_bytes: u64,
    /// What matrices of floats become on loading.
    pub(super) quantised: Option<Format>,
}

/// One tensor. `format` is none where its numbers cannot be read here: it may lie in the file all the same.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Entry {
    pub file: Arc<str>,
    pub format: Option<Format>,
    pub shape: Vec<u64>,
    pub range: Range<u64>,
    pub paired_heads: Option<usize>,
}

/// The bytes of one tensor, or of some of its rows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ByteRange {
    /// The tensor's name.
    pub tensor: String,
    /// The file that it lies in.
    pub file: Arc<str>,
    /// Its bytes, counted from the start of that file.
    pub range: Range<u64>,
    /// How its numbers are stored.
    pub format: Format,
    /// How they are kept in memory: as they are stored, but for [`Header::quantised`].
    pub kept: Format,
    /// Rows of the matrix; a vector is one row.
    pub rows: usize,
    /// Numbers of a row.
    pub cols: usize,
    /// GGUF files of the Llama architecture keep the rows of a query or key head in another order: the two channels
    /// that turn together lie side by side. So many heads have to be put back; none where the order is ours.
    pub paired_heads: Option<usize>,
}

/// Rows of a matrix (or a vector, as one row) as they are kept.
#[derive(Debug, Clone, PartialEq)]
pub struct Rows {
    /// How the numbers are kept.
    pub format: Format,
    /// How many rows.
    pub rows: usize,
    /// Numbers of each.
    pub cols: usize,
    /// Row after row, each a run of blocks.
    pub bytes: Vec<u8>,
}

impl Header {
    /// Bytes of all files together.
    #[must_use]
    pub const fn file_bytes(&self) -> u64 {
        self.file_bytes
    }

    /// The same checkpoint, of which matrices of floats become blocks of `format`, Q8_0 or Q4_0, while they are loaded:
    /// a quarter or an eighth of the memory, read as much faster.
    ///
    /// Embedding and head become Q8_0 in any case, as they do in GGUF files, because errors in them are seen most; what
    /// chooses experts stays as it is, and so do rows that are not whole blocks.
    ///
    /// # Errors
    /// [`Error::Quantise`] for other formats.
    pub fn quantised(self, format: Format) -> Result<Self, Error> {
        match format {
            Format::Q8_0 | Format::Q4_0 => {
                let header = Self { quantised: Some(format), ..self };
                // Where nothing is left to do it is the same model still.
                let quantised = header.quantised.filter(|_| {
                    header.tensors.iter().any(|(name, entry)| {
                        let shape: Vec<usize> = entry.shape.iter().map(|size| *size as usize).collect();
                        entry.format.is_some_and(|format| header.kept(name, format, &shape) != format)
                    })
                });
                Ok(Self { quantised, ..header })
            }
            other => Err(Error::Quantise(other)),
        }
    }

    /// See [`Header::quantised`].
    #[must_use]
    pub const fn quantisation(&self) -> Option<Format> {
        self.quantised
    }

    fn kept(&self, tensor: &str, format: Format, shape: &[usize]) -> Format {
        let floats = matches!(format, Format::F32 | Format::F16 | Format::BF16);
        let whole =
            shape.len() > 1 && shape.last().is_some_and(|cols| cols.is_multiple_of(Format::Q8_0.block_len()));
        let chooses = tensor.ends_with("gate.weight");
        let ends = tensor.contains("embed_tokens") || tensor.starts_with("lm_head");
        match self.quantised.filter(|_| floats && whole && !chooses) {
            Some(_) if ends => Format::Q8_0,
            Some(quantised) => quantised,
            None => format,
        }
    }

    /// Names and ranges of all tensors, by name.
    pub fn tensors(&self) -> impl Iterator<Item = (&str, Range<u64>)> {
        self.tensors.iter().map(|(name, entry)| (name.as_str(), entry.range.clone()))
    }

    /// Names of all tensors and how many numbers they have, by name.
    pub fn sizes(&self) -> impl Iterator<Item = (&str, u64)> {
        self.tensors.iter().map(|(name, entry)| {
            (name.as_str(), entry.shape.iter().fold(1, |all: u64, side| all.saturating_mul(*side)))
        })
    }

    /// True if there is a tensor of this name.
    #[must_use]
    pub fn has(&self, tensor: &str) -> bool {
        self.tensors.contains_key(tensor)
    }

    /// One header of several files, whose names are known to the caller.
    ///
    /// # Errors
    /// [`Error::Tensor`] if two files hold the same tensor.
    pub fn join(files: Vec<(String, Self)>) -> Result<Self, Error> {
        let mut all = Self { tensors: BTreeMap::new(), file_bytes: 0, quantised: None };
        for (name, header) in files {
            let file: Arc<str> = name.into();
            all.file_bytes = all.file_bytes.saturating_add(header.file_bytes);
            for (tensor, entry) in header.tensors {
                if all.tensors.contains_key(&tensor) {
                    let reason = format!("lies in two files, {file} is one: fetch the checkpoint again");
                    return Err(Error::Tensor { tensor, reason });
                }
                all.tensors.insert(tensor, Entry { file: file.clone(), ..entry });
            }
        }
        Ok(all)
    }

    /// The range of a tensor that has to have this shape.
    ///
    /// # Errors
    /// [`Error::Tensor`] if it is missing, too large or of an unknown kind of number; [`Error::Shape`].
    pub fn range(&self, tensor: &str, shape: &[usize]) -> Result<ByteRange, Error> {
        let range = self.find(tensor, shape)?;
        if range.bytes() > limits::TENSOR_BYTES {
            let reason = format!("{} bytes, {} at most", range.bytes(), limits::TENSOR_BYTES);
            return Err(Error::Tensor { tensor: tensor.into(), reason });
        }
        Ok(range)
    }

    /// The range of one row of a matrix that has to have this shape, and may be of any size.
    ///
    /// # Errors
    /// As [`Header::range`]; also if there are not so many rows.
    pub fn row(&self, tensor: &str, shape: [usize; 2], row: usize) -> Result<ByteRange, Error> {
        let whole = self.find(tensor, &shape)?;
        if row >= shape[0] {
            let reason = format!("has no row {row}, only {}", shape[0]);
            return Err(Error::Tensor { tensor: tensor.into(), reason });
        }
        Ok(whole.piece(row, 1, whole.bytes() / (shape[0] as u64)))
    }

    fn find(&self, tensor: &str, shape: &[usize]) -> Result<ByteRange, Error> {
        let failed = |reason: String| Error::Tensor { tensor: tensor.into(), reason };
        let Some(entry) = self.tensors.get(tensor) else {
            return Err(failed("missing: config.json and the weights belong to different models".into()));
        };
        let expected: Vec<u64> = shape.iter().map(|size| *size as u64).collect();
        if entry.shape != expected {
            return Err(Error::Shape { tensor: tensor.into(), expected, found: entry.shape.clone() });
        }
        let Some(format) = entry.format else {
            let known = "F32, F16, BF16 or, in GGUF, one of Q4_0 to Q8_0 and Q2_K to Q6_K";
            return Err(failed(format!("its numbers are not {known}: use a checkpoint in one of these")));
        };
        let (rows, cols) = match shape {
            // A bias in another order is taken apart like a matrix of one column.
            [all] if entry.paired_heads.is_some() => (*all, 1),
            [lead @ .., last] => (lead.iter().product(), *last),
            [] => (1, 1),
        };
        Ok(ByteRange {
            tensor: tensor.into(),
            file: entry.file.clone(),
            range: entry.range.clone(),
            kept: self.kept(tensor, format, shape),
            format,
            rows,
            cols,
            paired_heads: entry.paired_heads,
        })
    }
}

impl ByteRange {
    /// Length in bytes.
    #[must_use]
    pub const fn bytes(&self) -> u64 {
        self.range.end - self.range.start
    }

    /// Bytes that they take in memory.
    #[must_use]
    pub fn kept_bytes(&self) -> u64 {
        let row = self.kept.row_bytes(self.cols).unwrap_or_default();
        (row as u64).saturating_mul(self.rows as u64)
    }

    /// The same rows in pieces of `most` bytes at most, or of one row (one head where rows have to be put back in
    /// order) if that is more: so that a large matrix never lies in memory twice.
    #[must_use]
    pub fn pieces(&self, most: u64) -> Vec<Self> {
        let unit = self.paired_heads.map_or(1, |heads| (self.rows / heads).max(1));
        let row_bytes = self.bytes() / (self.rows as u64).max(1);
        let fitting = usize::try_from(most / row_bytes.max(1)).unwrap_or(usize::MAX);
        let step = (fitting / unit).max(1).saturating_mul(unit);
        (0..self.rows)
            .step_by(step)
            .map(|first| self.piece(first, step.min(self.rows - first), row_bytes))
            .collect()
    }

    fn piece(&self, first: usize, rows: usize, row_bytes: u64) -> Self {
        let start = self.range.start + first as u64 * row_bytes;
        let paired_heads = self.paired_heads.map(|heads| heads * rows / self.rows);
        Self { range: start..start + rows as u64 * row_bytes, rows, paired_heads, ..self.clone() }
    }

    /// The rows that these bytes are, in our order, as they are kept.
    ///
    /// # Errors
    /// [`Error::Tensor`] if there are more or fewer bytes than the range has.
    pub fn rows(&self, bytes: Vec<u8>) -> Result<Rows, Error> {
        if bytes.len() as u64 != self.bytes() {
            let reason = format!(
                "{} bytes arrived where {} were asked for (from byte {}): fetch them again",
                bytes.len(),
                self.bytes(),
                self.range.start
            );
            return Err(Error::Tensor { tensor: self.tensor.clone(), reason });
        }
        let bytes = match self.paired_heads {
            Some(heads) => unpair(&bytes, heads, self.rows),
            None => bytes,
        };
        let rows = Rows { format: self.format, rows: self.rows, cols: self.cols, bytes };
        let failed = |reason| Error::Tensor { tensor: self.tensor.clone(), reason };
        if self.kept == self.format { Ok(rows) } else { rows.quantised(self.kept).map_err(failed) }
    }

    /// The numbers that these bytes are.
    ///
    /// # Errors
    /// As [`ByteRange::rows`].
    pub fn to_f32(&self, bytes: &[u8]) -> Result<Vec<f32>, Error> {
        let rows = self.rows(bytes.to_vec())?;
        rows.to_f32().map_err(|reason| Error::Tensor { tensor: self.tensor.clone(), reason })
    }
}

impl Rows {
    fn quantised(self, format: Format) -> Result<Self, String> {
        let bytes = quantise(format, &self.to_f32()?).map_err(|error| error.to_string())?;
        Ok(Self { format, bytes, ..self })
    }

    /// All numbers, row by row.
    ///
    /// # Errors
    /// In words, if the bytes are not whole blocks.
    pub fn to_f32(&self) -> Result<Vec<f32>, String> {
        let mut values = vec![0.0; self.rows * self.cols];
        dequantise(self.format, &self.bytes, &mut values).map_err(|error| error.to_string())?;
        Ok(values)
    }
}

/// Rows `(head, channel, half)` become `(head, half, channel)`: the two halves of a head, as Hugging Face has them.
fn unpair(bytes: &[u8], heads: usize, rows: usize) -> Vec<u8> {
    let (row, pairs) = (bytes.len() / rows.max(1), rows / heads.max(1) / 2);
    let mut ordered = Vec::with_capacity(bytes.len());
    for head in 0..heads {
        for half in 0..2 {
            for channel in 0..pairs {
                let from = (head * 2 * pairs + channel * 2 + half) * row;
                ordered.extend_from_slice(&bytes[from..from + row]);
            }
        }
    }
    ordered
}

#[cfg(test)]
mod tests {
    use super::*;

    fn range(rows: usize, cols: usize, paired_heads: Option<usize>) -> ByteRange {
        let bytes = (rows * cols * 4) as u64;
        let (tensor, file) = ("t".to_owned(), "f".into());
        let (format, kept) = (Format::F32, Format::F32);
        ByteRange { tensor, file, range: 100..100 + bytes, format, kept, rows, cols, paired_heads }
    }

    fn numbers(count: usize) -> Vec<u8> {
        (0..count).flat_map(|number| (number as f32).to_le_bytes()).collect()
    }

    #[test]
    fn pairs_become_halves() {
        // Two heads of four channels, one number a row: 0 and 1 turn together, and so do 2 and 3.
        let found = range(8, 1, Some(2)).to_f32(&numbers(8)).unwrap();
        assert_eq!(found, [0.0, 2.0, 1.0, 3.0, 4.0, 6.0, 5.0, 7.0]);
    }

    #[test]
    fn pieces_together_are_the_whole() {
        let rows = [
            (7, 3, None, 24),
            (7, 3, None, 1),
            (7, 3, None, 1 << 20),
            (8, 3, Some(2), 12),
            (8, 3, Some(2), 96),
        ];
        for (count, cols, heads, most) in rows {
            let (whole, data) = (range(count, cols, heads), numbers(count * cols));
            let mut found = Vec::new();
            for piece in whole.pieces(most) {
                let from = (piece.range.start - 100) as usize;
                found.extend(piece.to_f32(&data[from..from + piece.bytes() as usize]).unwrap());
            }
            assert_eq!(
                found,
                whole.to_f32(&data).unwrap(),
                "{count} × {cols}, {heads:?} heads, {most} bytes"
            );
        }
    }

    #[test]
    fn what_is_quantised_on_loading_and_to_what() {
        let rows = [
            (
                "model.layers.0.mlp.down_proj.weight",
                Format::F16,
                &[4, 64][..],
                Format::Q4_0,
                "a matrix of floats",
            ),
            ("model.embed_tokens.weight", Format::F32, &[4, 64], Format::Q8_0, "the embedding"),
            ("lm_head.weight", Format::BF16, &[4, 64], Format::Q8_0, "the head"),
            ("model.layers.0.mlp.gate.weight", Format::F32, &[4, 64], Format::F32, "what chooses experts"),
            (
                "model.layers.0.mlp.gate_proj.weight",
                Format::F32,
                &[4, 64],
                Format::Q4_0,
                "a gate of another kind",
            ),
            ("model.norm.weight", Format::F32, &[64], Format::F32, "a vector"),
            (
                "model.layers.0.mlp.up_proj.weight",
                Format::F32,
                &[4, 48],
                Format::F32,
                "rows of no whole blocks",
            ),
            ("model.layers.0.mlp.up_proj.weight", Format::Q6_K, &[4, 256], Format::Q6_K, "blocks already"),
        ];
        let header = Header { tensors: BTreeMap::new(), file_bytes: 0, quantised: Some(Format::Q4_0) };
        for (tensor, format, shape, kept, why) in rows {
            assert_eq!(header.kept(tensor, format, shape), kept, "{why}");
        }
        assert!(header.quantised(Format::Q6_K).is_err(), "nothing here makes such blocks");
    }

    #[test]
    fn rows_are_quantised_as_the_format_says() {
        let whole = ByteRange { kept: Format::Q8_0, ..range(2, 32, None) };
        let rows = whole.rows(numbers(64)).unwrap();
        let values: Vec<f32> = (0..64u8).map(f32::from).collect();
        assert_eq!((rows.format, rows.rows, rows.cols), (Format::Q8_0, 2, 32));
        assert_eq!(rows.bytes, quantise(Format::Q8_0, &values).unwrap());
        assert_eq!(whole.kept_bytes(), rows.bytes.len() as u64);
    }
}
