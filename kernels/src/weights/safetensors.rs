//! The safetensors format: eight bytes of length, a JSON header, then the tensors without gaps.
//!
//! Fetch eight bytes and ask [`Header::size`]; fetch that many and [`Header::parse`] them.

use crate::error::Error;
use crate::limits;
use crate::quant::Format;
use crate::weights::header::{Entry, Header};
use serde::Deserialize;
use serde::de::IgnoredAny;
use std::collections::BTreeMap;

const LENGTH_BYTES: u64 = 8;
/// Dimensions of one tensor. Source: the models here need four; more is a damaged file.
const RANK: usize = 8;
/// What a checkpoint of one file is called on the hub.
const SINGLE: &str = "model.safetensors";

impl Header {
    /// Bytes from the start of a safetensors file to its first tensor, of which `prefix` are the first eight or more.
    ///
    /// # Errors
    /// [`Error::Header`] if there are fewer than eight bytes or the length is implausible.
    pub fn size(prefix: &[u8]) -> Result<u64, Error> {
        let Some(length) = prefix.first_chunk().map(|length| u64::from_le_bytes(*length)) else {
            return Err(damaged(
                prefix.len() as u64,
                "the file ends before its eight bytes of header length",
            ));
        };
        if !(2..=limits::HEADER_BYTES).contains(&length) {
            let most = limits::HEADER_BYTES;
            return Err(damaged(
                0,
                format!("a header of {length} bytes; between 2 and {most} are plausible"),
            ));
        }
        Ok(LENGTH_BYTES + length)
    }

    /// Reads the header of a safetensors file. `head` is the file's first [`Header::size`] bytes (more do no harm),
    /// `file_bytes` its whole length.
    ///
    /// # Errors
    /// [`Error::Header`] or [`Error::Tensor`] for a file that is cut off or damaged.
    pub fn parse(head: &[u8], file_bytes: u64) -> Result<Self, Error> {
        let size = Self::size(head)?;
        let json = usize::try_from(size).ok().and_then(|size| head.get(LENGTH_BYTES as usize..size));
        let Some(json) = json else {
            return Err(damaged(
                head.len() as u64,
                format!("the file ends inside its header of {size} bytes"),
            ));
        };
        let raw: RawHeader = serde_json::from_slice(json).map_err(|e| {
            damaged(LENGTH_BYTES + e.column() as u64, format!("the header is not readable: {e}"))
        })?;
        let tensors = raw.tensors.into_iter().map(|(name, raw)| Ok((name.clone(), raw.check(&name, size)?)));
        let header = Self { tensors: tensors.collect::<Result<_, Error>>()?, file_bytes, quantised: None };
        header.check_layout(size)?;
        Ok(header)
    }

    /// The tensors follow one another from the header to the end of the file.
    fn check_layout(&self, start: u64) -> Result<(), Error> {
        let mut by_place: Vec<_> = self.tensors.iter().collect();
        by_place.sort_by_key(|(_, entry)| (entry.range.start, entry.range.end));
        let mut at = start;
        for (name, entry) in by_place {
            if entry.range.start != at {
                let what = if entry.range.start < at { "overlaps the one before" } else { "leaves a gap" };
                return Err(damaged(at, format!("tensor {name} starts at {} and {what}", entry.range.start)));
            }
            at = entry.range.end;
        }
        if at != self.file_bytes {
            return Err(damaged(
                self.file_bytes,
                format!("the file has {} bytes instead of {at}", self.file_bytes),
            ));
        }
        Ok(())
    }
}

#[derive(Deserialize)]
struct RawHeader {
    #[serde(rename = "__metadata__")]
    _metadata: Option<IgnoredAny>,
    #[serde(flatten)]
    tensors: BTreeMap<String, RawEntry>,
}

#[derive(Deserialize)]
struct RawEntry {
    dtype: Number,
    shape: Vec<u64>,
    data_offsets: [u64; 2],
}

/// How the format names its numbers.
#[derive(Debug, Clone, Copy, Deserialize)]
enum Number {
    F32,
    F16,
    BF16,
    #[serde(other)]
    Other,
}

impl Number {
    const fn format(self) -> Option<Format> {
        match self {
            Self::F32 => Some(Format::F32),
            Self::F16 => Some(Format::F16),
            Self::BF16 => Some(Format::BF16),
            Self::Other => None,
        }
    }
}

impl RawEntry {
    /// `start` is where the tensors begin in the file.
    fn check(self, name: &str, start: u64) -> Result<Entry, Error> {
        let [from, to] = self.data_offsets;
        let failed = |reason: String| Error::Tensor { tensor: name.into(), reason };
        let (Some(first), Some(end)) = (start.checked_add(from), start.checked_add(to)) else {
            return Err(failed(format!(
                "its offsets {from}..{to} are beyond every file: the file is damaged"
            )));
        };
        if from > to || self.shape.len() > RANK {
            let shape = &self.shape;
            return Err(failed(format!(
                "shape {shape:?} at {from}..{to} is impossible: the file is damaged"
            )));
        }
        if let Some(format) = self.dtype.format() {
            let size = format.block_bytes() as u64;
            let expected = self.shape.iter().try_fold(size, |bytes, dim| bytes.checked_mul(*dim));
            if expected != Some(to - from) {
                let (found, shape) = (to - from, &self.shape);
                return Err(failed(format!(
                    "{found} bytes do not make {format:?} of shape {shape:?}: the file is damaged"
                )));
            }
        }
        let (format, shape) = (self.dtype.format(), self.shape);
        Ok(Entry { file: SINGLE.into(), format, shape, range: first..end, paired_heads: None })
    }
}

fn damaged(offset: u64, reason: impl Into<String>) -> Error {
    Error::Header { offset, reason: reason.into() }
}
