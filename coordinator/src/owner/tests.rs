use super::*;
use crate::ids::ModelId;
use crate::io::{Job, TextWork, Work as Kind};
use crate::wire::Whole;

const ME: PeerId = PeerId(1);
const BO: PeerId = PeerId(2);
const GONE: PeerId = PeerId(3);

/// The gone peer's story of three tokens, as Bo hands it to its heir.
fn copy(tokens: &[u32]) -> Whole {
    let id = JobId { requester: GONE, serial: 1 };
    let work = Kind::Text(TextWork { prompt: vec![1], max_new: 3, sampling: vec![] });
    let job = Job { id, model: ModelId([0; 32]), author: String::new(), text: String::new(), work };
    Whole { job, tokens: tokens.to_vec(), end: None, keeper: ME }
}

#[test]
fn an_heir_writes_no_token_too_many() {
    type Row = (&'static [u32], &'static [u32], Option<End>, &'static str);
    let rows: [Row; 3] = [
        (&[7], &[7, 8], None, "there is more to write"),
        (&[7, 8, 9], &[7, 8, 9], Some(End::Length), "all was written before"),
        (&[7, 8], &[7, 8, 9], Some(End::Length), "another had the last token"),
    ];
    let mut members = Members::new(ME, "", Millis(0));
    members.up(Millis(0), BO);
    members.hello(Millis(0), BO, wire::VERSION, wire::OLDEST, String::new());
    members.refresh(Millis(0));
    for (first, then, end, why) in rows {
        let (mut owner, mut book, mut out) = (Owner::default(), Book::new(ME), Outbox::new(ME));
        let mut ledger = Ledger::new(Millis(0), ME);
        let mut election = Election::new(ME, 0, Millis(0));
        for tokens in [first, then] {
            book.whole(Millis(0), BO, copy(tokens), &members, &mut out).expect("the requester is gone");
            owner.adopt(&mut Context {
                now: Millis(0),
                members: &members,
                leader: Some(BO),
                election: &mut election,
                ledger: &mut ledger,
                book: &mut book,
                out: &mut out,
            });
        }
        let ended = book.record(copy(&[]).job.id).and_then(|record| record.end.clone());
        assert_eq!((owner.len() == 0, ended), (end.is_some(), end), "{why}");
    }
}
