//! What a manifest says.

use super::fields;
use crate::limits;
use serde::{Deserialize, Serialize, Serializer};
use std::fmt;
use std::ops::Range;

/// BLAKE3 of some bytes, which is their name.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize)]
pub struct Hash(pub [u8; 32]);

impl Hash {
    /// The name of these bytes.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Self {
        Self(blake3::hash(bytes).into())
    }
}

impl fmt::Display for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for Hash {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() {
            serializer.collect_str(self)
        } else {
            self.0.serialize(serializer)
        }
    }
}

/// What people want to know of a model before they fetch it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct About {
    /// What it is called.
    #[serde(deserialize_with = "fields::text::<_, { limits::MANIFEST_TEXT_BYTES }>")]
    pub name: String,
    /// Its licence: an SPDX identifier where there is one. It goes where the weights go.
    #[serde(deserialize_with = "fields::text::<_, { limits::MANIFEST_TEXT_BYTES }>")]
    pub licence: String,
    /// Where its files come from: a URL that a file's name is added to, or words; empty if nobody knows.
    #[serde(deserialize_with = "fields::text::<_, { limits::MANIFEST_TEXT_BYTES }>")]
    pub source: String,
}

/// What a content is that changes a model instead of being one: an adapter. What it says of itself; whether that is so shows when it
/// meets the model.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Adapts {
    /// The largest rank of its matrices.
    pub rank: u32,
    /// What whoever trained it calls the model that it changes; empty if nobody said.
    #[serde(deserialize_with = "fields::text::<_, { limits::MANIFEST_TEXT_BYTES }>")]
    pub model: String,
    /// What that model is known by; none if nobody said.
    #[serde(deserialize_with = "fields::list::<_, _, { limits::ADAPTER_BASES }>")]
    pub bases: Vec<Hash>,
}

/// The first level: one line for each page.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Root {
    /// For people.
    pub about: About,
    /// How many files the model is, in all pages together.
    pub files: u32,
    /// The folders of the model's parts, as in `transformer`; one empty name where all files lie side by side.
    #[serde(deserialize_with = "fields::list::<_, _, { limits::MANIFEST_PARTS }>")]
    pub parts: Vec<Name>,
    /// The pages, in the order of their groups.
    #[serde(deserialize_with = "fields::list::<_, _, { limits::MANIFEST_PAGES }>")]
    pub pages: Vec<PageRef>,
    /// None for a model. It travels behind the rest, and nothing does in its place.
    #[serde(skip_deserializing, skip_serializing_if = "Option::is_none")]
    pub adapts: Option<Adapts>,
}

/// The path of a file or folder of a model, relative to the model's own. See [`Name::is_plain`].
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Name(#[serde(deserialize_with = "fields::text::<_, { limits::MANIFEST_NAME_BYTES }>")] pub String);

impl Name {
    /// True if the path leads nowhere but down from the model's own folder, on any system: a hostile manifest must not name
    /// files elsewhere.
    #[must_use]
    pub fn is_plain(&self) -> bool {
        let plain =
            |part: &str| !part.is_empty() && !matches!(part, "." | "..") && !part.ends_with(['.', ' ']);
        let strange = |c: char| {
            c.is_control() || matches!(c, '\\' | ':' | '?' | '#' | '%' | '*' | '"' | '<' | '>' | '|')
        };
        self.0.len() <= limits::MANIFEST_NAME_BYTES
            && !self.0.contains(strange)
            && self.0.split('/').all(plain)
    }
}

/// What belongs together: it is fetched, held and run by the same peers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Group {
    /// Which of [`Root::parts`].
    pub part: u8,
    /// What of it.
    pub portion: Portion,
}

/// What of a part a group is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Portion {
    /// Configuration, tokenizer, headers of files: what everyone reads first.
    Head,
    /// Tensors of no layer: embedding, last norm, head.
    Ends,
    /// Those of one layer, but for its experts.
    Layer(u16),
    /// Some of one layer's experts.
    Experts {
        /// Which layer.
        layer: u16,
        /// The first of them.
        first: u16,
        /// How many; the last group of a layer may hold fewer.
        count: u16,
    },
}

/// One line of the root.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PageRef {
    /// What the page is about. A large group has several pages, one after the other.
    pub group: Group,
    /// BLAKE3 of the page as it travels.
    pub hash: Hash,
    /// Bytes of the page as it travels.
    pub size: u32,
    /// Blocks of weights that it lists.
    pub blocks: u32,
    /// Bytes of these.
    pub bytes: u64,
}

