use super::*;
use crate::ids::Layers;
use crate::io::{Capability, Device};
use crate::wire::Pulse;

const ME: PeerId = PeerId(1);
const BO: PeerId = PeerId(2);
const CY: PeerId = PeerId(3);
const EPOCH: Epoch = Epoch { term: 1, leader: ME };
const JOB: JobId = JobId { requester: ME, serial: 1 };

fn model() -> ModelSpec {
    let id = ModelId([7; 32]);
    ModelSpec { id, name: "toy".into(), layers: 8, layer_bytes: 10, ends_bytes: 0, context: 64 }
}

/// A report of a peer that has heard every plan.
fn able(ready: &[(u16, u16)], memory: u64) -> Report {
    Report {
        capability: Some(Capability { device: Device::Gpu, memory, layer_micros: 100 }),
        model: Some(model()),
        share: true,
        sees: vec![ME, BO, CY],
        ready: ready.iter().map(|&(start, end)| Layers { start, end }).collect(),
        plan: Some((EPOCH, u32::MAX)),
        ..Report::default()
    }
}

/// This peer, able, and the others with these reports.
fn room(own: Report, others: &[(PeerId, Report)]) -> Members {
    let mut members = Members::new(ME, "Ada", Millis(0));
    members.own = own;
    for (peer, report) in others {
        members.up(Millis(0), *peer);
        members.hello(*peer, wire::VERSION, wire::OLDEST, String::new());
        let pulse = Pulse { sent: 0, echo: None, following: None, report: report.clone() };
        members.pulse(Millis(0), *peer, pulse);
    }
    members.refresh(Millis(0));
    members
}

fn ask(running: Option<Running>, seen: Option<Lease>) -> Ask {
    Ask { job: JOB, model: model().id, running, seen, suspect: None }
}

fn spans(stages: &[Stage]) -> Vec<(u128, u16, u16)> {
    stages.iter().map(|stage| (stage.peer.0, stage.layers.start, stage.layers.end)).collect()
}

/// The last grant among this peer's messages to itself.
fn granted(out: &mut Outbox) -> Option<Running> {
    let mut last = None;
    while let Some(message) = out.next_own() {
        if let Message::Grant(running, _) = message {
            last = Some(running);
        }
    }
    last
}

/// A leader that holds the whole model alone, and a second peer that has just become able.
fn alone_then_two() -> (Leader, Outbox) {
    let (mut leader, mut out) = (Leader::new(EPOCH, None, &room(able(&[], 1000), &[])), Outbox::new(ME));
    leader.review(Millis(0), &room(able(&[], 1000), &[]), &mut out);
    assert_eq!(spans(&leader.next), [(1, 0, 8)], "loading");
    leader.review(Millis(0), &room(able(&[(0, 8)], 1000), &[]), &mut out);
    assert_eq!(spans(&leader.force), [(1, 0, 8)], "ready");
    (leader, out)
}

#[test]
fn the_old_plan_serves_until_the_new_one_is_ready() {
    let (mut leader, mut out) = alone_then_two();
    let loading = room(able(&[(0, 8)], 1000), &[(BO, able(&[], 1000))]);
    leader.review(Millis(0), &loading, &mut out);
    assert_eq!(spans(&leader.next), [(1, 0, 4), (2, 4, 8)]);
    leader.ask(Millis(0), ME, &ask(None, None), &loading, &mut out).expect("its own job");
    assert_eq!(granted(&mut out).map(|running| spans(&running.stages)), Some(vec![(1, 0, 8)]));
    let ready = room(able(&[(0, 8), (0, 4)], 1000), &[(BO, able(&[(4, 8)], 1000))]);
    leader.review(Millis(0), &ready, &mut out);
    assert_eq!((spans(&leader.force), spans(&leader.next)), (vec![(1, 0, 4), (2, 4, 8)], vec![]));
}

#[test]
fn old_layers_make_room_where_both_do_not_fit() {
    let (mut leader, mut out) = alone_then_two();
    let tight = room(able(&[(0, 8)], 100), &[(BO, able(&[], 100))]);
    leader.review(Millis(0), &tight, &mut out);
    assert_eq!((spans(&leader.force), spans(&leader.next)), (vec![], vec![(1, 0, 4), (2, 4, 8)]));
}

