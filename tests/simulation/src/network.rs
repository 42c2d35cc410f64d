//! Links between pairs of peers: latency, jitter, reordering, silence, and loss.
//!
//! Data channels are reliable, so no single message is ever lost: what a silent link holds back arrives when it speaks
//! again, and what is lost is lost with the whole link. That is why there is no fault "a message is lost" here.

use crate::dice::Dice;
use coordinator::PeerId;
use coordinator::io::Lane;
use std::collections::{BTreeMap, BTreeSet};

/// A message on its way.
#[derive(Clone, Debug)]
pub struct Parcel {
    /// Sender.
    pub from: PeerId,
    /// Receiver.
    pub to: PeerId,
    /// Lane.
    pub lane: Lane,
    /// Content.
    pub bytes: Vec<u8>,
    generation: u32,
    /// Counts what the link was given: its order, should it be held back.
    sequence: u64,
}

/// One pair's connection. Arrays of two: towards the lower and towards the higher peer.
#[derive(Debug, Default)]
struct Link {
    open: bool,
    /// Counts connections; what an older one carried never arrives.
    generation: u32,
    sent: u64,
    /// Nothing gets through at the moment; it is kept and arrives afterwards.
    silent: [bool; 2],
    held: Vec<Parcel>,
    /// Whether the lower and the higher peer believe that it is open.
    believed: [bool; 2],
    latency_ms: u64,
    jitter_ms: u64,
    /// When the last control message arrives.
    busy_until: [u64; 2],
}

/// How long messages take, on links that open from now on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Distance {
    /// All over the world: each link its own latency, a few of them slow or jittery.
    World,
    /// One part of the world: as above, without the slow and the jittery links.
    Region,
    /// One house: this many milliseconds, always.
    House(u64),
}

/// All links.
#[derive(Debug)]
pub struct Network {
    /// How far apart its peers are.
    pub distance: Distance,
    links: BTreeMap<(PeerId, PeerId), Link>,
    /// Pairs that find no way to each other.
    apart: BTreeSet<(PeerId, PeerId)>,
}

/// What becomes of a message.
#[derive(Debug)]
pub enum Fate {
    /// It arrives at this time.
    At(u64, Parcel),
    /// It waits for a silent link, or is lost with a closed one.
    NotNow,
}

const fn key(a: PeerId, b: PeerId) -> (PeerId, PeerId) {
    if a.0 < b.0 { (a, b) } else { (b, a) }
}

fn side(peer: PeerId, other: PeerId) -> usize {
    usize::from(peer > other)
}

impl Network {
    /// No links yet.
    #[must_use]
    pub const fn new(distance: Distance) -> Self {
        Self { distance, links: BTreeMap::new(), apart: BTreeSet::new() }
    }

    /// Keeps a pair from ever getting a link, until [`Network::bring_together`].
    pub fn keep_apart(&mut self, a: PeerId, b: PeerId) {
        self.apart.insert(key(a, b));
    }

    /// Everyone finds a way to everyone.
    pub fn bring_together(&mut self) {
        self.apart.clear();
    }

    /// Opens a link, and returns those that have not yet heard of its last closing: they do so first. None if it is
    /// open, or cannot be.
    pub fn open(&mut self, a: PeerId, b: PeerId, dice: &mut Dice) -> Option<Vec<(PeerId, PeerId)>> {
        let distance = self.distance;
        if self.apart.contains(&key(a, b)) {
            return None;
        }
        let link = self.links.entry(key(a, b)).or_default();
        if link.open {
            return None;
        }
        let late =
            [(a, b), (b, a)].into_iter().filter(|&(peer, other)| link.believed[side(peer, other)]).collect();
        let (latency_ms, jitter_ms) = distance.draw(dice);
        *link = Link {
            open: true,
            generation: link.generation + 1,
            believed: [true; 2],
            latency_ms,
            jitter_ms,
            ..Link::default()
        };
        Some(late)
    }

    /// Closes a link; what is on its way is lost. False if it was closed.
    pub fn close(&mut self, a: PeerId, b: PeerId) -> bool {
        let Some(link) = self.links.get_mut(&key(a, b)).filter(|link| link.open) else {
            return false;
        };
        link.open = false;
        link.silent = [false; 2];
        link.generation += 1;
        link.held.clear();
        true
    }

    /// `peer` hears that its link to `other` is closed. False if it knew, or if the link is open again.
    pub fn learn(&mut self, peer: PeerId, other: PeerId) -> bool {
        let Some(link) = self.links.get_mut(&key(peer, other)).filter(|link| !link.open) else {
            return false;
        };
        std::mem::take(&mut link.believed[side(peer, other)])
    }

    /// Makes one direction silent, or lets it speak again; returns what it held back, in order.
    pub fn silence(&mut self, from: PeerId, to: PeerId, silent: bool) -> Vec<Parcel> {
        let Some(link) = self.links.get_mut(&key(from, to)) else {
            return Vec::new();
        };
        link.silent[side(to, from)] = silent && link.open;
        if silent {
            return Vec::new();
        }
        let (mut free, held): (Vec<_>, Vec<_>) =
            std::mem::take(&mut link.held).into_iter().partition(|parcel| parcel.to == to);
        link.held = held;
        free.sort_by_key(|parcel| parcel.sequence);
        free
    }

