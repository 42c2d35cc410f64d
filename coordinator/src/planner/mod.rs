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
//!   no device holds the painter  a ring      A 0..6 -> B 6..16 -> (velocity) -> A
//! ```
//!
//! All arithmetic is on integers of microseconds and bytes and saturates, so every peer computes the same plan from
//! the same words, and a lying peer can at worst make itself look slow, fast or large.

mod blocks;
mod everyone;
mod links;
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

pub use blocks::{Blocks, blocks, in_passes, jobs as block_jobs, paints_alone, predict_blocks};
pub use links::{Link, Links, Sight};
pub use migrate::migrate;
pub use picture::{Crew, PicturePrediction, PictureShape, crew, predict_bands, predict_picture};
pub use predict::{TextPrediction, predict_text};
pub use share::{stage_bytes, whole_bytes};
pub use teams::{CHEAP_BYTES, Spread, Team, Teams, teams};
pub use verdict::{Verdict, fetch_bytes, verdict};

use crate::ids::{Layers, PeerId};
use crate::io::ModelSpec;
use serde::{Deserialize, Serialize};

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
    pub sees: Sight,
}

impl Worker {
    /// Whether each of the two has a live link to the other.
    #[must_use]
    pub fn is_linked(&self, other: &Self) -> bool {
        self.sees.contains(other.id) && other.sees.contains(self.id)
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
