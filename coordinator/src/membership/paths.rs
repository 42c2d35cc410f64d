//! Ways to a peer: its channel, or a relay.

use super::{Greeted, Members, Peer};
use crate::health::{Link, Rhythm};
use crate::ids::{Millis, PeerId};
use crate::limits;
use crate::planner::Sight;
use crate::wire::{Echo, Pulse, Report};
use std::collections::BTreeMap;

/// One way to a peer.
#[derive(Debug)]
pub struct Path {
    /// When it counts as silent.
    pub rhythm: Rhythm,
    /// The peer's last pulse over it: that one's clock, and when it came.
    last_pulse: Option<(u64, Millis)>,
    /// Smoothed round trip.
    pub round_trip_ms: Option<u32>,
    /// Anything has come over it. A channel is there before that; a relay is only a hope.
    proven: bool,
}

impl Path {
    /// A path that was opened now.
    pub const fn new(now: Millis) -> Self {
        Self { rhythm: Rhythm::new(now), last_pulse: None, round_trip_ms: None, proven: false }
    }

    /// Something came over it.
    pub fn heard(&mut self, now: Millis) {
        self.rhythm.heard(now);
        self.proven = true;
    }

    /// Takes a pulse. True if the round trip changed.
    pub fn pulse(&mut self, now: Millis, pulse: &Pulse) -> bool {
        self.last_pulse = Some((pulse.sent, now));
        let Some(echo) = pulse.echo else { return false };
        self.rhythm.heard_us(Millis(echo.sent));
        let sample = now.0.saturating_sub(echo.sent).saturating_sub(echo.held).min(60_000) as u32;
        let smoothed = Some(smooth(self.round_trip_ms, sample));
        std::mem::replace(&mut self.round_trip_ms, smoothed) != smoothed
    }

    /// The echo of the last pulse.
    pub fn echo(&self, now: Millis) -> Option<Echo> {
        let (sent, at) = self.last_pulse?;
        Some(Echo { sent, held: now.since(at) })
    }

    fn alive(&self, now: Millis) -> bool {
        self.rhythm.link(now) == Link::Alive
    }
}

impl Peer {
    pub fn new(now: Millis) -> Self {
        Self {
            greeted: Greeted::NotYet,
            report: Report::default(),
            sight: Sight::default(),
            pulse: None,
            direct: None,
            relay: None,
            distant_since: now,
            live: false,
        }
    }

    pub fn paths(&mut self) -> impl Iterator<Item = &mut Path> {
        self.direct.iter_mut().chain(self.relay.iter_mut().map(|(_, path)| path))
    }

    pub fn is_live(&self, now: Millis) -> bool {
        let alive = |path: &Path| path.alive(now);
        matches!(self.greeted, Greeted::Yes(_))
            && (self.direct.as_ref().is_some_and(alive)
                || self.relay.as_ref().is_some_and(|(_, path)| path.proven && alive(path)))
    }

    /// Whether its channel is alive in both directions.
    pub fn sees(&self, now: Millis) -> bool {
        matches!(self.greeted, Greeted::Yes(_)) && self.direct.as_ref().is_some_and(|path| path.alive(now))
    }

    /// Counts it as live again if it is. True if that is news.
    pub fn relive(&mut self, now: Millis) -> bool {
        let back = !self.live && self.is_live(now);
        self.live |= back;
        back
    }

    pub fn overdue_at(&self) -> Millis {
        let paths = self.direct.iter().chain(self.relay.iter().map(|(_, path)| path));
        paths.map(|path| path.rhythm.overdue_at()).max().unwrap_or(Millis(u64::MAX))
    }

    /// The path in use.
    pub fn path(&self) -> Option<&Path> {
        self.relay.as_ref().map(|(_, path)| path).or(self.direct.as_ref())
    }

    /// The round trip over its channel in whole milliseconds, at least 1; 0 if it is not known yet.
    pub fn direct_ms(&self) -> u16 {
        let round_trip = self.direct.as_ref().and_then(|path| path.round_trip_ms);
        round_trip.map_or(0, |ms| ms.clamp(1, u16::MAX.into()) as u16)
    }

    /// The relay in use.
    pub fn via(&self) -> Option<PeerId> {
        self.relay.as_ref().map(|(via, _)| *via)
    }
}

