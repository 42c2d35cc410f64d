use super::*;
use crate::ids::{Epoch, JobId, Layers, Lease, Millis, ModelId};
use crate::io::{Chunk, Output, Stage};
use crate::session::Session;
use crate::wire::{Open, OpenPart};

const OWNER: PeerId = PeerId(9);
const JOB: JobId = JobId { requester: OWNER, serial: 1 };
const LEASE: Lease = Lease { epoch: Epoch { term: 1, leader: OWNER }, serial: 1 };

/// Peer 1, 2 or 3 of a ring of three, `known` tokens in all.
fn session(me: u128, known: u32) -> (Session, Outbox) {
    let stage =
        |peer: u16| Stage { peer: PeerId(peer.into()), layers: Layers { start: peer - 1, end: peer } };
    let tokens = match me {
        1 => (0..known).collect(),
        3 => (0..known).skip((known as usize).saturating_sub(limits::RECENT)).collect(),
        _ => vec![],
    };
    let stages = (1..=3).map(stage).collect();
    let part = OpenPart::Text(OpenText { known, until: 900, tokens, sampling: vec![7] });
    let open = Open { job: JOB, lease: LEASE, model: ModelId([0; 32]), stages, part };
    let session = Session::new(PeerId(me), Millis(0), OWNER, open).expect("a ring of three");
    (session, Outbox::new(PeerId(me)))
}

fn hidden(position: u32, rows: u32) -> Hidden {
    Hidden { job: JOB, lease: LEASE, position, rows, bytes: vec![0; 8] }
}

/// Position, rows and whether it is sampled of every chunk given to the compute worker.
fn runs(out: &mut Outbox) -> Vec<(u32, usize, bool)> {
    let run = |output| match output {
        Output::Run(Chunk { task: Task::Pass { position, input, sample }, .. }) => {
            let rows = if let Rows::Tokens(tokens) = input { tokens.len() } else { 0 };
            Some((position, rows, sample.is_some()))
        }
        _ => None,
    };
    out.take().into_iter().filter_map(run).collect()
}

#[test]
fn a_replay_is_a_prefill_of_prompt_and_answer() {
    let (mut first, mut out) = session(1, 100);
    first.pump(&mut out);
    let mut passes = runs(&mut out);
    for position in 100..102 {
        let token = Token { job: JOB, lease: LEASE, position, token: position, end: false, note: Vec::new() };
        first.token(Millis(0), PeerId(3), &token, &mut out).expect("the next position");
        passes.extend(runs(&mut out));
    }
    let (mut replay, mut out) = session(1, 102);
    replay.pump(&mut out);
    assert_eq!(runs(&mut out), [(0, 64, false), (64, 38, false)]);
    assert_eq!(passes, [(0, 64, false), (64, 36, false), (100, 1, false), (101, 1, false)]);
}

#[test]
fn only_the_last_known_row_is_sampled() {
    let (mut last, mut out) = session(3, 101);
    for (position, rows, samples) in [(0, 64, false), (64, 36, false), (100, 1, true), (101, 1, true)] {
        last.hidden(Millis(0), PeerId(2), hidden(position, rows), &mut out).expect("it is due");
        assert_eq!(runs(&mut out), [(position, 0, samples)]);
        let early = last.hidden(Millis(0), PeerId(2), hidden(102, 1), &mut out);
        assert!(early.is_err(), "the token of that row has not been drawn");
        let answer = if samples {
            ChunkOutput::Token { token: 1, end: false, note: Vec::new() }
        } else {
            ChunkOutput::Nothing
        };
        last.ran(Millis(0), position, Ok(answer), &mut out).expect("it was asked for");
        out.take();
    }
}

#[test]
fn chunks_run_in_order_however_they_arrive() {
    let (mut middle, mut out) = session(2, 100);
    let mut order = Vec::new();
    for (position, rows) in [(101, 1), (64, 36), (100, 1), (0, 64)] {
        middle.hidden(Millis(0), PeerId(1), hidden(position, rows), &mut out).expect("it is due");
        order.extend(runs(&mut out).into_iter().map(|(position, ..)| position));
    }
    assert_eq!(order, [0, 64, 100, 101]);
}

#[test]
fn the_window_holds_back_until_the_next_stage_has_run() {
    let (mut first, mut out) = session(1, 64 * 12);
    first.pump(&mut out);
    let given = runs(&mut out);
    assert_eq!(given.len(), limits::WINDOW);
    for (position, ..) in given {
        first.ran(Millis(0), position, Ok(ChunkOutput::Hidden(vec![])), &mut out).expect("it was asked for");
    }
    assert_eq!(runs(&mut out), [], "sent on, not acknowledged");
    first.ack(Millis(0), PeerId(2), 0, &mut out).expect("the oldest");
    assert_eq!(runs(&mut out).len(), 1);
    assert!(first.ack(Millis(0), PeerId(2), 0, &mut out).is_err(), "acknowledged already");
    assert!(first.ack(Millis(0), PeerId(3), 64, &mut out).is_err(), "not the next stage");
}

#[test]
fn what_is_not_due_is_dropped() {
    let (mut middle, mut out) = session(2, 100);
    middle.hidden(Millis(0), PeerId(1), hidden(0, 64), &mut out).expect("it is due");
    let rows = [
        (PeerId(3), hidden(64, 36), "from the wrong side"),
        (PeerId(1), hidden(0, 64), "the same again"),
        (PeerId(1), hidden(899, 2), "past the end"),
        (PeerId(1), hidden(64, 0), "no rows"),
    ];
    for (from, hidden, why) in rows {
        assert!(middle.hidden(Millis(0), from, hidden, &mut out).is_err(), "{why}");
    }
    for position in 0..limits::WINDOW as u32 {
        middle.hidden(Millis(0), PeerId(1), hidden(110 + position, 1), &mut out).expect("room to wait");
    }
    assert!(middle.hidden(Millis(0), PeerId(1), hidden(190, 1), &mut out).is_err(), "a flood");
}

#[test]
fn a_wrong_answer_of_the_worker_ends_the_session() {
    let rows = [
        (1, ChunkOutput::Nothing, "a stage that is not the last has hidden states"),
        (3, ChunkOutput::Hidden(vec![]), "the last has none"),
        (3, ChunkOutput::Token { token: 1, end: false, note: Vec::new() }, "nobody asked for a sample yet"),
    ];
    for (me, answer, why) in rows {
        let (mut session, mut out) = session(me, 100);
        match me {
            1 => session.pump(&mut out),
            _ => session.hidden(Millis(0), PeerId(2), hidden(0, 64), &mut out).expect("it is due"),
        }
        assert!(session.ran(Millis(0), 0, Ok(answer), &mut out).is_err(), "{why}");
    }
}

#[test]
fn whoever_made_what_the_worker_refuses_is_named() {
    let rows = [
        (2, Some(PeerId(1)), Some(0), "hidden states are the stage's before"),
        (3, Some(PeerId(2)), Some(0), "at the last stage too"),
        (1, Some(PeerId(1)), None, "a prompt is nobody else's work"),
    ];
    for (me, suspect, refused, why) in rows {
        let (mut session, mut out) = session(me, 100);
        match me {
            1 => session.pump(&mut out),
            _ => session.hidden(Millis(0), PeerId(me - 1), hidden(0, 64), &mut out).expect("it is due"),
        }
        let answer = ChunkOutput::Refused { input: 0, reason: "row 3 is not finite".into() };
        let failure = session.ran(Millis(0), 0, Ok(answer), &mut out).expect_err("it cannot go on");
        assert_eq!((failure.suspect, failure.refused), (suspect, refused), "{why}");
    }
}
