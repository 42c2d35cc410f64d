//! Which teams a room forms for text: replicas, and rings of those that are too small alone.

use super::predict::predict;
use super::ring::{self, Pool, Ring};
use super::share::whole_bytes;
use super::{Room, Seat, TextPrediction, Worker, clearly_faster, everyone, words};
use crate::ids::{Layers, PeerId};
use crate::io::Stage;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// Bytes of a model that every able device may hold, wanted or not. Source: guess; some seconds of download at home.
pub const CHEAP_BYTES: u64 = 64_000_000;
/// A team that takes this many times as long for a token as the best is left out. Source: guess; a person would
/// rather wait for two answers of a faster one.
const SLOWER_BY: u64 = 8;
/// Most rings of one room. Source: a ring of four stages keeps four jobs going, so these serve all that a room may have
/// open; it also bounds the time for a plan, see the benchmark.
const RINGS: usize = 16;
/// Tokens of the prompt for which a team's first token is predicted. Source: guess; a question of three lines.
pub(super) const PROMPT_TOKENS: u32 = 64;

/// What people want of a split.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Spread {
    /// Split only what does not fit on one device, or is clearly faster split.
    #[default]
    Measured,
    /// Every device that helps takes a part of one ring.
    Everyone,
}

/// Devices that answer a job together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Team {
    /// In the order of the layers; one stage for a device that answers alone.
    pub stages: Vec<Stage>,
    /// What it does with one job.
    pub prediction: TextPrediction,
}

/// The teams of a room.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Teams {
    /// The fastest first; no peer is in two unless its memory holds both. Empty if the room cannot hold the model.
    pub teams: Vec<Team>,
    /// Why, in plain words.
    pub why: String,
}

/// What is decided before it is put into stages and words.
#[derive(Debug, Default)]
pub(super) struct Choice<'a> {
    /// A split that beats the best single device.
    pub race: Option<Ring<'a>>,
    pub replicas: Vec<&'a Worker>,
    /// Splits over those that are too small alone.
    pub rings: Vec<Ring<'a>>,
}

/// The teams for `jobs` text jobs that are open now.
#[must_use]
pub fn teams(room: &Room<'_>, jobs: usize, spread: Spread) -> Teams {
    if let Some(why) = words::impossible(room) {
        return Teams { teams: Vec::new(), why };
    }
    if spread == Spread::Everyone
        && let Some(seats) = everyone::ring(room)
    {
        let why = words::everyone(room, &seats);
        return Teams { teams: vec![team(room, &seats)], why };
    }
    let choice = choose(room, jobs.max(1));
    let why = words::why(room, &choice);
    let whole = |worker| vec![Seat { worker, layers: room.model.layers }];
    let rings = choice.race.into_iter().chain(choice.rings).map(|ring| ring.seats);
    let mut teams: Vec<Team> =
        rings.chain(choice.replicas.into_iter().map(whole)).map(|seats| team(room, &seats)).collect();
    teams.sort_by_key(|team| (team.prediction.token_micros, team.stages.len()));
    Teams { teams, why }
}

fn choose<'a>(room: &Room<'a>, jobs: usize) -> Choice<'a> {
    let bytes = whole_bytes(room.model);
    let mut able: Vec<(u64, &Worker)> = room
        .workers
        .iter()
        .filter(|worker| worker.memory >= bytes)
        .map(|worker| (alone(room, worker), worker))
        .collect();
    able.sort_by_key(|(micros, worker)| (*micros, !holds_all(room, worker), worker.id));
    let race = able.first().and_then(|(best, _)| race(room, *best));
    let wanted = if bytes <= CHEAP_BYTES { usize::MAX } else { jobs.saturating_add(1) };
    let open = wanted.saturating_sub(usize::from(race.is_some()));
    let best = race.as_ref().map(|ring| ring.lap).or(able.first().map(|(micros, _)| *micros));
    let replicas: Vec<&Worker> = able
        .iter()
        .filter(|(micros, worker)| is_worth_it(*micros, best) && !is_busy(room, race.as_ref(), worker))
        .enumerate()
        .filter(|(at, (_, worker))| *at < open || holds_all(room, worker))
        .map(|(_, (_, worker))| *worker)
        .collect();
    let rings = small_rings(room, race.as_ref(), best, open.saturating_sub(replicas.len()));
    Choice { race, replicas, rings }
}

