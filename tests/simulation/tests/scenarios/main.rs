//! Rooms that a person would recognise, each as a table: second, what happens, what must follow.

use coordinator::io::{End, JobState, Spread, TextWork, Work};
use coordinator::{Command, JobId, PeerId};
use simulation::invariants::{jobs_end, one_coordinator, tokens_gapless_and_solo};
use simulation::toy;
use simulation::world::{Spec, World};

mod blocks;
mod faults;
mod links;
mod pictures;
mod predictions;
mod sharing;

const LAYERS: u16 = 8;
const ADA: PeerId = PeerId(1 << 100);
const BO: PeerId = PeerId(2 << 100);
const CY: PeerId = PeerId(3 << 100);

/// Tokens of every prompt: a full pass and a part of one.
const PROMPT: u32 = 70;

/// A slow tab, so that a story takes some seconds.
const SLOW: Spec = Spec { layer_micros: 5_000, ..Spec::TAB };

fn room(peers: &[PeerId]) -> World {
    let mut world = World::new(1, LAYERS);
    for &peer in peers {
        world.join_as(peer, SLOW);
        world.run_for(6_000);
    }
    // These scenes are about split layers.
    world.command(peers[0], Command::Spread(Spread::Everyone));
    world.run_for(4_000);
    world
}

/// Asks for a story, and chooses a seed with which it gets as long as that.
fn write(world: &mut World, author: PeerId, max_new: u32) -> JobId {
    let prompt: Vec<u32> = (0..PROMPT).collect();
    let long = |seed: &u8| toy::solo(LAYERS, &prompt, max_new, &[*seed]).0.len() == max_new as usize;
    let sampling = vec![(0..=u8::MAX).find(long).expect("one of five stories gets to two hundred tokens")];
    let work = Work::Text(TextWork { prompt, max_new, sampling });
    world.command(author, Command::Submit { model: None, text: "Once".into(), work });
    let jobs = &world.peers[&author].witness.jobs;
    *jobs.keys().rfind(|job| job.requester == author).expect("the job appears at once")
}

/// Asks for a story of two hundred tokens.
fn write_long(world: &mut World, author: PeerId) -> JobId {
    write(world, author, 200)
}

/// Layers per stage, as `peer` sees the plan in force.
fn plan(world: &World, peer: PeerId) -> Vec<(PeerId, u16)> {
    let models = &world.peers[&peer].witness.room.models;
    let team = models.iter().find(|plan| plan.model == world.model.id).and_then(|plan| plan.teams.first());
    let stages = team.map(|team| team.stages.as_slice()).unwrap_or_default();
    stages.iter().map(|stage| (stage.peer, stage.layers.len())).collect()
}

fn leader(world: &World, peer: PeerId) -> Option<PeerId> {
    world.peers[&peer].witness.room.epoch.map(|epoch| epoch.leader)
}

fn written(world: &World, peer: PeerId, job: JobId) -> usize {
    world.peers[&peer].witness.jobs.get(&job).map_or(0, |seen| seen.tokens.len())
}

/// Everybody left sees every story whole, as one peer alone writes it, and follows one coordinator.
fn must_come_to_rest(world: &mut World) {
    world.run_for(60_000);
    assert_eq!(world.broken, None);
    let alive = world.alive();
    let epochs: Vec<_> = alive.iter().map(|id| (*id, world.peers[id].node.epoch())).collect();
    one_coordinator::check(&epochs).expect("one coordinator");
    let screens: Vec<_> = alive.iter().map(|id| (*id, &world.peers[id].witness)).collect();
    jobs_end::check(&screens, false).expect("every job ends");
    for peer in world.peers.values() {
        tokens_gapless_and_solo::check(LAYERS, &peer.witness).expect("what one peer alone writes");
    }
}

#[test]
fn a_second_tab_takes_half_the_layers() {
    let mut world = room(&[ADA]);
    assert_eq!((leader(&world, ADA), plan(&world, ADA)), (Some(ADA), vec![(ADA, 8)]), "alone");
    world.join_as(BO, SLOW);
    world.run_for(6_000);
    for peer in [ADA, BO] {
        assert_eq!(leader(&world, peer), Some(ADA), "the newcomer does not take over");
        assert_eq!(plan(&world, peer), [(ADA, 4), (BO, 4)], "as {peer} sees it");
    }
    let job = write(&mut world, BO, 30);
    world.run_for(4_000);
    assert!(written(&world, ADA, job) > 2, "the story streams to the other tab");
    must_come_to_rest(&mut world);
}

#[test]
fn a_newcomer_in_mid_story_waits_for_the_next() {
    let mut world = room(&[ADA]);
    let job = write_long(&mut world, ADA);
    world.run_for(6_000);
    world.join_as(BO, SLOW);
    world.run_for(1_500);
    let before = written(&world, ADA, job);
    assert!((1..200).contains(&before), "the story is under way");
    let running = world.peers[&ADA].witness.jobs[&job].state.clone();
    world.run_for(1_500);
    assert_eq!(world.peers[&ADA].witness.jobs[&job].state, running, "on the same stages");
    assert!(written(&world, BO, job) >= before, "and the newcomer sees all of it");
    must_come_to_rest(&mut world);
    assert_eq!(plan(&world, ADA), [(ADA, 4), (BO, 4)]);
}

