//! What a GGUF file says about its model: named numbers, texts and lists.

use super::reader::{Reader, Stop};
use crate::limits;
use std::collections::BTreeMap;

/// Named values, such as `llama.block_count` or `tokenizer.ggml.tokens`.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Metadata {
    values: BTreeMap<String, Value>,
}

/// One value. Numbers of every width are widened.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// Unsigned.
    Unsigned(u64),
    /// Signed.
    Signed(i64),
    /// A float of either width.
    Float(f64),
    /// True or false.
    Flag(bool),
    /// A text; what is not UTF-8 in it was replaced.
    Text(String),
    /// Many of one kind.
    List(List),
}

/// A list, kept as it lies in the file: a vocabulary is large, and most of who reads a file needs none.
#[derive(Debug, Clone, PartialEq)]
pub struct List {
    kind: Kind,
    count: usize,
    bytes: Vec<u8>,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Kind {
    U8,
    I8,
    U16,
    I16,
    U32,
    I32,
    F32,
    Flag,
    Text,
    List,
    U64,
    I64,
    F64,
}

impl Metadata {
    /// One value.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&Value> {
        self.values.get(key)
    }

    /// A whole number that is not negative. A list of equal numbers counts as one: some files say per layer what is
    /// the same in all.
    #[must_use]
    pub fn number(&self, key: &str) -> Option<u64> {
        match self.get(key)? {
            Value::Unsigned(number) => Some(*number),
            Value::Signed(number) => u64::try_from(*number).ok(),
            Value::List(list) => {
                let numbers = list.floats()?;
                let first = *numbers.first()?;
                let same =
                    numbers.iter().all(|number| *number == first) && first >= 0.0 && first.fract() == 0.0;
                same.then_some(first as u64)
            }
            _ => None,
        }
    }

    /// A number of any kind.
    #[must_use]
    pub fn float(&self, key: &str) -> Option<f64> {
        match self.get(key)? {
            Value::Float(number) => Some(*number),
            Value::Unsigned(number) => Some(*number as f64),
            Value::Signed(number) => Some(*number as f64),
            _ => None,
        }
    }

    /// True or false.
    #[must_use]
    pub fn flag(&self, key: &str) -> Option<bool> {
        match self.get(key)? {
            Value::Flag(flag) => Some(*flag),
            _ => None,
        }
    }

    /// A text.
    #[must_use]
    pub fn text(&self, key: &str) -> Option<&str> {
        match self.get(key)? {
            Value::Text(text) => Some(text),
            _ => None,
        }
    }

    /// A list.
    #[must_use]
    pub fn list(&self, key: &str) -> Option<&List> {
        match self.get(key)? {
            Value::List(list) => Some(list),
            _ => None,
        }
    }

    pub(super) fn read(reader: &mut Reader<'_>, pairs: u64) -> Result<Self, Stop> {
        let mut values = BTreeMap::new();
        for _ in 0..pairs {
            let at = reader.offset();
            let key = reader.text(limits::GGUF_NAME_BYTES)?;
            let value = Value::read(reader)?;
            if values.insert(key.clone(), value).is_some() {
                return Err(reader.damaged_at(at, format!("{key} is there twice")));
            }
        }
        Ok(Self { values })
    }
}

impl Value {
    fn read(reader: &mut Reader<'_>) -> Result<Self, Stop> {
        let kind = Kind::read(reader)?;
        Ok(match kind {
            Kind::Text => Self::Text(String::from_utf8_lossy(reader.string()?).into_owned()),
            Kind::List => Self::List(List::read(reader)?),
            Kind::Flag => Self::Flag(reader.array::<1>()? != [0]),
            Kind::F32 | Kind::F64 => Self::Float(kind.float(reader.bytes(kind.bytes())?)),
            Kind::I8 | Kind::I16 | Kind::I32 | Kind::I64 => {
                Self::Signed(kind.signed(reader.bytes(kind.bytes())?))
            }
            Kind::U8 | Kind::U16 | Kind::U32 | Kind::U64 => {
                Self::Unsigned(kind.signed(reader.bytes(kind.bytes())?) as u64)
            }
        })
    }
}

