//! One job in the queue: what its keeper says against what the leader granted.

use super::Turn;
use crate::ids::{Millis, ModelId, PeerId};
use crate::limits;
use crate::wire::{Ask, Running};
use std::collections::BTreeMap;

/// One job in the queue.
#[derive(Debug)]
pub struct Entry {
    /// Who asks for it.
    pub asker: PeerId,
    /// Its model.
    pub model: ModelId,
    /// Its number in the order of arrival.
    pub arrival: u64,
    /// When it came.
    pub since: Millis,
    /// Its last grant, as a count of grants.
    pub grant: u64,
    /// When it was last asked for.
    pub heard: Millis,
    /// A bit for each unit that waits.
    pub waiting: u64,
    /// Of these, the units that ran before and lost their team.
    pub recovering: u64,
    /// Where it stands in the order; the queue's `file` keeps it.
    pub filed: Option<Turn>,
    running: BTreeMap<u16, Held>,
    /// Asks that said of a lease that it broke, without one that lasted. Asks, for one loss may break many leases.
    breaks: u32,
}

/// A lease that the leader granted, or adopted from its predecessor.
#[derive(Debug)]
struct Held {
    running: Running,
    granted: Millis,
}

impl Entry {
    /// A job of which nothing waits or runs yet.
    pub const fn new(now: Millis, asker: PeerId, model: ModelId, arrival: u64) -> Self {
        Self {
            asker,
            model,
            arrival,
            since: now,
            grant: 0,
            heard: now,
            waiting: 0,
            recovering: 0,
            filed: None,
            running: BTreeMap::new(),
            breaks: 0,
        }
    }

    /// Takes a newcomer's word that it ran under another leader and was interrupted. One unit's worth of it: which
    /// ones ran the ask does not say, and the first is the likeliest.
    pub const fn believe(&mut self, ask: &Ask) {
        if ask.seen.is_some() && ask.running.is_empty() {
            self.recovering = ask.waiting & ask.waiting.wrapping_neg();
        }
    }

    /// Takes an ask and returns the leases that broke by its word.
    pub fn hear(&mut self, now: Millis, asker: PeerId, ask: &Ask) -> Vec<Running> {
        self.heard = now;
        if self.asker != asker {
            // Its heir, or the requester who came back: what the other ran is not theirs, but was interrupted.
            self.asker = asker;
            self.recovering |= self.units();
            self.running.clear();
        }
        let theirs: BTreeMap<u16, &Running> = ask
            .running
            .iter()
            .filter(|it| usize::from(it.unit) < limits::UNITS)
            .map(|it| (it.unit, it))
            .collect();
        let lost = self.compare(now, ask, &theirs);
        for (unit, running) in theirs {
            self.running.entry(unit).or_insert_with(|| Held { running: running.clone(), granted: now });
        }
        self.waiting = ask.waiting & !self.units();
        let broken: Vec<Running> = lost.into_iter().filter(|it| self.waiting & bit(it.unit) != 0).collect();
        self.recovering &= self.waiting;
        self.breaks = self.breaks.saturating_add(u32::from(!broken.is_empty()));
        // A keeper that gives up lease after lease would always be first.
        if self.breaks <= limits::ATTEMPTS {
            self.recovering |= bits(broken.iter().map(|it| it.unit));
        }
        broken
    }

    /// Takes out and returns the leases that the asker does not have, though it had the time to hear of them.
    fn compare(&mut self, now: Millis, ask: &Ask, theirs: &BTreeMap<u16, &Running>) -> Vec<Running> {
        let mut lost = Vec::new();
        let mut lasted = false;
        self.running.retain(|&unit, held| {
            let same = theirs.get(&unit).is_some_and(|it| it.lease == held.running.lease);
            let wanted = ask.waiting & bit(unit) != 0 || theirs.contains_key(&unit);
            let held_ms = now.since(held.granted);
            // The asker gave the lease up, or never got it: it followed somebody else just then.
            let over = ask.seen >= Some(held.running.lease) || held_ms > limits::GRANT_MS;
            lasted |= same && held_ms >= limits::LEASE_MS;
            if same || (wanted && !over) {
                return true;
            }
            lost.push(held.running.clone());
            false
        });
        if lasted {
            self.breaks = 0;
        }
        lost
    }

    /// Notes that a unit runs.
    pub fn run(&mut self, now: Millis, running: Running) {
        let unit = running.unit;
        if usize::from(unit) < limits::UNITS {
            self.running.insert(unit, Held { running, granted: now });
            self.waiting &= !bit(unit);
            self.recovering &= !bit(unit);
        }
    }

    /// Makes the units whose lease is `lost` wait again, first in line. True if there is one.
    pub fn revoke(&mut self, lost: impl Fn(&Running) -> bool) -> bool {
        if !self.running().any(&lost) {
            return false;
        }
        let before = self.units();
        self.running.retain(|_, held| !lost(&held.running));
        let lost = before & !self.units();
        self.waiting |= lost;
        self.recovering |= lost;
        true
    }

    /// The unit that is next: one that recovers, or the first.
    pub fn first(&self) -> Option<u16> {
        let among = if self.recovering == 0 { self.waiting } else { self.recovering };
        (among != 0).then(|| among.trailing_zeros() as u16)
    }

    /// Whether a unit waits for a new team after losing one.
    pub fn recovers(&self, unit: u16) -> bool {
        self.recovering & bit(unit) != 0
    }

    /// What runs, by unit.
    pub fn running(&self) -> impl Iterator<Item = &Running> {
        self.running.values().map(|held| &held.running)
    }

    /// When each running unit got its lease.
    pub fn granted_at(&self) -> impl Iterator<Item = Millis> {
        self.running.values().map(|held| held.granted)
    }

    fn units(&self) -> u64 {
        bits(self.running.keys().copied())
    }
}

/// A unit's bit; none for a number that no unit has.
fn bit(unit: u16) -> u64 {
    1_u64.checked_shl(u32::from(unit)).unwrap_or(0)
}

fn bits(units: impl Iterator<Item = u16>) -> u64 {
    units.fold(0, |bits, unit| bits | bit(unit))
}
