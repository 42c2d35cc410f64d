use super::*;
use crate::ids::{Layers, Millis};
use crate::io::{Chunk, Output, Piece, Shape, Stage};
use crate::session::Session;
use crate::testing::{BO, CY, LEASE, ME, job, sent};
use crate::wire::{Open, OpenPart};

/// Who asked for the picture; it has no part in it.
const OWNER: PeerId = PeerId(9);
const ALL: Layers = Layers { start: 0, end: 8 };

fn open(crew: &[PeerId], shape: Shape, done: u16) -> Open {
    let stages = crew.iter().map(|&peer| Stage { peer, layers: ALL }).collect();
    let part = OpenPart::Picture(OpenPicture { unit: 0, shape, done, tiles: 0, bands: 0, settings: vec![5] });
    let model = crate::testing::model(crate::io::Kind::Picture).id;
    Open { job: job(OWNER), lease: LEASE, model, stages, part }
}

fn session(me: PeerId, crew: &[PeerId], shape: Shape, done: u16) -> (Session, Outbox) {
    let session = Session::new(me, Millis(0), OWNER, open(crew, shape, done)).expect("a sane crew");
    (session, Outbox::new(me))
}

/// The same where each holds an equal part of the layers.
fn split(me: PeerId, crew: &[PeerId], shape: Shape, done: u16) -> (Session, Outbox) {
    let mut open = open(crew, shape, done);
    for (at, stage) in (0..).zip(&mut open.stages) {
        stage.layers = Layers { start: 2 * at, end: 2 * at + 2 };
    }
    (Session::new(me, Millis(0), OWNER, open).expect("a sane crew"), Outbox::new(me))
}

fn blob(number: u32) -> Blob {
    Blob { job: job(OWNER), lease: LEASE, number, bytes: vec![number as u8] }
}

/// The piece given to the compute worker, with the numbers of its inputs as [`blob`] writes them.
fn given(out: &mut Outbox) -> Option<(Piece, u32, Vec<u8>)> {
    out.take().into_iter().find_map(|output| match output {
        Output::Run(Chunk { number, task: Task::Piece { piece, inputs, .. }, .. }) => {
            Some((piece, number, inputs.concat()))
        }
        _ => None,
    })
}

/// The worker finishes what it has; then what is sent.
fn finish(session: &mut Session, number: u32, out: &mut Outbox) -> Vec<(PeerId, u32)> {
    ran(session, number, ChunkOutput::Piece(vec![number as u8]), out)
}

/// The same for a piece with several outputs.
fn finish_all(session: &mut Session, numbers: &[u32], out: &mut Outbox) -> Vec<(PeerId, u32)> {
    let made = numbers.iter().map(|number| vec![*number as u8]).collect();
    ran(session, numbers[0], ChunkOutput::Pieces(made), out)
}

fn ran(session: &mut Session, number: u32, made: ChunkOutput, out: &mut Outbox) -> Vec<(PeerId, u32)> {
    session.ran(Millis(1), number, Ok(made), out).expect("it was asked for");
    let mut runs: Vec<Output> = out.take();
    let sends = runs.extract_if(.., |output| matches!(output, Output::Send { .. }));
    sends.collect::<Vec<_>>().into_iter().for_each(|output| out.push(output));
    let blobs = sent(out).into_iter().filter_map(|(to, message)| match message {
        Message::Blob(blob) => Some((to, blob.number)),
        _ => None,
    });
    let blobs = blobs.collect();
    runs.into_iter().for_each(|output| out.push(output));
    blobs
}

#[test]
fn one_peer_paints_alone_piece_by_piece() {
    let shape = Shape { count: 1, steps: 6, guided: true, tiles: 2, stale: false };
    let (mut session, mut out) = session(ME, &[ME], shape, 0);
    session.pump(&mut out);
    let tile = |tile: u16| pieces::TILES + u32::from(tile);
    let (encoding, four, six) = (pieces::ENCODING, pieces::latent(4), pieces::latent(6));
    type Row = (Piece, u32, Vec<u32>, bool);
    let rows: [Row; 5] = [
        (Piece::Encode, encoding, vec![], false),
        (Piece::Steps { from: 0, to: 4 }, four, vec![encoding], true),
        (Piece::Steps { from: 4, to: 6 }, six, vec![encoding, four], true),
        (Piece::Decode { tile: 0 }, tile(0), vec![six], true),
        (Piece::Decode { tile: 1 }, tile(1), vec![six], true),
    ];
    for (piece, number, inputs, keeper) in rows {
        let inputs = inputs.into_iter().map(|number| number as u8).collect();
        assert_eq!(given(&mut out), Some((piece, number, inputs)));
        let want = if keeper { vec![(OWNER, number)] } else { vec![] };
        assert_eq!(finish(&mut session, number, &mut out), want, "{piece:?}");
    }
    assert_eq!((given(&mut out), session.waiting()), (None, 0), "done, and nothing is kept");
}

