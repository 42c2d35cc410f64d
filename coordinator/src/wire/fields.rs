//! Every list, text and byte string of the messages with its bound: see [`bounded`].

use super::{ModelPlan, Running, Team, bounded};
use crate::ids::PeerId;
use crate::io::{Offer, Part, Stage};
use crate::limits;
use serde::Deserializer;

/// Declares a deserializer of one kind of field.
macro_rules! field {
    ($name:ident, $what:ident, $type:ty, $most:expr) => {
        pub fn $name<'de, D: Deserializer<'de>>(deserializer: D) -> Result<$type, D::Error> {
            bounded::$what::<D, { $most }>(deserializer)
        }
    };
    ($name:ident, [$item:ty], $most:expr) => {
        pub fn $name<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<$item>, D::Error> {
            bounded::list::<D, $item, { $most }>(deserializer)
        }
    };
}

field!(name, text, String, limits::NAME_BYTES);
field!(prompt_text, text, String, limits::PROMPT_BYTES);
field!(reason, text, String, limits::REASON_BYTES);
field!(maybe_reason, optional_text, Option<String>, limits::REASON_BYTES);
field!(settings, bytes, Vec<u8>, limits::SAMPLING_BYTES);
field!(note, bytes, Vec<u8>, limits::NOTE_BYTES);
field!(payload, bytes, Vec<u8>, limits::BULK_BYTES);
field!(tokens, [u32], limits::JOB_TOKENS);
field!(stages, [Stage], limits::STAGES);
field!(parts, [Part], limits::RANGES);
field!(offers, [Offer], limits::MODELS);
field!(models, [ModelPlan], limits::MODELS);
field!(teams, [Team], limits::PEERS);
field!(round_trips, [u16], limits::PEERS);
field!(peers, [PeerId], limits::PEERS);
field!(receipts, [(PeerId, u64)], limits::RECEIPTS);
field!(running, [Running], limits::UNITS);