impl List {
    fn read(reader: &mut Reader<'_>) -> Result<Self, Stop> {
        let at = reader.offset();
        let kind = Kind::read(reader)?;
        let count = reader.u64()?;
        let bytes = match kind {
            Kind::List => return Err(reader.damaged_at(at, "a list of lists, which no model needs")),
            Kind::Text => Self::texts_bytes(reader, count)?,
            _ => match count.checked_mul(kind.bytes()) {
                Some(bytes) => reader.bytes(bytes)?.to_vec(),
                None => return Err(reader.damaged_at(at, format!("a list of {count} entries"))),
            },
        };
        // It lies in memory, so that its count fits.
        Ok(Self { kind, count: count as usize, bytes })
    }

    /// Every text once, so that reading them later cannot fail.
    fn texts_bytes(reader: &mut Reader<'_>, count: u64) -> Result<Vec<u8>, Stop> {
        let mut bytes = Vec::new();
        for _ in 0..count {
            let text = reader.string()?;
            bytes.extend((text.len() as u64).to_le_bytes());
            bytes.extend(text);
        }
        Ok(bytes)
    }

    /// Entries.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.count
    }

    /// True if there is none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// The texts of a list of texts, as bytes: a token need not be UTF-8.
    #[must_use]
    pub fn texts(&self) -> Option<impl Iterator<Item = &[u8]>> {
        let mut rest = (self.kind == Kind::Text).then_some(self.bytes.as_slice())?;
        Some(std::iter::from_fn(move || {
            let (length, after) = rest.split_first_chunk()?;
            let (text, after) = after.split_at_checked(usize::try_from(u64::from_le_bytes(*length)).ok()?)?;
            rest = after;
            Some(text)
        }))
    }

    /// The entries of a list of whole numbers.
    #[must_use]
    pub fn integers(&self) -> Option<Vec<i64>> {
        let whole = !matches!(self.kind, Kind::Text | Kind::List | Kind::F32 | Kind::F64);
        let size = self.kind.bytes() as usize;
        whole.then(|| self.bytes.chunks_exact(size).map(|bytes| self.kind.signed(bytes)).collect())
    }

    /// The entries of a list of numbers of any kind.
    #[must_use]
    pub fn floats(&self) -> Option<Vec<f64>> {
        if let Some(integers) = self.integers() {
            return Some(integers.into_iter().map(|number| number as f64).collect());
        }
        let float = matches!(self.kind, Kind::F32 | Kind::F64);
        let size = self.kind.bytes() as usize;
        float.then(|| self.bytes.chunks_exact(size).map(|bytes| self.kind.float(bytes)).collect())
    }
}

impl Kind {
    fn read(reader: &mut Reader<'_>) -> Result<Self, Stop> {
        let at = reader.offset();
        const ALL: [Kind; 13] = [
            Kind::U8,
            Kind::I8,
            Kind::U16,
            Kind::I16,
            Kind::U32,
            Kind::I32,
            Kind::F32,
            Kind::Flag,
            Kind::Text,
            Kind::List,
            Kind::U64,
            Kind::I64,
            Kind::F64,
        ];
        let number = reader.u32()?;
        let kind = usize::try_from(number).ok().and_then(|number| ALL.get(number).copied());
        kind.ok_or_else(|| reader.damaged_at(at, format!("a value of kind {number}, which does not exist")))
    }

    /// Of one number; the other kinds have a length of their own.
    const fn bytes(self) -> u64 {
        match self {
            Self::U8 | Self::I8 | Self::Flag | Self::Text | Self::List => 1,
            Self::U16 | Self::I16 => 2,
            Self::U32 | Self::I32 | Self::F32 => 4,
            Self::U64 | Self::I64 | Self::F64 => 8,
        }
    }

    /// A whole number; an unsigned one of 64 bits keeps its bits.
    fn signed(self, bytes: &[u8]) -> i64 {
        let mut wide = [0; 8];
        wide[..bytes.len()].copy_from_slice(bytes);
        let bits = i64::from_le_bytes(wide);
        match self {
            Self::I8 => i64::from(bits as i8),
            Self::I16 => i64::from(bits as i16),
            Self::I32 => i64::from(bits as i32),
            _ => bits,
        }
    }

    fn float(self, bytes: &[u8]) -> f64 {
        match (bytes.first_chunk::<8>(), bytes.first_chunk::<4>()) {
            (Some(eight), _) => f64::from_le_bytes(*eight),
            (None, Some(four)) => f64::from(f32::from_le_bytes(*four)),
            (None, None) => 0.0,
        }
    }
}
