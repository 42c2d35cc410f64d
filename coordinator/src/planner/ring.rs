//! The best split of a model over several devices: which, in which order, with how many layers each.
//!
//! All subsets are too many, so a few good cliques are tried: the largest devices among the fastest 2, 4, 8 … that
//! all see each other, near ones first. A room of one kind of device gives the same clique many times; a mixed one
//! gives each sensible compromise between speed, memory and distance once.

use super::predict::lap;
use super::share::{room_for, seat};
use super::{Room, Seat, Worker, clearly_faster};
use crate::ids::PeerId;
use crate::io::ModelSpec;
use crate::limits;
use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

/// Cliques are grown from so many of the largest devices. Source: guess; more than one for meshes with gaps.
const ANCHORS: usize = 3;
/// Stages beyond the fewest that fit which are tried, in case faster and smaller devices more than make up for them.
/// Source: guess.
const MORE_STAGES: usize = 2;
/// Devices that are looked at to grow a clique, before all are. Source: guess; eight that see each other are found
/// among them if no more than a third of the links is missing.
const LOOKED_AT: usize = 64;
/// Milliseconds of round trip within which devices are near. Source: guess; one country on wired links.
const NEAR_MS: u32 = 40;

/// A split and what one token takes on it.
#[derive(Clone, Debug)]
pub struct Ring<'a> {
    /// In the order of the layers.
    pub seats: Vec<Seat<'a>>,
    /// Microseconds.
    pub lap: u64,
}

/// Devices to form rings from, the largest first, each with its rank by speed (0 is the fastest).
#[derive(Clone, Debug)]
pub struct Pool<'a>(Vec<(&'a Worker, usize)>);

impl<'a> Pool<'a> {
    /// Those of `workers` that can hold a layer at all.
    pub fn new(room: &Room<'a>, workers: impl Iterator<Item = &'a Worker>) -> Self {
        let mut fast: Vec<&Worker> =
            workers.filter(|worker| room_for(room.model, worker.memory, false) > 0).collect();
        fast.sort_by_key(|worker| (worker.speed.layer_micros, worker.id));
        let mut pool: Vec<(&Worker, usize)> =
            fast.into_iter().enumerate().map(|(rank, worker)| (worker, rank)).collect();
        pool.sort_by_key(|(worker, rank)| (Reverse(worker.memory), *rank));
        Self(pool)
    }

    /// Takes the members of a ring out.
    pub fn remove(&mut self, ring: &Ring<'_>) {
        self.0.retain(|(worker, _)| !ring.seats.iter().any(|seat| seat.worker.id == worker.id));
        let mut ranks: Vec<usize> = self.0.iter().map(|(_, rank)| *rank).collect();
        ranks.sort_unstable();
        for (_, rank) in &mut self.0 {
            *rank = ranks.partition_point(|other| other < rank);
        }
    }

    /// Different groups of devices that all see each other, each with its largest first; a group's first k are a
    /// sensible ring of k.
    fn cliques(&self, room: &Room<'_>, looked_at: usize) -> Vec<Vec<&'a Worker>> {
        let mut seen: BTreeSet<Vec<PeerId>> = BTreeSet::new();
        let mut cliques = Vec::new();
        let mut fastest = 2;
        loop {
            let among: Vec<&Worker> = self
                .0
                .iter()
                .filter(|(_, rank)| *rank < fastest)
                .map(|(worker, _)| *worker)
                .take(looked_at)
                .collect();
            for anchor in among.iter().take(ANCHORS) {
                for within_ms in [NEAR_MS, u32::MAX] {
                    let clique = grow(room, anchor, within_ms, &among);
                    if seen.insert(clique.iter().map(|worker| worker.id).collect()) {
                        cliques.push(clique);
                    }
                }
            }
            if fastest >= self.0.len() {
                return cliques;
            }
            fastest *= 2;
        }
    }
}

/// `anchor` and those of `among` that it and all others taken see, within this round trip.
fn grow<'a>(room: &Room<'_>, anchor: &'a Worker, within_ms: u32, among: &[&'a Worker]) -> Vec<&'a Worker> {
    let mut clique = vec![anchor];
    for worker in among.iter().filter(|worker| worker.id != anchor.id) {
        if clique.len() == limits::STAGES {
            break;
        }
        let near = |other: &&Worker| {
            worker.is_linked(other)
                && (within_ms == u32::MAX
                    || room.links.between(worker.id, other.id).round_trip_ms <= within_ms)
        };
        if clique.iter().all(near) {
            clique.push(worker);
        }
    }
    clique.sort_by_key(|worker| (Reverse(worker.memory), worker.id));
    clique
}

