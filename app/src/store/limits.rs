//! Bounds of the store, with unit and source.

/// Bytes of one block. Source: the manifest's.
pub const BLOCK_BYTES: usize = kernels::limits::BLOCK_BYTES as usize;
/// Bytes that a store takes if nobody says otherwise. Source: guess; a model of 7 B parameters in 4 bits, twice.
pub const QUOTA_BYTES: u64 = 8 << 30;
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
/// Part of the quota that is held for the room, beyond what this device needs. Source: guess.
pub const SPARE_PART: u64 = 4;
/// Bytes of the pages of a manifest, all of which are read to open a model. Source: guess; 32 bytes for each block of 2 TiB.
pub const PAGES_BYTES: u64 = 64 << 20;
/// Blocks that come near when one is read that is not here. Source: guess; as many as an origin sends at once.
pub const READ_AHEAD: u32 = 4;
