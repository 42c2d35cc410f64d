//! Rooms under one kind of fault each, so that a fault of the random rooms can be looked at alone.

use super::{ADA, BO, CY, LAYERS, leader, must_come_to_rest, room, write, written};
use coordinator::{JobId, PeerId};
use simulation::dice::Dice;
use simulation::invariants::no_starvation;
use simulation::run::Story;
use simulation::world::{Spec, Weather, World};

/// A story of forty tokens, in a room of three to which `trouble` happens at its fifth second.
fn story_in(trouble: impl Fn(&mut World)) -> (World, JobId) {
    let mut world = room(&[ADA, BO, CY]);
    let job = write(&mut world, ADA, 40);
    world.run_for(5_000);
    assert!((2..40).contains(&written(&world, ADA, job)), "the story is under way");
    trouble(&mut world);
    (world, job)
}

#[test]
fn a_flood_slows_nobody_else_down() {
    let (mut calm, job) = story_in(|_| ());
    let (mut flooded, same) = story_in(|world| world.flood(CY, BO, 5_000));
    for world in [&mut calm, &mut flooded] {
        world.run_for(4_000);
    }
    let (calm, flooded) = (written(&calm, ADA, job), written(&flooded, ADA, same));
    assert!(flooded + 2 >= calm, "{flooded} tokens under a flood, {calm} without");
}

#[test]
fn what_a_flood_leaves_behind_is_cleared_away() {
    let (mut world, _) = story_in(|world| world.flood(CY, BO, 5_000));
    must_come_to_rest(&mut world);
}

#[test]
fn a_link_that_works_one_way_stops_no_story() {
    for (from, to) in [(ADA, BO), (BO, ADA), (BO, CY), (CY, BO)] {
        let (mut world, job) = story_in(|world| world.silence(from, to, true));
        let before = written(&world, ADA, job);
        // Whoever hears nothing may take a second lease before it notices.
        world.run_for(45_000);
        assert!(written(&world, ADA, job) > before, "{from} does not reach {to}: the story goes on");
        world.silence(from, to, false);
        must_come_to_rest(&mut world);
    }
}

/// The link between two stages opens and closes every second; whoever is left writes on.
#[test]
fn a_flapping_link_stops_no_story() {
    let (mut world, job) = story_in(|_| ());
    let before = written(&world, ADA, job);
    for _ in 0..15 {
        world.cut(BO, CY, (0, 200));
        world.run_for(1_000);
        world.link(BO, CY);
        world.run_for(1_000);
    }
    assert!(written(&world, ADA, job) > before, "the story goes on");
    must_come_to_rest(&mut world);
}

/// Ada sees Bo, Bo sees Cy, and Ada and Cy never find each other: both have their stories written.
#[test]
fn a_partial_mesh_writes_too() {
    let mut world = World::new(1, LAYERS);
    world.keep_apart(ADA, CY);
    for peer in [BO, ADA, CY] {
        world.join_as(peer, Spec::TAB);
        world.run_for(3_000);
    }
    world.run_for(10_000);
    for peer in [ADA, BO, CY] {
        assert_eq!(leader(&world, peer), Some(BO), "{peer} follows the one that all see");
    }
    for author in [ADA, CY] {
        let job = write(&mut world, author, 20);
        world.run_for(20_000);
        assert!(world.peers[&author].witness.jobs[&job].end.is_some(), "{author}'s story is written");
    }
    world.heal();
    must_come_to_rest(&mut world);
}

#[test]
fn fifty_leave_at_once() {
    let mut world = room(&[ADA]);
    let crowd: Vec<PeerId> = (0..50).map(|_| world.join(Spec::TAB)).collect();
    world.run_for(5_000);
    let job = write(&mut world, ADA, 60);
    world.run_for(500);
    world.leave_together(&crowd, (0, 300));
    must_come_to_rest(&mut world);
    assert_eq!(leader(&world, ADA), Some(ADA));
    assert!(written(&world, ADA, job) > 0);
}

/// A fast and a slow clock are no reason to believe that somebody is gone.
#[test]
fn clocks_that_run_apart_elect_nobody() {
    let mut world = World::new(1, LAYERS);
    world.weather = Weather { clock_skew_permille: 100, ..Weather::default() };
    for peer in [ADA, BO, CY] {
        world.join_as(peer, Spec::TAB);
    }
    world.run_for(20_000);
    let epoch = world.peers[&ADA].node.epoch();
    world.run_for(600_000);
    for peer in [ADA, BO, CY] {
        assert_eq!(world.peers[&peer].node.epoch(), epoch, "ten minutes later, {peer}");
    }
    must_come_to_rest(&mut world);
}

/// Three people want more than the room can write; the fourth asks now and then.
#[test]
fn nobody_starves() {
    let mut world = World::new(1, LAYERS).in_one_house(3);
    let greedy: Vec<PeerId> = (0..3).map(|_| world.join(Spec::TAB)).collect();
    let modest = world.join(Spec::TAB);
    world.run_for(10_000);
    let mut dice = Dice::new(1);
    for second in 0..120 {
        greedy.iter().for_each(|&peer| {
            // What is too much is refused.
            (0..4).for_each(|_| world.command(peer, Story::new(5, 100, &mut dice).command()));
        });
        if second % 10 == 0 {
            world.command(modest, Story::new(5, 100, &mut dice).command());
        }
        world.run_for(1_000);
    }
    let screens: Vec<_> = world.peers.iter().map(|(&id, peer)| (id, &peer.witness)).collect();
    let waits = no_starvation::waits(&screens);
    assert!(waits.iter().filter(|wait| wait.began_ms.is_some()).count() > 100, "the room was busy");
    // Each of the others may be served once before it, and again while it is on its way.
    no_starvation::check(&waits, 8).expect("everybody's turn comes");
}
