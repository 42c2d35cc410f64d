use super::*;
use crate::io::{Job, Kind, Output, Shape};
use crate::testing::{BO, CY, ME, job, model, room, sent};
use crate::wire::{Report, Story, Whole};

fn pictures(requester: PeerId) -> Job {
    let shape = Shape { count: 2, steps: 8, guided: false, tiles: 2, stale: false };
    let work = Work::Picture(PictureWork { shape, settings: vec![] });
    let (author, text) = (String::new(), String::new());
    Job { id: job(requester), model: model(Kind::Picture).id, author, text, work }
}

fn step(done: u16, bytes: usize) -> Progress {
    Progress::Step { done, latent: vec![done as u8; bytes] }
}

fn tile(tile: u16) -> Progress {
    Progress::Tile { tile, pixels: vec![tile as u8; 3] }
}

fn everyone() -> Members {
    room(Report::default(), &[(BO, Report::default()), (CY, Report::default())])
}

/// A book in which this peer keeps a job of two pictures.
fn keeper(members: &Members) -> (Book, Outbox) {
    let (mut book, mut out) = (Book::new(ME), Outbox::new(ME));
    book.submit(Millis(0), pictures(ME), members, &mut out);
    out.take();
    (book, out)
}

/// One in which this peer watches Bo's.
fn watcher(members: &Members) -> (Book, Outbox) {
    let (mut book, mut out) = (Book::new(ME), Outbox::new(ME));
    let whole = Whole { job: pictures(BO), tokens: vec![], end: None, keeper: BO };
    book.whole(Millis(0), BO, whole, members, &mut out).expect("Bo's own");
    out.take();
    (book, out)
}

fn ended(out: &mut Outbox) -> usize {
    out.take().iter().filter(|output| matches!(output, Output::Event(Event::Ended { .. }))).count()
}

#[test]
fn a_picture_gets_on_step_by_step_and_tile_by_tile() {
    let members = everyone();
    let (mut book, mut out) = keeper(&members);
    let rows = [
        (0, step(4, 9), Ok(true), "a checkpoint"),
        (0, step(4, 9), Ok(false), "the same again"),
        (0, step(0, 9), Ok(false), "from before"),
        (0, step(9, 9), Err(()), "more steps than asked for"),
        (0, tile(1), Ok(true), "the second tile first"),
        (0, tile(1), Ok(false), "the same again"),
        (0, Progress::Tile { tile: 1, pixels: vec![] }, Err(()), "other pixels for it"),
        (0, tile(2), Err(()), "more tiles than asked for"),
        (2, step(4, 9), Err(()), "more pictures than asked for"),
        (1, step(8, 9), Ok(true), "the other picture"),
    ];
    for (unit, progress, want, why) in rows {
        let result = book.advance(job(ME), unit, progress, &members, &mut out);
        assert_eq!(result.map_err(drop), want, "{why}");
        let told: Vec<PeerId> = sent(&mut out).into_iter().map(|(to, _)| to).collect();
        let all = if want == Ok(true) { vec![BO, CY] } else { vec![] };
        assert_eq!(told, all, "{why}: others hear what is news");
    }
    let record = book.record(job(ME)).expect("it is open");
    assert_eq!(record.open_units(), 0b11, "a tile of each is missing");
    assert_eq!(record.pictures[&0].checkpoint(), 4);
    assert_eq!(record.pictures[&0].tile_bits(), 0b10);
    book.advance(job(ME), 0, tile(0), &members, &mut out).expect("the last tile");
    let record = book.record(job(ME)).expect("it is open");
    assert_eq!((record.open_units(), record.pictures[&0].latent.len()), (0b10, 0), "one is whole");
}

#[test]
fn a_large_latent_stays_with_its_keeper() {
    let members = everyone();
    for (bytes, want) in [(limits::PREVIEW_BYTES, limits::PREVIEW_BYTES), (limits::PREVIEW_BYTES + 1, 0)] {
        let (mut book, mut out) = keeper(&members);
        book.advance(job(ME), 0, step(4, bytes), &members, &mut out).expect("a checkpoint");
        let sizes: Vec<usize> = sent(&mut out)
            .into_iter()
            .filter_map(|(_, message)| match message {
                Message::Picture(Picture { progress: Progress::Step { done: 4, latent }, .. }) => {
                    Some(latent.len())
                }
                _ => None,
            })
            .collect();
        assert_eq!(sizes, [want; 2], "{bytes} bytes");
        assert_eq!(book.record(job(ME)).map(|record| record.pictures[&0].checkpoint()), Some(4));
    }
}

#[test]
fn a_step_without_its_latent_is_no_checkpoint() {
    let members = everyone();
    let (mut book, mut out) = watcher(&members);
    let told = |progress| Picture { job: job(BO), unit: 0, progress };
    book.picture(Millis(1), BO, told(step(4, 0)), &members, &mut out).expect("Bo's own");
    let canvas =
        |book: &Book| book.record(job(BO)).map(|r| (r.pictures[&0].done, r.pictures[&0].checkpoint()));
    assert_eq!(canvas(&book), Some((4, 0)), "an heir has to start again");
    book.picture(Millis(1), BO, told(step(4, 9)), &members, &mut out).expect("Bo's own");
    assert_eq!(canvas(&book), Some((4, 4)), "until it has the latent");
}

