//! What does not fit is not taken, and what fits is bounded.

use crate::room::{ALL, EPOCH, EVE, LEASE, ME, MODEL, PAINTER, Room, offer};
use crate::{ask, bos_job, dropped, open};
use coordinator::io::{Job, Kind, PictureWork, Shape, Stage, Work};
use coordinator::wire::{
    self, Ask, Demand, Hidden, Message, ModelPlan, Report, RoomPlan, Running, Story, Team, Whole, WireError,
};
use coordinator::{Input, JobId, Lease, PeerId, limits};

const EVES: JobId = JobId { requester: EVE, serial: 1 };

fn painting(count: u16, steps: u16, tiles: u16) -> Message {
    let shape = Shape { count, steps, guided: true, tiles, stale: false };
    let work = Work::Picture(PictureWork { shape, settings: vec![] });
    let job = Job { id: EVES, model: PAINTER, work, ..bos_job(1) };
    Message::Whole(Box::new(Whole { job, tokens: vec![], end: None, keeper: EVE }))
}

fn asking(shape: Shape) -> Message {
    Message::Ask(Box::new(Ask { model: PAINTER, demand: Demand::Picture(shape), ..ask(EVES) }))
}

#[test]
fn numbers_that_mean_nothing_are_named() {
    let shape = Shape { count: 1, steps: 1, guided: false, tiles: 1, stale: false };
    let rows = [
        (painting(0, 8, 2), "the picture's size", "no picture at all"),
        (painting(1, 0, 2), "the picture's size", "without a step"),
        (painting(1, 8, 0), "the picture's size", "without a tile"),
        (painting(65, 8, 2), "the pictures asked for", "more than there are bits for"),
        (painting(1, 1_001, 2), "the steps", "more steps than any schedule"),
        (painting(1, 8, 65), "the tiles", "more tiles than there are bits for"),
        (asking(Shape { tiles: 0, ..shape }), "the picture's size", "the same in an ask"),
        (asking(Shape { count: u16::MAX, ..shape }), "the pictures asked for", "and there"),
        (
            Message::Story(Story { job: EVES, from: u32::MAX, tokens: vec![1], end: None, state: None }),
            "the answer",
            "a story from the end of all numbers",
        ),
        (
            Message::Hidden(Hidden { job: EVES, lease: LEASE, position: u32::MAX, rows: 64, bytes: vec![] }),
            "the position",
            "and its hidden states",
        ),
    ];
    for (message, name, why) in rows {
        let error = wire::decode(&wire::encode(&message)).err();
        assert!(matches!(error, Some(WireError::Bound(what)) if what == name), "{why}: {error:?}");
    }
}

#[test]
fn lists_are_as_long_as_limits_says_and_no_longer() {
    let stage = Stage { peer: EVE, layers: ALL };
    let running = |unit, stages| Running { lease: LEASE, unit, stages: vec![stage; stages], bands: 0 };
    let many = |count: usize| {
        let running = (0..count as u16).map(|unit| running(unit, 1)).collect();
        Message::Ask(Box::new(Ask { running, waiting: 0, ..ask(EVES) }))
    };
    let report = |change: &dyn Fn(&mut Report)| {
        let mut report = Report::default();
        change(&mut report);
        Message::Report(Box::new(report))
    };
    let plan = |teams: usize| {
        let teams = vec![Team { stages: vec![stage], serves: true }; teams];
        let models = vec![ModelPlan { model: MODEL, teams, why: String::new() }];
        Message::Plan(RoomPlan { epoch: EPOCH, version: 1, choice: Default::default(), models })
    };
    let peers = |count: usize| (0..count as u128).map(PeerId).collect::<Vec<_>>();
    let rows = [
        (many(limits::UNITS), true, "an ask with all units"),
        (many(limits::UNITS + 1), false, "and with one more"),
        (Message::Grant(EVES, running(0, limits::STAGES)), true, "a long ring"),
        (Message::Grant(EVES, running(0, limits::STAGES + 1)), false, "a longer one"),
        (report(&|r| r.sees = peers(limits::PEERS)), true, "a report from a full room"),
        (report(&|r| r.sees = peers(limits::PEERS + 1)), false, "from a fuller one"),
        (report(&|r| r.offers = vec![offer(Kind::Text); limits::MODELS]), true, "all models"),
        (report(&|r| r.offers = vec![offer(Kind::Text); limits::MODELS + 1]), false, "one more"),
        (report(&|r| r.receipts = vec![(EVE, 1); limits::RECEIPTS + 1]), false, "receipts without end"),
        (report(&|r| r.round_trips_ms = vec![1; limits::PEERS + 1]), false, "links without end"),
        (plan(limits::PEERS), true, "a team for each peer"),
        (plan(limits::PEERS + 1), false, "and one more"),
    ];
    for (message, fits, why) in rows {
        let read = wire::decode(&wire::encode(&message));
        assert_eq!(read.is_ok(), fits, "{why}: {read:?}");
    }
}

#[test]
fn an_ask_that_says_everything_runs_is_taken_as_its_word_and_no_more() {
    let mut room = Room::new();
    let nowhere = Stage { peer: PeerId(77), layers: ALL };
    let lease = |serial| Lease { serial, ..LEASE };
    let running = (0..limits::UNITS as u16)
        .map(|unit| Running {
            lease: lease(unit.into()),
            unit,
            stages: vec![nowhere; limits::STAGES],
            bands: 0,
        })
        .collect();
    let shape = Shape { count: limits::UNITS as u16, steps: 8, guided: true, tiles: 2, stale: false };
    let asked = Ask { model: PAINTER, demand: Demand::Picture(shape), running, waiting: 0, ..ask(EVES) };
    let outputs = room.receive(EVE, &Message::Ask(Box::new(asked)));
    assert_eq!(dropped(&outputs), None, "nobody can tell whether it is true at once");
    assert_eq!(room.node.sizes().queued_jobs, 1);
    let (_, chunk) = room.write();
    assert_eq!(chunk.layers, ALL, "this peer's own job runs nevertheless");
}

#[test]
fn what_one_peer_can_fill_is_bounded() {
    let mut room = Room::new();
    for serial in 1..2 * limits::PEERS as u32 {
        let job = Job { id: JobId { requester: EVE, serial }, ..bos_job(serial) };
        let id = job.id;
        let whole = Whole { job, tokens: vec![], end: None, keeper: EVE };
        room.receive(EVE, &Message::Whole(Box::new(whole)));
        let blame = Ask { suspect: Some(PeerId(serial.into())), ..ask(id) };
        room.receive(EVE, &Message::Ask(Box::new(blame)));
        room.receive(EVE, &open(id, vec![Stage { peer: ME, layers: ALL }]));
        room.give(Input::PeerUp(PeerId(1_000 + u128::from(serial))));
    }
    let sizes = room.node.sizes();
    assert_eq!(sizes.open_jobs, limits::JOBS_PER_PEER);
    assert_eq!(sizes.queued_jobs, limits::JOBS_PER_PEER);
    assert_eq!(sizes.stage.sessions, limits::SESSIONS_PER_PEER);
    assert_eq!(sizes.peers, limits::PEERS);
    assert!(sizes.stage.running <= limits::CHUNKS_WAITING);
}