/// The second level: the blocks of one group.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Page {
    /// The files that it has bytes of.
    #[serde(deserialize_with = "fields::list::<_, _, { limits::PAGE_FILES }>")]
    pub files: Vec<FileRef>,
    /// Runs of bytes of these files. Each is cut into blocks from its own start.
    #[serde(deserialize_with = "fields::list::<_, _, { limits::PAGE_SPANS }>")]
    pub spans: Vec<Span>,
    /// The tensors in these runs.
    #[serde(deserialize_with = "fields::list::<_, _, { limits::PAGE_TENSORS }>")]
    pub tensors: Vec<TensorRef>,
    /// The names of the blocks, in order.
    #[serde(deserialize_with = "fields::list::<_, _, { limits::PAGE_BLOCKS }>")]
    pub blocks: Vec<Hash>,
}

/// A file of the model.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileRef {
    /// Its path.
    pub name: Name,
    /// Its whole length.
    pub bytes: u64,
}

/// A run of bytes of one file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Span {
    /// Which of [`Page::files`].
    pub file: u32,
    /// Where in it.
    pub start: u64,
    /// How many; more than none.
    pub bytes: u64,
}

impl Span {
    /// Blocks of it; the last one may be short.
    #[must_use]
    pub const fn blocks(&self) -> u64 {
        self.bytes.div_ceil(limits::BLOCK_BYTES)
    }
}

/// A tensor, and where its bytes are.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TensorRef {
    /// As the hub calls it.
    #[serde(deserialize_with = "fields::text::<_, { limits::MANIFEST_NAME_BYTES }>")]
    pub name: String,
    /// How its numbers are stored, as in `BF16` or `Q4_K`; empty if whoever made the manifest cannot read them.
    #[serde(deserialize_with = "fields::text::<_, { limits::DTYPE_BYTES }>")]
    pub dtype: String,
    /// Sizes of its dimensions.
    #[serde(deserialize_with = "fields::list::<_, _, { limits::TENSOR_RANK }>")]
    pub shape: Vec<u64>,
    /// Its bytes, one run after the other; more than one only where a tensor goes on in the next file.
    #[serde(deserialize_with = "fields::list::<_, _, { limits::TENSOR_PLACES }>")]
    pub places: Vec<Place>,
}

/// Bytes of a span.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Place {
    /// Which of [`Page::spans`].
    pub span: u32,
    /// Where in it, in bytes.
    pub start: u64,
    /// How many.
    pub bytes: u64,
}

/// One block of a page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Block<'a> {
    /// Its file's path.
    pub file: &'a str,
    /// Where in that file.
    pub start: u64,
    /// Its length, [`limits::BLOCK_BYTES`] at most.
    pub bytes: u64,
    /// Its name.
    pub hash: Hash,
}

impl Root {
    /// Bytes of all files together.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.pages.iter().map(|page| page.bytes).fold(0, u64::saturating_add)
    }

    /// One past the last number: pages and blocks together.
    #[must_use]
    pub fn numbers(&self) -> u32 {
        self.pages.iter().fold(self.pages.len() as u32, |sum, page| sum.saturating_add(page.blocks))
    }

    /// The numbers of a page's blocks. The page itself has its index as its number.
    #[must_use]
    pub fn blocks_of(&self, page: usize) -> Range<u32> {
        let before = self.pages.iter().take(page);
        let start = before.fold(self.pages.len() as u32, |sum, page| sum.saturating_add(page.blocks));
        start..start.saturating_add(self.pages.get(page).map_or(0, |page| page.blocks))
    }

    /// The pages of one group.
    pub fn pages_of(&self, group: Group) -> impl Iterator<Item = usize> {
        let same = move |(index, page): (usize, &PageRef)| (page.group == group).then_some(index);
        self.pages.iter().enumerate().filter_map(same)
    }
}

impl Page {
    /// Its blocks, in the order of their numbers.
    pub fn blocks(&self) -> impl Iterator<Item = Block<'_>> {
        let cut = self.spans.iter().flat_map(|span| {
            (0..span.blocks()).map(move |index| {
                let from = index * limits::BLOCK_BYTES;
                (span.file, span.start + from, limits::BLOCK_BYTES.min(span.bytes - from))
            })
        });
        cut.zip(&self.blocks).map(|((file, start, bytes), hash)| {
            let file = self.files.get(file as usize).map_or("", |file| &file.name.0);
            Block { file, start, bytes, hash: *hash }
        })
    }

    /// Which of the page's blocks hold a tensor, counted from its first; empty if it is not here.
    #[must_use]
    pub fn blocks_of(&self, tensor: &str) -> Vec<Range<u32>> {
        let tensor = self.tensors.iter().find(|one| one.name == tensor);
        let places = tensor.map(|tensor| tensor.places.as_slice()).unwrap_or_default();
        let runs = places.iter().filter(|place| place.bytes > 0).map(|place| {
            let before: u64 = self.spans.iter().take(place.span as usize).map(Span::blocks).sum();
            let end = place.start.saturating_add(place.bytes).div_ceil(limits::BLOCK_BYTES);
            (before + place.start / limits::BLOCK_BYTES) as u32..(before + end) as u32
        });
        runs.collect()
    }
}
