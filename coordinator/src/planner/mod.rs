//! Who computes what, and how fast that will be: pure functions of the work, the workers and their links.
//!
//! The rule is *split only what does not fit*. A device that can hold the whole model answers alone: a token of a
//! split model waits for every stage and every link on its way round the ring, so a split makes one answer slower
//! unless it replaces a slow device by faster ones that are too small alone. Predictions decide, and a plan with more
//! devices in it must be [`clearly_faster`] than the simpler one.
//!
//! ```text
//!   one device holds the model   replicas    [A 0..32]  [B 0..32]          a job each
//!   none does                    a ring      A 0..20 -> B 20..32 -> (token) -> A
//!   pictures, more than devices  seeds       [A]  [B]                       a picture each
//!   pictures, fewer              a crew      A + B: the guidance halves; A, B, C: tiles of the decoding
//! ```
//!
//! All arithmetic is on integers of microseconds and bytes and saturates, so every peer computes the same plan from
//! the same words, and a lying peer can at worst make itself look slow, fast or large.

mod everyone;
mod migrate;
mod picture;
mod predict;
mod ring;
mod share;
mod teams;
mod verdict;
mod words;

#[cfg(test)]
mod tests;

pub use migrate::migrate;
pub use picture::{Crew, PicturePrediction, PictureShape, crew, predict_picture};
pub use predict::{TextPrediction, predict_text};
pub use share::{stage_bytes, whole_bytes};
pub use teams::{CHEAP_BYTES, Spread, Team, Teams, teams};
pub use verdict::{Verdict, fetch_bytes, verdict};

use crate::ids::{Layers, PeerId};
use crate::io::ModelSpec;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// Bytes of one token's hidden state between two stages, where the caller knows no better. Source: 2048 channels of
/// f32, as in the 1B class of open models.
pub const HIDDEN_BYTES: u64 = 8 * 1024;
/// By how many percent a plan must be predicted faster than a simpler one to be preferred. Source: guess; more than
/// the 10 % within which predictions are promised to hold.
pub const CLEARLY_PERCENT: u64 = 15;

/// A device as the planner sees it: what it measured, scaled by its health.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Worker {
    /// Who.
    pub id: PeerId,
    /// For people.
    pub name: String,
    /// Bytes of weights it may hold.
    pub memory: u64,
    /// How fast it is.
    pub speed: Speed,
    /// Ranges of the room's model in its memory or store: they need no fetch.
    pub held: Vec<Layers>,
    /// Peers with a live direct link to it.
    pub sees: BTreeSet<PeerId>,
}

impl Worker {
    /// Whether each of the two has a live link to the other.
    #[must_use]
    pub fn is_linked(&self, other: &Self) -> bool {
        self.sees.contains(&other.id) && other.sees.contains(&self.id)
    }
}

/// Times in microseconds, measured by a device's probe.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Speed {
    /// One token through one layer, when answers are written one token at a time.
    pub layer_micros: u32,
    /// One token's part of a full pass (64 tokens at once) through one layer, when a prompt is read.
    pub prefill_micros: u32,
    /// What one chunk costs whatever is in it: worker, page, channel.
    pub hop_micros: u32,
    /// Pictures: one pass of the denoiser, one guidance branch. 0 if this device does no pictures.
    pub step_micros: u32,
    /// Pictures: the text encoder, once a prompt.
    pub encode_micros: u32,
    /// Pictures: the whole latent to pixels.
    pub decode_micros: u32,
}

/// What was measured between two peers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Link {
    /// Milliseconds there and back.
    pub round_trip_ms: u32,
    /// Bytes a millisecond, one way.
    pub bytes_per_ms: u32,
}

impl Link {
    /// A link that nobody has measured yet. Source: guess; two homes in one country, 8 Mbit/s upwards.
    pub const UNMEASURED: Self = Self { round_trip_ms: 40, bytes_per_ms: 1_000 };

    /// Microseconds from the first byte sent to the last of `bytes` received.
    #[must_use]
    pub fn one_way_micros(self, bytes: u64) -> u64 {
        (u64::from(self.round_trip_ms) * 500).saturating_add(self.transfer_micros(bytes))
    }

    /// Microseconds for which `bytes` keep the link busy.
    #[must_use]
    pub fn transfer_micros(self, bytes: u64) -> u64 {
        bytes.saturating_mul(1_000) / u64::from(self.bytes_per_ms.max(1))
    }
}

/// The links of a room; one that is not in it counts as [`Link::UNMEASURED`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Links(BTreeMap<(PeerId, PeerId), Link>);

impl Links {
    /// Notes what was measured between two peers, in either order.
    pub fn insert(&mut self, one: PeerId, other: PeerId, link: Link) {
        self.0.insert((one.min(other), one.max(other)), link);
    }

    /// The link between two different peers.
    #[must_use]
    pub fn between(&self, one: PeerId, other: PeerId) -> Link {
        self.0.get(&(one.min(other), one.max(other))).copied().unwrap_or(Link::UNMEASURED)
    }
}

impl FromIterator<((PeerId, PeerId), Link)> for Links {
    /// Of many pairs at once, the lower id of each first.
    fn from_iter<I: IntoIterator<Item = ((PeerId, PeerId), Link)>>(pairs: I) -> Self {
        Self(pairs.into_iter().collect())
    }
}

/// What text is planned on: one model and who is there for it.
#[derive(Clone, Copy, Debug)]
pub struct Room<'a> {
    /// The model.
    pub model: &'a ModelSpec,
    /// Everyone who may compute.
    pub workers: &'a [Worker],
    /// The links between them.
    pub links: &'a Links,
    /// Bytes of one token's hidden state between two stages; [`HIDDEN_BYTES`] if unknown.
    pub hidden_bytes: u64,
}

/// A worker and how many layers it runs: a stage before its range is fixed.
#[derive(Clone, Copy, Debug)]
struct Seat<'a> {
    worker: &'a Worker,
    layers: u16,
}

/// Whether `new` is so much shorter than `old` that more devices, or a move, are worth it.
#[must_use]
pub const fn clearly_faster(new_micros: u64, old_micros: u64) -> bool {
    new_micros.saturating_mul(100) < old_micros.saturating_mul(100 - CLEARLY_PERCENT)
}
