//! Which peer holds which layers: a pure function of the model and of the peers that can hold a part of it.
//!
//! Every layer goes to the stage that would finish it first, in units of the fastest peer's layer, until all are given
//! out; a stage never gets more than its memory holds, and the embedding and the head come off the first and the last
//! stage's memory. Speeds are rounded to powers of two of the fastest, so that noise in a probe does not skew two
//! equal tabs: 8 layers become 4 + 4. A peer so slow that it would get no layer is left out: it would be one more hop.
//!
//! Source: list scheduling on uniform machines (Graham 1969), with capacities.

use crate::ids::{Layers, PeerId};
use crate::io::{ModelSpec, Stage};
use crate::limits;
use std::cmp::Reverse;
use std::collections::BTreeSet;

/// A peer that may hold layers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// Who.
    pub id: PeerId,
    /// For people.
    pub name: String,
    /// Bytes of weights it is willing to hold.
    pub memory: u64,
    /// Microseconds for one token through one layer.
    pub layer_micros: u32,
    /// Peers it has a live link to.
    pub sees: BTreeSet<PeerId>,
}

/// Who holds which layers, and why.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// In order of the layers; empty if the model does not fit.
    pub stages: Vec<Stage>,
    /// In plain words.
    pub why: String,
}

/// The best plan for `model` on `candidates`; one without stages if they cannot hold it.
#[must_use]
pub fn plan(model: &ModelSpec, candidates: &[Candidate]) -> Plan {
    if candidates.is_empty() {
        return Plan { stages: Vec::new(), why: "no device is ready to compute yet".into() };
    }
    if model.layers == 0 || model.layers > limits::MODEL_LAYERS {
        let why = format!(
            "{} has {} layers, at most {} are possible",
            model.name,
            model.layers,
            limits::MODEL_LAYERS
        );
        return Plan { stages: Vec::new(), why };
    }
    let fastest = candidates.iter().map(|candidate| candidate.layer_micros.max(1)).min().unwrap_or(1);
    let by_speed = choose(candidates, |c| (slowness(c.layer_micros, fastest), Reverse(c.memory)));
    let by_memory = choose(candidates, |c| (0, Reverse(c.memory)));
    let largest = by_memory.first().copied().into_iter().collect();
    let everyone = by_speed.len();
    let settled = [by_speed, by_memory, largest].into_iter().find_map(|ring| settle(model, ring, fastest));
    match settled {
        Some((ring, shares)) => describe(model, &ring, &shares, everyone.saturating_sub(ring.len())),
        None => too_small(model, candidates),
    }
}

/// Bytes that a stage of `layers` takes.
#[must_use]
pub fn stage_bytes(model: &ModelSpec, layers: Layers) -> u64 {
    let end = layers.start == 0 || layers.end == model.layers;
    let ends = if end { model.ends_bytes } else { 0 };
    model.layer_bytes.saturating_mul(layers.len().into()).saturating_add(ends)
}

/// How many times slower than the fastest, rounded to a power of two (so that up to √2 counts as equal). Below
/// [`limits::LAYER_MICROS`] all are equally fast.
fn slowness(micros: u32, fastest: u32) -> u64 {
    let floor = |micros: u32| u128::from(micros.max(limits::LAYER_MICROS));
    let (micros, fastest) = (floor(micros), floor(fastest));
    let mut factor = 1_u128;
    while factor < 1 << 16 && micros * micros > 2 * factor * factor * fastest * fastest {
        factor *= 2;
    }
    factor as u64
}

/// The first peers by `rank` that all see each other, `STAGES` at most, in the order of their layers.
fn choose(candidates: &[Candidate], rank: impl Fn(&Candidate) -> (u64, Reverse<u64>)) -> Vec<&Candidate> {
    let mut best: Vec<&Candidate> = candidates.iter().collect();
    best.sort_by_key(|c| (rank(c), c.id));
    let mut ring: Vec<&Candidate> = Vec::new();
    for candidate in best {
        let sees =
            |other: &&Candidate| other.sees.contains(&candidate.id) && candidate.sees.contains(&other.id);
        if ring.iter().all(sees) && ring.len() < limits::STAGES {
            ring.push(candidate);
        }
    }
    order_by_memory(&mut ring);
    ring
}

/// The two largest come first and last, where the embedding and the head are; the rest is ordered by id.
fn order_by_memory(ring: &mut Vec<&Candidate>) {
    ring.sort_by_key(|c| (Reverse(c.memory), c.id));
    if ring.len() > 2 {
        let last = ring.remove(1);
        ring[1..].sort_by_key(|c| c.id);
        ring.push(last);
    }
}