    /// Sends a message.
    pub fn send(
        &mut self,
        now: u64,
        from: PeerId,
        to: PeerId,
        lane: Lane,
        bytes: Vec<u8>,
        dice: &mut Dice,
    ) -> Fate {
        let Some(link) = self.links.get_mut(&key(from, to)).filter(|link| link.open) else {
            return Fate::NotNow;
        };
        link.sent += 1;
        let parcel = Parcel { from, to, lane, bytes, generation: link.generation, sequence: link.sent };
        link.route(now, parcel, dice)
    }

    /// Sends a message that a silent link held back.
    pub fn resend(&mut self, now: u64, parcel: Parcel, dice: &mut Dice) -> Fate {
        match self.links.get_mut(&key(parcel.from, parcel.to)) {
            Some(link) if link.open && link.generation == parcel.generation => link.route(now, parcel, dice),
            _ => Fate::NotNow,
        }
    }

    /// A message is there. None if its link closed, or fell silent, meanwhile.
    pub fn arrive(&mut self, parcel: Parcel) -> Option<Parcel> {
        let link = self.links.get_mut(&key(parcel.from, parcel.to))?;
        if !link.open || link.generation != parcel.generation {
            return None;
        }
        if link.silent[side(parcel.to, parcel.from)] {
            link.held.push(parcel);
            return None;
        }
        Some(parcel)
    }

    /// Whether a link is open.
    #[must_use]
    pub fn is_open(&self, a: PeerId, b: PeerId) -> bool {
        self.links.get(&key(a, b)).is_some_and(|link| link.open)
    }
}

impl Link {
    fn route(&mut self, now: u64, parcel: Parcel, dice: &mut Dice) -> Fate {
        let towards = side(parcel.to, parcel.from);
        if self.silent[towards] {
            self.held.push(parcel);
            return Fate::NotNow;
        }
        let mut at = now + self.latency_ms + dice.range(0, self.jitter_ms + 1);
        if parcel.lane == Lane::Control {
            at = at.max(self.busy_until[towards]);
            self.busy_until[towards] = at;
        }
        Fate::At(at, parcel)
    }
}

impl Distance {
    /// Latency and jitter of one link, in milliseconds.
    fn draw(self, dice: &mut Dice) -> (u64, u64) {
        match self {
            Self::House(ms) => (ms, 0),
            Self::Region => (dice.range(1, 60), dice.range(0, 15)),
            Self::World => {
                let slow = dice.chance(15);
                let latency = if slow { dice.range(80, 300) } else { dice.range(1, 60) };
                let jitter = if dice.chance(20) { dice.range(20, 200) } else { dice.range(0, 15) };
                (latency, jitter)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: PeerId = PeerId(1);
    const B: PeerId = PeerId(2);

    fn send(network: &mut Network, from: PeerId, to: PeerId, byte: u8) -> Fate {
        network.send(0, from, to, Lane::Control, vec![byte], &mut Dice::new(1))
    }

    #[test]
    fn a_one_way_link_holds_one_direction_back_and_keeps_its_order() {
        let mut network = Network::new(Distance::House(10));
        network.open(A, B, &mut Dice::new(1));
        let Fate::At(10, early) = send(&mut network, A, B, 1) else { panic!("the link is open") };
        network.silence(A, B, true);
        assert!(matches!(send(&mut network, A, B, 2), Fate::NotNow), "held back");
        assert!(network.arrive(early).is_none(), "so is what was on its way");
        assert!(matches!(send(&mut network, B, A, 3), Fate::At(..)), "the other direction works");
        let bytes: Vec<_> = network.silence(A, B, false).into_iter().map(|parcel| parcel.bytes[0]).collect();
        assert_eq!(bytes, [1, 2], "in the order in which they were sent");
    }

    #[test]
    fn nothing_outlives_its_link() {
        let mut network = Network::new(Distance::World);
        let mut dice = Dice::new(1);
        assert_eq!(network.open(A, B, &mut dice), Some(vec![]));
        let Fate::At(_, parcel) = send(&mut network, A, B, 1) else { panic!("the link is open") };
        assert!(network.close(A, B));
        assert!(network.learn(A, B), "A hears of it");
        let late = network.open(A, B, &mut dice);
        assert_eq!(late, Some(vec![(B, A)]), "B has not heard of the closing yet");
        assert!(network.arrive(parcel).is_none());
    }

    #[test]
    fn kept_apart_until_brought_together() {
        let mut network = Network::new(Distance::World);
        network.keep_apart(B, A);
        assert_eq!(network.open(A, B, &mut Dice::new(1)), None);
        network.bring_together();
        assert!(network.open(A, B, &mut Dice::new(1)).is_some());
    }
}