#[test]
fn whose_pixels_count() {
    let rows = [
        (everyone(), BO, true, "the requester's"),
        (everyone(), CY, false, "nobody else's while the requester is here"),
        (room(Report::default(), &[(CY, Report::default())]), CY, true, "anybody's once it is gone"),
    ];
    for (members, from, counts, why) in rows {
        let (mut book, mut out) = watcher(&everyone());
        let picture = Picture { job: job(BO), unit: 0, progress: tile(0) };
        book.picture(Millis(1), from, picture, &members, &mut out).expect("harmless");
        let has = book.record(job(BO)).is_some_and(|record| !record.pictures.is_empty());
        assert_eq!(has, counts, "{why}");
    }
}

#[test]
fn an_end_waits_for_the_pixels_but_not_for_ever() {
    let members = everyone();
    let end = |end| Story { job: job(BO), from: 0, tokens: vec![], end: Some(end), state: None };
    let (mut book, mut out) = watcher(&members);
    book.story(Millis(0), BO, end(End::Finished), &members, &mut out).expect("Bo's own");
    assert_eq!(ended(&mut out), 0, "the bulk lane is slower than the control lane");
    for (unit, number) in [(0, 0), (0, 1), (1, 0), (1, 1)] {
        let picture = Picture { job: job(BO), unit, progress: tile(number) };
        book.picture(Millis(1), BO, picture, &members, &mut out).expect("Bo's own");
    }
    assert_eq!(ended(&mut out), 1, "all are here");

    let (mut book, mut out) = watcher(&members);
    book.story(Millis(0), BO, end(End::Stopped), &members, &mut out).expect("Bo's own");
    assert_eq!(ended(&mut out), 1, "a stopped one has no more to come");

    let (mut book, mut out) = watcher(&members);
    book.story(Millis(0), BO, end(End::Finished), &members, &mut out).expect("Bo's own");
    book.nudge(Millis(limits::ORPHAN_MS), &members, &mut out);
    let asked: Vec<PeerId> = sent(&mut out)
        .into_iter()
        .filter_map(|(to, message)| matches!(message, Message::Missing { .. }).then_some(to))
        .collect();
    assert_eq!(asked.len(), 1, "one peer is asked for the rest: {asked:?}");
    let gone = room(Report::default(), &[(CY, Report::default())]);
    for (members, want, why) in [
        (&members, (1, false), "the requester itself has lost it: that is the end"),
        (&gone, (0, true), "nobody is left who has it: it is painted again, here"),
    ] {
        let (mut book, mut out) = watcher(&everyone());
        book.story(Millis(0), BO, end(End::Finished), &everyone(), &mut out).expect("Bo's own");
        for ask in 1..=u64::from(limits::PIXEL_ASKS) + 1 {
            book.nudge(Millis(ask * limits::ORPHAN_MS), members, &mut out);
        }
        assert_eq!((ended(&mut out), book.keeps(job(BO))), want, "{why}");
    }
}

#[test]
fn pixels_of_the_oldest_go_first() {
    let members = everyone();
    let (mut book, mut out) = (Book::new(ME), Outbox::new(ME));
    let half = limits::PIXELS_BYTES / 2 + 1;
    for serial in 1..=3 {
        let id = JobId { requester: ME, serial };
        book.submit(Millis(0), Job { id, ..pictures(ME) }, &members, &mut out);
        let pixels = Progress::Tile { tile: 0, pixels: vec![0; half] };
        book.advance(id, 0, pixels, &members, &mut out).expect("a large tile");
        book.finish(id, End::Stopped, &members, &mut out);
        out.take();
    }
    let with: Vec<u32> = (1..=3)
        .filter(|&serial| {
            book.record(JobId { requester: ME, serial }).is_some_and(|record| !record.pictures.is_empty())
        })
        .collect();
    assert_eq!(with, [3], "two do not fit, and nobody misses the first");
}

#[test]
fn an_heir_with_an_old_copy_takes_the_pixels_of_whoever_knows_the_end() {
    let alone = room(Report::default(), &[(CY, Report::default())]);
    let (mut book, mut out) = watcher(&everyone());
    book.rekeep(Millis(0), &alone, &mut out);
    assert!(book.keeps(job(BO)), "Bo left, and this peer has the lower id");
    out.take();
    let ended = Story { job: job(BO), from: 0, tokens: vec![], end: Some(End::Finished), state: None };
    let asks = |book: &mut Book, out: &mut Outbox, now| {
        book.story(Millis(now), CY, ended.clone(), &alone, out).expect("Cy saw it end");
        sent(out)
            .iter()
            .filter(|(to, message)| *to == CY && matches!(message, Message::Missing { .. }))
            .count()
    };
    let first = limits::CLAIM_MS;
    assert_eq!(asks(&mut book, &mut out, first), 1, "it asks for the rest");
    assert_eq!(asks(&mut book, &mut out, first + 1), 0, "once");
    for (unit, number) in [(0, 0), (0, 1), (1, 0), (1, 1)] {
        let picture = Picture { job: job(BO), unit, progress: tile(number) };
        book.picture(Millis(first + 2), CY, picture, &alone, &mut out).expect("Cy's copy");
    }
    assert!(book.record(job(BO)).is_some_and(Record::is_full), "nothing is painted again");
}
