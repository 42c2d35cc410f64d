//! Blocks in the browser's own database, IndexedDB: where private files are missing, or cannot be written at once (pages that are
//! not served over TLS, some private windows). Slower, and the same in every other way; its transactions are all or nothing and
//! tabs share it.
//!
//! ```text
//!  blocks  hash → bytes
//!  facts   hash → [hash, length in bytes, when it was used]
//!  pins    name → hashes, 32 bytes each
//! ```

mod database;

use super::browser::refused_text;
use super::{BlockStore, Hash, StoreError, Usage, limits};
use database::{Database, Step};
use js_sys::{Array, Date, Uint8Array};
use std::cell::Cell;
use std::collections::BTreeSet;
use wasm_bindgen::{JsCast, JsValue};

const NAME: &str = "manyhands-blocks";
const BLOCKS: &str = "blocks";
const FACTS: &str = "facts";
const PINS: &str = "pins";
const TABLES: [&str; 3] = [BLOCKS, FACTS, PINS];

/// A store in the database of this page's origin.
#[derive(Debug)]
pub struct IndexedStore {
    database: Database,
    quota: Cell<u64>,
    /// Bytes of all blocks as far as is known, and those written since all were looked at.
    used: Cell<u64>,
    unlooked: Cell<u64>,
    /// When something was used last.
    latest: Cell<f64>,
}

struct Fact {
    block: Hash,
    bytes: u64,
    used: f64,
}

impl IndexedStore {
    /// The store of this origin, of `quota` bytes at most.
    ///
    /// # Errors
    /// [`StoreError::Denied`] if the browser has no database for this page, [`StoreError::Disk`].
    pub async fn open(quota: u64) -> Result<Self, StoreError> {
        let database = database::open(NAME, &TABLES).await.map_err(StoreError::Denied)?;
        let (used, unlooked, latest) = (Cell::new(0), Cell::new(0), Cell::new(0.0));
        let store = Self { database, quota: Cell::new(quota), used, unlooked, latest };
        store.allow(quota).await?;
        Ok(store)
    }

    async fn change(&self, steps: &[Step<'_>]) -> Result<(), StoreError> {
        self.database.change(&TABLES, steps).await.map_err(disk)
    }

    /// All facts, and what they come to.
    async fn look(&self) -> Result<Vec<Fact>, StoreError> {
        let facts: Vec<Fact> =
            self.database.values(FACTS).await.map_err(disk)?.into_iter().filter_map(fact).collect();
        self.used.set(facts.iter().map(|fact| fact.bytes).sum());
        self.unlooked.set(0);
        let latest = facts.iter().map(|fact| fact.used).fold(self.latest.get(), f64::max);
        self.latest.set(latest);
        Ok(facts)
    }

    /// A time of use that is later than all others.
    fn now(&self) -> f64 {
        const STEP_MS: f64 = 0.001;
        self.latest.set(Date::now().max(self.latest.get() + STEP_MS));
        self.latest.get()
    }

    async fn pinned(&self) -> Result<BTreeSet<Hash>, StoreError> {
        let lists = self.database.values(PINS).await.map_err(disk)?;
        let bytes = lists.iter().filter_map(|list| list.dyn_ref::<Uint8Array>()).map(Uint8Array::to_vec);
        let hashes = |list: Vec<u8>| list.as_chunks().0.iter().map(|hash| Hash(*hash)).collect::<Vec<_>>();
        Ok(bytes.flat_map(hashes).collect())
    }

    async fn make_room(&self, bytes: u64) -> Result<(), StoreError> {
        let quota = self.quota.get();
        let fits = || self.used.get().saturating_add(bytes) <= quota;
        if fits() && self.unlooked.get() <= quota / limits::LOOKS {
            return Ok(());
        }
        self.look().await?;
        if !fits() {
            self.cut_down(limits::kept(quota).saturating_sub(bytes)).await?;
        }
        if fits() {
            return Ok(());
        }
        Err(StoreError::NoRoom(format!("{} of {quota} bytes are pinned", self.used.get())))
    }

    /// Takes out what nobody used for longest until there are `most` bytes, or only what is pinned.
    async fn cut_down(&self, most: u64) -> Result<(), StoreError> {
        let mut facts = self.look().await?;
        let pinned = self.pinned().await?;
        facts.retain(|fact| !pinned.contains(&fact.block));
        facts.sort_by(|one, other| one.used.total_cmp(&other.used));
        for fact in facts {
            if self.used.get() <= most {
                break;
            }
            self.remove(fact.block).await?;
            self.used.set(self.used.get().saturating_sub(fact.bytes));
        }
        Ok(())
    }

    /// That a block of this length is used now.
    fn fact(&self, name: &str, bytes: usize) -> JsValue {
        Array::of3(&name.into(), &(bytes as f64).into(), &self.now().into()).into()
    }
}

impl BlockStore for IndexedStore {
    async fn get(&self, block: Hash) -> Result<Option<Vec<u8>>, StoreError> {
        let name = block.to_string();
        let found = self.database.value(BLOCKS, &name).await.map_err(disk)?;
        if found.is_undefined() {
            // Another tab may have taken it out while we noted its use.
            return if self.has(block).await? { self.remove(block).await.map(|()| None) } else { Ok(None) };
        }
        let found = found.dyn_into::<Uint8Array>().ok();
        let bytes = found.filter(|bytes| bytes.length() as usize <= limits::BLOCK_BYTES);
        let Some(bytes) = bytes.map(|bytes| bytes.to_vec()).filter(|bytes| Hash::of(bytes) == block) else {
            return self.remove(block).await.map(|()| None);
        };
        self.change(&[Step::Put(FACTS, &name, self.fact(&name, bytes.len()))]).await?;
        Ok(Some(bytes))
    }

