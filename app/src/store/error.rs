//! What can go wrong with a store.

use super::Hash;

/// Why a block could not be kept or read.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The bytes are not what the hash says. Cure: fetch them from another source.
    #[error("the block is not {0}: fetch it from another source")]
    Wrong(Hash),
    /// More bytes than a block has.
    #[error("a block of {0} bytes; {most} at most", most = super::limits::BLOCK_BYTES)]
    TooLong(usize),
    /// Nothing more fits: what is here is pinned, or the disk is full. Cure: a larger quota, or fewer models.
    #[error("no room for more weights ({0}): remove a model, or allow more space")]
    NoRoom(String),
    /// The browser keeps nothing for this page. Cure: allow it to, or go on with what fits in memory.
    #[error(
        "this browser keeps nothing for this page ({0}): allow storage for this site, or models are fetched again each time"
    )]
    Denied(String),
    /// The disk refused.
    #[error("{path}: {error}")]
    Disk {
        /// Which file or folder.
        path: String,
        /// What the system says.
        error: std::io::Error,
    },
}
