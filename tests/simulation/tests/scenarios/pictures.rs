//! Pictures: one each, one by halves, and what a loss costs.

use super::{ADA, BO, CY, LAYERS, leader, must_come_to_rest, running_on};
use coordinator::io::{End, PictureWork, Shape, Work};
use coordinator::{Command, JobId, PeerId, limits};
use simulation::toy;
use simulation::world::{Spec, World};

const DEE: PeerId = PeerId(4 << 100);
/// A tenth of a second for a branch of a step.
const PAINTER: Spec = Spec { step_micros: 100_000, ..Spec::TAB };
pub const STEPS: u16 = 30;

fn studio(peers: &[PeerId]) -> World {
    let mut world = World::new(1, LAYERS).in_one_house(2);
    for &peer in peers {
        world.join_as(peer, PAINTER);
        world.run_for(3_000);
    }
    world.run_for(6_000);
    world
}

/// Asks for guided pictures of 30 steps and 4 tiles.
pub fn paint(world: &mut World, author: PeerId, count: u16) -> JobId {
    ask_for(world, author, Shape { count, steps: STEPS, guided: true, tiles: 4, stale: false })
}

pub fn ask_for(world: &mut World, author: PeerId, shape: Shape) -> JobId {
    let work = Work::Picture(PictureWork { shape, settings: vec![u8::from(shape.guided), 7] });
    world.command(author, Command::Submit { model: None, text: "A ship".into(), work });
    let jobs = &world.peers[&author].witness.jobs;
    *jobs.keys().rfind(|job| job.requester == author).expect("the job appears at once")
}

/// Milliseconds for which each has computed so far.
fn busy(world: &World, peers: &[PeerId]) -> Vec<u64> {
    peers.iter().map(|peer| world.peers[peer].device.busy_ms).collect()
}

/// Waits until it has ended, for at most a minute; milliseconds.
pub fn wait(world: &mut World, author: PeerId, job: JobId) -> u64 {
    let since = world.now;
    while world.peers[&author].witness.jobs[&job].end.is_none() && world.now < since + 60_000 {
        world.run_for(20);
    }
    assert_eq!(world.peers[&author].witness.jobs[&job].end, Some(End::Finished));
    world.now - since
}

#[test]
fn four_pictures_on_four_peers() {
    let everyone = [ADA, BO, CY, DEE];
    let mut world = studio(&everyone);
    let before = busy(&world, &everyone);
    let job = paint(&mut world, ADA, 4);
    let ms = wait(&mut world, ADA, job);
    // A picture takes 30 steps of two branches, an encoding and a decoding: 6.2 s.
    assert!(ms < 8_000, "as long as one picture: {ms} ms");
    for (before, after) in before.iter().zip(busy(&world, &everyone)) {
        assert!((6_000..8_000).contains(&(after - before)), "each device paints one");
    }
    must_come_to_rest(&mut world);
}

#[test]
fn one_picture_by_halves_on_two_peers() {
    let mut world = studio(&[ADA, BO]);
    let before = busy(&world, &[ADA, BO]);
    let job = paint(&mut world, ADA, 1);
    let ms = wait(&mut world, ADA, job);
    assert!(ms < 4_500, "not much longer than half of 6.2 s: {ms} ms");
    for (before, after) in before.iter().zip(busy(&world, &[ADA, BO])) {
        assert!(after - before > 3_000, "a branch of every step runs on each device");
    }
    must_come_to_rest(&mut world);
}