#[test]
fn halves_wait_for_each_other_and_tiles_for_both() {
    let shape = Shape { count: 1, steps: 1, guided: true, tiles: 3, stale: false };
    let crew = [ME, BO, CY];
    let with = pieces::latent(0) + 1;
    let (mut second, mut out) = session(BO, &crew, shape, 0);
    second.pump(&mut out);
    assert_eq!(given(&mut out), None, "without the encoding there is nothing to do");
    second.blob(Millis(0), ME, blob(pieces::ENCODING), &mut out).expect("the first member's");
    let half = Piece::Half { step: 0, prompted: false };
    assert_eq!(given(&mut out), Some((half, with + 1, vec![0])));
    assert_eq!(finish(&mut second, with + 1, &mut out), [(ME, with + 1)], "the other joins too");
    assert_eq!(given(&mut out), None, "the other's velocity is missing");
    second.blob(Millis(0), ME, blob(with), &mut out).expect("here it is");
    let velocities = vec![with as u8, with as u8 + 1];
    assert_eq!(given(&mut out), Some((Piece::Join { step: 0 }, pieces::latent(1), velocities)));
    assert_eq!(finish(&mut second, pieces::latent(1), &mut out), [], "the first tells everybody");
    assert_eq!(given(&mut out).map(|(piece, ..)| piece), Some(Piece::Decode { tile: 1 }));

    let (mut third, mut out) = session(CY, &crew, shape, 0);
    third.pump(&mut out);
    assert_eq!(given(&mut out), None);
    third.blob(Millis(0), ME, blob(pieces::latent(1)), &mut out).expect("the last latent");
    assert_eq!(given(&mut out).map(|(piece, ..)| piece), Some(Piece::Decode { tile: 2 }));
}

#[test]
fn a_picture_goes_on_from_the_keepers_latent() {
    let shape = Shape { count: 1, steps: 8, guided: false, tiles: 1, stale: false };
    let (mut session, mut out) = session(ME, &[ME], shape, 4);
    session.pump(&mut out);
    assert_eq!(given(&mut out).map(|(piece, ..)| piece), Some(Piece::Encode));
    assert_eq!(finish(&mut session, pieces::ENCODING, &mut out), []);
    assert_eq!(given(&mut out), None, "the latent is on its way");
    session.blob(Millis(0), OWNER, blob(pieces::latent(4)), &mut out).expect("the keeper's");
    assert_eq!(given(&mut out).map(|(piece, ..)| piece), Some(Piece::Steps { from: 4, to: 8 }));
}

#[test]
fn what_nobody_waits_for_is_dropped() {
    let shape = Shape { count: 1, steps: 8, guided: true, tiles: 2, stale: false };
    let rows = [
        (BO, pieces::latent(0) + 2, true, "the velocity that it waits for"),
        (CY, pieces::latent(0) + 2, false, "from a stranger"),
        (BO, pieces::ENCODING, false, "what this peer makes itself"),
        (BO, pieces::latent(1), false, "what both make"),
        (BO, pieces::TILES, false, "a tile is nobody's input"),
        (BO, u32::MAX, false, "no such number"),
    ];
    for (from, number, taken, why) in rows {
        let (mut session, mut out) = session(ME, &[ME, BO], shape, 0);
        session.pump(&mut out);
        assert_eq!(session.blob(Millis(0), from, blob(number), &mut out).is_ok(), taken, "{why}");
        assert!(session.blob(Millis(0), from, blob(number), &mut out).is_err(), "{why}: the second time");
    }
    let (mut session, mut out) = session(ME, &[ME, BO], Shape { steps: 1_000, ..shape }, 0);
    let velocities = (0..1_000).map(|step| pieces::latent(step) + 2);
    let taken = velocities.filter(|&n| session.blob(Millis(0), BO, blob(n), &mut out).is_ok()).count();
    assert_eq!((taken, session.waiting()), (limits::BLOBS, limits::BLOBS), "a flood");
}

