//! What lies where in one large file of blocks.
//!
//! ```text
//!  index   | head | entry | entry | free | entry | …     64 bytes each
//!                     └──────────┐
//!  blocks  | block     | hole    | block   | pins | …    starts at multiples of 4 KiB
//! ```
//!
//! A block is written where nothing lies, and its entry after it: whoever is stopped in between leaves a hole. An entry lies in
//! one page of memory and carries a checksum, so that half of one is none. Nothing here touches a disk.

use super::{Hash, limits};
use std::collections::BTreeMap;

/// Bytes of an entry, and of the head before the first one.
pub const ENTRY_BYTES: usize = 64;

/// What an entry names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// A block, by its hash.
    Block,
    /// The hashes that are pinned under a name.
    Pins,
}

/// Something that is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry {
    /// What it is.
    pub kind: Kind,
    /// Its hash, or the name of the pins.
    pub name: Hash,
    /// Where it begins in the file of blocks.
    pub start: u64,
    /// Its length in bytes.
    pub bytes: u32,
    /// When it was used: the larger, the later.
    pub used: u64,
}

impl Entry {
    /// As it lies in the index.
    #[must_use]
    pub fn encode(&self) -> [u8; ENTRY_BYTES] {
        let mut bytes = [0; ENTRY_BYTES];
        bytes[..32].copy_from_slice(&self.name.0);
        bytes[32..40].copy_from_slice(&self.start.to_le_bytes());
        bytes[40..48].copy_from_slice(&self.used.to_le_bytes());
        bytes[48..52].copy_from_slice(&self.bytes.to_le_bytes());
        bytes[52] = match self.kind {
            Kind::Block => 1,
            Kind::Pins => 2,
        };
        let check = Hash::of(&bytes[..56]).0;
        bytes[56..].copy_from_slice(&check[..8]);
        bytes
    }

    /// None for what is free, damaged, or half written.
    #[must_use]
    pub fn decode(bytes: &[u8; ENTRY_BYTES]) -> Option<Self> {
        let kind = match bytes[52] {
            1 => Kind::Block,
            2 => Kind::Pins,
            _ => return None,
        };
        let (name, start, used) =
            (bytes[..32].try_into().ok()?, number(&bytes[32..40]), number(&bytes[40..48]));
        let length = u32::try_from(number(&bytes[48..52])).ok()?;
        let check = Hash::of(&bytes[..56]).0;
        let fits = start.checked_add(length.into()).is_some_and(|end| end <= limits::END_BYTES);
        (check[..8] == bytes[56..] && fits).then_some(Self {
            kind,
            name: Hash(name),
            start,
            bytes: length,
            used,
        })
    }

    /// Where the next thing may begin; an empty one takes a place, too.
    fn end(&self) -> u64 {
        (self.start + u64::from(self.bytes.max(1))).next_multiple_of(limits::ALIGN_BYTES)
    }
}

fn number(bytes: &[u8]) -> u64 {
    bytes.iter().rev().fold(0, |number, byte| number << 8 | u64::from(*byte))
}

/// All entries of a store.
#[derive(Debug, Default)]
pub struct Ledger {
    entries: Vec<Option<Entry>>,
    places: BTreeMap<(Kind, Hash), usize>,
    /// Ends by starts.
    taken: BTreeMap<u64, u64>,
    free: Vec<usize>,
    stray: Vec<usize>,
    bytes: u64,
    newest: u64,
}

impl Ledger {
    /// What an index says, without its head.
    #[must_use]
    pub fn read(index: &[u8]) -> Self {
        let mut ledger = Self::default();
        let mut found: Vec<(usize, Entry)> = Vec::new();
        let (whole, _) = index.as_chunks();
        for (place, bytes) in whole.iter().take(limits::ENTRIES).enumerate() {
            ledger.entries.push(None);
            match Entry::decode(bytes) {
                Some(entry) => found.push((place, entry)),
                None => ledger.free.push(place),
            }
        }
        // Who was stopped while something moved, or was replaced, left both; the later one is whole.
        found.sort_by_key(|(_, entry)| std::cmp::Reverse(entry.used));
        for (place, entry) in found {
            let named = ledger.places.contains_key(&(entry.kind, entry.name));
            if named || ledger.overlaps(&entry) {
                ledger.stray.push(place);
                ledger.free.push(place);
            } else {
                ledger.enter(place, entry);
            }
        }
        // Low places first, so that the index stays short.
        ledger.free.sort_unstable_by(|one, other| other.cmp(one));
        ledger
    }