/// Who goes while Ada's device and Bo's paint Cy's picture, led by Ada; Cy has no painter.
fn lost_in_mid_picture(goes: PeerId) {
    let mut world = World::new(1, LAYERS).in_one_house(2);
    for (peer, spec) in [(ADA, PAINTER), (BO, PAINTER), (CY, Spec { step_micros: 0, ..PAINTER })] {
        world.join_as(peer, spec);
        world.run_for(6_000);
    }
    world.run_for(6_000);
    assert_eq!(leader(&world, CY), Some(ADA));
    let job = paint(&mut world, CY, 1);
    world.run_for(2_000);
    assert_eq!(running_on(&world, CY, job).len(), 2, "both paint it");
    let stays = if goes == ADA { BO } else { ADA };
    let before = world.peers[&stays].device.busy_ms;
    world.leave(goes, (0, 100));
    wait(&mut world, CY, job);
    // What is left of it alone: two branches a step, an encoding, a decoding.
    let alone_ms = (2 * u64::from(STEPS) + 1 + 1) * 100;
    let ran_ms = world.peers[&stays].device.busy_ms - before;
    // Two seconds by halves are at least fifteen steps; up to two checkpoints' worth may run again.
    let again_ms = 2 * 2 * u64::from(limits::CHECKPOINT_STEPS) * 100;
    let kept_ms = 2 * 15 * 100;
    assert!(ran_ms <= alone_ms - kept_ms + again_ms, "it goes on from the checkpoint: {ran_ms} ms");
    must_come_to_rest(&mut world);
}

#[test]
fn a_worker_lost_in_mid_picture_costs_no_more_than_its_checkpoint() {
    lost_in_mid_picture(BO);
}

#[test]
fn a_coordinator_lost_in_mid_picture_costs_no_more_than_its_checkpoint() {
    lost_in_mid_picture(ADA);
}

/// Whoever makes numbers that are none is found by whoever gets them, and the picture is painted without it.
#[test]
fn a_painter_of_nonsense_is_left_out() {
    let rows = [
        (BO, true, 0, "the second half, from the start"),
        (BO, true, 2_000, "the second half, after some checkpoints"),
        (ADA, true, 0, "the first, that encodes"),
        (ADA, true, 2_000, "the first, that joins"),
        (ADA, false, 1_000, "the only one: its latents are the keeper's by then, and no good to anybody"),
    ];
    for (spoilt, guided, after_ms, why) in rows {
        let mut world = World::new(1, LAYERS).in_one_house(2);
        for (peer, spec) in [(ADA, PAINTER), (BO, PAINTER), (CY, Spec { step_micros: 0, ..PAINTER })] {
            world.join_as(peer, spec);
            world.run_for(6_000);
        }
        world.run_for(6_000);
        let job = ask_for(&mut world, CY, Shape { count: 1, steps: STEPS, guided, tiles: 4, stale: false });
        world.run_for(after_ms);
        world.spoil_device(spoilt, 60_000);
        let before = world.peers[&spoilt].device.busy_ms;
        let ms = wait(&mut world, CY, job);
        assert!(ms < 12_000, "{why}: hardly longer than one peer alone, 6.2 s: {ms} ms");
        let wasted = world.peers[&spoilt].device.busy_ms - before;
        assert!(wasted < 2_500, "{why}: it is asked again now and then, not all the time: {wasted} ms");
        world.heal();
        must_come_to_rest(&mut world);
    }
}

/// In bands, two of them without guidance: what bands are to paint, and after a loss the rest alone.
#[test]
fn a_picture_in_bands_if_its_asker_allows_it() {
    let shape = Shape { count: 1, steps: STEPS, guided: false, tiles: 4, stale: true };
    let tiles = |world: &World, job| -> Vec<Vec<u8>> {
        world.peers[&ADA].witness.jobs[&job].tiles.values().cloned().collect()
    };
    for stale in [true, false] {
        let mut world = studio(&[ADA, BO]);
        let job = ask_for(&mut world, ADA, Shape { stale, ..shape });
        let ms = wait(&mut world, ADA, job);
        let Work::Picture(work) = world.peers[&ADA].witness.jobs[&job].job.work.clone() else {
            panic!("it is a picture")
        };
        let (want, most_ms) = if stale {
            (toy::picture::stale(&work, 0, 2), 2_000)
        } else {
            (toy::picture::solo(&work, 0), 3_300)
        };
        assert_eq!(tiles(&world, job), want, "stale {stale}");
        assert!(ms < most_ms, "3.2 s alone, and not much more than half in bands: {ms} ms");
        must_come_to_rest(&mut world);
    }
    let mut world = studio(&[ADA, BO]);
    let job = ask_for(&mut world, ADA, shape);
    world.run_for(1_000);
    assert_eq!(running_on(&world, ADA, job).len(), 2);
    world.leave(BO, (0, 100));
    wait(&mut world, ADA, job);
    must_come_to_rest(&mut world);
}