#[test]
fn a_wrong_answer_of_the_worker_ends_the_session() {
    let shape = Shape { count: 1, steps: 1, guided: false, tiles: 1, stale: false };
    let piece = |bytes: usize| Ok(ChunkOutput::Piece(vec![0; bytes]));
    let rows = [
        (piece(limits::BLOB_BYTES), true, "the largest that a message can carry"),
        (piece(limits::BLOB_BYTES + 1), false, "larger"),
        (Ok(ChunkOutput::Hidden(vec![])), false, "a text's answer"),
        (Err("out of memory".into()), false, "none"),
    ];
    for (result, goes_on, why) in rows {
        let (mut session, mut out) = session(ME, &[ME], shape, 0);
        session.pump(&mut out);
        assert!(session.ran(Millis(0), 77, Err("not asked for".into()), &mut out).is_ok(), "{why}");
        let answer = session.ran(Millis(0), pieces::ENCODING, result, &mut out);
        assert_eq!(answer.is_ok(), goes_on, "{why}");
    }
}

#[test]
fn a_crew_is_checked_before_it_opens() {
    let shape = Shape { count: 1, steps: 4, guided: true, tiles: 1, stale: false };
    let change = |change: &dyn Fn(&mut Open)| {
        let mut open = open(&[ME, BO], shape, 0);
        change(&mut open);
        Session::new(ME, Millis(0), OWNER, open).err().unwrap_or_default()
    };
    type Change = fn(&mut Open);
    let rows: [(Change, &str, &str); 5] = [
        (|open| open.stages[1].layers.end = 4, "same layers", "half of the model beside the whole"),
        (|open| open.stages[1].peer = ME, "twice", "the same peer for both halves"),
        (|open| open.stages.truncate(0), "without this peer", "nobody"),
        (
            |open| {
                let OpenPart::Picture(picture) = &mut open.part else { return };
                picture.bands = 2;
            },
            "nobody allowed",
            "lossy against its asker's will",
        ),
        (
            |open| {
                let OpenPart::Picture(picture) = &mut open.part else { return };
                picture.done = 5;
            },
            "more steps done",
            "further than its end",
        ),
    ];
    for (wrong, reason, why) in rows {
        let said = change(&wrong);
        assert!(said.contains(reason), "{why}: {said}");
    }
}

