//! How much of a room's devices becomes tokens, with devices whose true speed is known.
//!
//! Everybody keeps a few stories open all the time; after a while of that, tokens are counted. Prompts are one token
//! long, so that nearly every row that a device runs is a token on a screen.

use crate::dice::Dice;
use crate::run::Story;
use crate::world::{Spec, World};
use coordinator::PeerId;

/// Layers of the model.
const LAYERS: u16 = 12;
/// Milliseconds of every message: one house.
const LATENCY_MS: u64 = 3;
/// Virtual milliseconds before counting begins.
const WARM_UP_MS: u64 = 30_000;
/// Virtual milliseconds of counting.
const COUNT_MS: u64 = 120_000;
/// Virtual milliseconds between two looks at who has fewer stories open than it wants.
const LOOK_MS: u64 = 10;

/// One room's figure.
#[derive(Clone, Debug, PartialEq)]
pub struct Figure {
    /// Which room.
    pub room: String,
    /// Tokens a second.
    pub measured: f64,
    /// What they are compared with, in tokens a second.
    pub against: f64,
    /// Share of the counted time for which its devices computed, 0 to 1, all together.
    pub busy: f64,
}

/// Tokens a second that one peer alone can write, were it never idle.
#[must_use]
pub fn alone(spec: Spec) -> f64 {
    1e6 / (spec.layer_micros * u64::from(LAYERS)) as f64
}

/// All rooms.
///
/// # Errors
/// The first room that broke.
pub fn all() -> Result<Vec<Figure>, String> {
    let mut figures = Vec::new();
    for peers in [1, 2, 4, 8] {
        figures.push(whole_jobs(peers)?);
    }
    for peers in [2, 4] {
        figures.push(pipeline(peers)?);
    }
    for stories in [1, 3] {
        figures.push(mixed_fleet(stories)?);
    }
    Ok(figures)
}

/// `peers` equal peers that each hold the whole model, and many stories: against `peers` peers that are never idle.
///
/// # Errors
/// If an invariant broke.
pub fn whole_jobs(peers: usize) -> Result<Figure, String> {
    let spec = Spec { layer_micros: 1_000, ..Spec::TAB };
    let (measured, busy, _) = load(&vec![spec; peers], 3)?;
    let room = format!("{peers} peers that each hold the model, {} stories open", 3 * peers);
    Ok(Figure { room, measured, against: peers as f64 * alone(spec), busy })
}

/// `peers` equal peers that hold the model together only, and many stories: against its slowest stage.
///
/// # Errors
/// If an invariant broke.
pub fn pipeline(peers: usize) -> Result<Figure, String> {
    // Its layers, and room for the embedding or the head.
    let memory = (u64::from(LAYERS) / peers as u64 + 1) << 20;
    let spec = Spec { layer_micros: 4_000, memory, ..Spec::TAB };
    let (measured, busy, most_layers) = load(&vec![spec; peers], 3)?;
    let against = 1e6 / (spec.layer_micros * u64::from(most_layers)) as f64;
    let room = format!("{peers} peers that hold the model together only, {} stories open", 3 * peers);
    Ok(Figure { room, measured, against, busy })
}

/// A fast GPU, two slow CPUs and a phone, everyone with `stories` stories open: against what the GPU writes alone with as
/// many open.
///
/// # Errors
/// If an invariant broke.
pub fn mixed_fleet(stories: usize) -> Result<Figure, String> {
    let gpu = Spec { layer_micros: 500, ..Spec::TAB };
    let cpu = Spec { layer_micros: 4_000, ..Spec::TAB };
    let phone = Spec { layer_micros: 8_000, memory: 6 << 20, ..Spec::TAB };
    let (measured, busy, _) = load(&[gpu, cpu, cpu, phone], stories)?;
    let (against, ..) = load(&[gpu], 4 * stories)?;
    let room = format!("a GPU, two slow CPUs, a phone, {} stories open, against the GPU alone", 4 * stories);
    Ok(Figure { room, measured, against, busy })
}

/// Tokens a second, share of time busy, and the layers of the largest stage.
fn load(specs: &[Spec], stories: usize) -> Result<(f64, f64, u16), String> {
    let mut world = World::new(1, LAYERS).in_one_house(LATENCY_MS);
    let peers: Vec<PeerId> = specs.iter().map(|&spec| world.join(spec)).collect();
    let mut dice = Dice::new(1);
    world.run_for(WARM_UP_MS / 3);
    keep_writing(&mut world, stories, &mut dice, WARM_UP_MS * 2 / 3)?;
    let busy = |world: &World| peers.iter().map(|peer| world.peers[peer].device.busy_ms).sum::<u64>();
    let (from, before) = (world.now, busy(&world));
    keep_writing(&mut world, stories, &mut dice, COUNT_MS)?;
    let share = (busy(&world) - before) as f64 / (COUNT_MS * specs.len() as u64) as f64;
    let view = &world.peers[&peers[0]].witness.room;
    let teams = view.models.iter().flat_map(|plan| &plan.teams);
    let stages = teams.flat_map(|team| &team.stages);
    let most_layers = stages.map(|stage| stage.layers.len()).max().ok_or("no plan")?;
    Ok((tokens_since(&world, from) as f64 * 1e3 / COUNT_MS as f64, share, most_layers))
}

/// Keeps so many stories of everybody open.
fn keep_writing(world: &mut World, stories: usize, dice: &mut Dice, ms: u64) -> Result<(), String> {
    for _ in 0..ms / LOOK_MS {
        for peer in world.alive() {
            let jobs = &world.peers[&peer].witness.jobs;
            let open = jobs.iter().filter(|(job, seen)| job.requester == peer && seen.end.is_none()).count();
            for _ in open..stories {
                world.command(peer, Story::new(1, 200, dice).command());
            }
        }
        world.run_for(LOOK_MS);
        if let Some(broken) = &world.broken {
            return Err(broken.clone());
        }
    }
    Ok(())
}

/// Tokens that came since then, each on its asker's screen.
fn tokens_since(world: &World, from: u64) -> usize {
    let own = world.peers.iter().flat_map(|(id, peer)| {
        peer.witness.jobs.iter().filter(|(job, _)| job.requester == *id).map(|(_, seen)| &seen.came)
    });
    own.map(|came| came.iter().filter(|&&at| at >= from).count()).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_peer_alone_is_nearly_never_idle() {
        let figure = whole_jobs(1).expect("one peer is a room");
        let ratio = figure.measured / figure.against;
        assert!((0.95..=1.0).contains(&ratio), "{figure:?}");
        assert!((ratio - figure.busy).abs() < 0.03, "what it computes is what is written: {figure:?}");
    }
}
