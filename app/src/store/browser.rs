//! The store that a browser has: private files, else its database.

use super::indexed::IndexedStore;
use super::opfs::OpfsStore;
use super::{BlockStore, Hash, StoreError};
use js_sys::Reflect;
use wasm_bindgen::JsValue;

/// Where this browser keeps blocks.
pub enum BrowserStore {
    /// Private files.
    Files(OpfsStore),
    /// The browser's database.
    Indexed(IndexedStore),
}

/// Opens the store of this page's origin, of `quota` bytes at most, in a dedicated worker: private files, or the browser's
/// database where there are none, or where they cannot be written at once.
///
/// # Errors
/// [`StoreError::Denied`] if the browser keeps nothing for this page at all: blocks then stay in memory, and are fetched again
/// after a reload.
pub async fn open_browser(quota: u64) -> Result<BrowserStore, StoreError> {
    match OpfsStore::open(quota).await {
        Ok(store) => Ok(BrowserStore::Files(store)),
        Err(why) => {
            tracing::info!("no private files here: {why}");
            IndexedStore::open(quota).await.map(BrowserStore::Indexed)
        }
    }
}

impl BrowserStore {
    /// Bytes that blocks take.
    ///
    /// # Errors
    /// [`StoreError::Disk`].
    pub async fn used_bytes(&self) -> Result<u64, StoreError> {
        match self {
            Self::Files(store) => store.used_bytes().await,
            Self::Indexed(store) => store.used_bytes().await,
        }
    }

    /// Sets how much the store may take; what is more goes at once, apart from what is pinned.
    ///
    /// # Errors
    /// [`StoreError::Disk`].
    pub async fn set_quota(&self, bytes: u64) -> Result<(), StoreError> {
        match self {
            Self::Files(store) => store.set_quota(bytes).await,
            Self::Indexed(store) => store.set_quota(bytes).await,
        }
    }
}

impl BlockStore for BrowserStore {
    async fn get(&self, block: Hash) -> Result<Option<Vec<u8>>, StoreError> {
        match self {
            Self::Files(store) => store.get(block).await,
            Self::Indexed(store) => store.get(block).await,
        }
    }

    async fn put(&self, block: Hash, bytes: &[u8]) -> Result<(), StoreError> {
        match self {
            Self::Files(store) => store.put(block, bytes).await,
            Self::Indexed(store) => store.put(block, bytes).await,
        }
    }

    async fn has(&self, block: Hash) -> Result<bool, StoreError> {
        match self {
            Self::Files(store) => store.has(block).await,
            Self::Indexed(store) => store.has(block).await,
        }
    }

    async fn remove(&self, block: Hash) -> Result<(), StoreError> {
        match self {
            Self::Files(store) => store.remove(block).await,
            Self::Indexed(store) => store.remove(block).await,
        }
    }

    async fn list(&self) -> Result<Vec<(Hash, u64)>, StoreError> {
        match self {
            Self::Files(store) => store.list().await,
            Self::Indexed(store) => store.list().await,
        }
    }

    async fn pin(&self, name: Hash, blocks: &[Hash]) -> Result<(), StoreError> {
        match self {
            Self::Files(store) => store.pin(name, blocks).await,
            Self::Indexed(store) => store.pin(name, blocks).await,
        }
    }

    async fn clear(&self) -> Result<(), StoreError> {
        match self {
            Self::Files(store) => store.clear().await,
            Self::Indexed(store) => store.clear().await,
        }
    }
}

/// `navigator`, of a page or a worker.
pub(super) fn navigator() -> Result<JsValue, StoreError> {
    Reflect::get(&js_sys::global(), &"navigator".into()).map_err(refused)
}

/// What the browser says, as an error of a store.
pub(super) fn refused(error: JsValue) -> StoreError {
    refused_text(&text(&error))
}

/// The same of what it said in words.
pub(super) fn refused_text(error: &str) -> StoreError {
    if error.contains("QuotaExceeded") {
        return StoreError::NoRoom(format!("the browser’s own limit: {error}"));
    }
    StoreError::Disk {
        path: "this browser’s storage".into(), error: std::io::Error::other(error.to_owned())
    }
}

/// An exception in words: its name, which says the kind, and its message.
pub(super) fn text(error: &JsValue) -> String {
    let part = |name: &str| Reflect::get(error, &name.into()).ok().and_then(|part| part.as_string());
    match (part("name"), part("message")) {
        (Some(name), Some(message)) => format!("{name}: {message}"),
        _ => format!("{error:?}"),
    }
}