#[test]
fn whoever_made_what_the_worker_refuses_is_named() {
    let shape = Shape { count: 1, steps: 8, guided: true, tiles: 1, stale: false };
    let (with, without) = (pieces::velocity(4, true), pieces::velocity(4, false));
    // In the halves of this peer and Bo, from the keeper's latent: which piece, which input, who is to blame.
    type Row = (u32, u32, PeerId, Option<u32>, &'static str);
    let rows: [Row; 6] = [
        (with, 0, ME, Some(pieces::ENCODING), "its own encoding"),
        (with, 1, OWNER, Some(pieces::latent(4)), "the keeper's latent"),
        (pieces::latent(5), 1, ME, Some(with), "its own velocity"),
        (pieces::latent(5), 2, BO, Some(without), "Bo's"),
        (pieces::latent(5), 3, ME, None, "there is no such input"),
        (pieces::latent(5), u32::MAX, ME, None, "nor that"),
    ];
    for (number, input, maker, refused, why) in rows {
        let (mut session, mut out) = session(ME, &[ME, BO], shape, 4);
        session.pump(&mut out);
        session.blob(Millis(0), OWNER, blob(pieces::latent(4)), &mut out).expect("the keeper's");
        session.blob(Millis(0), BO, blob(without), &mut out).expect("Bo's");
        for earlier in [pieces::ENCODING, with].into_iter().take_while(|earlier| *earlier != number) {
            finish(&mut session, earlier, &mut out);
        }
        let answer = ChunkOutput::Refused { input, reason: "number 7 is not finite".into() };
        let failure = session.ran(Millis(1), number, Ok(answer), &mut out).expect_err("it cannot go on");
        assert_eq!((failure.suspect, failure.refused), (Some(maker), refused), "{why}");
    }
}

#[test]
fn branches_follow_each_other_through_the_stages() {
    let shape = Shape { count: 1, steps: 1, guided: true, tiles: 1, stale: false };
    let crew = [ME, BO, CY];
    let blocks = |prompted| Piece::Blocks { step: 0, prompted };
    let hidden = |prompted, stage| pieces::hidden(0, prompted, stage);
    let velocity = |prompted| pieces::velocity(0, prompted);
    let bytes = |numbers: &[u32]| -> Vec<u8> { numbers.iter().map(|number| *number as u8).collect() };

    let (mut first, mut out) = split(ME, &crew, shape, 0);
    first.pump(&mut out);
    assert_eq!(given(&mut out).map(|(piece, ..)| piece), Some(Piece::Encode));
    assert_eq!(finish(&mut first, 0, &mut out), [(BO, 0), (CY, 0)], "all stages need the encoding");
    for prompted in [true, false] {
        let number = hidden(prompted, 0);
        assert_eq!(given(&mut out), Some((blocks(prompted), number, bytes(&[0]))), "from noise");
        assert_eq!(finish(&mut first, number, &mut out), [(BO, number)], "straight to the next stage");
    }
    assert_eq!(given(&mut out), None, "the velocities are on their way");
    first.blob(Millis(0), CY, blob(velocity(false)), &mut out).expect("the last stage's");
    first.blob(Millis(0), CY, blob(velocity(true)), &mut out).expect("and the other");
    let inputs = bytes(&[velocity(true), velocity(false)]);
    assert_eq!(given(&mut out), Some((Piece::Join { step: 0 }, pieces::latent(1), inputs)));
    let last = finish(&mut first, pieces::latent(1), &mut out);
    assert_eq!(last, [(CY, pieces::latent(1)), (OWNER, pieces::latent(1))], "it has the decoder");

    let (mut middle, mut out) = split(BO, &crew, shape, 0);
    middle.blob(Millis(0), ME, blob(hidden(true, 0)), &mut out).expect("hidden states, before the encoding");
    assert_eq!(given(&mut out), None);
    middle.blob(Millis(0), ME, blob(0), &mut out).expect("here it is");
    let inputs = bytes(&[0, hidden(true, 0)]);
    assert_eq!(given(&mut out), Some((blocks(true), hidden(true, 1), inputs)));
    middle.blob(Millis(0), ME, blob(hidden(false, 0)), &mut out).expect("the other branch, meanwhile");
    assert_eq!(finish(&mut middle, hidden(true, 1), &mut out), [(CY, hidden(true, 1))]);
    assert_eq!(given(&mut out).map(|(piece, ..)| piece), Some(blocks(false)));
    finish(&mut middle, hidden(false, 1), &mut out);
    assert_eq!((given(&mut out), middle.waiting()), (None, 0), "done, and nothing is kept");
}

#[test]
fn a_band_waits_for_velocities_and_for_contexts_of_two_steps_before() {
    let shape = Shape { count: 1, steps: 5, guided: true, tiles: 1, stale: true };
    let mut open = open(&[ME, BO], shape, 0);
    let OpenPart::Picture(picture) = &mut open.part else { panic!("it is a picture") };
    picture.bands = 2;
    let mut session = Session::new(ME, Millis(0), OWNER, open).expect("a sane crew");
    let mut out = Outbox::new(ME);
    session.pump(&mut out);
    assert_eq!(given(&mut out).map(|(piece, ..)| piece), Some(Piece::Encode));
    assert_eq!(finish(&mut session, pieces::ENCODING, &mut out), [(BO, pieces::ENCODING)]);
    let warm = |step| Piece::Warm { step, part: 0, of: 2 };
    let patch = |step| Piece::Patch { step, part: 0, of: 2 };
    let (latent, band, context) = (pieces::latent, pieces::band, pieces::context);
    let numbers = |numbers: &[u32]| -> Vec<u8> { numbers.iter().map(|number| *number as u8).collect() };
    for step in [0, 1] {
        let inputs = if step == 0 { vec![0] } else { numbers(&[0, latent(1)]) };
        assert_eq!(given(&mut out), Some((warm(step), latent(step + 1), inputs)));
        let sent = finish_all(&mut session, &[latent(step + 1), context(step, 1)], &mut out);
        assert_eq!(sent, [], "whole steps cost nobody a byte");
    }
    for step in 2..5 {
        let inputs = numbers(&[0, latent(step), context(step - 2, 1)]);
        assert_eq!(given(&mut out), Some((patch(step), band(step, 0), inputs)));
        let sent = finish_all(&mut session, &[band(step, 0), context(step, 0)], &mut out);
        let both = [(BO, band(step, 0)), (BO, context(step, 0))];
        assert_eq!(
            sent,
            both[..if step == 2 { 2 } else { 1 }],
            "the velocity first; the last contexts are nobody's"
        );
        assert_eq!(given(&mut out), None, "the other's velocity is missing");
        session.blob(Millis(0), BO, blob(band(step, 1)), &mut out).expect("here it is");
        let inputs = numbers(&[latent(step), band(step, 0), band(step, 1)]);
        assert_eq!(given(&mut out), Some((Piece::Stitch { step, of: 2 }, latent(step + 1), inputs)));
        let sent = finish(&mut session, latent(step + 1), &mut out);
        assert_eq!(sent.len(), usize::from(step == 3 || step == 4), "a checkpoint, and the last");
        if step == 3 {
            assert_eq!(given(&mut out), None, "Bo's context of step 2 is late");
            session.blob(Millis(0), BO, blob(context(2, 1)), &mut out).expect("it is due");
        }
    }
}
