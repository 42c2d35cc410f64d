//! Blocks in one large file beside an index of it (see [`ledger`](super::ledger)): what a browser's private files are fast with.
//!
//! Whoever changes anything has to be alone, which is for the caller to see to; others may read meanwhile, for a block that is not
//! what its hash says is no block. The index's head has a number that is odd while something changes and another one
//! after each change, so that all programs know when what they know is old.
//!
//! **Stopped at any moment**, a write leaves either everything before it or everything: data goes where nothing lies, and counts
//! from the moment its entry is written, which is one write within one page.

use super::ledger::{ENTRY_BYTES, Entry, Kind, Ledger};
use super::{Hash, StoreError, limits};
use std::collections::BTreeSet;

/// A file, read and written where one likes.
pub trait Bytes {
    /// Reads from `at` on; how many bytes there were.
    ///
    /// # Errors
    /// [`StoreError::Disk`].
    fn read(&self, at: u64, bytes: &mut [u8]) -> Result<usize, StoreError>;
    /// Writes all of `bytes` from `at` on.
    ///
    /// # Errors
    /// [`StoreError::NoRoom`] if the disk is full, [`StoreError::Disk`].
    fn write(&self, at: u64, bytes: &[u8]) -> Result<(), StoreError>;
    /// Its length in bytes.
    ///
    /// # Errors
    /// [`StoreError::Disk`].
    fn size(&self) -> Result<u64, StoreError>;
    /// Cuts it off.
    ///
    /// # Errors
    /// [`StoreError::Disk`].
    fn truncate(&self, bytes: u64) -> Result<(), StoreError>;
}

/// How an index begins.
const MAGIC: [u8; 8] = *b"blocks 1";

/// A store in two files.
#[derive(Debug)]
pub struct Packed<F> {
    index: F,
    blocks: F,
    ledger: Ledger,
    /// The head's number when the ledger was read; None if it has to be read again.
    known: Option<u64>,
}

impl<F: Bytes> Packed<F> {
    /// A store in these two files; [`Self::refresh`] comes first.
    pub fn new(index: F, blocks: F) -> Self {
        Self { index, blocks, ledger: Ledger::default(), known: None }
    }

    /// Learns what others have changed. `alone` if nobody else changes anything meanwhile; what was left half done is then
    /// cleaned up.
    ///
    /// # Errors
    /// [`StoreError::Disk`].
    pub fn refresh(&mut self, alone: bool) -> Result<(), StoreError> {
        let before = self.head()?;
        if before.is_some() && before == self.known {
            return Ok(());
        }
        let most = (limits::ENTRIES * ENTRY_BYTES) as u64;
        let size = self.index.size()?.saturating_sub(ENTRY_BYTES as u64).min(most);
        let mut bytes = vec![0; usize::try_from(size).unwrap_or_default()];
        let read = if before.is_some() { self.index.read(ENTRY_BYTES as u64, &mut bytes)? } else { 0 };
        self.ledger = Ledger::read(&bytes[..read]);
        let settled = before.is_some_and(|number| number % 2 == 0) && self.head()? == before;
        self.known = before.filter(|_| settled);
        if alone && !settled {
            // New, of another kind, or left in the middle of a change.
            self.change(|store| if before.is_none() { store.empty() } else { Ok(()) })?;
        }
        if alone {
            let stray = self.ledger.take_stray();
            stray.into_iter().try_for_each(|place| self.blank(place))?;
        }
        Ok(())
    }

    /// Whether a block is here.
    #[must_use]
    pub fn has(&self, block: Hash) -> bool {
        self.ledger.find(Kind::Block, block).is_some()
    }

    /// All blocks and their lengths in bytes.
    #[must_use]
    pub fn list(&self) -> Vec<(Hash, u64)> {
        self.ledger.all(Kind::Block).map(|entry| (entry.name, entry.bytes.into())).collect()
    }

    /// Bytes of all blocks.
    #[must_use]
    pub const fn used_bytes(&self) -> u64 {
        self.ledger.bytes()
    }

    /// A block, compared with its hash; None if it is not here, or damaged.
    ///
    /// # Errors
    /// [`StoreError::Disk`].
    pub fn get(&self, block: Hash) -> Result<Option<Vec<u8>>, StoreError> {
        let Some(entry) = self.ledger.find(Kind::Block, block) else { return Ok(None) };
        let bytes = self.read(&entry)?;
        Ok((Hash::of(&bytes) == block).then_some(bytes))
    }

