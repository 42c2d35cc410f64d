//! Files of weights: which bytes of which file a tensor is, and what numbers those bytes are.
//!
//! ```text
//!  safetensors (one file, or shards with an index) ─┐
//!                                                   ├─► Header ─► ByteRange ─► source ─► Rows ─► model
//!  GGUF (metadata, then tensors) ───────────────────┘
//! ```
//!
//! Nothing here does I/O: whoever calls fetches the bytes, a header first, then the ranges of whatever is needed.

mod checkpoint;
mod exchange;
pub mod gguf;
mod header;
pub mod manifest;
mod safetensors;
mod shards;

pub use checkpoint::{Checkpoint, Files};
pub(crate) use checkpoint::{headers, read, safetensors, whole};
pub use exchange::{Numbers, read_ids, read_tensors, write_logits, write_tensors};
pub use header::{ByteRange, Header, Rows};
pub use shards::shards;