/// Splits over those that cannot hold the model alone, until `wanted` are found.
pub(super) fn small_rings<'a>(
    room: &Room<'a>,
    race: Option<&Ring<'a>>,
    mut best: Option<u64>,
    wanted: usize,
) -> Vec<Ring<'a>> {
    let bytes = whole_bytes(room.model);
    let small = |worker: &&Worker| worker.memory < bytes && !is_busy(room, race, worker);
    let mut pool = Pool::new(room, room.workers.iter().filter(small));
    let mut rings = Vec::new();
    while rings.len() < wanted.min(RINGS)
        && let Some(ring) = ring::best(room, &pool)
        && is_worth_it(ring.lap, best)
    {
        best = best.or(Some(ring.lap));
        pool.remove(&ring);
        rings.push(ring);
    }
    rings
}

/// A split that is clearly faster than the best single device, which takes `alone` microseconds for a token. Only one
/// over devices whose layers are faster, but whose memory is too small, can be.
fn race<'a>(room: &Room<'a>, alone: u64) -> Option<Ring<'a>> {
    let layer = |worker: &Worker| u64::from(worker.speed.layer_micros.max(1));
    let whole = |worker: &Worker| layer(worker) * u64::from(room.model.layers);
    if !room.workers.iter().any(|worker| clearly_faster(whole(worker), alone)) {
        return None;
    }
    let ring = ring::best(room, &Pool::new(room, room.workers.iter()))?;
    clearly_faster(ring.lap, alone).then_some(ring)
}

fn is_worth_it(micros: u64, best: Option<u64>) -> bool {
    best.is_none_or(|best| micros <= best.saturating_mul(SLOWER_BY))
}

/// Whether `worker` is in `ring` and cannot hold the whole model beside its part of it.
fn is_busy(room: &Room<'_>, ring: Option<&Ring<'_>>, worker: &Worker) -> bool {
    let at = ring
        .and_then(|ring| ring.seats.iter().position(|seat| seat.worker.id == worker.id).map(|at| (ring, at)));
    at.is_some_and(|(ring, at)| {
        let part = super::stage_bytes(room.model, stages(&ring.seats)[at].layers);
        part.saturating_add(whole_bytes(room.model)) > worker.memory
    })
}

fn holds_all(room: &Room<'_>, worker: &Worker) -> bool {
    worker.held.contains(&Layers { start: 0, end: room.model.layers })
}

/// Microseconds for one token if `worker` holds everything.
fn alone(room: &Room<'_>, worker: &Worker) -> u64 {
    super::predict::lap(room, &[Seat { worker, layers: room.model.layers }]).0
}

pub(super) fn team(room: &Room<'_>, seats: &[Seat<'_>]) -> Team {
    Team { stages: stages(seats), prediction: predict(room, seats, PROMPT_TOKENS, 1) }
}

pub(super) fn stages(seats: &[Seat<'_>]) -> Vec<Stage> {
    let mut start = 0;
    let stage = |seat: &Seat<'_>| {
        let layers = Layers { start, end: start + seat.layers };
        start = layers.end;
        Stage { peer: seat.worker.id, layers }
    };
    seats.iter().map(stage).collect()
}

impl Teams {
    /// Peers that are in a team.
    #[must_use]
    pub fn members(&self) -> BTreeSet<PeerId> {
        self.teams.iter().flat_map(|team| &team.stages).map(|stage| stage.peer).collect()
    }

    /// Tokens a second of the whole room with enough jobs to keep every team busy.
    #[must_use]
    pub fn most_tokens_per_second(&self) -> f64 {
        self.teams.iter().map(|team| 1e6 / team.prediction.slowest_micros.max(1) as f64).sum()
    }
}
