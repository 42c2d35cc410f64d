//! Messages in the world: sent, repeated, spoilt, delivered.

use super::World;
use super::agenda::Happening;
use crate::network::{Fate, Parcel};
use coordinator::credit::RECEIPTS;
use coordinator::io::Lane;
use coordinator::wire::{self, Message};
use coordinator::{Input, JobId, Lease, PeerId};

/// The kind byte of [`Message::Open`].
const OPEN: u8 = 13;
/// The kind byte of [`Message::Report`].
const REPORT: u8 = 2;
/// The kind byte of [`Message::Ask`].
const ASK: u8 = 9;
/// The kind byte of [`Message::Close`].
const CLOSE: u8 = 15;
/// The kind byte of [`Message::Token`].
const TOKEN: u8 = 18;
/// The kind of a message that is to be passed on.
const RELAY: u8 = 22;
/// The kind of a message that was passed on.
const RELAYED: u8 = 23;
/// Thousandths of a credit that a liar says it, and everybody, did for it, for each millisecond of its life.
const FORGED_PER_MS: u64 = 500;

impl World {
    pub(super) fn send(&mut self, from: PeerId, to: PeerId, lane: Lane, bytes: Vec<u8>) {
        let weather = self.weather;
        self.note_closing(from, &bytes);
        let bytes = self.forge(from, bytes);
        if self.dice.range(0, 10_000) < weather.repeated {
            self.put_on_its_way(from, to, lane, bytes.clone());
        }
        if self.dice.range(0, 10_000) < weather.cut_off {
            let length = self.dice.range(0, bytes.len() as u64) as usize;
            self.put_on_its_way(from, to, lane, bytes[..length].to_vec());
        }
        if self.dice.range(0, 10_000) < weather.garbled {
            let spoilt = self.garble(&bytes);
            self.put_on_its_way(from, to, lane, spoilt);
        }
        if self.dice.range(0, 10_000) < weather.echoed {
            self.echo(from, to, lane, &bytes);
        }
        self.put_on_its_way(from, to, lane, bytes);
    }

    /// A keeper closes a lease.
    fn note_closing(&mut self, from: PeerId, bytes: &[u8]) {
        if let Some(Message::Close(job, lease)) = of_kind(bytes, CLOSE)
            && let Some(keeper) = self.peers.get_mut(&from)
        {
            keeper.closed.close(job, lease);
        }
    }

    /// What a liar says in its reports of the work that it received: of its own, and of everybody's.
    fn forge(&self, from: PeerId, bytes: Vec<u8>) -> Vec<u8> {
        if !self.peers.get(&from).is_some_and(|peer| peer.spec.forges) || bytes.get(1) != Some(&REPORT) {
            return bytes;
        }
        let Ok(Message::Report(mut report)) = wire::decode(&bytes) else { return bytes };
        report.receipts =
            self.alive().into_iter().take(RECEIPTS).map(|id| (id, self.now * FORGED_PER_MS)).collect();
        wire::encode(&Message::Report(report))
    }

    /// A copy that comes late, and holds nothing up.
    fn echo(&mut self, from: PeerId, to: PeerId, lane: Lane, bytes: &[u8]) {
        if let Fate::At(at, parcel) =
            self.network.send(self.now, from, to, lane, bytes.to_vec(), &mut self.dice)
        {
            let at = at + self.dice.range(0, 3_000);
            self.agenda.push(at, Happening::Arrive(parcel));
        }
    }

    /// A kind of message that there is not. Never the content: what a member of the room makes up is not to be told
    /// from the truth.
    fn garble(&mut self, bytes: &[u8]) -> Vec<u8> {
        let mut copy = bytes.to_vec();
        if let Some(kind) = copy.get_mut(1) {
            *kind = self.dice.range(128, 256) as u8;
        }
        copy
    }

    pub(super) fn put_on_its_way(&mut self, from: PeerId, to: PeerId, lane: Lane, bytes: Vec<u8>) {
        let fate = self.network.send(self.now, from, to, lane, bytes, &mut self.dice);
        self.on_its_way(fate);
    }

    pub(super) fn on_its_way(&mut self, fate: Fate) {
        if let Fate::At(at, parcel) = fate {
            self.agenda.push(at, Happening::Arrive(parcel));
        }
    }

    pub(super) fn arrives(&mut self, parcel: Parcel) {
        let Some(Parcel { from, to, bytes, .. }) = self.network.arrive(parcel) else {
            return;
        };
        if self.useless == Some(to) && of_kind(&bytes, ASK).is_some() {
            return;
        }
        if let Some(peer) = self.peers.get_mut(&to)
            && let Some((owner, job, lease)) = opening(from, &bytes)
        {
            peer.leases.opened(owner, job, lease);
        }
        self.feed(to, Input::Received { from, bytes });
    }
}

/// Who opens a session with this message, passed on or not, and for which job under which lease. Only messages that may
/// do so are decoded.
fn opening(from: PeerId, bytes: &[u8]) -> Option<(PeerId, JobId, Lease)> {
    let kind = *bytes.get(1)?;
    if kind != OPEN && kind != RELAYED {
        return None;
    }
    match wire::decode(bytes).ok()? {
        Message::Open(open) => Some((from, open.job, open.lease)),
        Message::Relayed { from: origin, bytes } => opening(origin, &bytes),
        _ => None,
    }
}

/// The token in an input, passed on or not, and its lease.
pub(super) fn token(input: &Input) -> Option<(JobId, Lease)> {
    let Input::Received { bytes, .. } = input else { return None };
    match of_kind(bytes, TOKEN)? {
        Message::Token(token) => Some((token.job, token.lease)),
        _ => None,
    }
}

/// A message of this kind, passed on or not. Others are not decoded.
fn of_kind(bytes: &[u8], kind: u8) -> Option<Message> {
    match *bytes.get(1)? {
        found if found == kind => wire::decode(bytes).ok(),
        RELAY | RELAYED => match wire::decode(bytes).ok()? {
            Message::Relay { bytes, .. } | Message::Relayed { bytes, .. } => of_kind(&bytes, kind),
            _ => None,
        },
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use coordinator::wire::{Open, OpenPart, OpenText, Token};
    use coordinator::{Epoch, ModelId};

    #[test]
    fn an_opening_is_recognised() {
        let job = JobId { requester: PeerId(1), serial: 1 };
        let lease = Lease { epoch: Epoch { term: 1, leader: PeerId(1) }, serial: 1 };
        let (tokens, sampling) = (vec![1], vec![]);
        let part = OpenPart::Text(OpenText { known: 1, until: 2, tokens, sampling });
        let open = Open { job, lease, model: ModelId([7; 32]), stages: vec![], part };
        let bytes = wire::encode(&Message::Open(Box::new(open)));
        let (from, origin) = (PeerId(1), PeerId(2));
        assert_eq!(opening(from, &bytes), Some((from, job, lease)));
        let passed_on = wire::encode(&Message::Relayed { from: origin, bytes });
        assert_eq!(opening(from, &passed_on), Some((origin, job, lease)), "whoever passes it on");
        let close = wire::encode(&Message::Close(job, lease));
        assert_eq!(opening(from, &close), None);
        let bytes = wire::encode(&Message::Relay { to: origin, bytes: close });
        assert_eq!(of_kind(&bytes, CLOSE), Some(Message::Close(job, lease)), "whoever is to pass it on");
        let token = Message::Token(Token { job, lease, position: 1, token: 1, end: false, note: Vec::new() });
        assert_eq!(wire::encode(&token)[1], TOKEN);
        assert_eq!(wire::encode(&Message::Report(Box::default()))[1], REPORT);
    }
}