    /// Places whose entries count for nothing, to be blanked; told once.
    pub fn take_stray(&mut self) -> Vec<usize> {
        std::mem::take(&mut self.stray)
    }

    /// Where something lies.
    #[must_use]
    pub fn find(&self, kind: Kind, name: Hash) -> Option<Entry> {
        self.entries[*self.places.get(&(kind, name))?]
    }

    /// All entries of a kind.
    pub fn all(&self, kind: Kind) -> impl Iterator<Item = Entry> {
        self.entries.iter().flatten().filter(move |entry| entry.kind == kind).copied()
    }

    /// Bytes of all blocks.
    #[must_use]
    pub const fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Bytes that the file of blocks has to have.
    #[must_use]
    pub fn end(&self) -> u64 {
        self.taken.last_key_value().map_or(0, |(_, end)| *end)
    }

    /// Where this many bytes fit below `most`: in the smallest hole that takes them, else behind everything.
    #[must_use]
    pub fn hole(&self, bytes: u64, most: u64) -> Option<u64> {
        // Nothing at all takes a place, too: two things never begin at the same one.
        let bytes = bytes.max(1);
        if self.free.is_empty() && self.entries.len() >= limits::ENTRIES {
            return None;
        }
        let mut best: Option<(u64, u64)> = None;
        let mut from = 0;
        for (&start, &end) in &self.taken {
            let size = start - from;
            if size >= bytes && best.is_none_or(|(least, _)| size < least) {
                best = Some((size, from));
            }
            from = end;
        }
        let behind = (from.saturating_add(bytes) <= most).then_some(from);
        best.map(|(_, at)| at).filter(|at| at.saturating_add(bytes) <= most).or(behind)
    }

    /// What stands for "now" in [`Entry::used`].
    #[must_use]
    pub const fn now(&self) -> u64 {
        self.newest.saturating_add(1)
    }

    /// Enters something in place of what has its name, if anything has; the place in the index where its entry belongs. That
    /// is the place of the one before, so that one write replaces it.
    pub fn insert(&mut self, entry: Entry) -> usize {
        self.remove(entry.kind, entry.name);
        let place = self.free.pop().unwrap_or_else(|| {
            self.entries.push(None);
            self.entries.len() - 1
        });
        self.enter(place, entry);
        place
    }

    /// Takes an entry out; its place in the index, to be blanked.
    pub fn remove(&mut self, kind: Kind, name: Hash) -> Option<usize> {
        let place = self.places.remove(&(kind, name))?;
        if let Some(entry) = self.entries[place].take() {
            self.taken.remove(&entry.start);
            self.bytes -= blocks_only(&entry);
        }
        self.free.push(place);
        Some(place)
    }

    /// Notes that a block was used now; its place and its new entry.
    pub fn touch(&mut self, block: Hash) -> Option<(usize, Entry)> {
        let place = *self.places.get(&(Kind::Block, block))?;
        let now = self.now();
        let entry = self.entries[place].as_mut()?;
        (entry.used, self.newest) = (now, now);
        Some((place, *entry))
    }

    /// What lies last in the file.
    #[must_use]
    pub fn last(&self) -> Option<Entry> {
        let start = *self.taken.last_key_value()?.0;
        self.entries.iter().flatten().find(|entry| entry.start == start).copied()
    }

    fn enter(&mut self, place: usize, entry: Entry) {
        self.entries[place] = Some(entry);
        self.places.insert((entry.kind, entry.name), place);
        self.taken.insert(entry.start, entry.end());
        self.bytes += blocks_only(&entry);
        self.newest = self.newest.max(entry.used);
    }

    fn overlaps(&self, entry: &Entry) -> bool {
        self.taken.range(..entry.end()).next_back().is_some_and(|(_, other)| *other > entry.start)
    }
}

/// What an entry adds to the bytes of blocks.
fn blocks_only(entry: &Entry) -> u64 {
    if entry.kind == Kind::Block { entry.bytes.into() } else { 0 }
}

#[cfg(all(test, not(target_arch = "wasm32")))]
mod tests;
