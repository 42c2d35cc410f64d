use super::*;
use crate::book::Book;
use crate::credit::Ledger;
use crate::election::Election;
use crate::ids::{Lease, Millis};
use crate::io::{Event, Job, Output, PictureWork, Shape, TextWork};
use crate::membership::Members;
use crate::outbox::Outbox;
use crate::testing::{BO, CY, LEASE, ME, job, model, painter, room, sent};
use crate::wire::{Fault, Message, Report, Running};

/// A peer without any part in it.
const EVE: PeerId = PeerId(9);
/// As many bytes a layer are worth a thousandth of a credit.
const LAYER_BYTES: u64 = 1_000_000;

/// This peer, which keeps a job of its own that Bo and Cy work for.
struct Desk {
    members: Members,
    election: Election,
    ledger: Ledger,
    book: Book,
    out: Outbox,
    owner: Owner,
}

impl Desk {
    fn new(work: Kind) -> Self {
        let kind =
            if matches!(work, Kind::Text(_)) { crate::io::Kind::Text } else { crate::io::Kind::Picture };
        let mut report = painter(1_000);
        report.offers[0].model = crate::io::ModelSpec { layer_bytes: LAYER_BYTES, ..model(kind) };
        let (now, layers) = (Millis(0), model(kind).whole());
        let mut desk = Self {
            members: room(Report::default(), &[(BO, report.clone()), (CY, report), (EVE, Report::default())]),
            election: Election::new(ME, 0, now),
            ledger: Ledger::new(now, ME),
            book: Book::new(ME),
            out: Outbox::new(ME),
            owner: Owner::default(),
        };
        let (author, text) = (String::new(), String::new());
        let asked = Job { id: job(ME), model: model(kind).id, author, text, work };
        desk.book.submit(now, asked, &desk.members, &mut desk.out);
        let stages = [BO, CY].map(|peer| Stage { peer, layers }).into();
        desk.with(|owner, cx| {
            owner.adopt(cx);
            owner.grant(job(ME), Running { lease: LEASE, unit: 0, stages, bands: 0 }, cx).expect("a grant");
        });
        sent(&mut desk.out);
        desk
    }

