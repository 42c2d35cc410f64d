//! How long a story stands still when somebody goes in the middle of it.
//!
//! The room: four to six peers, all over the world or in one house, none of which can hold the whole model, though any three can. One
//! of them asks for a story; in its middle, the coordinator (or a peer that runs a part of it) goes, in one of two
//! ways. What is measured is the longest time without a new token on the asker's screen, from the kill to the story's
//! end. That is never less than the time to the next token, which a token already on its way would flatter.

use super::Spread;
use crate::dice::Dice;
use crate::invariants::tokens_gapless_and_solo;
use crate::network::Distance;
use crate::run::Story;
use crate::toy;
use crate::world::{Spec, World};
use coordinator::io::{End, JobState};
use coordinator::{JobId, PeerId};
use std::fmt;
use std::ops::Range;

/// How far apart the peers are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Where {
    /// Every link has its own latency, up to 300 ms; one in five has up to 200 ms of jitter.
    World,
    /// Every link has up to 60 ms, and up to 15 ms of jitter.
    Region,
    /// Three milliseconds to everyone.
    House,
}

/// Who goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lost {
    /// A peer that runs a part of the story, and neither leads nor asked for it.
    Worker,
    /// The peer that leads.
    Coordinator,
}

/// How it goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum How {
    /// The others' channels close within 300 ms.
    Closed,
    /// It is silent; their channels close after 5 to 30 s.
    Crashed,
}

/// All kinds of loss.
pub const KINDS: [(Lost, How); 4] = [
    (Lost::Worker, How::Closed),
    (Lost::Worker, How::Crashed),
    (Lost::Coordinator, How::Closed),
    (Lost::Coordinator, How::Crashed),
];

/// Virtual milliseconds for a room to get ready.
const READY_MS: u64 = 15_000;
/// Virtual milliseconds in which a story must be written, whoever goes.
const STORY_MS: u64 = 300_000;

/// Milliseconds of silence, over one kill per seed.
///
/// # Errors
/// Names the seed whose story did not go on, or was another one.
pub fn recovery(place: Where, lost: Lost, how: How, seeds: Range<u64>) -> Result<Spread, String> {
    let mut silences = Vec::new();
    for seed in seeds {
        let silence = kill(place, lost, how, seed);
        silences.extend(silence.map_err(|what| format!("{place}: {lost} {how}, seed {seed}: {what}"))?);
    }
    Spread::of(silences).ok_or_else(|| "no seeds".into())
}

/// One kill: milliseconds of the longest silence after it; None if nobody but the asker and the leader runs a part.
///
/// # Errors
/// Says why there was nothing to measure, or how the story differs from what one peer alone writes.
pub fn kill(place: Where, lost: Lost, how: How, seed: u64) -> Result<Option<u64>, String> {
    let mut dice = Dice::new(seed);
    let mut world = room(place, &mut dice);
    let leader = leader(&world).ok_or("nobody leads")?;
    let others: Vec<PeerId> = world.alive().into_iter().filter(|&peer| peer != leader).collect();
    let asker = dice.pick(&others).ok_or("nobody asks")?;
    let story = long_story(&mut dice, world.model.layers);
    let at = story.1 * dice.range(20, 70) as usize / 100;
    world.command(asker, story.0.command());
    let job = JobId { requester: asker, serial: 1 };
    wait(&mut world, |world| written(world, asker, job) >= at)?;
    let gone = match lost {
        Lost::Coordinator => leader,
        Lost::Worker => match worker(&world, asker, leader, job) {
            Some(worker) => worker,
            // The asker and the leader run it together.
            None => return Ok(None),
        },
    };
    let killed = world.now;
    world.leave(gone, if how == How::Closed { (0, 300) } else { (5_000, 30_000) });
    wait(&mut world, |world| {
        let everyone = world.alive();
        everyone
            .iter()
            .all(|peer| world.peers[peer].witness.jobs.get(&job).is_some_and(|seen| seen.end.is_some()))
    })?;
    identical(&world, asker, job)?;
    Ok(Some(longest_silence(&world.peers[&asker].witness.jobs[&job].came, killed)))
}