impl Members {
    /// A message from `origin` came over the relay `via`. False if `via` does not see `origin`, or the room is full.
    pub fn heard_by_relay(&mut self, now: Millis, origin: PeerId, via: PeerId) -> bool {
        let seen = self.report(via).is_some_and(|report| report.sees.contains(&origin));
        // Who can speak for itself needs nobody to speak for it.
        let direct = self.peers.get(&origin).is_some_and(|peer| peer.sees(now));
        let new = !self.peers.contains_key(&origin);
        if !seen || direct || origin == self.me || !self.connected(via) || (new && self.distant_full()) {
            return false;
        }
        let peer = self.peers.entry(origin).or_insert_with(|| Peer::new(now));
        let (_, path) = peer.relay.get_or_insert_with(|| (via, Path::new(now)));
        path.heard(now);
        true
    }

    /// Finds relays for those that others see and this peer does not, and drops relays that are not needed any more.
    /// Nothing is relayed while the room is still connecting. True if anybody's path changed.
    pub fn find_relays(&mut self, now: Millis) -> bool {
        if !self.mesh_changed {
            return false;
        }
        self.mesh_changed = false;
        let distant = self.distant(now);
        let mut changed = false;
        for &id in distant.keys() {
            if !self.peers.contains_key(&id) && !self.distant_full() {
                self.peers.insert(id, Peer::new(now));
            }
        }
        let mut early = false;
        for (id, peer) in &mut self.peers {
            let wanted = distant.get(id).copied();
            match (&peer.relay, wanted) {
                (None, Some(_)) if now.since(peer.distant_since) < limits::RELAY_AFTER_MS => early = true,
                (old, Some(via)) if old.as_ref().is_none_or(|(known, _)| *known != via) => {
                    peer.relay = Some((via, Path::new(now)));
                    changed = true;
                }
                (Some(_), None) => {
                    peer.relay = None;
                    changed = true;
                }
                (None, None) => peer.distant_since = now,
                _ => {}
            }
        }
        self.peers.retain(|id, peer| peer.direct.is_some() || distant.contains_key(id));
        self.mesh_changed |= early;
        changed
    }

    /// Whether no more peers without a channel are taken on. Somebody may have made them up.
    fn distant_full(&self) -> bool {
        let distant = self.peers.values().filter(|peer| peer.direct.is_none()).count();
        distant >= limits::DISTANT || self.peers.len() + 1 >= limits::PEERS
    }

    /// Who is reached over whom: for everyone without a live channel the lowest neighbour that sees it; the one in use
    /// stays.
    fn distant(&self, now: Millis) -> BTreeMap<PeerId, PeerId> {
        let mut distant = BTreeMap::new();
        let neighbours = self.peers.iter().filter(|(_, peer)| peer.sees(now));
        let mut near: Vec<PeerId> = neighbours.clone().map(|(&id, _)| id).chain([self.me]).collect();
        near.sort_unstable();
        for (&neighbour, peer) in neighbours {
            for id in peer.sight.beyond(&near) {
                let used = self.peers.get(&id).is_some_and(|peer| peer.via() == Some(neighbour));
                if used || !distant.contains_key(&id) {
                    distant.insert(id, neighbour);
                }
            }
        }
        distant
    }

    /// Everyone that is reached over a relay, and over whom.
    pub fn routes(&self) -> BTreeMap<PeerId, PeerId> {
        self.peers.iter().filter_map(|(&id, peer)| Some((id, peer.via()?))).collect()
    }
}

/// Whether any round trip is so different that plans may change: by a half, and by more than 10 ms.
pub fn differ(old: &[u16], new: &[u16]) -> bool {
    let moved = |(&old, &new): (&u16, &u16)| old.abs_diff(new) > 10.max(old / 2) || (old == 0) != (new == 0);
    old.len() != new.len() || old.iter().zip(new).any(moved)
}

/// An eighth of the new sample, kept still while it barely moves, so that the view does not change every second.
fn smooth(old: Option<u32>, sample: u32) -> u32 {
    let Some(old) = old else { return sample };
    let mean = (u64::from(old) * 7 + u64::from(sample)).div_ceil(8) as u32;
    if mean.abs_diff(old) * 8 <= old.max(8) && sample.abs_diff(old) * 2 <= old.max(8) { old } else { mean }
}
