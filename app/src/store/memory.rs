//! Blocks in memory, for as long as the program runs: where nothing may be kept, and for peers that keep nothing.

use super::{BlockStore, Hash, StoreError, Usage, compare, limits};
use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

/// A store that ends with its program.
#[derive(Debug)]
pub struct MemoryStore {
    quota: Cell<u64>,
    state: RefCell<State>,
}

#[derive(Debug, Default)]
struct State {
    /// Each block, and when it was used last, in turns.
    blocks: BTreeMap<Hash, (Rc<[u8]>, u64)>,
    pins: BTreeMap<Hash, BTreeSet<Hash>>,
    used: u64,
    turn: u64,
}

impl MemoryStore {
    /// An empty one of `quota` bytes at most.
    #[must_use]
    pub fn new(quota: u64) -> Self {
        Self { quota: Cell::new(quota), state: RefCell::default() }
    }
}

impl State {
    fn take_out(&mut self, block: Hash) {
        let bytes = self.blocks.remove(&block).map_or(0, |(bytes, _)| bytes.len() as u64);
        self.used -= bytes;
    }

    /// Makes room for so many bytes.
    fn make_room(&mut self, bytes: u64, quota: u64) -> Result<(), StoreError> {
        while self.used.saturating_add(bytes) > quota {
            let loose =
                self.blocks.iter().filter(|(hash, _)| !self.pins.values().any(|pin| pin.contains(hash)));
            let Some(oldest) = loose.min_by_key(|(_, (_, turn))| *turn).map(|(hash, _)| *hash) else {
                return Err(StoreError::NoRoom(format!(
                    "{} of {quota} bytes of memory are in use",
                    self.used
                )));
            };
            self.take_out(oldest);
        }
        Ok(())
    }
}

impl BlockStore for MemoryStore {
    async fn get(&self, block: Hash) -> Result<Option<Vec<u8>>, StoreError> {
        let mut state = self.state.borrow_mut();
        state.turn += 1;
        let turn = state.turn;
        Ok(state.blocks.get_mut(&block).map(|(bytes, used)| {
            *used = turn;
            bytes.to_vec()
        }))
    }

    async fn put(&self, block: Hash, bytes: &[u8]) -> Result<(), StoreError> {
        compare(block, bytes)?;
        let mut state = self.state.borrow_mut();
        state.take_out(block);
        state.make_room(bytes.len() as u64, self.quota.get())?;
        (state.turn, state.used) = (state.turn + 1, state.used + bytes.len() as u64);
        let turn = state.turn;
        state.blocks.insert(block, (bytes.into(), turn));
        Ok(())
    }

    async fn has(&self, block: Hash) -> Result<bool, StoreError> {
        Ok(self.state.borrow().blocks.contains_key(&block))
    }

    async fn remove(&self, block: Hash) -> Result<(), StoreError> {
        self.state.borrow_mut().take_out(block);
        Ok(())
    }

    async fn list(&self) -> Result<Vec<(Hash, u64)>, StoreError> {
        let state = self.state.borrow();
        Ok(state.blocks.iter().map(|(hash, (bytes, _))| (*hash, bytes.len() as u64)).collect())
    }

    async fn pin(&self, name: Hash, blocks: &[Hash]) -> Result<(), StoreError> {
        let pins = &mut self.state.borrow_mut().pins;
        if blocks.is_empty() {
            pins.remove(&name);
        } else {
            pins.insert(name, blocks.iter().copied().take(limits::PINNED).collect());
        }
        Ok(())
    }

    async fn clear(&self) -> Result<(), StoreError> {
        *self.state.borrow_mut() = State::default();
        Ok(())
    }

    async fn usage(&self) -> Result<Usage, StoreError> {
        Ok(Usage { durable: false, used: self.state.borrow().used, quota: self.quota.get() })
    }

    async fn allow(&self, quota: u64) -> Result<(), StoreError> {
        self.quota.set(quota);
        // What is pinned stays, however much it is.
        let _ = self.state.borrow_mut().make_room(0, quota);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::executor::block_on;

    fn block(number: u32) -> (Hash, Vec<u8>) {
        let bytes = number.to_le_bytes().repeat(25);
        (Hash::of(&bytes), bytes)
    }

    #[test]
    fn what_was_used_least_recently_goes_unless_it_is_pinned() {
        let store = MemoryStore::new(350);
        let [a, b, c, d] = [1, 2, 3, 4].map(block);
        for (hash, bytes) in [&a, &b, &c] {
            block_on(store.put(*hash, bytes)).unwrap();
        }
        assert_eq!(block_on(store.get(a.0)).unwrap(), Some(a.1.clone()));
        block_on(store.pin(Hash::default(), &[c.0])).unwrap();
        block_on(store.put(d.0, &d.1)).unwrap();
        let here = |one: &(Hash, Vec<u8>)| block_on(store.has(one.0)).unwrap();
        assert_eq!([&a, &b, &c, &d].map(here), [true, false, true, true], "b was used longest ago");
        block_on(store.put(b.0, &b.1)).unwrap();
        assert_eq!([&a, &b, &c, &d].map(here), [false, true, true, true], "then a");
        block_on(store.pin(Hash::default(), &[b.0, c.0, d.0])).unwrap();
        assert!(matches!(block_on(store.put(a.0, &a.1)), Err(StoreError::NoRoom(_))), "all are pinned");
        block_on(store.pin(Hash::default(), &[])).unwrap();
        block_on(store.put(a.0, &a.1)).unwrap();
        assert_eq!(block_on(store.list()).unwrap().iter().map(|(_, bytes)| bytes).sum::<u64>(), 300);
        assert!(matches!(block_on(store.put(a.0, &b.1)), Err(StoreError::Wrong(_))));
        block_on(store.put(a.0, &a.1)).unwrap();
        assert_eq!(block_on(store.list()).unwrap().len(), 3, "the same again is no more");
        block_on(store.clear()).unwrap();
        assert_eq!((block_on(store.list()).unwrap().len(), here(&a)), (0, false));
    }
}