#[test]
fn a_newcomer_waits_for_the_story_to_end() {
    let (mut leader, mut out) = alone_then_two();
    let alone = room(able(&[(0, 8)], 1000), &[]);
    leader.ask(Millis(0), ME, &ask(None, None), &alone, &mut out).expect("its own job");
    let two = room(able(&[(0, 8)], 1000), &[(BO, able(&[], 1000))]);
    leader.review(Millis(0), &two, &mut out);
    assert_eq!(spans(&leader.next), [], "a story runs");
    assert!(leader.done(ME, JOB));
    leader.review(Millis(0), &two, &mut out);
    assert_eq!(spans(&leader.next), [(1, 0, 4), (2, 4, 8)], "idle");
}

#[test]
fn a_lost_stage_is_replaced_at_once_and_its_job_granted_again() {
    let plan = RoomPlan {
        epoch: EPOCH,
        version: 1,
        model: model().id,
        stages: [(ME, 0, 4), (BO, 4, 8)]
            .map(|(peer, start, end)| Stage { peer, layers: Layers { start, end } })
            .into(),
        next: vec![],
        why: String::new(),
    };
    let both = room(able(&[(0, 4)], 1000), &[(BO, able(&[(4, 8)], 1000))]);
    let (mut leader, mut out) = (Leader::new(EPOCH, Some(&plan), &both), Outbox::new(ME));
    leader.ask(Millis(0), ME, &ask(None, None), &both, &mut out).expect("its own job");
    let first = granted(&mut out).expect("the plan it knew as a follower is in force");
    let alone = room(able(&[(0, 4)], 1000), &[]);
    leader.review(Millis(1), &alone, &mut out);
    assert_eq!((spans(&leader.force), spans(&leader.next)), (vec![], vec![(1, 0, 8)]));
    leader.review(Millis(2), &room(able(&[(0, 4), (0, 8)], 1000), &[]), &mut out);
    let second = granted(&mut out).expect("its layers are ready");
    assert!(second.lease > first.lease);
}

#[test]
fn who_gets_no_layers() {
    let other = ModelSpec { id: ModelId([9; 32]), ..model() };
    let rows = [
        (able(&[], 1000), true, "an ordinary tab"),
        (Report { share: false, ..able(&[], 1000) }, false, "not sharing"),
        (Report { hidden: true, ..able(&[], 1000) }, false, "hidden"),
        (Report { capability: None, ..able(&[], 1000) }, false, "its worker is not ready"),
        (Report { model: Some(other), ..able(&[], 1000) }, false, "another model"),
        (Report { trouble: Some("disk full".into()), ..able(&[], 1000) }, false, "could not load"),
        (Report { sees: vec![], ..able(&[], 1000) }, false, "no link to the others"),
        (able(&[], 5), false, "no memory for a layer"),
    ];
    for (report, takes, why) in rows {
        let members = room(able(&[], 1000), &[(BO, report)]);
        let (mut leader, mut out) = (Leader::new(EPOCH, None, &members), Outbox::new(ME));
        leader.review(Millis(0), &members, &mut out);
        assert_eq!(leader.next.iter().any(|stage| stage.peer == BO), takes, "{why}");
    }
}

#[test]
fn a_suspect_is_left_out_for_a_while() {
    let members = room(able(&[(0, 8), (0, 4)], 1000), &[(BO, able(&[(4, 8)], 1000))]);
    let (mut leader, mut out) = (Leader::new(EPOCH, None, &members), Outbox::new(ME));
    leader.review(Millis(0), &members, &mut out);
    leader.ask(Millis(0), ME, &ask(None, None), &members, &mut out).expect("its own job");
    let running = granted(&mut out).expect("all layers are there");
    assert_eq!(running.stages.len(), 2);
    let broken = Ask { suspect: Some(BO), ..ask(None, Some(running.lease)) };
    leader.ask(Millis(10), ME, &broken, &members, &mut out).expect("its own job");
    leader.review(Millis(10), &members, &mut out);
    let again = granted(&mut out).expect("this peer can do it alone");
    assert_eq!(spans(&again.stages), [(1, 0, 8)]);
    leader.done(ME, JOB);
    leader.review(Millis(10 + limits::SUSPECT_MS), &members, &mut out);
    leader.review(Millis(10 + limits::SUSPECT_MS), &members, &mut out);
    assert_eq!(spans(&leader.force), [(1, 0, 4), (2, 4, 8)], "forgiven");
}