/// Who goes in mid-story, of three of which Ada leads and `author` asked.
#[test]
fn whoever_leaves_the_story_goes_on() {
    let rows = [
        (ADA, CY, "a worker is lost"),
        (BO, ADA, "the coordinator is lost"),
        (ADA, ADA, "the requester, who coordinates, is lost"),
        (CY, CY, "the requester is lost"),
    ];
    for (author, goes, why) in rows {
        for (notice, how) in [((0, 200), "closed"), ((8_000, 20_000), "crashed")] {
            let mut world = room(&[ADA, BO, CY]);
            assert_eq!(leader(&world, CY), Some(ADA));
            assert_eq!(plan(&world, CY).len(), 3, "all three hold layers");
            let job = write(&mut world, author, 60);
            world.run_for(5_000);
            let before = written(&world, BO, job);
            assert!((2..60).contains(&before), "{why}: in mid-story, at token {before}");
            world.leave(goes, notice);
            world.run_for(if how == "closed" { 10_000 } else { 25_000 });
            assert!(written(&world, BO, job) > before, "{why}, {how}: the story goes on");
            must_come_to_rest(&mut world);
            assert_eq!(written(&world, BO, job), whole(&world, job), "{why}, {how}: to its end");
        }
    }
}

fn whole(world: &World, job: JobId) -> usize {
    let Work::Text(text) = &world.peers[&BO].witness.jobs[&job].job.work else { panic!("it is a story") };
    toy::solo(LAYERS, &text.prompt, text.max_new, &text.sampling).0.len()
}

#[test]
fn leader_meets_leader() {
    let mut world = World::new(2, LAYERS);
    for peer in [ADA, BO, CY] {
        world.join_as(peer, SLOW);
    }
    world.run_for(8_000);
    for (at, what) in [(0, "split"), (12_000, "met")] {
        world.run_for(at);
        match what {
            "split" => world.cut(ADA, CY, (0, 100)),
            _ => world.link(ADA, CY),
        }
        match what {
            "split" => world.cut(BO, CY, (0, 100)),
            _ => world.link(BO, CY),
        }
    }
    world.run_for(5_000);
    let leaders: Vec<_> = [ADA, BO, CY].map(|peer| world.peers[&peer].node.epoch()).to_vec();
    assert!(leaders.iter().all(|epoch| *epoch == leaders[0]), "one stepped down: {leaders:?}");
    assert!(leaders[0].is_some_and(|epoch| epoch.term >= 2), "and the split had elected another");
}

#[test]
fn an_owner_stops_its_story_everywhere() {
    let mut world = room(&[ADA, BO]);
    let job = write(&mut world, BO, 100);
    world.run_for(4_000);
    world.command(ADA, Command::Stop(job));
    world.run_for(500);
    assert_eq!(world.peers[&BO].witness.jobs[&job].end, None, "nobody else can");
    world.command(BO, Command::Stop(job));
    world.run_for(500);
    for peer in [ADA, BO] {
        assert_eq!(world.peers[&peer].witness.jobs[&job].end, Some(End::Stopped));
        assert_eq!(world.peers[&peer].device.caches(), 0, "and its caches are freed");
    }
}

#[test]
fn a_room_without_enough_memory_says_so_and_grows() {
    let small = Spec { memory: 5 << 20, ..Spec::TAB };
    let mut world = World::new(3, LAYERS);
    world.join_as(ADA, small);
    world.run_for(5_000);
    let job = write(&mut world, ADA, 5);
    world.run_for(2_000);
    let state = world.peers[&ADA].witness.jobs[&job].state.clone();
    let said =
        matches!(&state, Some(JobState::Waiting(why)) if why.contains("needs 10 MB, the room has 6 MB"));
    assert!(said, "{state:?}");
    world.join_as(BO, small);
    must_come_to_rest(&mut world);
    assert_eq!(plan(&world, ADA), [(ADA, 4), (BO, 4)]);
}

#[test]
fn a_lost_device_is_no_lost_story() {
    let mut world = room(&[ADA, BO]);
    let job = write(&mut world, ADA, 60);
    world.run_for(4_000);
    world.lose_device(BO, 3_000);
    world.run_for(6_000);
    assert!(!world.peers[&BO].witness.notices.is_empty(), "its person is told");
    assert!(written(&world, ADA, job) > 0);
    must_come_to_rest(&mut world);
    assert_eq!(plan(&world, ADA), [(ADA, 4), (BO, 4)], "and it takes its half again");
}

/// Who runs a job, as `peer` sees it.
fn running_on(world: &World, peer: PeerId, job: JobId) -> Vec<PeerId> {
    match &world.peers[&peer].witness.jobs[&job].state {
        Some(JobState::Running(stages)) => stages.iter().map(|stage| stage.peer).collect(),
        other => panic!("it runs: {other:?}"),
    }
}