    async fn put(&self, block: Hash, bytes: &[u8]) -> Result<(), StoreError> {
        super::compare(block, bytes)?;
        let name = block.to_string();
        let added = if self.has(block).await? { 0 } else { bytes.len() as u64 };
        self.make_room(added).await?;
        let (value, fact) = (Uint8Array::from(bytes).into(), self.fact(&name, bytes.len()));
        self.change(&[Step::Put(BLOCKS, &name, value), Step::Put(FACTS, &name, fact)]).await?;
        self.used.set(self.used.get() + added);
        self.unlooked.set(self.unlooked.get() + added);
        Ok(())
    }

    async fn has(&self, block: Hash) -> Result<bool, StoreError> {
        Ok(!self.database.value(FACTS, &block.to_string()).await.map_err(disk)?.is_undefined())
    }

    async fn remove(&self, block: Hash) -> Result<(), StoreError> {
        let name = block.to_string();
        self.change(&[Step::Delete(BLOCKS, &name), Step::Delete(FACTS, &name)]).await
    }

    async fn list(&self) -> Result<Vec<(Hash, u64)>, StoreError> {
        Ok(self.look().await?.into_iter().map(|fact| (fact.block, fact.bytes)).collect())
    }

    async fn pin(&self, name: Hash, blocks: &[Hash]) -> Result<(), StoreError> {
        let name = name.to_string();
        if blocks.is_empty() {
            return self.change(&[Step::Delete(PINS, &name)]).await;
        }
        let list: Vec<u8> = blocks.iter().take(limits::PINNED).flat_map(|block| block.0).collect();
        self.change(&[Step::Put(PINS, &name, Uint8Array::from(list.as_slice()).into())]).await
    }

    async fn clear(&self) -> Result<(), StoreError> {
        self.change(&TABLES.map(Step::Clear)).await?;
        self.used.set(0);
        Ok(())
    }

    async fn usage(&self) -> Result<Usage, StoreError> {
        self.look().await?;
        Ok(Usage { durable: true, used: self.used.get(), quota: self.quota.get() })
    }

    async fn allow(&self, quota: u64) -> Result<(), StoreError> {
        self.quota.set(quota);
        self.look().await?;
        if self.used.get() > quota {
            self.cut_down(quota).await?;
        }
        Ok(())
    }
}

fn fact(value: JsValue) -> Option<Fact> {
    let fact: Array = value.dyn_into().ok()?;
    let block = super::parse(&fact.get(0).as_string()?)?;
    Some(Fact { block, bytes: fact.get(1).as_f64()? as u64, used: fact.get(2).as_f64()? })
}

fn disk(error: String) -> StoreError {
    refused_text(&error)
}