#[test]
fn a_report_older_than_the_plan_proves_nothing() {
    let old = Epoch { term: 0, leader: BO };
    let ready = [(4, 8)].as_slice();
    let rows = [
        (ready, Some((EPOCH, 1)), true, "it knows its part and holds it"),
        (ready, Some((EPOCH, 7)), true, "a later plan in which it is still"),
        (&[], Some((EPOCH, 1)), false, "it loads"),
        (ready, None, false, "it has heard no plan, and may just have freed them"),
        (ready, Some((EPOCH, 0)), false, "as it was before this plan"),
        (ready, Some((old, 9)), false, "another leader's plan"),
    ];
    let report = |ready: &[(u16, u16)], plan| Report { plan, ..able(ready, 1000) };
    for (ready, plan, serves, why) in rows {
        let members = room(able(&[(0, 4)], 1000), &[(BO, report(ready, plan))]);
        let (mut leader, mut out) = (Leader::new(EPOCH, None, &members), Outbox::new(ME));
        leader.review(Millis(0), &members, &mut out);
        assert!(leader.force.is_empty(), "{why}: nobody has heard the plan yet");
        leader.ask(Millis(0), ME, &ask(None, None), &members, &mut out).expect("its own job");
        assert_eq!(granted(&mut out).is_some(), serves, "{why}");
    }
}

#[test]
fn what_left_the_plan_must_be_heard_of_again() {
    let heard = |version| Report { plan: Some((EPOCH, version)), ..able(&[(4, 8)], 1000) };
    let with = |version| room(able(&[(0, 4)], 1000), &[(BO, heard(version))]);
    let (mut leader, mut out) = (Leader::new(EPOCH, None, &with(1)), Outbox::new(ME));
    leader.review(Millis(0), &with(1), &mut out);
    leader.review(Millis(0), &with(1), &mut out);
    assert_eq!(spans(&leader.force), [(1, 0, 4), (2, 4, 8)], "both are ready");
    let before = leader.version;
    leader.review(Millis(0), &room(able(&[(0, 4)], 1000), &[]), &mut out);
    assert_eq!(spans(&leader.next), [(1, 0, 8)], "without the other");
    let without = leader.version;
    assert!(without > before, "everybody hears that");
    for (version, serves, why) in [
        (without, false, "it may have freed them on hearing that"),
        (without + 1, true, "it knows that it is in again"),
    ] {
        leader.review(Millis(0), &with(version), &mut out);
        assert_eq!(spans(&leader.force).len() == 2, serves, "{why}");
    }
}

#[test]
fn a_new_leader_grants_when_the_stages_follow_it() {
    let stages =
        [(ME, 0, 4), (BO, 4, 8)].map(|(peer, start, end)| Stage { peer, layers: Layers { start, end } });
    let known = RoomPlan {
        epoch: Epoch { term: 0, leader: BO },
        version: 3,
        model: model().id,
        stages: stages.into(),
        next: vec![],
        why: String::new(),
    };
    let behind = Report { plan: Some((known.epoch, known.version)), ..able(&[(4, 8)], 1000) };
    let rows = [
        (behind, false, "it may have heard a later plan of the old leader"),
        (able(&[(4, 8)], 1000), true, "it has heard this leader's"),
    ];
    for (report, grants, why) in rows {
        let members = room(able(&[(0, 4)], 1000), &[(BO, report)]);
        let (mut leader, mut out) = (Leader::new(EPOCH, Some(&known), &members), Outbox::new(ME));
        leader.ask(Millis(0), ME, &ask(None, None), &members, &mut out).expect("its own job");
        assert_eq!(spans(&leader.force), [(1, 0, 4), (2, 4, 8)], "{why}");
        assert_eq!(granted(&mut out).is_some(), grants, "{why}");
    }
}