/// The best ring of two or more of `pool`: the fewest stages that hold the model, or more if that is clearly faster.
pub fn best<'a>(room: &Room<'a>, pool: &Pool<'a>) -> Option<Ring<'a>> {
    [LOOKED_AT, usize::MAX].into_iter().find_map(|looked_at| best_of(room, &pool.cliques(room, looked_at)))
}

fn best_of<'a>(room: &Room<'a>, cliques: &[Vec<&'a Worker>]) -> Option<Ring<'a>> {
    let fewest = cliques.iter().filter_map(|clique| fewest_stages(room.model, clique)).min()?;
    let mut best: Option<Ring<'a>> = None;
    for stages in fewest..=(fewest + MORE_STAGES).min(limits::STAGES) {
        let groups: BTreeMap<Vec<PeerId>, &[&Worker]> = cliques
            .iter()
            .filter_map(|clique| clique.get(..stages))
            .map(|group| (group.iter().map(|worker| worker.id).collect(), group))
            .collect();
        let rings = groups.values().filter_map(|group| settle(room, with_good_ends(room.model, group)));
        let Some(ring) = rings.min_by_key(|ring| ring.lap) else { continue };
        if best.as_ref().is_none_or(|best| clearly_faster(ring.lap, best.lap)) {
            best = Some(ring);
        }
    }
    best.map(|ring| shorten(room, ring))
}

/// How many of a clique's largest hold the model together.
fn fewest_stages(model: &ModelSpec, clique: &[&Worker]) -> Option<usize> {
    (2..=clique.len()).find(|&count| {
        let order = with_good_ends(model, &clique[..count]);
        let room = |(at, worker): (usize, &&Worker)| {
            u64::from(room_for(model, worker.memory, at == 0 || at + 1 == count))
        };
        let rooms = order.iter().enumerate().map(room);
        count <= model.layers.into() && rooms.sum::<u64>() >= model.layers.into()
    })
}

/// First and last, where the embedding and the head are, come the two that lose the fewest layers to them.
fn with_good_ends<'a>(model: &ModelSpec, largest_first: &[&'a Worker]) -> Vec<&'a Worker> {
    let loss = |worker: &Worker| {
        let at_end = room_for(model, worker.memory, true);
        (at_end == 0, room_for(model, worker.memory, false) - at_end)
    };
    let mut order = largest_first.to_vec();
    order.sort_by_cached_key(|worker| (loss(worker), Reverse(worker.memory), worker.id));
    if order.len() > 2 {
        let last = order.remove(1);
        order.push(last);
    }
    order
}

fn settle<'a>(room: &Room<'a>, order: Vec<&'a Worker>) -> Option<Ring<'a>> {
    let seats = seat(room.model, &order)?;
    let (lap, _) = lap(room, &seats);
    Some(Ring { seats, lap })
}

/// The same devices in the order with the shortest lap that is found: the way past the nearest neighbours, from each
/// device on, in both directions.
fn shorten<'a>(room: &Room<'a>, ring: Ring<'a>) -> Ring<'a> {
    let mut tour = tour(room, ring.seats.iter().map(|seat| seat.worker).collect());
    let mut best = ring;
    for _ in 0..2 {
        for _ in 0..tour.len() {
            tour.rotate_left(1);
            if let Some(other) = settle(room, tour.clone()).filter(|other| other.lap < best.lap) {
                best = other;
            }
        }
        tour.reverse();
    }
    best
}

/// A short closed way: to the nearest that is left each time, then mended by turning stretches of it around for as
/// long as that helps. Source: Croes, A method for solving traveling-salesman problems (1958), "2-opt".
fn tour<'a>(room: &Room<'_>, mut members: Vec<&'a Worker>) -> Vec<&'a Worker> {
    let delay =
        |one: &Worker, other: &Worker| room.links.between(one.id, other.id).one_way_micros(room.hidden_bytes);
    for at in 1..members.len() {
        let nearest = (at..members.len()).min_by_key(|&next| delay(members[at - 1], members[next]));
        members.swap(at, nearest.unwrap_or(at));
    }
    let count = members.len();
    let better = |tour: &[&Worker], from: usize, to: usize| {
        let (before, after) = (tour[from - 1], tour[(to + 1) % count]);
        let old = delay(before, tour[from]).saturating_add(delay(tour[to], after));
        delay(before, tour[to]).saturating_add(delay(tour[from], after)) < old
    };
    // Each turn shortens the way, so this ends; the bound is for sums that saturate.
    for _ in 0..count * count {
        let pairs = (1..count).flat_map(|from| (from + 1..count).map(move |to| (from, to)));
        match pairs.into_iter().find(|&(from, to)| better(&members, from, to)) {
            Some((from, to)) => members[from..=to].reverse(),
            None => break,
        }
    }
    members
}
