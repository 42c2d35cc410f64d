//! Bounds of the store, with unit and source.

/// Bytes of one block. Source: the manifest's.
pub const BLOCK_BYTES: usize = kernels::limits::BLOCK_BYTES as usize;
/// Bytes that a store takes if nobody says otherwise. Source: guess; a model of 7 B parameters in 4 bits, twice.
pub const QUOTA_BYTES: u64 = 8_000_000_000;
/// Hundredths of the quota that are left when something has to go. Source: guess; so that not every block pushes one out.
pub const KEPT_PERCENT: u64 = 95;
/// Parts of the quota after which the disk is looked through again, for other programs write too. Source: guess.
pub const LOOKS: u64 = 32;
/// Seconds for which a block counts as just used, so that reading does not write each time. Source: guess.
pub const FRESH_S: u64 = 60;
/// Seconds after which a file that was never finished is taken away. Source: guess; no block takes that long to write.
pub const UNFINISHED_S: u64 = 600;
/// Blocks under one pin. Source: all numbers of the largest manifest.
pub const PINNED: usize = kernels::limits::MANIFEST_NUMBERS as usize;
/// Bytes that a store in memory takes at most. Source: guess; an eighth of what a browser's engine can hold.
pub const MEMORY_BYTES: u64 = 512 << 20;
/// Bytes after which people are told how much is kept. Source: guess; some times a second on a fast line.
pub const TELL_BYTES: u64 = 16 << 20;
/// Part of the quota that is held for the room, beyond what this device needs. Source: guess.
pub const SPARE_PART: u64 = 4;
/// Bytes of the pages of a manifest, all of which are read to open a model. Source: guess; 32 bytes for each block of 2 TiB.
pub const PAGES_BYTES: u64 = 64 << 20;
/// Blocks that come near when one is read that is not here. Source: guess; as many as an origin sends at once.
pub const READ_AHEAD: u32 = 4;
/// Fetches in a row that fail before somebody who has nobody else to ask is told. Source: guess; the swarm waits 2 and 4 s between.
pub const FETCH_TRIES: u32 = 3;
/// Entries in the index of a packed store. Source: a terabyte of whole blocks; 64 MiB of index.
pub const ENTRIES: usize = 1 << 20;
/// Bytes at whose multiples blocks begin in a packed store. Source: a page of memory, in which systems write files.
pub const ALIGN_BYTES: u64 = 4096;
/// Bytes in which everything of a packed store lies. Source: what a browser's numbers hold exactly.
pub const END_BYTES: u64 = 1 << 53;
/// Milliseconds for which one of several tabs may keep the others from changing the store. Source: guess; some thirty blocks.
pub const TURN_MS: u64 = 100;
/// Milliseconds for which a tab that has nothing to do keeps its turn. Source: guess; the time between two blocks that are fetched.
pub const IDLE_MS: u64 = 3;
/// Milliseconds after which it is written down what was read. Source: guess.
pub const TOUCH_MS: u64 = 1_000;
/// Tries to open a file that a tab which is just closing still holds. Source: guess; two seconds in all.
pub const OPEN_TRIES: u32 = 100;
/// Milliseconds between two such tries. Source: see there.
pub const OPEN_MS: u64 = 20;

/// Bytes to which a store of this quota is cut down when something has to go.
#[must_use]
pub const fn kept(quota: u64) -> u64 {
    (quota / 100).saturating_mul(KEPT_PERCENT)
}