    /// Keeps a block, whose hash the caller has compared, under this quota in bytes.
    ///
    /// # Errors
    /// [`StoreError::NoRoom`], [`StoreError::Disk`].
    pub fn put(&mut self, block: Hash, bytes: &[u8], quota: u64) -> Result<(), StoreError> {
        if self.get(block)?.is_some() {
            return self.touch([block]);
        }
        self.change(|store| store.keep(Kind::Block, block, bytes, quota))
    }

    /// Pins these under a name, in place of what was pinned under it. The list takes 32 bytes for each block, quota or not: else
    /// a full store could not be unpinned.
    ///
    /// # Errors
    /// [`StoreError::NoRoom`] if the disk is full, [`StoreError::Disk`].
    pub fn pin(&mut self, name: Hash, blocks: &[Hash]) -> Result<(), StoreError> {
        if blocks.is_empty() {
            return self.change(|store| store.drop_entry(Kind::Pins, name));
        }
        let list: Vec<u8> = blocks.iter().take(limits::PINNED).flat_map(|block| block.0).collect();
        let list = [Hash::of(&list).0.as_slice(), &list].concat();
        self.change(|store| store.keep(Kind::Pins, name, &list, limits::END_BYTES))
    }

    /// Takes a block out.
    ///
    /// # Errors
    /// [`StoreError::Disk`].
    pub fn remove(&mut self, block: Hash) -> Result<(), StoreError> {
        if !self.has(block) {
            return Ok(());
        }
        self.change(|store| store.drop_entry(Kind::Block, block))
    }

    /// Notes that these were used.
    ///
    /// # Errors
    /// [`StoreError::Disk`].
    pub fn touch(&mut self, blocks: impl IntoIterator<Item = Hash>) -> Result<(), StoreError> {
        self.change(|store| {
            for block in blocks {
                if let Some((place, entry)) = store.ledger.touch(block) {
                    store.enter(place, &entry.encode())?;
                }
            }
            Ok(())
        })
    }

    /// Takes everything out.
    ///
    /// # Errors
    /// [`StoreError::Disk`].
    pub fn clear(&mut self) -> Result<(), StoreError> {
        self.change(Self::empty)
    }

    /// Gives back what is more than `quota` bytes: what nobody used for longest goes, then the rest moves together. What is
    /// pinned stays.
    ///
    /// # Errors
    /// [`StoreError::Disk`].
    pub fn shrink(&mut self, quota: u64) -> Result<(), StoreError> {
        if self.ledger.end() <= quota && self.blocks.size()? <= quota {
            return Ok(());
        }
        self.change(|store| {
            let mut oldest = store.oldest()?.into_iter();
            while store.used_bytes() > quota || store.ledger.end() > quota {
                if store.used_bytes() <= quota && store.move_last()? {
                    continue;
                }
                let Some(entry) = oldest.next() else { break };
                store.drop_entry(Kind::Block, entry.name)?;
            }
            store.blocks.truncate(store.ledger.end())
        })
    }

    /// Moves what lies last into a hole before it; false if none takes it.
    fn move_last(&mut self) -> Result<bool, StoreError> {
        let Some(last) = self.ledger.last() else { return Ok(false) };
        let Some(start) = self.ledger.hole(last.bytes.into(), last.start) else { return Ok(false) };
        let bytes = self.read(&last)?;
        self.blocks.write(start, &bytes)?;
        let moved = Entry { start, ..last };
        let place = self.ledger.insert(moved);
        self.enter(place, &moved.encode())?;
        Ok(true)
    }

    fn keep(&mut self, kind: Kind, name: Hash, bytes: &[u8], quota: u64) -> Result<(), StoreError> {
        let length = u32::try_from(bytes.len()).map_err(|_| StoreError::TooLong(bytes.len()))?;
        let start = self.make_room(length.into(), quota)?;
        self.blocks.write(start, bytes)?;
        let entry = Entry { kind, name, start, bytes: length, used: self.ledger.now() };
        let place = self.ledger.insert(entry);
        self.enter(place, &entry.encode())
    }

