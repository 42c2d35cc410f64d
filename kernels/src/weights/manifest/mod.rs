//! A model by its content: which bytes of which files it is, each block of them under a hash.
//!
//! ```text
//!  id ── BLAKE3 of ──► root ── BLAKE3 of ──► page (a layer, a few experts) ── BLAKE3 of ──► block of 1 MiB
//!                      150 KB at most        1 MiB at most: it travels as blocks do
//! ```
//!
//! Whoever knows the 32 bytes of the id can take everything else from strangers: each step is checked by the one above it. A
//! peer that runs some layers reads the root and the pages of those layers, and nothing of the rest. That is what lets the
//! root stay small for a model of any size: what grows with the weights (hashes of blocks, names of files and of tensors)
//! lies in the pages, and the root has one line for each page.
//!
//! Every byte of every file is in exactly one block of one page. Blocks are cut where the groups of tensors change, not at
//! multiples of 1 MiB in the file, so that no block belongs to two layers and nobody fetches more than what it runs.
//! **Numbers.** Pages and blocks are counted together: 0 up to the pages are the pages themselves, then come the blocks of
//! page 0, of page 1, and so on. A range of layers is then a few ranges of numbers, which is what peers tell each other.
//!
//! **Why BLAKE3.** A browser hashes what arrives in WebAssembly, which has no instructions for SHA-256, while BLAKE3 is
//! made for the 128-bit SIMD that it has (the README has figures). A tree over blocks is ours and not BLAKE3's own, because
//! a block's hash then says nothing of its place: the same bytes in two files, or in two models, are stored once.
//! A model's name stays SHA-256 ([`ModelId`](crate::ModelId)).

mod codec;
mod error;
mod fields;
mod file;
mod format;
mod group;
mod layout;
mod make;
mod rdrr;

pub use codec::{decode_page, decode_root, encode_page, encode_root};
pub use error::ManifestError;
pub use file::{FILE_HEAD_BYTES, FILE_NAME, encode_file, page_in_file, root_in_file};
pub use format::{
    About, Adapts, Block, FileRef, Group, Hash, Name, Page, PageRef, Place, Portion, Root, Span, TensorRef,
};
pub use layout::{Digest, Draft, Listed, ListedTensor, Listing, ToHash};
pub use make::{list, make};
pub use rdrr::import as import_rdrr;

/// A whole manifest: the root and all of its pages.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Manifest {
    /// What names everything.
    pub root: Root,
    /// As many as the root lists, in its order.
    pub pages: Vec<Page>,
}

impl Manifest {
    /// All of it as JSON, for people. Hashes are hexadecimal.
    ///
    /// # Panics
    /// Never: every field has a form in JSON.
    #[must_use]
    pub fn to_json(&self) -> String {
        serde_json::to_string_pretty(self).expect("no map has keys that are not texts")
    }
}

#[cfg(test)]
mod tests;