/// Four to six peers, of which any three can hold the model.
fn room(place: Where, dice: &mut Dice) -> World {
    let layers = dice.range(8, 13);
    let mut world = World::new(dice.next(), layers as u16);
    world = world.with_distance(match place {
        Where::World => Distance::World,
        Where::Region => Distance::Region,
        Where::House => Distance::House(3),
    });
    for _ in 0..dice.range(4, 7) {
        // From a good GPU to a good CPU.
        let layer_micros = dice.range(200, 1_000);
        let memory = (layers.div_ceil(3) + dice.range(1, 3)) << 20;
        world.join(Spec { layer_micros, memory, ..Spec::TAB });
        world.run_for(dice.range(0, 2_000));
    }
    world.run_for(READY_MS);
    world
}

/// One of more than sixty tokens, and how many it has.
fn long_story(dice: &mut Dice, layers: u16) -> (Story, usize) {
    loop {
        let story = Story::new(dice.range(5, 100), 200, dice);
        let tokens = toy::solo(layers, &story.prompt, story.max_new, &story.sampling).0.len();
        if tokens > 60 {
            return (story, tokens);
        }
    }
}

fn wait(world: &mut World, done: impl Fn(&World) -> bool) -> Result<(), String> {
    let until = world.now + STORY_MS;
    while !done(world) {
        world.run_for(10);
        if let Some(broken) = &world.broken {
            return Err(broken.clone());
        }
        if world.now > until {
            return Err("the story does not go on".into());
        }
    }
    Ok(())
}

fn leader(world: &World) -> Option<PeerId> {
    let first = world.alive().first().copied()?;
    world.peers[&first].node.epoch().map(|epoch| epoch.leader)
}

fn worker(world: &World, asker: PeerId, leader: PeerId, job: JobId) -> Option<PeerId> {
    match &world.peers[&asker].witness.jobs.get(&job)?.state {
        Some(JobState::Running(stages)) => {
            stages.iter().map(|stage| stage.peer).find(|&peer| peer != asker && peer != leader)
        }
        _ => None,
    }
}

fn written(world: &World, peer: PeerId, job: JobId) -> usize {
    world.peers[&peer].witness.jobs.get(&job).map_or(0, |seen| seen.tokens.len())
}

/// Every survivor sees the whole story, as one peer alone writes it.
fn identical(world: &World, asker: PeerId, job: JobId) -> Result<(), String> {
    for id in world.alive() {
        tokens_gapless_and_solo::check(world.model.layers, &world.peers[&id].witness)?;
    }
    match &world.peers[&asker].witness.jobs[&job].end {
        Some(End::Finished | End::Length) => Ok(()),
        end => Err(format!("the story ended with {end:?}")),
    }
}

/// The longest time without a token from `since` on, given when each token came.
fn longest_silence(came: &[u64], since: u64) -> u64 {
    let before = came.iter().map(|&at| at.max(since));
    before.clone().skip(1).zip(before).map(|(next, last)| next - last).max().unwrap_or(0)
}

impl fmt::Display for Where {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::World => "all over the world",
            Self::Region => "one part of the world",
            Self::House => "one house",
        })
    }
}

impl fmt::Display for Lost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if *self == Self::Worker { "worker" } else { "coordinator" })
    }
}

impl fmt::Display for How {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if *self == Self::Closed { "channel closed" } else { "crashed" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn silence_counts_from_the_kill_on() {
        let rows: [(&[u64], u64, u64, &str); 4] = [
            (&[100, 200, 900, 1_000], 250, 650, "the gap in which it happened counts from the kill"),
            (&[100, 800, 900, 1_400], 850, 500, "what was slow before does not count"),
            (&[100, 110, 120, 3_120], 105, 3_000, "a token on its way does not end it"),
            (&[100, 200], 300, 0, "all was written before"),
        ];
        for (came, since, want, why) in rows {
            assert_eq!(longest_silence(came, since), want, "{why}");
        }
    }

    #[test]
    fn a_few_kills_of_each_kind() {
        for (lost, how) in KINDS {
            let spread = recovery(Where::World, lost, how, 1..6);
            assert!(spread.is_ok_and(|spread| spread.max > 0), "{lost} {how}");
        }
    }
}
