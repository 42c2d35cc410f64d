//! Rooms made by hand and by dice, for all tests of the planner.

mod blocks;
mod everyone;
mod picture;
mod predict;
mod rooms;
mod teams;
mod verdict;

use super::*;
use crate::ids::ModelId;
use crate::io::{Kind, Stage};
use crate::limits;
use crate::planner;
use std::collections::BTreeSet;

/// More memory than any model of these tests needs.
const BIG: u64 = 1 << 40;

fn model(layers: u16) -> ModelSpec {
    let id = ModelId([0; 32]);
    let (name, kind, hidden_bytes) = ("m".into(), Kind::Text, HIDDEN_BYTES as u32);
    ModelSpec {
        id,
        name,
        kind,
        layers,
        layer_bytes: 100,
        ends_bytes: 50,
        context: 512,
        hidden_bytes,
        block_bytes: 0,
        context_bytes: 0,
    }
}

/// As [`model`], but of gigabytes: nobody holds it without need.
fn heavy(layers: u16) -> ModelSpec {
    ModelSpec { layer_bytes: 100_000_000, ends_bytes: 50_000_000, ..model(layers) }
}

/// Workers 1, 2, 3 … with these memories and microseconds a layer, all linked, nothing else taking any time.
fn workers(peers: &[(u64, u32)]) -> Vec<Worker> {
    let sees: Sight = (1..=peers.len() as u128).map(PeerId).collect();
    let worker = |(at, &(memory, layer_micros)): (usize, &(u64, u32))| Worker {
        id: PeerId(at as u128 + 1),
        name: format!("P{}", at + 1),
        memory,
        speed: Speed { layer_micros, prefill_micros: layer_micros, ..Speed::default() },
        held: Vec::new(),
        sees: sees.clone(),
    };
    peers.iter().enumerate().map(worker).collect()
}

/// All pairs of 1 to `peers` with this round trip, and so much bandwidth that bytes take no time.
fn links(peers: u128, round_trip_ms: u32) -> Links {
    let mut links = Links::default();
    for one in 1..=peers {
        for other in one + 1..=peers {
            links.insert(PeerId(one), PeerId(other), Link { round_trip_ms, bytes_per_ms: u32::MAX });
        }
    }
    links
}

fn room<'a>(model: &'a ModelSpec, workers: &'a [Worker], links: &'a Links) -> Room<'a> {
    Room { model, workers, links, hidden_bytes: HIDDEN_BYTES }
}

/// A team as (peer, layers) pairs.
fn shares(stages: &[Stage]) -> Vec<(u128, u16)> {
    stages.iter().map(|stage| (stage.peer.0, stage.layers.len())).collect()
}

/// Numbers that look random, the same each time.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, below: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % below
    }
}
