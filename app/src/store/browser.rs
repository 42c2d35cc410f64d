//! The store that a browser has: private files, else its database, else memory.

use super::indexed::IndexedStore;
use super::memory::MemoryStore;
use super::opfs::OpfsStore;
use super::{StoreError, limits};
use futures::future::Either;
use js_sys::Reflect;
use wasm_bindgen::JsValue;

/// Where this browser keeps blocks.
pub type BrowserStore = Either<OpfsStore, Either<IndexedStore, MemoryStore>>;

/// Opens the store of this page's origin, of `quota` bytes at most, in a dedicated worker: private files; or the browser's
/// database where there are none, or where they cannot be written at once; or memory where this browser keeps nothing for this
/// page, so that blocks are fetched again after a reload.
pub async fn open_browser(quota: u64) -> BrowserStore {
    match OpfsStore::open(quota).await {
        Ok(store) => return Either::Left(store),
        Err(why) => tracing::info!("no private files here: {why}"),
    }
    match IndexedStore::open(quota).await {
        Ok(store) => Either::Right(Either::Left(store)),
        Err(why) => {
            tracing::warn!("{why}");
            Either::Right(Either::Right(MemoryStore::new(quota.min(limits::MEMORY_BYTES))))
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