/// The ring without those that get no layer, and the layers of the rest; None if they do not fit.
fn settle<'a>(
    model: &ModelSpec,
    mut ring: Vec<&'a Candidate>,
    fastest: u32,
) -> Option<(Vec<&'a Candidate>, Vec<u16>)> {
    let mut shares = share_out(model, &ring, fastest)?;
    while let Some(idle) = shares.iter().position(|&share| share == 0) {
        let mut fewer = ring.clone();
        fewer.remove(idle);
        order_by_memory(&mut fewer);
        if let Some(others) = share_out(model, &fewer, fastest) {
            (ring, shares) = (fewer, others);
            continue;
        }
        // Without it an end would fall on a smaller peer that cannot hold it: it takes a layer off the busiest.
        let busiest = (0..shares.len()).max_by_key(|&at| shares[at]).filter(|&at| shares[at] > 1)?;
        shares[busiest] -= 1;
        shares[idle] = 1;
    }
    Some((ring, shares))
}

/// Layers per stage; None if they do not fit.
fn share_out(model: &ModelSpec, ring: &[&Candidate], fastest: u32) -> Option<Vec<u16>> {
    let room: Vec<u64> = (0..ring.len())
        .map(|at| {
            let ends = if at == 0 || at + 1 == ring.len() { model.ends_bytes } else { 0 };
            ring[at].memory.saturating_sub(ends) / model.layer_bytes.max(1)
        })
        .collect();
    let mut shares = vec![0_u16; ring.len()];
    for _ in 0..model.layers {
        let finish = |at: usize| (u64::from(shares[at]) + 1) * slowness(ring[at].layer_micros, fastest);
        let open = (0..ring.len()).filter(|&at| u64::from(shares[at]) < room[at]);
        let soonest = open.min_by_key(|&at| finish(at))?;
        shares[soonest] += 1;
    }
    Some(shares)
}

fn describe(model: &ModelSpec, ring: &[&Candidate], shares: &[u16], left: usize) -> Plan {
    let mut start = 0;
    let stages: Vec<Stage> = ring
        .iter()
        .zip(shares)
        .map(|(candidate, &share)| {
            let layers = Layers { start, end: start + share };
            start = layers.end;
            Stage { peer: candidate.id, layers }
        })
        .collect();
    let parts: Vec<String> = shares.iter().map(u16::to_string).collect();
    let why = match (ring, left) {
        ([only], 0) => format!("{} is alone and holds all {} layers", only.name, model.layers),
        ([only], _) => format!("{} alone is faster than with the others' help", only.name),
        (_, 0) => format!("{} devices hold {} layers, by speed and memory", ring.len(), parts.join(" + ")),
        (_, left) => {
            format!("{} devices hold {} layers; {left} slower left out", ring.len(), parts.join(" + "))
        }
    };
    Plan { stages, why }
}

fn too_small(model: &ModelSpec, candidates: &[Candidate]) -> Plan {
    let need = model.layer_bytes.saturating_mul(model.layers.into()).saturating_add(model.ends_bytes);
    let have = candidates.iter().fold(0_u64, |sum, candidate| sum.saturating_add(candidate.memory));
    let why = if have < need {
        format!("this model needs {}, the room has {}: open it on another device", bytes(need), bytes(have))
    } else {
        format!(
            "this model needs {}, and the room's {} are in pieces too small for it",
            bytes(need),
            bytes(have)
        )
    };
    Plan { stages: Vec::new(), why }
}

