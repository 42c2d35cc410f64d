//! Rooms in which not everybody reaches everybody.

use super::{ADA, BO, CY, LAYERS, SLOW, leader, must_come_to_rest, write, written};
use coordinator::Command;
use simulation::world::{Spec, World};

/// Bo sees Ada and Cy, who never find each other. Only one of them computes, and the other's story is written over a
/// relay all the same.
#[test]
fn a_story_is_written_over_a_relay() {
    for (computes, author) in [(CY, ADA), (ADA, CY)] {
        let mut world = World::new(1, LAYERS).in_one_house(5);
        world.keep_apart(ADA, CY);
        for peer in [BO, ADA, CY] {
            world.join_as(peer, SLOW);
            world.run_for(2_000);
            world.command(peer, Command::Share(peer == computes));
        }
        world.run_for(12_000);
        let job = write(&mut world, author, 30);
        world.run_for(15_000);
        assert!(world.peers[&author].witness.jobs[&job].end.is_some(), "{computes} writes it for {author}");
        must_come_to_rest(&mut world);
    }
}

/// Ada leads, lives, and drops whatever is asked of it.
#[test]
fn a_leader_of_no_use_is_replaced() {
    let mut world = World::new(1, LAYERS);
    for peer in [ADA, BO, CY] {
        world.join_as(peer, Spec::TAB);
        world.run_for(6_000);
    }
    world.run_for(6_000);
    assert_eq!(leader(&world, BO), Some(ADA));
    world.drop_asks_of(ADA);
    let jobs = [BO, CY].map(|author| (author, write(&mut world, author, 20)));
    world.run_for(15_000);
    for (author, job) in jobs {
        assert_ne!(leader(&world, author), Some(ADA), "15 s later, {author}");
        assert!(written(&world, author, job) > 0, "and its story is on its way");
    }
    must_come_to_rest(&mut world);
}
