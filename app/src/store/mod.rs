//! Where blocks of weights stay between runs, under their hashes.
//!
//! A store holds blocks that are what their hashes say, and nothing else: they are compared when they come and again when they
//! are read, so that a disk that changes a bit costs one download and no wrong word. A block is there as a whole or not at all,
//! whenever its program was stopped. Several programs may share one store.
//!
//! Under a quota the blocks that nobody used for longest go first; pinned ones (of a model that somebody wants to keep, or that
//! runs) stay.

#[cfg(target_arch = "wasm32")]
mod bench;
#[cfg(target_arch = "wasm32")]
mod browser;
mod error;
#[cfg(not(target_arch = "wasm32"))]
mod files;
#[cfg(target_arch = "wasm32")]
mod indexed;
#[cfg(any(target_arch = "wasm32", test))]
mod ledger;
pub mod limits;
mod memory;
#[cfg(target_arch = "wasm32")]
mod opfs;
#[cfg(any(target_arch = "wasm32", test))]
mod packed;
#[cfg(target_arch = "wasm32")]
mod script;

pub use crate::compute::swarm::Usage;
use futures::future::Either;

#[cfg(target_arch = "wasm32")]
pub use browser::{BrowserStore, open_browser};
pub use error::StoreError;
#[cfg(not(target_arch = "wasm32"))]
pub use files::FileStore;
#[cfg(target_arch = "wasm32")]
pub use indexed::IndexedStore;
pub use kernels::weights::manifest::Hash;
pub use memory::MemoryStore;
#[cfg(target_arch = "wasm32")]
pub use opfs::OpfsStore;

/// Keeps blocks. The browser's kinds wait for the disk, so that all functions may.
#[allow(
    async_fn_in_trait,
    reason = "a browser's futures are bound to their thread, so that no bound would fit all"
)]
pub trait BlockStore {
    /// A block, compared with its hash. One that is damaged is taken out, and is not here any more.
    ///
    /// # Errors
    /// [`StoreError::Disk`].
    async fn get(&self, block: Hash) -> Result<Option<Vec<u8>>, StoreError>;

    /// Keeps a block. When this returns it survives whatever happens to this program.
    ///
    /// # Errors
    /// [`StoreError::Wrong`] if it is not what the hash says, [`StoreError::TooLong`], [`StoreError::NoRoom`] if pinned blocks
    /// take up the quota or the disk is full, [`StoreError::Disk`].
    async fn put(&self, block: Hash, bytes: &[u8]) -> Result<(), StoreError>;

    /// Whether a block is here. It is not compared with its hash.
    ///
    /// # Errors
    /// [`StoreError::Disk`].
    async fn has(&self, block: Hash) -> Result<bool, StoreError>;

    /// Takes a block out, pinned or not. One that is not here is no error.
    ///
    /// # Errors
    /// [`StoreError::Disk`].
    async fn remove(&self, block: Hash) -> Result<(), StoreError>;

    /// All blocks and their lengths in bytes, in no order.
    ///
    /// # Errors
    /// [`StoreError::Disk`].
    async fn list(&self) -> Result<Vec<(Hash, u64)>, StoreError>;

    /// Keeps these from being pushed out, here or not, until `name` is pinned again or not any more: `blocks` take the place of
    /// what was pinned under it. None of them undoes it.
    ///
    /// # Errors
    /// [`StoreError::Disk`].
    async fn pin(&self, name: Hash, blocks: &[Hash]) -> Result<(), StoreError>;

    /// Takes everything out, pins as well.
    ///
    /// # Errors
    /// [`StoreError::Disk`].
    async fn clear(&self) -> Result<(), StoreError>;

    /// What is kept, as far as is known: other programs may write as well.
    ///
    /// # Errors
    /// [`StoreError::Disk`].
    async fn usage(&self) -> Result<Usage, StoreError>;

    /// Sets how many bytes may be kept; what is more goes at once, apart from what is pinned.
    ///
    /// # Errors
    /// [`StoreError::Disk`].
    async fn allow(&self, quota: u64) -> Result<(), StoreError>;
}

/// One of two kinds.
impl<A: BlockStore, B: BlockStore> BlockStore for Either<A, B> {
    async fn get(&self, block: Hash) -> Result<Option<Vec<u8>>, StoreError> {
        match self {
            Self::Left(store) => store.get(block).await,
            Self::Right(store) => store.get(block).await,
        }
    }

    async fn put(&self, block: Hash, bytes: &[u8]) -> Result<(), StoreError> {
        match self {
            Self::Left(store) => store.put(block, bytes).await,
            Self::Right(store) => store.put(block, bytes).await,
        }
    }

    async fn has(&self, block: Hash) -> Result<bool, StoreError> {
        match self {
            Self::Left(store) => store.has(block).await,
            Self::Right(store) => store.has(block).await,
        }
    }

    async fn remove(&self, block: Hash) -> Result<(), StoreError> {
        match self {
            Self::Left(store) => store.remove(block).await,
            Self::Right(store) => store.remove(block).await,
        }
    }

    async fn list(&self) -> Result<Vec<(Hash, u64)>, StoreError> {
        match self {
            Self::Left(store) => store.list().await,
            Self::Right(store) => store.list().await,
        }
    }

    async fn pin(&self, name: Hash, blocks: &[Hash]) -> Result<(), StoreError> {
        match self {
            Self::Left(store) => store.pin(name, blocks).await,
            Self::Right(store) => store.pin(name, blocks).await,
        }
    }

    async fn clear(&self) -> Result<(), StoreError> {
        match self {
            Self::Left(store) => store.clear().await,
            Self::Right(store) => store.clear().await,
        }
    }

    async fn usage(&self) -> Result<Usage, StoreError> {
        match self {
            Self::Left(store) => store.usage().await,
            Self::Right(store) => store.usage().await,
        }
    }

    async fn allow(&self, quota: u64) -> Result<(), StoreError> {
        match self {
            Self::Left(store) => store.allow(quota).await,
            Self::Right(store) => store.allow(quota).await,
        }
    }
}

/// Whether these bytes are a block, and this one.
fn compare(block: Hash, bytes: &[u8]) -> Result<(), StoreError> {
    if bytes.len() > limits::BLOCK_BYTES {
        return Err(StoreError::TooLong(bytes.len()));
    }
    if Hash::of(bytes) != block {
        return Err(StoreError::Wrong(block));
    }
    Ok(())
}

/// A hash from its 64 hexadecimal digits.
#[must_use]
pub fn parse(digits: &str) -> Option<Hash> {
    let digits: Vec<u8> =
        digits.chars().map(|c| c.to_digit(16).map(|digit| digit as u8)).collect::<Option<_>>()?;
    let pairs: Vec<u8> = digits.chunks_exact(2).map(|pair| pair[0] << 4 | pair[1]).collect();
    if digits.len() == 64 { pairs.try_into().ok().map(Hash) } else { None }
}

#[cfg(all(test, not(target_arch = "wasm32")))]
mod tests;
