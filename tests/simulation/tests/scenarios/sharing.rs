//! Whole jobs for whole peers, and jobs that move in mid-story.

use super::{
    ADA, BO, CY, LAYERS, SLOW, leader, must_come_to_rest, plan, running_on, write, write_long, written,
};
use coordinator::io::{Spread, Vitals};
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
    let job = write_long(&mut world, ADA);
    world.run_for(9_000);
    assert_eq!(running_on(&world, ADA, job), [ADA], "it begins where it can");
    let before = written(&world, ADA, job);
    assert!((5..100).contains(&before), "it is under way, at token {before}");
    world.join_as(BO, Spec::TAB);
    world.run_for(10_000);
    assert_eq!(running_on(&world, ADA, job), [BO], "it moved");
    must_come_to_rest(&mut world);
    assert!(
        written(&world, BO, job) > before,
        "the newcomer saw all of it, and it is what one peer alone writes"
    );
}

/// Ada's device is the faster one, and writes Bo's story when its battery runs low.
fn low_battery() -> (World, JobId) {
    let [fast, slower] = [20_000, 25_000].map(|layer_micros| Spec { layer_micros, ..Spec::TAB });
    let mut world = house(&[(ADA, fast), (BO, slower)]);
    let job = write_long(&mut world, BO);
    world.run_for(5_000);
    assert_eq!(running_on(&world, BO, job), [ADA], "on the faster device");
    let low = Vitals { battery_percent: Some(10), ..Vitals::default() };
    world.command(ADA, Command::Vitals(low));
    (world, job)
}

#[test]
fn a_low_battery_gets_no_new_work() {
    let (mut world, _) = low_battery();
    world.run_for(1_000);
    let next = write(&mut world, BO, 10);
    world.run_for(4_000);
    assert_eq!(running_on(&world, BO, next), [BO]);
    must_come_to_rest(&mut world);
}

#[test]
fn a_low_battery_hands_its_work_on() {
    let (mut world, job) = low_battery();
    world.run_for(15_000);
    assert!(world.peers[&BO].witness.jobs[&job].end.is_none(), "it is not written yet");
    assert_eq!(running_on(&world, BO, job), [BO], "what ran moves away");
    must_come_to_rest(&mut world);
}

/// Ada chooses while it is alone and leads for the time being; Bo, of the higher id, comes and leads.
#[test]
fn what_was_chosen_alone_stays_when_a_newcomer_leads() {
    let mut world = World::new(1, LAYERS).in_one_house(3);
    world.join_as(ADA, SLOW);
    world.run_for(1_500);
    world.command(ADA, Command::Spread(Spread::Everyone));
    world.join_as(BO, SLOW);
    world.run_for(12_000);
    assert_eq!(leader(&world, ADA), Some(BO));
    all_share(&world, &[ADA, BO]);
    must_come_to_rest(&mut world);
}

/// The leader dies at the very moment at which somebody chooses.
#[test]
fn what_was_chosen_outlives_the_leader_that_never_heard_of_it() {
    let mut world = house(&[(ADA, SLOW), (BO, SLOW), (CY, SLOW)]);
    let lost = leader(&world, BO).expect("somebody leads");
    world.leave(lost, (8_000, 20_000));
    let left = world.alive();
    world.command(left[0], Command::Spread(Spread::Everyone));
    world.run_for(12_000);
    all_share(&world, &left);
    must_come_to_rest(&mut world);
}

fn all_share(world: &World, peers: &[PeerId]) {
    for &peer in peers {
        assert_eq!(world.peers[&peer].witness.room.spread, Spread::Everyone, "{peer} knows what was chosen");
        assert_eq!(plan(world, peer).len(), peers.len(), "{peer} knows that all take a part");
    }
}
