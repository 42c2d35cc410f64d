//! Links between pairs of peers: latency, jitter, reordering, silence, and loss.

use crate::dice::Dice;
use coordinator::PeerId;
use coordinator::io::Lane;
use std::collections::BTreeMap;

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
}

/// One pair's connection.
#[derive(Debug, Default)]
struct Link {
    open: bool,
    /// Counts connections; what an older one carried never arrives.
    generation: u32,
    /// Nothing gets through at the moment; it is kept and arrives afterwards.
    silent: bool,
    held: Vec<Parcel>,
    /// Whether the lower and the higher peer believe that it is open.
    believed: [bool; 2],
    latency_ms: u64,
    jitter_ms: u64,
    /// When the last control message to the lower and the higher peer arrives.
    busy_until: [u64; 2],
}

/// All links.
#[derive(Debug, Default)]
pub struct Network {
    links: BTreeMap<(PeerId, PeerId), Link>,
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
    /// Opens a link. Returns those peers that have not yet heard of its last closing: they do so first.
    pub fn open(&mut self, a: PeerId, b: PeerId, dice: &mut Dice) -> Option<Vec<(PeerId, PeerId)>> {
        let link = self.links.entry(key(a, b)).or_default();
        if link.open {
            return None;
        }
        let late =
            [(a, b), (b, a)].into_iter().filter(|&(peer, other)| link.believed[side(peer, other)]).collect();
        let slow = dice.chance(15);
        *link = Link {
            open: true,
            generation: link.generation + 1,
            believed: [true; 2],
            latency_ms: if slow { dice.range(80, 300) } else { dice.range(1, 60) },
            jitter_ms: if dice.chance(20) { dice.range(20, 200) } else { dice.range(0, 15) },
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
        link.silent = false;
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

    /// Makes a link silent, or lets it speak again; returns what it held back.
    pub fn silence(&mut self, a: PeerId, b: PeerId, silent: bool) -> Vec<Parcel> {
        let Some(link) = self.links.get_mut(&key(a, b)) else {
            return Vec::new();
        };
        link.silent = silent && link.open;
        if link.silent { Vec::new() } else { std::mem::take(&mut link.held) }
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
        let parcel = Parcel { from, to, lane, bytes, generation: link.generation };
        Self::route(link, now, parcel, dice)
    }

    /// Sends a message that a silent link held back.
    pub fn resend(&mut self, now: u64, parcel: Parcel, dice: &mut Dice) -> Fate {
        match self.links.get_mut(&key(parcel.from, parcel.to)) {
            Some(link) if link.open && link.generation == parcel.generation => {
                Self::route(link, now, parcel, dice)
            }
            _ => Fate::NotNow,
        }
    }

    fn route(link: &mut Link, now: u64, parcel: Parcel, dice: &mut Dice) -> Fate {
        if link.silent {
            link.held.push(parcel);
            return Fate::NotNow;
        }
        let mut at = now + link.latency_ms + dice.range(0, link.jitter_ms + 1);
        if parcel.lane == Lane::Control {
            let busy = &mut link.busy_until[side(parcel.to, parcel.from)];
            at = at.max(*busy);
            *busy = at;
        }
        Fate::At(at, parcel)
    }

    /// A message is there. None if its link closed, or fell silent, meanwhile.
    pub fn arrive(&mut self, parcel: Parcel) -> Option<Parcel> {
        let link = self.links.get_mut(&key(parcel.from, parcel.to))?;
        if !link.open || link.generation != parcel.generation {
            return None;
        }
        if link.silent {
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
