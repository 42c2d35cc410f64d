use super::*;
use crate::ids::ModelId;
use crate::io::Output;
use crate::wire;

const ANN: PeerId = PeerId(1);
const ME: PeerId = PeerId(2);
const CY: PeerId = PeerId(3);
const DEE: PeerId = PeerId(4);

fn job(requester: PeerId) -> Job {
    let id = JobId { requester, serial: 1 };
    let work = Work::Text(TextWork { prompt: vec![1], max_new: 9, sampling: vec![] });
    Job { id, model: ModelId([0; 32]), author: String::new(), text: String::new(), work }
}

fn room(live: &[PeerId]) -> Members {
    let mut members = Members::new(ME, "", Millis(0));
    for &peer in live {
        members.up(Millis(0), peer);
        members.hello(Millis(0), peer, wire::VERSION, wire::OLDEST, String::new());
    }
    members.refresh(Millis(0));
    members
}

fn copy(requester: PeerId, tokens: &[u32], keeper: PeerId) -> Whole {
    Whole { job: job(requester), tokens: tokens.to_vec(), end: None, keeper }
}

fn grown(requester: PeerId, from: u32, tokens: &[u32]) -> Story {
    Story { job: job(requester).id, from, tokens: tokens.to_vec(), end: None, state: None }
}

/// A book in which Cy's story has two tokens.
fn book(members: &Members) -> (Book, Outbox) {
    let (mut book, mut out) = (Book::new(ME), Outbox::new(ME));
    book.whole(Millis(0), CY, copy(CY, &[10, 11], CY), members, &mut out).expect("Cy's own story");
    out.take();
    (book, out)
}

fn tokens(book: &Book) -> &[u32] {
    &book.record(job(CY).id).expect("it is known").tokens
}

#[test]
fn whose_word_counts() {
    let everyone = [ANN, CY, DEE];
    let rows: [(&[PeerId], PeerId, usize, &str); 4] = [
        (&everyone, CY, 3, "the requester's"),
        (&everyone, ANN, 2, "nobody else's while the requester is here"),
        (&[ANN, DEE], ANN, 3, "the heir's once it is gone"),
        (&[ANN, DEE], DEE, 2, "not that of one further down the line"),
    ];
    for (live, from, count, why) in rows {
        let (mut book, mut out) = book(&room(&everyone));
        let members = room(live);
        book.rekeep(Millis(1), &members, &mut out);
        book.story(Millis(1), from, grown(CY, 2, &[12]), &members, &mut out).expect("harmless");
        assert_eq!(tokens(&book).len(), count, "{why}");
    }
}

#[test]
fn stories_join_without_gaps() {
    let members = room(&[CY]);
    type Row = (u32, &'static [u32], bool, &'static [u32], &'static str);
    let rows: [Row; 5] = [
        (2, &[12], true, &[10, 11, 12], "the next token"),
        (1, &[11, 12], true, &[10, 11, 12], "an overlap"),
        (0, &[10], true, &[10, 11], "old news"),
        (3, &[13], true, &[10, 11], "a gap: asked for, not shown"),
        (1, &[99, 12], false, &[10, 11], "another story"),
    ];
    for (from, news, taken, want, why) in rows {
        let (mut book, mut out) = book(&members);
        let result = book.story(Millis(9_999), CY, grown(CY, from, news), &members, &mut out);
        assert_eq!((result.is_ok(), tokens(&book)), (taken, want), "{why}");
        let asked = out.take().iter().any(|output| {
            matches!(output, Output::Send { to: CY, bytes, .. }
                if wire::decode(bytes) == Ok(Message::Missing { job: job(CY).id, have: Some(2) }))
        });
        assert_eq!(asked, from == 3, "{why}");
    }
}

#[test]
fn the_lowest_id_inherits_and_the_longest_copy_counts() {
    let (mut book, mut out) = book(&room(&[CY, DEE]));
    let members = room(&[DEE]);
    book.rekeep(Millis(1), &members, &mut out);
    assert!(book.keeps(job(CY).id), "lower than Dee");
    book.whole(Millis(1), DEE, copy(CY, &[10, 11, 12, 13], ME), &members, &mut out).expect("handed over");
    assert_eq!(tokens(&book), [10, 11, 12, 13]);
    book.whole(Millis(1), ANN, copy(CY, &[10], ANN), &room(&[ANN, DEE]), &mut out).expect("a lower heir");
    assert!(!book.keeps(job(CY).id), "the lower id wins when two heirs meet");
    book.rekeep(Millis(2), &room(&[ANN, CY, DEE]), &mut out);
    assert_eq!(
        book.record(job(CY).id).map(|record| record.keeper),
        Some(CY),
        "and the requester when it is back"
    );
}

#[test]
fn an_heir_takes_the_end_that_somebody_saw() {
    let (mut book, mut out) = book(&room(&[CY, DEE]));
    let members = room(&[DEE]);
    book.rekeep(Millis(1), &members, &mut out);
    out.take();
    let ended = |from, tokens: &[u32]| Story { end: Some(End::Finished), ..grown(CY, from, tokens) };
    let at = Millis(limits::CLAIM_MS + 1);
    book.story(at, DEE, ended(3, &[]), &members, &mut out).expect("Dee saw it end after three tokens");
    assert!(book.keeps(job(CY).id), "the third is missing here");
    let asked = out.take().iter().any(|output| {
        matches!(output, Output::Send { to: DEE, bytes, .. }
            if wire::decode(bytes) == Ok(Message::Missing { job: job(CY).id, have: Some(2) }))
    });
    assert!(asked, "so that it is asked for");
    book.story(at, DEE, ended(2, &[12]), &members, &mut out).expect("Dee's answer");
    assert_eq!((tokens(&book), book.keeps(job(CY).id)), (&[10, 11, 12][..], false), "nothing is left to run");
}

#[test]
fn two_that_wait_for_each_other_do_not_wait_for_ever() {
    let (mut book, mut out) = book(&room(&[CY, DEE]));
    let members = room(&[ANN, DEE]);
    book.rekeep(Millis(1), &members, &mut out);
    assert!(!book.keeps(job(CY).id), "Ann inherits");
    book.whole(Millis(2), ANN, copy(CY, &[10], ME), &members, &mut out)
        .expect("Ann thinks that it is this peer");
    assert!(book.keeps(job(CY).id));
}

#[test]
fn an_end_is_shown_once_and_old_stories_are_forgotten() {
    let members = room(&[CY]);
    let (mut book, mut out) = (Book::new(ME), Outbox::new(ME));
    for serial in (1..=50).chain(1..=50) {
        let job = Job { id: JobId { requester: CY, serial }, ..job(CY) };
        let whole = Whole { job, tokens: vec![], end: Some(End::Finished), keeper: CY };
        book.whole(Millis(0), CY, whole, &members, &mut out).expect("Cy's own stories");
    }
    let ends =
        out.take().iter().filter(|output| matches!(output, Output::Event(Event::Ended { .. }))).count();
    assert_eq!((ends, book.sizes()), (50, (0, limits::JOBS_KEPT)));
}
