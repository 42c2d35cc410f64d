//! One seed, one run: a phase of faults, then everything heals, must come to rest, and works.

use crate::dice::Dice;
use crate::invariants::credit::{self, Work};
use crate::invariants::{caches_freed, jobs_end, one_coordinator, progress, tokens_gapless_and_solo};
use crate::witness::Witness;
use crate::world::{Fault, Spec, World};
use coordinator::{JobId, PeerId};
use std::collections::BTreeMap;
use std::fmt;

mod rush;
mod story;
mod trouble;

pub use story::{Story, pictures};

/// Virtual milliseconds after the phase of faults in which everything must have come to rest.
const REST_MS: u64 = 240_000;
/// Virtual milliseconds in which a story of a healed room must be written. A ring of 8 stages, all links of half a
/// second, needs 4 s a token, for 10 tokens; as long again for a plan that fails, and is made anew.
const PROGRESS_MS: u64 = 90_000;

/// The same after no faults: nothing that was to be closed may wait until it is forgotten.
const CALM_REST_MS: u64 = 30_000;
/// One seed in so many is a rush.
const RUSHES: u64 = 60;

/// What a run did, so that one can see that it did something.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Peers that ever were there.
    pub peers: usize,
    /// Jobs that survivors know.
    pub jobs: usize,
    /// Tokens on the survivors' screens.
    pub tokens: usize,
    /// Faults injected.
    pub faults: BTreeMap<Fault, usize>,
    /// Epochs: the highest term reached.
    pub terms: u64,
    /// Messages dropped, with a named reason.
    pub dropped: u32,
    /// Virtual milliseconds.
    pub ms: u64,
}

/// An invariant that broke.
#[derive(Clone, Debug)]
pub struct Failure {
    /// The seed that shows it.
    pub seed: u64,
    /// When, in virtual milliseconds.
    pub ms: u64,
    /// What broke.
    pub what: String,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "seed {} at {} ms: {}", self.seed, self.ms, self.what)
    }
}

/// Runs one seed.
///
/// # Errors
/// The first invariant that broke.
pub fn run_seed(seed: u64, trace: bool) -> Result<Stats, Failure> {
    let mut dice = Dice::new(seed);
    let layers = dice.range(2, 13) as u16;
    let mut world = World::new(dice.next(), layers);
    let mut stats = Stats::default();
    let rushes = dice.range(0, RUSHES) == 0;
    if rushes {
        world = rush::world(&mut dice);
    }
    world.trace = trace;
    let phases =
        if rushes { rush::rush(&mut world, &mut dice) } else { phases(&mut world, &mut dice, &mut stats) };
    phases.map_err(|what| Failure { seed, ms: world.now, what })?;
    count(&world, &mut stats);
    Ok(stats)
}

fn phases(world: &mut World, dice: &mut Dice, stats: &mut Stats) -> Result<(), String> {
    trouble::trouble(world, dice, stats);
    let flaky = world.weather.chunk_failures > 0 || stats.faults.contains_key(&Fault::Nonsense);
    world.heal();
    // A room may have been left without anybody, or without enough memory: somebody opens the link again.
    world.join(Spec::TAB);
    come_to_rest(world, flaky, REST_MS)?;
    make_progress(world, dice)?;
    come_to_rest(world, flaky, CALM_REST_MS)?;
    honest_credit(world)?;
    let layers = world.model.layers;
    world.peers.values().try_for_each(|peer| tokens_gapless_and_solo::check(layers, &peer.witness))
}

/// Until nothing is left to do, for three seconds.
fn come_to_rest(world: &mut World, failures_allowed: bool, rest_ms: u64) -> Result<(), String> {
    let until = world.now + rest_ms;
    let mut quiet = 0;
    while quiet < 3 {
        world.run_for(1_000);
        if let Some(broken) = &world.broken {
            return Err(broken.clone());
        }
        let verdict = at_rest(world, failures_allowed);
        quiet = if verdict.is_ok() { quiet + 1 } else { 0 };
        if world.now >= until {
            return verdict;
        }
    }
    Ok(())
}

fn at_rest(world: &World, failures_allowed: bool) -> Result<(), String> {
    let alive = world.alive();
    let epochs: Vec<_> = alive.iter().map(|id| (*id, world.peers[id].node.epoch())).collect();
    one_coordinator::check(&epochs)?;
    let screens: Vec<(PeerId, &Witness)> = alive.iter().map(|id| (*id, &world.peers[id].witness)).collect();
    jobs_end::check(&screens, failures_allowed)?;
    alive.iter().try_for_each(|id| {
        let peer = &world.peers[id];
        let freed = caches_freed::check(&peer.node.sizes(), peer.device.caches(), peer.device.chunks());
        freed.map_err(|what| format!("{id}: {what}"))
    })
}

/// What everybody who does not lie thinks of the others' work.
fn honest_credit(world: &World) -> Result<(), String> {
    let work = world
        .peers
        .iter()
        .map(|(&id, peer)| (id, Work { done: peer.done, forges: peer.spec.forges }))
        .collect();
    let honest = world.peers.iter().filter(|(_, peer)| peer.alive && !peer.spec.forges);
    honest.into_iter().try_for_each(|(id, peer)| {
        let shown = peer.witness.room.peers.iter().map(|view| (view.id, view.credit));
        credit::check(shown, &work).map_err(|what| format!("in the eyes of {id}: {what}"))
    })
}

/// Somebody asks for a short story; it must be written in time.
fn make_progress(world: &mut World, dice: &mut Dice) -> Result<(), String> {
    let Some(author) = dice.pick(&world.alive()) else {
        return Err("nobody is there, though somebody came last".into());
    };
    let asked = world.now;
    let before = newest_of(world, author);
    world.command(author, Story::new(20, 10, dice).command());
    loop {
        world.run_for(500);
        if let Some(broken) = &world.broken {
            return Err(broken.clone());
        }
        let job = newest_of(world, author).filter(|job| Some(*job) > before);
        let end = job.and_then(|job| world.peers[&author].witness.jobs[&job].end.as_ref());
        progress::check(author, end, world.now - asked, PROGRESS_MS)?;
        if end.is_some() {
            return Ok(());
        }
    }
}

fn newest_of(world: &World, author: PeerId) -> Option<JobId> {
    world.peers[&author].witness.jobs.keys().rfind(|job| job.requester == author).copied()
}

fn count(world: &World, stats: &mut Stats) {
    stats.peers = world.peers.len();
    stats.ms = world.now;
    for id in world.alive() {
        let peer = &world.peers[&id];
        stats.jobs = stats.jobs.max(peer.witness.jobs.len());
        stats.tokens += peer.witness.jobs.values().map(|seen| seen.tokens.len()).sum::<usize>();
        stats.terms = stats.terms.max(peer.epoch.map_or(0, |epoch| epoch.term));
        stats.dropped += peer.witness.dropped.values().sum::<u32>();
    }
}
