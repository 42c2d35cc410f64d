//! Little-endian numbers and texts from the start of a file, of which not everything may have arrived.

use crate::error::Error;
use crate::limits;

/// Why reading stopped.
pub(super) enum Stop {
    /// The file's first so many bytes are needed.
    More(u64),
    /// The file makes no sense.
    Damaged(Error),
}

pub(super) struct Reader<'a> {
    head: &'a [u8],
    at: usize,
    file_bytes: u64,
}

impl<'a> Reader<'a> {
    pub fn new(head: &'a [u8], file_bytes: u64) -> Self {
        Self { head, at: 0, file_bytes }
    }

    pub const fn offset(&self) -> u64 {
        self.at as u64
    }

    pub fn bytes(&mut self, count: u64) -> Result<&'a [u8], Stop> {
        let end = self.offset().checked_add(count);
        let Some(end) = end.filter(|end| *end <= self.file_bytes) else {
            return Err(
                self.damaged(format!("{count} bytes are announced, the file ends at {}", self.file_bytes))
            );
        };
        if end > limits::HEADER_BYTES {
            let most = limits::HEADER_BYTES;
            return Err(self.damaged(format!("a header of at least {end} bytes, {most} at most")));
        }
        let found = usize::try_from(end).ok().and_then(|end| self.head.get(self.at..end));
        match found {
            Some(bytes) => {
                self.at += bytes.len();
                Ok(bytes)
            }
            None => Err(Stop::More(end)),
        }
    }

    pub fn array<const N: usize>(&mut self) -> Result<[u8; N], Stop> {
        let bytes = self.bytes(N as u64)?;
        Ok(std::array::from_fn(|i| bytes[i]))
    }

    pub fn u32(&mut self) -> Result<u32, Stop> {
        self.array().map(u32::from_le_bytes)
    }

    pub fn u64(&mut self) -> Result<u64, Stop> {
        self.array().map(u64::from_le_bytes)
    }

    /// A length, then so many bytes.
    pub fn string(&mut self) -> Result<&'a [u8], Stop> {
        let length = self.u64()?;
        self.bytes(length)
    }

    /// A name: short, and UTF-8.
    pub fn text(&mut self, most: u64) -> Result<String, Stop> {
        let at = self.offset();
        let length = self.u64()?;
        if length > most {
            return Err(self.damaged_at(at, format!("a name of {length} bytes, {most} at most")));
        }
        let text = std::str::from_utf8(self.bytes(length)?);
        text.map(str::to_owned).map_err(|_| self.damaged_at(at, "a name that is not UTF-8"))
    }

    pub fn damaged(&self, reason: impl Into<String>) -> Stop {
        self.damaged_at(self.offset(), reason)
    }

    pub fn damaged_at(&self, offset: u64, reason: impl Into<String>) -> Stop {
        Stop::Damaged(Error::Header { offset, reason: reason.into() })
    }
}