    fn with<T>(&mut self, act: impl FnOnce(&mut Owner, &mut Context<'_>) -> T) -> T {
        let mut context = Context {
            now: Millis(0),
            members: &self.members,
            leader: Some(CY),
            election: &mut self.election,
            ledger: &mut self.ledger,
            book: &mut self.book,
            out: &mut self.out,
        };
        act(&mut self.owner, &mut context)
    }

    fn blob(&mut self, from: PeerId, lease: Lease, number: u32) -> Result<(), String> {
        let blob = Blob { job: job(ME), lease, number, bytes: vec![number as u8; 9] };
        self.with(|owner, cx| owner.blob(from, blob, cx))
    }

    fn fault(&mut self, from: PeerId, lease: Lease, suspect: PeerId, refused: Option<u32>) {
        let (reason, suspect) = ("it is not finite".into(), Some(suspect));
        let fault = Fault { job: job(ME), lease, reason, suspect, refused };
        self.with(|owner, cx| owner.fault(from, fault, cx)).expect("it works for the job");
    }

    fn token(&mut self, from: PeerId, lease: Lease, position: u32, end: bool) -> Result<(), String> {
        let token = Token { job: job(ME), lease, position, token: 7, end, note: Vec::new() };
        self.with(|owner, cx| owner.token(from, token, cx))
    }

    /// Receipts for Bo and for Cy, in thousandths of a credit.
    fn paid(&self) -> [u64; 2] {
        let receipts = self.ledger.own_receipts();
        [BO, CY].map(|peer| receipts.iter().find(|(to, _)| *to == peer).map_or(0, |(_, sum)| *sum))
    }
}

fn picture(guided: bool, tiles: u16) -> Kind {
    let shape = Shape { count: 1, steps: 8, guided, tiles, stale: false };
    Kind::Picture(PictureWork { shape, settings: vec![] })
}

fn text(max_new: u32) -> Kind {
    Kind::Text(TextWork { prompt: vec![1, 2, 3], max_new, sampling: vec![] })
}

const fn tile(tile: u16) -> u32 {
    pieces::TILES + tile as u32
}

#[test]
fn what_is_told_of_a_token_comes_after_it() {
    let mut desk = Desk::new(text(9));
    let token = Token { job: job(ME), lease: LEASE, position: 3, token: 7, end: false, note: vec![1, 2] };
    desk.with(|owner, cx| owner.token(CY, token, cx)).expect("the last stage's");
    let told: Vec<Event> = desk
        .out
        .take()
        .into_iter()
        .filter_map(|output| match output {
            Output::Event(event @ (Event::Tokens { .. } | Event::Note { .. })) => Some(event),
            _ => None,
        })
        .collect();
    let tokens = Event::Tokens { job: job(ME), from: 0, tokens: vec![7] };
    assert_eq!(told, [tokens, Event::Note { job: job(ME), at: 0, note: vec![1, 2] }]);
}

#[test]
fn each_member_may_give_what_is_its_to_make() {
    let old = Lease { serial: 0, ..LEASE };
    let rows = [
        (BO, LEASE, pieces::latent(4), "", "the first member's latent"),
        (BO, LEASE, tile(0), "", "its tile"),
        (CY, LEASE, tile(1), "", "the second member's tile"),
        (BO, old, pieces::latent(4), "old lease", "before the unit moved"),
        (EVE, LEASE, pieces::latent(4), "no part in it", "a stranger's"),
        (CY, LEASE, pieces::latent(4), "not its to make", "the second member steers nothing"),
        (CY, LEASE, tile(0), "not its to make", "another member's tile"),
        (BO, LEASE, tile(2), "not its to make", "a tile that there is not"),
        (BO, LEASE, pieces::latent(9), "not its to make", "a step that there is not"),
        (BO, LEASE, pieces::ENCODING, "not its to make", "the encoding stays in the crew"),
        (BO, LEASE, u32::MAX, "not its to make", "no number at all"),
    ];
    for (from, lease, number, reason, why) in rows {
        let mut desk = Desk::new(picture(true, 2));
        let result = desk.blob(from, lease, number);
        match reason {
            "" => assert_eq!(result, Ok(()), "{why}"),
            _ => assert!(result.as_ref().is_err_and(|said| said.contains(reason)), "{why}: {result:?}"),
        }
        let shown = desk.out.take().iter().any(|out| matches!(out, Output::Event(Event::Picture { .. })));
        assert_eq!(shown, reason.is_empty(), "{why}");
    }
    let mut desk = Desk::new(text(9));
    let result = desk.blob(BO, LEASE, pieces::latent(4));
    assert!(result.is_err_and(|said| said.contains("without pictures")), "pixels for a story");
}

#[test]
fn work_is_paid_once_and_by_who_did_it() {
    // Eight layers of a thousandth each.
    type Row<'a> = (bool, &'a [(PeerId, u32)], [u64; 2], &'a str);
    let rows: [Row<'_>; 6] = [
        (false, &[(BO, pieces::latent(4))], [4 * 8, 0], "four passes of the first member"),
        (true, &[(BO, pieces::latent(4))], [4 * 8, 4 * 8], "guidance: a branch each"),
        (
            true,
            &[(BO, pieces::latent(4)), (BO, pieces::latent(4))],
            [4 * 8, 4 * 8],
            "the same again is no work",
        ),
        (false, &[(BO, pieces::latent(8)), (BO, pieces::latent(4))], [8 * 8, 0], "nor is an older one"),
        (false, &[(BO, tile(0)), (CY, tile(1))], [8, 8], "a tile each"),
        (false, &[(CY, tile(0))], [0, 0], "what is dropped is not paid"),
    ];
    for (guided, blobs, want, why) in rows {
        let mut desk = Desk::new(picture(guided, 2));
        for &(from, number) in blobs {
            let _dropped = desk.blob(from, LEASE, number);
        }
        assert_eq!(desk.paid(), want, "{why}");
    }
}

#[test]
fn a_job_ends_with_its_last_tile() {
    let mut desk = Desk::new(picture(false, 2));
    desk.blob(BO, LEASE, pieces::latent(8)).expect("the last latent");
    desk.blob(BO, LEASE, tile(0)).expect("its tile");
    assert_eq!(desk.owner.len(), 1, "a tile is missing");
    sent(&mut desk.out);
    desk.blob(CY, LEASE, tile(1)).expect("its tile");
    let told = sent(&mut desk.out);
    let closed: Vec<PeerId> = told
        .iter()
        .filter_map(|(to, message)| matches!(message, Message::Close(..)).then_some(*to))
        .collect();
    assert_eq!(closed, [BO, CY], "both are free");
    assert!(told.contains(&(CY, Message::Done(job(ME)))), "the leader hears it");
    let end = desk.book.record(job(ME)).and_then(|record| record.end.clone());
    assert_eq!((end, desk.owner.len()), (Some(End::Finished), 0));
    assert!(desk.blob(CY, LEASE, tile(1)).is_err(), "it is over");
}

#[test]
fn tokens_come_from_the_last_stage_in_order() {
    let old = Lease { serial: 0, ..LEASE };
    let rows = [
        (CY, LEASE, 3, "", "the next"),
        (CY, old, 3, "lease is old", "before it moved"),
        (BO, LEASE, 3, "not the last stage", "the first stage samples nothing"),
        (CY, LEASE, 4, "missing before", "one too far"),
        (CY, LEASE, 2, "differs", "another prompt"),
        (CY, LEASE, u32::MAX, "missing before", "far beyond"),
    ];
    for (from, lease, position, reason, why) in rows {
        let mut desk = Desk::new(text(9));
        let result = desk.token(from, lease, position, false);
        match reason {
            "" => assert_eq!(result, Ok(()), "{why}"),
            _ => assert!(result.as_ref().is_err_and(|said| said.contains(reason)), "{why}: {result:?}"),
        }
        let count = desk.book.record(job(ME)).map(|record| record.tokens.len());
        assert_eq!(count, Some(usize::from(reason.is_empty())), "{why}");
        let each = if reason.is_empty() { 8 } else { 0 };
        assert_eq!(desk.paid(), [each, each], "{why}: each stage for its layers");
    }
}

#[test]
fn how_a_text_ends() {
    let rows = [
        (&[false, true][..], End::Finished, 1, "the model said so; its last token is no text"),
        (&[false, false], End::Length, 2, "as long as asked for"),
    ];
    for (ends, want, tokens, why) in rows {
        let mut desk = Desk::new(text(2));
        for (at, &end) in ends.iter().enumerate() {
            desk.token(CY, LEASE, 3 + at as u32, end).expect("the next");
        }
        let record = desk.book.record(job(ME)).expect("it is kept for newcomers");
        assert_eq!((record.end.clone(), record.tokens.len()), (Some(want), tokens), "{why}");
        assert_eq!(desk.owner.len(), 0, "{why}");
    }
}

#[test]
fn a_latent_that_no_device_can_work_with_is_forgotten() {
    let (four, encoding) = (pieces::latent(4), pieces::ENCODING);
    type Row = (PeerId, Option<u32>, u16, PeerId, &'static str);
    let rows: [Row; 5] = [
        (ME, Some(four), 0, BO, "the keeper has it from Bo"),
        (BO, Some(four), 0, BO, "Bo's own worker refuses what it made"),
        (BO, Some(encoding), 4, BO, "another part: the latent is good"),
        (ME, Some(pieces::latent(8)), 4, ME, "one that is not kept here"),
        (CY, None, 4, CY, "nothing was refused"),
    ];
    for (suspect, refused, kept, blamed, why) in rows {
        let mut desk = Desk::new(picture(true, 2));
        desk.blob(BO, LEASE, four).expect("a checkpoint");
        sent(&mut desk.out);
        desk.fault(CY, LEASE, suspect, refused);
        let record = desk.book.record(job(ME)).expect("it goes on");
        assert_eq!(record.pictures[&0].checkpoint(), kept, "{why}");
        let asked = sent(&mut desk.out).into_iter().find_map(|(_, message)| match message {
            Message::Ask(ask) => Some(ask.suspect),
            _ => None,
        });
        assert_eq!(asked, Some(Some(blamed)), "{why}");
    }
}

#[test]
fn bands_are_not_taken_unless_they_are_allowed() {
    for (stale, why) in [(false, "nobody allowed it"), (true, "its asker does")] {
        let Kind::Picture(mut work) = picture(true, 2) else { panic!("it is a picture") };
        work.shape.stale = stale;
        let mut desk = Desk::new(Kind::Picture(work));
        let layers = model(crate::io::Kind::Picture).whole();
        let stages = [BO, CY].map(|peer| Stage { peer, layers }).into();
        let granted = Running { lease: Lease { serial: 9, ..LEASE }, unit: 0, stages, bands: 2 };
        let taken = desk.with(|owner, cx| owner.grant(job(ME), granted, cx));
        assert_eq!(taken.is_ok(), stale, "{why}");
    }
}

#[test]
fn what_is_refused_again_and_again_ends_the_job() {
    let mut desk = Desk::new(picture(true, 2));
    let layers = model(crate::io::Kind::Picture).whole();
    for serial in 1..=crate::limits::ATTEMPTS {
        let lease = Lease { serial, ..LEASE };
        if serial > LEASE.serial {
            let stages = [BO, CY].map(|peer| Stage { peer, layers }).into();
            desk.with(|owner, cx| owner.grant(job(ME), Running { lease, unit: 0, stages, bands: 0 }, cx))
                .expect("newer");
        }
        assert_eq!(desk.owner.len(), 1, "it is tried once more");
        desk.fault(CY, lease, BO, Some(pieces::ENCODING));
    }
    let end = desk.book.record(job(ME)).and_then(|record| record.end.clone());
    assert!(matches!(&end, Some(End::Failed(why)) if why.contains("not finite")), "{end:?}");
}
