//! The safetensors format: eight bytes of length, a JSON header, then the tensors without gaps.
//!
//! Nothing here does I/O. Fetch eight bytes and ask [`Header::size`]; fetch that many and [`Header::parse`] them;
//! then fetch the ranges of whatever is needed.

use crate::error::Error;
use crate::limits;
use half::{bf16, f16};
use serde::Deserialize;
use serde::de::IgnoredAny;
use std::collections::BTreeMap;
use std::ops::Range;

const LENGTH_BYTES: u64 = 8;
/// Dimensions of one tensor. Source: the models here need four; more is a damaged file.
const RANK: usize = 8;

/// How numbers are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub enum Number {
    /// IEEE 754 single precision.
    F32,
    /// IEEE 754 half precision.
    F16,
    /// The upper half of an [`Number::F32`].
    BF16,
    /// Anything else: it may lie in the file, but cannot be loaded.
    #[serde(other)]
    Other,
}

/// What a safetensors file holds, and where. Every range is inside the file and fits its tensor's shape.
#[derive(Debug, Clone, PartialEq)]
pub struct Header {
    tensors: BTreeMap<String, Entry>,
    file_bytes: u64,
}

#[derive(Debug, Clone, PartialEq)]
struct Entry {
    number: Number,
    shape: Vec<u64>,
    range: Range<u64>,
}

/// The bytes of one tensor in its file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ByteRange {
    /// The tensor's name.
    pub tensor: String,
    /// Its bytes, counted from the start of the file.
    pub range: Range<u64>,
    /// How its numbers are stored.
    pub number: Number,
}

impl Header {
    /// Bytes from the start of the file to the first tensor, of which `prefix` are the first eight or more.
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

    /// Reads the header. `head` is the file's first [`Header::size`] bytes (more do no harm), `file_bytes` its whole
    /// length.
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
        let header = Self { tensors: tensors.collect::<Result<_, Error>>()?, file_bytes };
        header.check_layout(size)?;
        Ok(header)
    }

    /// The file's length in bytes.
    #[must_use]
    pub const fn file_bytes(&self) -> u64 {
        self.file_bytes
    }

    /// Names and ranges of all tensors, by name.
    pub fn tensors(&self) -> impl Iterator<Item = (&str, Range<u64>)> {
        self.tensors.iter().map(|(name, entry)| (name.as_str(), entry.range.clone()))
    }

    /// The range of a tensor that has to have this shape.
    ///
    /// # Errors
    /// [`Error::Tensor`] if it is missing, too large or of an unknown kind of number; [`Error::Shape`].
    pub fn range(&self, tensor: &str, shape: &[usize]) -> Result<ByteRange, Error> {
        let failed = |reason: String| Error::Tensor { tensor: tensor.into(), reason };
        let Some(entry) = self.tensors.get(tensor) else {
            return Err(failed("missing: config.json and the weights belong to different models".into()));
        };
        let expected: Vec<u64> = shape.iter().map(|size| *size as u64).collect();
        if entry.shape != expected {
            return Err(Error::Shape { tensor: tensor.into(), expected, found: entry.shape.clone() });
        }
        if entry.number == Number::Other {
            return Err(unreadable(tensor));
        }
        let bytes = entry.range.end - entry.range.start;
        if bytes > limits::TENSOR_BYTES {
            return Err(failed(format!("{bytes} bytes, {} at most", limits::TENSOR_BYTES)));
        }
        Ok(ByteRange { tensor: tensor.into(), range: entry.range.clone(), number: entry.number })
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

impl ByteRange {
    /// Length in bytes.
    #[must_use]
    pub const fn bytes(&self) -> u64 {
        self.range.end - self.range.start
    }

    /// The numbers that these bytes are.
    ///
    /// # Errors
    /// [`Error::Tensor`] if there are more or fewer bytes than the range has.
    pub fn to_f32(&self, bytes: &[u8]) -> Result<Vec<f32>, Error> {
        if bytes.len() as u64 != self.bytes() {
            let reason = format!(
                "{} bytes arrived where {} were asked for (from byte {}): fetch them again",
                bytes.len(),
                self.bytes(),
                self.range.start
            );
            return Err(Error::Tensor { tensor: self.tensor.clone(), reason });
        }
        let pairs = || bytes.as_chunks::<2>().0.iter().copied();
        Ok(match self.number {
            Number::F32 => bytes.as_chunks::<4>().0.iter().map(|four| f32::from_le_bytes(*four)).collect(),
            Number::F16 => pairs().map(|two| f16::from_le_bytes(two).to_f32()).collect(),
            Number::BF16 => pairs().map(|two| bf16::from_le_bytes(two).to_f32()).collect(),
            Number::Other => return Err(unreadable(&self.tensor)),
        })
    }
}

impl Number {
    const fn bytes(self) -> Option<u64> {
        match self {
            Self::F32 => Some(4),
            Self::F16 | Self::BF16 => Some(2),
            Self::Other => None,
        }
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
        if let Some(size) = self.dtype.bytes() {
            let expected = self.shape.iter().try_fold(size, |bytes, dim| bytes.checked_mul(*dim));
            if expected != Some(to - from) {
                let (found, shape, dtype) = (to - from, &self.shape, self.dtype);
                return Err(failed(format!(
                    "{found} bytes do not make {dtype:?} of shape {shape:?}: the file is damaged"
                )));
            }
        }
        Ok(Entry { number: self.dtype, shape: self.shape, range: first..end })
    }
}

fn unreadable(tensor: &str) -> Error {
    let reason = "its numbers are not F32, F16 or BF16: use a checkpoint in one of these".into();
    Error::Tensor { tensor: tensor.into(), reason }
}

fn damaged(offset: u64, reason: impl Into<String>) -> Error {
    Error::Header { offset, reason: reason.into() }
}