/// "3.1 GB", "8 MB": decimal units, as shops and browsers have them.
fn bytes(count: u64) -> String {
    match count {
        0..1_000_000 => format!("{} kB", count.div_ceil(1000)),
        1_000_000..1_000_000_000 => format!("{} MB", count.div_ceil(1_000_000)),
        _ => format!("{:.1} GB", count as f64 / 1e9),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::ModelId;

    fn model(layers: u16) -> ModelSpec {
        let id = ModelId([0; 32]);
        ModelSpec { id, name: "m".into(), layers, layer_bytes: 100, ends_bytes: 50, context: 512 }
    }

    /// Peers 1, 2, 3 … with these memories and microseconds, all linked.
    fn room(peers: &[(u64, u32)]) -> Vec<Candidate> {
        let sees: BTreeSet<PeerId> = (1..=peers.len() as u128).map(PeerId).collect();
        let candidate = |(at, &(memory, layer_micros)): (usize, &(u64, u32))| Candidate {
            id: PeerId(at as u128 + 1),
            name: format!("P{}", at + 1),
            memory,
            layer_micros,
            sees: sees.clone(),
        };
        peers.iter().enumerate().map(candidate).collect()
    }

    fn shares(plan: &Plan) -> Vec<(u128, u16)> {
        plan.stages.iter().map(|stage| (stage.peer.0, stage.layers.len())).collect()
    }

    #[test]
    fn layers_follow_speed_and_memory() {
        const BIG: u64 = 1 << 30;
        type Row = (u16, &'static [(u64, u32)], &'static [(u128, u16)], &'static str);
        let rows: [Row; 11] = [
            (8, &[(BIG, 1_000)], &[(1, 8)], "alone"),
            (8, &[(BIG, 1_000), (BIG, 1_000)], &[(1, 4), (2, 4)], "two equal tabs halve it"),
            (8, &[(BIG, 1_400), (BIG, 1_000)], &[(1, 4), (2, 4)], "noise below a factor of √2 does not skew"),
            (
                8,
                &[(BIG, 400), (BIG, 20)],
                &[(1, 4), (2, 4)],
                "where messages cost more than layers, nobody is faster",
            ),
            (9, &[(BIG, 2_000), (BIG, 1_000)], &[(1, 3), (2, 6)], "half as fast, half as much"),
            (8, &[(BIG, 90_000), (BIG, 1_000)], &[(2, 8)], "too slow to help: left out"),
            (8, &[(BIG, 90_000), (750, 1_000)], &[(1, 1), (2, 7)], "slow, but its memory is needed"),
            (8, &[(350, 1_000), (BIG, 1_000)], &[(2, 5), (1, 3)], "memory bounds a share, ends included"),
            (8, &[(BIG, 1), (BIG, 1), (BIG, 1)], &[(1, 3), (3, 3), (2, 2)], "three share 3 + 3 + 2"),
            (
                3,
                &[(400, 90_000), (240, 1), (240, 1)],
                &[(1, 1), (3, 1), (2, 1)],
                "slow, but the others hold no end",
            ),
            (
                9,
                &[(BIG, 1); 9],
                &[(1, 2), (3, 1), (4, 1), (5, 1), (6, 1), (7, 1), (8, 1), (2, 1)],
                "eight at most",
            ),
        ];
        for (layers, peers, want, why) in rows {
            assert_eq!(shares(&plan(&model(layers), &room(peers))), want, "{why}");
        }
    }

    #[test]
    fn stages_cover_the_model_whatever_the_room() {
        let mut dice = 1_u64;
        let mut roll = |below: u64| {
            dice = dice.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (dice >> 33) % below
        };
        for _ in 0..500 {
            let peers: Vec<(u64, u32)> =
                (0..=roll(11)).map(|_| (roll(1_500), roll(100_000) as u32)).collect();
            let model = model(1 + roll(40) as u16);
            let plan = plan(&model, &room(&peers));
            let mut next = 0;
            for stage in &plan.stages {
                assert_eq!(stage.layers.start, next, "contiguous");
                assert!(!stage.layers.is_empty(), "no empty stage");
                let memory = peers[stage.peer.0 as usize - 1].0;
                assert!(stage_bytes(&model, stage.layers) <= memory, "fits");
                next = stage.layers.end;
            }
            assert!(plan.stages.is_empty() || next == model.layers, "complete");
            let whole = Layers { start: 0, end: model.layers };
            let alone = peers.iter().any(|(memory, _)| stage_bytes(&model, whole) <= *memory);
            assert!(!alone || next == model.layers, "what one peer alone can hold is planned");
        }
    }

    #[test]
    fn what_is_missing_is_said() {
        let mut big = model(30);
        (big.layer_bytes, big.ends_bytes) = (100_000_000, 100_000_000);
        let rows = [
            (room(&[]), "no device is ready to compute yet"),
            (
                room(&[(2_400_000_000, 1)]),
                "this model needs 3.1 GB, the room has 2.4 GB: open it on another device",
            ),
        ];
        for (candidates, why) in rows {
            assert_eq!(plan(&big, &candidates), Plan { stages: vec![], why: why.into() });
        }
    }

    #[test]
    fn peers_without_a_link_are_no_neighbours() {
        let mut candidates = room(&[(1 << 30, 1), (1 << 30, 1)]);
        candidates[1].sees.clear();
        assert_eq!(shares(&plan(&model(8), &candidates)), [(1, 8)]);
    }
}
