//! GGUF, versions 2 and 3: metadata, a table of tensors, then the tensors. Source: the format's description in the
//! ggml project (`docs/gguf.md`).
//!
//! The header's length is written nowhere: [`Gguf::parse`] what is there, and fetch more when it asks for it.

mod config;
mod metadata;
mod names;
mod reader;
mod vocabulary;

pub use metadata::{List, Metadata, Value};

use crate::error::Error;
use crate::limits;
use crate::llm::Family;
use crate::quant::Format;
use crate::weights::header::{ByteRange, Entry, Header};
use reader::{Reader, Stop};
use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

const MAGIC: &[u8; 4] = b"GGUF";
/// Where tensors begin unless the file says otherwise, in bytes.
const ALIGNMENT: u64 = 32;
/// Dimensions of one tensor. Source: `GGML_MAX_DIMS`.
const RANK: u32 = 4;

/// The header of a GGUF file.
#[derive(Debug, Clone, PartialEq)]
pub struct Gguf {
    /// What the file says about its model.
    pub metadata: Metadata,
    tensors: BTreeMap<String, Tensor>,
    data: u64,
    file_bytes: u64,
}

/// One tensor, as the file lists it.
#[derive(Debug, Clone, PartialEq)]
struct Tensor {
    format: Option<Format>,
    /// Slowest dimension first, other than in the file: rows, columns.
    shape: Vec<u64>,
    range: Range<u64>,
}

/// How far a header could be read.
#[derive(Debug)]
pub enum Parsed {
    /// To its end.
    Whole(Box<Gguf>),
    /// Not at all: the file's first so many bytes are needed, at least.
    More(u64),
}

impl Gguf {
    /// True if a file that begins so is meant to be GGUF.
    #[must_use]
    pub fn is(prefix: &[u8]) -> bool {
        prefix.starts_with(MAGIC)
    }

    /// Reads the header from the start of a file of `file_bytes` bytes.
    ///
    /// # Errors
    /// [`Error::Header`] with the offset, or [`Error::Tensor`], for a file that is cut off, damaged or of a version
    /// that is not known here.
    pub fn parse(head: &[u8], file_bytes: u64) -> Result<Parsed, Error> {
        let usable = usize::try_from(file_bytes).map_or(head, |most| &head[..head.len().min(most)]);
        let mut reader = Reader::new(usable, file_bytes);
        match Self::read(&mut reader, file_bytes) {
            Ok(gguf) => Ok(Parsed::Whole(Box::new(gguf))),
            Err(Stop::More(least)) => Ok(Parsed::More(least)),
            Err(Stop::Damaged(error)) => Err(error),
        }
    }

    /// Bytes from the start of the file to its first tensor.
    #[must_use]
    pub const fn size(&self) -> u64 {
        self.data
    }

    /// The header's tensors under the names of the hub, in the file `name`.
    ///
    /// # Errors
    /// [`Error::Architecture`] if the file's family is not known here.
    pub fn header(&self, name: &str) -> Result<Header, Error> {
        let (family, file) = (self.family()?, Arc::from(name));
        let mut tensors = BTreeMap::new();
        for (own, tensor) in &self.tensors {
            for (name, entry) in names::translate(family, self.heads()?, own, &entry(tensor, &file)) {
                tensors.insert(name, entry);
            }
        }
        Ok(Header { tensors, file_bytes: self.file_bytes, quantised: None })
    }

    /// Which family the file says it is of.
    ///
    /// # Errors
    /// [`Error::Architecture`] if it is not known here.
    pub fn family(&self) -> Result<Family, Error> {
        let name = self.metadata.text("general.architecture").unwrap_or_default();
        let experts = self.metadata.number(&format!("{name}.expert_count")).unwrap_or(0) > 0;
        Family::of_gguf(name, experts)
            .ok_or_else(|| Error::Architecture { found: name.to_owned(), known: Family::GGUF })
    }

    /// Tensors that [`Gguf::config`] wants to have read first: what rotary frequencies are divided by.
    ///
    /// # Errors
    /// [`Error::Tensor`] if one of them is implausible.
    pub fn factors(&self) -> Result<Vec<ByteRange>, Error> {
        let file = Arc::from("");
        let there = names::FACTORS.iter().filter_map(|name| Some((*name, self.tensors.get(*name)?)));
        there
            .map(|(name, tensor)| {
                let only = BTreeMap::from([(name.to_owned(), entry(tensor, &file))]);
                let header = Header { tensors: only, file_bytes: self.file_bytes, quantised: None };
                let most = limits::HEADS as u64;
                let Some(count) = tensor.shape.first().filter(|n| tensor.shape.len() == 1 && **n <= most)
                else {
                    let reason =
                        format!("shape {:?}; one factor per pair of channels is expected", tensor.shape);
                    return Err(Error::Tensor { tensor: name.into(), reason });
                };
                header.range(name, &[*count as usize])
            })
            .collect()
    }

