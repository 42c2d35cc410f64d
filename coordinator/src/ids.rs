//! Names of things: peers, jobs, epochs, leases, layer ranges, and time.

use serde::{Deserialize, Serialize};
use std::fmt;

/// Milliseconds since an arbitrary start that is the caller's; monotonic, never wall-clock time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Millis(pub u64);

impl Millis {
    /// This time plus `ms` milliseconds; saturates.
    #[must_use]
    pub const fn after(self, ms: u64) -> Self {
        Self(self.0.saturating_add(ms))
    }

    /// Milliseconds from `earlier` to this time; 0 if `earlier` is later.
    #[must_use]
    pub const fn since(self, earlier: Self) -> u64 {
        self.0.saturating_sub(earlier.0)
    }
}

/// A peer's name for the length of one connection; the signaling server's UUID.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct PeerId(pub u128);

impl fmt::Debug for PeerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:08x}", (self.0 >> 96) as u32)
    }
}

impl fmt::Display for PeerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

/// Who asked, and that peer's own count. It stays the job's name when another peer adopts the job.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct JobId {
    /// The peer that submitted the job.
    pub requester: PeerId,
    /// Counts that peer's jobs from 1.
    pub serial: u32,
}

/// One coordinator's time in office. A higher epoch always wins; between equal terms the higher peer id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Epoch {
    /// One more than the highest term that the leader had seen when it took office.
    pub term: u64,
    /// Who leads.
    pub leader: PeerId,
}

/// Permission to run one job on given stages. Everything that belongs to an older lease is dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Lease {
    /// The epoch that granted it.
    pub epoch: Epoch,
    /// Counts the grants of that epoch from 1.
    pub serial: u32,
}

/// A contiguous range of a model's transformer layers, `start..end`.
///
/// The stage with `start == 0` also embeds; the one that ends at the model's last layer also holds the head.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Layers {
    /// First layer.
    pub start: u16,
    /// One past the last layer.
    pub end: u16,
}

impl Layers {
    /// How many layers.
    #[must_use]
    pub const fn len(self) -> u16 {
        self.end.saturating_sub(self.start)
    }

    /// True if the range holds no layer.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.end <= self.start
    }
}

impl fmt::Display for Layers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}..{}", self.start, self.end)
    }
}

/// A model's name: the hash of its configuration, tokenizer and weights. Peers with different hashes never mix.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ModelId(pub [u8; 32]);

impl fmt::Debug for ModelId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().take(4).try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}
