//! A painter that no device can hold: its blocks on several.

use super::pictures::{STEPS, ask_for, wait};
use super::{ADA, BO, CY, LAYERS, must_come_to_rest, running_on};
use coordinator::io::{JobState, Shape, Stage};
use coordinator::planner::{self, Link, Links, PictureShape, Room, Worker};
use coordinator::{Command, JobId, PeerId, limits};
use simulation::toy::picture::LAYERS as BLOCKS;
use simulation::world::{Spec, World};

const DEE: PeerId = PeerId(4 << 100);
const EVE: PeerId = PeerId(5 << 100);
/// Milliseconds of every message.
const LATENCY_MS: u64 = 5;
/// Milliseconds of a pass of the whole denoiser.
const PASS_MS: u64 = 240;

/// A painter of this many blocks at an end, which has the encoder or the decoder too, and writes nothing.
const fn part(blocks: u64) -> Spec {
    Spec { step_micros: PASS_MS * 1_000, memory: (blocks + 1) << 20, ..Spec::TAB }
}

/// Peers with these blocks each, of which none computes text; the first leads.
fn studio(specs: &[(PeerId, Spec)]) -> World {
    let mut world = World::new(1, LAYERS).in_one_house(LATENCY_MS);
    for &(peer, spec) in specs {
        world.join_as(peer, spec);
        world.run_for(3_000);
    }
    world.run_for(8_000);
    world
}

const fn shape(guided: bool) -> Shape {
    Shape { count: 1, steps: STEPS, guided, tiles: 2, stale: false }
}

/// Blocks of each stage that works for a job, as its author sees it.
fn stages(world: &World, author: PeerId, job: JobId) -> Vec<u16> {
    match &world.peers[&author].witness.jobs[&job].state {
        Some(JobState::Running(stages)) => stages.iter().map(|stage| stage.layers.len()).collect(),
        other => panic!("it runs: {other:?}"),
    }
}

#[test]
fn a_picture_over_four_stages_is_what_one_peer_paints() {
    for guided in [true, false] {
        let mut world = studio(&[(ADA, part(1)), (BO, part(1)), (CY, part(1)), (DEE, part(1))]);
        // Until somebody asks for a picture, the model that writes has their memory.
        let job = ask_for(&mut world, ADA, shape(guided));
        world.run_for(1_500);
        let plans = &world.peers[&ADA].witness.room.models;
        let why = plans.iter().find(|plan| plan.model == world.painter.id).map(|plan| plan.why.clone());
        let said = why.as_ref().is_some_and(|why| why.contains("4 devices hold a part of the painter each"));
        assert!(said, "{why:?}");
        let blocks = stages(&world, ADA, job);
        assert_eq!((blocks.len(), blocks.iter().sum::<u16>()), (4, BLOCKS), "{blocks:?}");
        wait(&mut world, ADA, job);
        must_come_to_rest(&mut world);
    }
}

/// Who goes while three of four peers paint Ada's picture, who has no part in it; any three can hold the painter.
#[test]
fn a_stage_lost_half_way_costs_no_more_than_its_checkpoint() {
    for (place, why) in
        [(0, "the first stage, that encodes and joins"), (1, "one in the middle"), (2, "the last")]
    {
        let none = Spec { step_micros: 0, ..Spec::TAB };
        let mut world = studio(&[(ADA, none), (BO, part(2)), (CY, part(2)), (DEE, part(2)), (EVE, part(2))]);
        let busy = |world: &World| world.peers.values().map(|peer| peer.device.busy_ms).sum::<u64>();
        let before = busy(&world);
        let job = ask_for(&mut world, ADA, shape(true));
        world.run_for(7_000);
        let crew = running_on(&world, ADA, job);
        assert_eq!(crew.len(), 3, "{why}: the fewest that hold it");
        world.leave(crew[place], (0, 100));
        wait(&mut world, ADA, job);
        // Two branches a step, an encoding, a decoding; whatever the stages, a pass is a pass. The steps since the last
        // checkpoint, the one that was at work among them, and the encoding are done again.
        let once_ms = u64::from(STEPS) * 2 * PASS_MS + 2 * PASS_MS;
        let again_ms = u64::from(limits::CHECKPOINT_STEPS) * 2 * PASS_MS + PASS_MS;
        let ran_ms = busy(&world) - before;
        assert!(ran_ms > once_ms, "{why}: something was lost, or this shows nothing: {ran_ms} ms");
        assert!(ran_ms <= once_ms + again_ms, "{why}: it goes on from the checkpoint: {ran_ms} ms");
        must_come_to_rest(&mut world);
    }
}

#[test]
fn pictures_through_stages_come_as_fast_as_predicted() {
    let rows: [(&[u64], bool, u16); 4] =
        [(&[3, 3], true, 1), (&[3, 3], false, 2), (&[2, 2, 2], true, 1), (&[2, 2, 2], true, 2)];
    for (memory, guided, count) in rows {
        let table = [ADA, BO, CY];
        let specs: Vec<(PeerId, Spec)> =
            table.into_iter().zip(memory).map(|(peer, &blocks)| (peer, part(blocks))).collect();
        let mut world = studio(&specs);
        let job = ask_for(&mut world, ADA, Shape { count, ..shape(guided) });
        let ms = wait(&mut world, ADA, job);
        let plan = &world.peers[&ADA].witness.room.models;
        let plan = plan.iter().find(|plan| plan.model == world.painter.id).expect("a plan");
        let ring: Vec<Stage> = plan.teams[0].stages.clone();
        let workers: Vec<Worker> =
            super::predictions::workers(&specs.iter().map(|(_, spec)| *spec).collect::<Vec<_>>());
        let link = Link { round_trip_ms: 2 * LATENCY_MS as u32, bytes_per_ms: u32::MAX };
        let links: Links = table
            .into_iter()
            .map(|one| (one, table.into_iter().map(|other| (other, link)).collect()))
            .collect();
        let room = Room { model: &world.painter, workers: &workers, links: &links, hidden_bytes: 8 };
        let Shape { steps, tiles, .. } = shape(guided);
        let picture = PictureShape {
            steps,
            guided,
            tiles,
            stale: false,
            everyone: false,
            latent_bytes: 8,
            context_bytes: 0,
        };
        let got = planner::predict_blocks(&room, &picture, &ring, count.into()).expect("all are there");
        let all = got.between_micros as f64 / 1e3 * f64::from(count);
        let ratio = ms as f64 / all;
        let what = format!("{memory:?}, guided {guided}, {count} at once");
        assert!((0.9..=1.1).contains(&ratio), "{what}: {ms} ms, predicted {all:.0}");
    }
}

#[test]
fn who_comes_with_enough_memory_paints_alone() {
    let mut world = studio(&[(ADA, part(3)), (BO, part(3))]);
    let first = ask_for(&mut world, ADA, shape(true));
    world.run_for(3_000);
    assert_eq!(running_on(&world, ADA, first).len(), 2);
    world.join_as(CY, Spec { step_micros: PASS_MS * 1_000, ..Spec::TAB });
    world.run_for(8_000);
    let second = ask_for(&mut world, ADA, shape(true));
    world.run_for(1_000);
    assert_eq!(running_on(&world, ADA, second), [CY]);
    for job in [first, second] {
        wait(&mut world, ADA, job);
    }
    world.command(CY, Command::Share(false));
    must_come_to_rest(&mut world);
}
