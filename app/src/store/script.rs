//! The store for scripts: what `store_worker.js` offers to a page, such as `bench.html` or a browser test.

use super::browser::{BrowserStore, open_browser};
use super::indexed::IndexedStore;
use super::opfs::OpfsStore;
use super::{BlockStore, Hash, StoreError};
use futures::future::Either;
use js_sys::{Array, Uint8Array};
use wasm_bindgen::prelude::wasm_bindgen;

/// This origin's blocks.
#[wasm_bindgen]
pub struct Blocks(BrowserStore);

/// Errors in words, hashes as 64 hexadecimal digits, lengths in bytes.
#[wasm_bindgen]
impl Blocks {
    /// Opens the store: `files`, `database`, or else the best that this browser has.
    ///
    /// # Errors
    /// Of the kind that was asked for.
    pub async fn open(kind: &str, quota: f64) -> Result<Blocks, String> {
        let store = match kind {
            "files" => OpfsStore::open(quota as u64).await.map(Either::Left),
            "database" => {
                IndexedStore::open(quota as u64).await.map(|store| Either::Right(Either::Left(store)))
            }
            _ => Ok(open_browser(quota as u64).await),
        };
        store.map(Self).map_err(said)
    }

    /// Which it is: `files`, `database` or `memory`.
    #[must_use]
    pub fn kind(&self) -> String {
        match self.0 {
            Either::Left(_) => "files",
            Either::Right(Either::Left(_)) => "database",
            Either::Right(Either::Right(_)) => "memory",
        }
        .into()
    }

    /// The hash of these bytes.
    #[must_use]
    pub fn name(bytes: &[u8]) -> String {
        Hash::of(bytes).to_string()
    }

    /// See [`BlockStore::get`].
    ///
    /// # Errors
    /// See there.
    pub async fn get(&self, block: &str) -> Result<Option<Uint8Array>, String> {
        let bytes = self.0.get(hash(block)?).await.map_err(said)?;
        Ok(bytes.map(|bytes| Uint8Array::from(bytes.as_slice())))
    }

    /// See [`BlockStore::put`].
    ///
    /// # Errors
    /// See there.
    pub async fn put(&self, block: &str, bytes: Vec<u8>) -> Result<(), String> {
        self.0.put(hash(block)?, &bytes).await.map_err(said)
    }

    /// See [`BlockStore::has`].
    ///
    /// # Errors
    /// See there.
    pub async fn has(&self, block: &str) -> Result<bool, String> {
        self.0.has(hash(block)?).await.map_err(said)
    }

    /// See [`BlockStore::remove`].
    ///
    /// # Errors
    /// See there.
    pub async fn remove(&self, block: &str) -> Result<(), String> {
        self.0.remove(hash(block)?).await.map_err(said)
    }

    /// See [`BlockStore::list`]: pairs of hash and length.
    ///
    /// # Errors
    /// See there.
    pub async fn list(&self) -> Result<Array, String> {
        let all = self.0.list().await.map_err(said)?;
        let pair =
            |(block, bytes): (Hash, u64)| Array::of2(&block.to_string().into(), &(bytes as f64).into());
        Ok(all.into_iter().map(pair).collect())
    }

    /// See [`BlockStore::pin`].
    ///
    /// # Errors
    /// See there.
    pub async fn pin(&self, name: &str, blocks: Vec<String>) -> Result<(), String> {
        let blocks = blocks.iter().map(|block| hash(block)).collect::<Result<Vec<_>, _>>()?;
        self.0.pin(hash(name)?, &blocks).await.map_err(said)
    }

    /// See [`BlockStore::clear`].
    ///
    /// # Errors
    /// See there.
    pub async fn clear(&self) -> Result<(), String> {
        self.0.clear().await.map_err(said)
    }

    /// The bytes of [`BlockStore::usage`].
    ///
    /// # Errors
    /// See there.
    pub async fn used(&self) -> Result<f64, String> {
        Ok(self.0.usage().await.map_err(said)?.used as f64)
    }

    /// The quota of [`BlockStore::usage`].
    ///
    /// # Errors
    /// See there.
    pub async fn allowed(&self) -> Result<f64, String> {
        Ok(self.0.usage().await.map_err(said)?.quota as f64)
    }

    /// See [`BlockStore::allow`].
    ///
    /// # Errors
    /// See there.
    pub async fn quota(&self, bytes: f64) -> Result<(), String> {
        self.0.allow(bytes as u64).await.map_err(said)
    }
}

fn hash(name: &str) -> Result<Hash, String> {
    super::parse(name).ok_or_else(|| format!("{name:?} is no hash: 64 hexadecimal digits"))
}

fn said(error: StoreError) -> String {
    error.to_string()
}
