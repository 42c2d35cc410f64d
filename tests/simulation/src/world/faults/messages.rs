//! A flood: a peer sends another one thousands of messages, some of them well formed. (What happens to single messages
//! is [`Weather`](super::Weather).)

use super::World;
use crate::dice::Dice;
use coordinator::io::Lane;
use coordinator::wire::{self, Ask, Blob, Demand, Fault as Failure, Hidden, Message, Token};
use coordinator::{Epoch, JobId, Lease, ModelId, PeerId};

impl World {
    /// `from` sends `to` this many messages at once, of every kind that needs no knowledge. Nothing in them is about
    /// anybody's real job: what a member makes up about those is not to be told from the truth.
    pub fn flood(&mut self, from: PeerId, to: PeerId, messages: u64) {
        for _ in 0..messages {
            let bytes = forged(from, &mut self.dice);
            self.put_on_its_way(from, to, Lane::Control, bytes);
        }
    }

    /// Whatever is asked of `leader` from now on is lost; everything else reaches it.
    pub fn drop_asks_of(&mut self, leader: PeerId) {
        self.useless = Some(leader);
    }

    pub(super) fn flood_somebody(&mut self, alive: &[PeerId]) {
        if let Some((from, to)) = self.pair_with_link(alive) {
            let messages = self.dice.range(500, 3_000);
            self.flood(from, to, messages);
        }
    }
}

fn forged(from: PeerId, dice: &mut Dice) -> Vec<u8> {
    let job = JobId { requester: from, serial: 1_000_000 + dice.range(0, 1_000) as u32 };
    let lease = Lease { epoch: Epoch { term: 0, leader: from }, serial: dice.range(0, 9) as u32 };
    let position = dice.range(0, 100) as u32;
    let message = match dice.range(0, 11) {
        0 => Message::Hello { version: wire::VERSION, oldest: wire::OLDEST, name: "Mallory".into() },
        1 => Message::Missing { job, have: Some(position) },
        2 => {
            let model = ModelId([7; 32]);
            let demand = Demand::Text { prompt: 1, known: position, left: 9, gap_ms: 0 };
            let (running, waiting) = (vec![], dice.next());
            Message::Ask(Box::new(Ask { job, model, demand, running, waiting, seen: None, suspect: None }))
        }
        3 => Message::Opened(job, lease),
        4 => Message::Close(job, lease),
        5 => Message::Ack(job, lease, position),
        6 => Message::Token(Token { job, lease, position, token: 1, end: false, note: Vec::new() }),
        7 => Message::Hidden(Hidden { job, lease, position, rows: 1, bytes: vec![0; 8] }),
        9 => Message::Blob(Blob { job, lease, number: position, bytes: vec![0; 8] }),
        8 => Message::Fault(Failure { job, lease, reason: "no".into(), suspect: None, refused: None }),
        _ => return (0..dice.range(0, 200)).map(|_| dice.next() as u8).collect(),
    };
    wire::encode(&message)
}