    fn read(reader: &mut Reader<'_>, file_bytes: u64) -> Result<Self, Stop> {
        let (tensors, pairs) = Self::read_start(reader)?;
        let metadata = Metadata::read(reader, pairs)?;
        let alignment = match metadata.number("general.alignment") {
            None => ALIGNMENT,
            Some(bytes) if bytes.is_power_of_two() && (8..=1 << 16).contains(&bytes) => bytes,
            Some(bytes) => return Err(reader.damaged(format!("an alignment of {bytes} bytes"))),
        };
        let mut listed = Vec::new();
        for _ in 0..tensors {
            listed.push(Listed::read(reader)?);
        }
        let data = reader.offset().next_multiple_of(alignment);
        let mut gguf = Self { metadata, tensors: BTreeMap::new(), data, file_bytes };
        for tensor in listed {
            gguf.add(tensor, alignment).map_err(Stop::Damaged)?;
        }
        gguf.check_layout().map_err(Stop::Damaged)?;
        Ok(gguf)
    }

    /// Numbers of tensors and of pairs of metadata.
    fn read_start(reader: &mut Reader<'_>) -> Result<(u64, u64), Stop> {
        if reader.bytes(4)? != MAGIC {
            return Err(reader.damaged_at(0, "it does not begin with GGUF"));
        }
        match reader.u32()? {
            2 | 3 => {}
            version => return Err(reader.damaged_at(4, format!("version {version}; 2 and 3 are known here"))),
        }
        let (tensors, pairs) = (reader.u64()?, reader.u64()?);
        let (most_tensors, most_pairs) = (limits::GGUF_TENSORS, limits::GGUF_PAIRS);
        if tensors > most_tensors || pairs > most_pairs {
            let found = format!("{tensors} tensors and {pairs} pairs of metadata");
            return Err(reader.damaged_at(8, format!("{found}; {most_tensors} and {most_pairs} at most")));
        }
        Ok((tensors, pairs))
    }

    fn add(&mut self, listed: Listed, alignment: u64) -> Result<(), Error> {
        let Listed { at, name, shape, kind, offset } = listed;
        let failed =
            |reason: String| Error::Header { offset: at, reason: format!("tensor {name}: {reason}") };
        if !offset.is_multiple_of(alignment) {
            return Err(failed(format!("it lies at {offset}, no multiple of {alignment}")));
        }
        let format = Format::from_gguf(kind);
        let bytes = match format {
            Some(format) => match bytes_of(format, &shape) {
                Some(bytes) => bytes,
                None => return Err(failed(format!("shape {shape:?} is impossible in {format:?}"))),
            },
            // Its size is not known; it is refused when it is asked for.
            None => 0,
        };
        let start = self.data.checked_add(offset);
        let Some(range) = start.and_then(|start| Some(start..start.checked_add(bytes)?)) else {
            return Err(failed(format!("it lies at {offset}, beyond every file")));
        };
        if range.end > self.file_bytes {
            return Err(failed(format!("it ends at {}, the file at {}", range.end, self.file_bytes)));
        }
        match self.tensors.contains_key(&name) {
            true => Err(failed("it is listed twice".into())),
            false => {
                self.tensors.insert(name, Tensor { format, shape, range });
                Ok(())
            }
        }
    }

    /// No two tensors share bytes.
    fn check_layout(&self) -> Result<(), Error> {
        let mut by_place: Vec<_> = self.tensors.iter().collect();
        by_place.sort_by_key(|(_, tensor)| (tensor.range.start, tensor.range.end));
        for pair in by_place.windows(2) {
            let [(_, before), (name, after)] = pair else { continue };
            if after.range.start < before.range.end {
                let reason = format!("tensor {name} overlaps the one before");
                return Err(Error::Header { offset: after.range.start, reason });
            }
        }
        Ok(())
    }
}

/// One line of the table of tensors.
struct Listed {
    /// Where in the file.
    at: u64,
    name: String,
    shape: Vec<u64>,
    kind: u32,
    offset: u64,
}

impl Listed {
    fn read(reader: &mut Reader<'_>) -> Result<Self, Stop> {
        let at = reader.offset();
        let name = reader.text(limits::GGUF_NAME_BYTES)?;
        let rank = reader.u32()?;
        if rank > RANK {
            return Err(reader.damaged_at(at, format!("tensor {name} has {rank} dimensions, {RANK} at most")));
        }
        let mut shape = Vec::new();
        for _ in 0..rank {
            shape.push(reader.u64()?);
        }
        shape.reverse();
        let (kind, offset) = (reader.u32()?, reader.u64()?);
        Ok(Self { at, name, shape, kind, offset })
    }
}

fn bytes_of(format: Format, shape: &[u64]) -> Option<u64> {
    let (cols, rows) = shape.split_last().map_or((1, &[][..]), |(cols, rows)| (*cols, rows));
    let row = format.row_bytes(usize::try_from(cols).ok()?).ok()? as u64;
    rows.iter().try_fold(row, |bytes, dim| bytes.checked_mul(*dim))
}

fn entry(tensor: &Tensor, file: &Arc<str>) -> Entry {
    let Tensor { format, shape, range } = tensor.clone();
    Entry { file: file.clone(), format, shape, range, paired_heads: None }
}
