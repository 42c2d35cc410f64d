//! A rush: more is asked for than the room can write, by people of whom one has worked for all, and one for nobody.

use super::Story;
use crate::dice::Dice;
use crate::invariants::no_starvation;
use crate::world::{Spec, World};
use coordinator::{Command, PeerId};

/// Virtual seconds of it.
const RUSH_S: u64 = 240;
/// Stories that may begin before one that was asked for earlier. A story takes 2 to 4 s; whoever has one tier more may
/// overtake for 30 s, with the credit of this room at most two, and those who ask for four at once have four turns.
const OVERTAKES: usize = 40;
/// Layers of its model.
const LAYERS: u16 = 8;

/// Runs one.
///
/// # Errors
/// The invariant that broke.
pub fn rush(world: &mut World, dice: &mut Dice) -> Result<(), String> {
    // The first leads, and computes nothing, so that whoever works for it has credit in its eyes.
    let asker = world.join(Spec::TAB);
    world.run_for(1);
    world.command(asker, Command::Share(false));
    world.run_for(8_000);
    let worker = world.join(Spec { layer_micros: dice.range(3_000, 5_000), ..Spec::TAB });
    let modest = world.join(Spec::TAB);
    world.command(modest, Command::Share(false));
    world.run_for(8_000);
    for second in 0..RUSH_S {
        // The asker's stories make the worker's credit; then the worker wants the room for itself.
        let greedy = if second < RUSH_S / 4 { asker } else { worker };
        keep_asking(world, greedy, dice);
        if second >= RUSH_S / 4 && second % 20 == 0 {
            ask(world, modest, dice);
        }
        world.run_for(1_000);
        if let Some(broken) = &world.broken {
            return Err(broken.clone());
        }
    }
    let screens: Vec<_> = world.peers.iter().map(|(&id, peer)| (id, &peer.witness)).collect();
    no_starvation::check(&no_starvation::waits(&screens), OVERTAKES)
}

/// A model for it.
pub fn world(dice: &mut Dice) -> World {
    World::new(dice.next(), LAYERS).in_one_house(3)
}

fn keep_asking(world: &mut World, peer: PeerId, dice: &mut Dice) {
    let jobs = world.peers[&peer].witness.jobs.iter();
    let open = jobs.filter(|(job, seen)| job.requester == peer && seen.end.is_none()).count();
    (open..4).for_each(|_| ask(world, peer, dice));
}

fn ask(world: &mut World, peer: PeerId, dice: &mut Dice) {
    world.command(peer, Story::new(5, 100, dice).command());
}