    /// Where so many bytes may lie, once enough is taken out.
    fn make_room(&mut self, bytes: u64, quota: u64) -> Result<u64, StoreError> {
        let fits = |ledger: &Ledger, most: u64| {
            ledger.hole(bytes, quota).filter(|_| ledger.bytes().saturating_add(bytes) <= most)
        };
        if let Some(start) = fits(&self.ledger, quota) {
            return Ok(start);
        }
        for entry in self.oldest()? {
            if let Some(start) = fits(&self.ledger, limits::kept(quota)) {
                return Ok(start);
            }
            self.drop_entry(Kind::Block, entry.name)?;
        }
        fits(&self.ledger, quota)
            .ok_or_else(|| StoreError::NoRoom(format!("{} of {quota} bytes are pinned", self.ledger.bytes())))
    }

    /// Blocks that may go, the one that nobody used for longest first.
    fn oldest(&self) -> Result<Vec<Entry>, StoreError> {
        let pinned = self.pinned()?;
        let mut may_go: Vec<Entry> =
            self.ledger.all(Kind::Block).filter(|entry| !pinned.contains(&entry.name)).collect();
        may_go.sort_by_key(|entry| entry.used);
        Ok(may_go)
    }

    fn pinned(&self) -> Result<BTreeSet<Hash>, StoreError> {
        let mut pinned = BTreeSet::new();
        for entry in self.ledger.all(Kind::Pins) {
            let bytes = self.read(&entry)?;
            if let Some((hash, list)) = bytes.split_first_chunk()
                && Hash::of(list) == Hash(*hash)
            {
                pinned.extend(list.as_chunks().0.iter().map(|hash| Hash(*hash)));
            }
        }
        Ok(pinned)
    }

    fn drop_entry(&mut self, kind: Kind, name: Hash) -> Result<(), StoreError> {
        self.ledger.remove(kind, name).map_or(Ok(()), |place| self.blank(place))
    }

    fn empty(&mut self) -> Result<(), StoreError> {
        self.ledger = Ledger::default();
        self.index.truncate(ENTRY_BYTES as u64)?;
        self.blocks.truncate(0)
    }

    /// All that there is of what an entry names; a block longer than any is not read.
    fn read(&self, entry: &Entry) -> Result<Vec<u8>, StoreError> {
        if entry.kind == Kind::Block && entry.bytes as usize > limits::BLOCK_BYTES {
            return Ok(Vec::new());
        }
        let mut bytes = vec![0; entry.bytes as usize];
        let read = self.blocks.read(entry.start, &mut bytes)?;
        bytes.truncate(read);
        Ok(bytes)
    }

    fn blank(&self, place: usize) -> Result<(), StoreError> {
        self.enter(place, &[0; ENTRY_BYTES])
    }

    fn enter(&self, place: usize, entry: &[u8; ENTRY_BYTES]) -> Result<(), StoreError> {
        self.index.write(((place + 1) * ENTRY_BYTES) as u64, entry)
    }

    /// The head's number; None if there is no head.
    fn head(&self) -> Result<Option<u64>, StoreError> {
        let mut head = [0; 16];
        let read = self.index.read(0, &mut head)?;
        let (magic, number) = head.split_at(8);
        let number = number.iter().rev().fold(0, |number, byte| number << 8 | u64::from(*byte));
        Ok((read == 16 && magic == MAGIC).then_some(number))
    }

    fn set_head(&self, number: u64) -> Result<(), StoreError> {
        let mut head = [0; ENTRY_BYTES];
        head[..8].copy_from_slice(&MAGIC);
        head[8..16].copy_from_slice(&number.to_le_bytes());
        self.index.write(0, &head)
    }

    /// Changes something, and lets everybody know.
    fn change<T>(&mut self, act: impl FnOnce(&mut Self) -> Result<T, StoreError>) -> Result<T, StoreError> {
        let odd = self.head()?.unwrap_or(0) | 1;
        self.set_head(odd)?;
        // Until it is known to have gone well, what is in memory may not be what is on disk.
        self.known = None;
        let done = act(self)?;
        let next = odd.wrapping_add(1);
        self.set_head(next)?;
        self.known = Some(next);
        Ok(done)
    }
}

#[cfg(all(test, not(target_arch = "wasm32")))]
mod tests;
