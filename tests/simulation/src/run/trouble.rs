//! The phase of faults: what kind of room it is, who comes, what is asked for, and what goes wrong.

use super::{Stats, Story, pictures};
use crate::dice::Dice;
use crate::world::faults::stranger;
use crate::world::{Fault, Spec, Weather, World};

/// Virtual milliseconds in which faults begin.
const FAULTS_MS: u64 = 25_000;
/// Peers of a crowd, which comes in one seed of `CROWDS`.
const CROWD: usize = 50;
/// A crowd's heartbeat costs as much time as a few hundred ordinary rooms.
const CROWDS: u64 = 500;

enum Trouble {
    Submit,
    Fault(Fault),
    CrowdComes,
    CrowdGoes,
}

/// See the module.
pub fn trouble(world: &mut World, dice: &mut Dice, stats: &mut Stats) {
    world.weather = weather(dice);
    let peers = if dice.chance(10) { dice.range(7, 12) } else { dice.range(1, 6) };
    for _ in 0..=peers {
        world.join(stranger(dice, world.weather.cramped));
        let apart = if dice.chance(50) { 50 } else { 1_500 };
        world.run_for(dice.range(0, apart));
    }
    let mut agenda = agenda(dice, stats);
    agenda.sort_by_key(|(at, _)| *at);
    for (at, trouble) in agenda {
        world.run_for(at.saturating_sub(world.now));
        if world.broken.is_some() {
            return;
        }
        happen(world, dice, trouble);
    }
    // Whoever sleeps for minutes wakes before all heals.
    let awake = if stats.faults.contains_key(&Fault::LongSleep) { 300_000 } else { 0 };
    world.run_for((FAULTS_MS + awake).saturating_sub(world.now));
}

/// Most rooms are calm in most ways.
fn weather(dice: &mut Dice) -> Weather {
    let mut sometimes = |percent: u64, value: u64| if dice.chance(percent) { value } else { 0 };
    Weather {
        load_failures: sometimes(15, 20),
        chunk_failures: sometimes(10, 50),
        repeated: sometimes(20, 300),
        echoed: sometimes(20, 300),
        cut_off: sometimes(15, 50),
        garbled: sometimes(15, 50),
        apart: sometimes(15, 25),
        cramped: sometimes(20, 1) > 0,
        clock_skew_permille: sometimes(40, 100),
    }
}

fn agenda(dice: &mut Dice, stats: &mut Stats) -> Vec<(u64, Trouble)> {
    let mut agenda = Vec::new();
    for _ in 0..dice.range(1, 6) {
        agenda.push((dice.range(1_000, FAULTS_MS), Trouble::Submit));
    }
    for _ in 0..dice.range(0, 9) {
        let fault = Fault::draw(dice);
        agenda.push((dice.range(1_000, FAULTS_MS), Trouble::Fault(fault)));
        *stats.faults.entry(fault).or_default() += 1;
    }
    if dice.range(0, CROWDS) == 0 {
        agenda.push((3_000, Trouble::CrowdComes));
        agenda.push((dice.range(6_000, 12_000), Trouble::CrowdGoes));
    }
    agenda
}

fn happen(world: &mut World, dice: &mut Dice, trouble: Trouble) {
    match trouble {
        Trouble::Submit => {
            let alive = world.alive();
            let wish = if dice.chance(30) { pictures(dice) } else { Story::draw(dice).command() };
            if let Some(author) = dice.pick(&alive) {
                world.command(author, wish);
            }
        }
        Trouble::Fault(fault) => world.suffer(fault),
        // The room stays within what it can hold: whoever finds it full stays outside for ever.
        Trouble::CrowdComes => {
            let room = coordinator::limits::PEERS.saturating_sub(world.alive().len() + 10);
            (0..room.min(CROWD)).for_each(|_| {
                world.join(Spec::TAB);
            });
        }
        Trouble::CrowdGoes => {
            let alive = world.alive();
            if let Some(first) = alive.len().checked_sub(CROWD) {
                let goes: Vec<_> = alive[first.div_ceil(2)..][..CROWD].to_vec();
                world.leave_together(&goes, (0, 300));
            }
        }
    }
}
