//! Whole jobs for whole peers, and jobs that move in mid-story.

use super::{ADA, BO, CY, LAYERS, SLOW, must_come_to_rest, running_on, write, written};
use coordinator::io::Vitals;
use coordinator::{Command, JobId, PeerId};
use simulation::world::{Spec, World};
use std::collections::BTreeSet;

/// A room in one house of peers that can each hold the whole model.
fn house(specs: &[(PeerId, Spec)]) -> World {
    let mut world = World::new(1, LAYERS).in_one_house(3);
    for &(peer, spec) in specs {
        world.join_as(peer, spec);
        world.run_for(3_000);
    }
    world.run_for(6_000);
    world
}

#[test]
fn three_whole_peers_write_three_stories_at_once() {
    let mut world = house(&[(ADA, SLOW), (BO, SLOW), (CY, SLOW)]);
    let jobs: Vec<JobId> = [ADA, BO, CY].map(|author| write(&mut world, author, 60)).to_vec();
    world.run_for(2_500);
    let places: BTreeSet<PeerId> = jobs.iter().flat_map(|&job| running_on(&world, ADA, job)).collect();
    assert_eq!(places, BTreeSet::from([ADA, BO, CY]), "each on a device of its own");
    for &job in &jobs {
        assert!(written(&world, job.requester, job) > 10, "all of them get on: {job:?}");
    }
    must_come_to_rest(&mut world);
}

/// The only device is slow; a fast one comes in mid-story, and the rest of the story is written there.
#[test]
fn a_slow_peers_story_moves_to_a_faster_one_in_mid_story() {
    let slow = Spec { layer_micros: 30_000, ..Spec::TAB };
    let mut world = house(&[(ADA, slow)]);
    let job = write(&mut world, ADA, 200);
    world.run_for(9_000);
    assert_eq!(running_on(&world, ADA, job), [ADA], "it begins where it can");
    let before = written(&world, ADA, job);
    assert!((5..100).contains(&before), "it is under way, at token {before}");
    world.join_as(BO, Spec::TAB);
    world.run_for(10_000);
    assert_eq!(running_on(&world, ADA, job), [BO], "it moved");
    must_come_to_rest(&mut world);
    assert!(written(&world, BO, job) > before, "the newcomer saw all of it, and it is what one peer alone writes");
}

#[test]
fn a_low_battery_hands_its_work_on() {
    let fast = Spec { layer_micros: 4_000, ..Spec::TAB };
    let mut world = house(&[(ADA, fast), (BO, SLOW)]);
    let job = write(&mut world, BO, 200);
    world.run_for(2_000);
    assert_eq!(running_on(&world, BO, job), [ADA], "on the faster device");
    let before = written(&world, BO, job);
    let low = Vitals { battery_percent: Some(10), ..Vitals::default() };
    world.command(ADA, Command::Vitals(low));
    world.run_for(20_000);
    let after = written(&world, BO, job);
    assert!(after > before + 20, "it goes on: {before} tokens, then {after}");
    assert_ne!(running_on(&world, BO, job), [ADA], "and not on a battery that runs out");
    must_come_to_rest(&mut world);
}
