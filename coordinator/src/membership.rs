//! Who is in the room, what each can do, and who of them is alive.
//!
//! A peer is *connected* from `PeerUp` to `PeerDown`. It is *live* while it is connected, speaks a version that this
//! one understands, and was heard within `SILENT_MS`. Only live peers are planned with, led by, or waited for; a
//! silent one counts again as soon as it speaks.

use crate::ids::{Millis, PeerId};
use crate::io::PeerView;
use crate::limits;
use crate::wire::{self, Echo, Pulse, Report};
use std::collections::BTreeMap;

/// The room as this peer knows it.
#[derive(Debug)]
pub struct Members {
    me: PeerId,
    /// What this peer says of itself.
    pub own: Report,
    peers: BTreeMap<PeerId, Peer>,
    started: Millis,
}

#[derive(Debug)]
struct Peer {
    greeted: Greeted,
    report: Report,
    heard: Millis,
    /// Its last pulse's clock, and when it came.
    last_pulse: Option<(u64, Millis)>,
    round_trip_ms: Option<u32>,
    live: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Greeted {
    NotYet,
    Yes,
    OtherVersion,
}

/// What a Hello meant.
#[derive(Debug, PartialEq, Eq)]
pub enum Greeting {
    /// A peer of this room.
    Welcome,
    /// It speaks another version: it is left alone.
    OtherVersion,
}

impl Members {
    /// A room with only this peer.
    pub fn new(me: PeerId, name: &str, now: Millis) -> Self {
        let own = Report { name: wire::clip(name, limits::NAME_BYTES), share: true, ..Report::default() };
        Self { me, own, peers: BTreeMap::new(), started: now }
    }

    /// This peer.
    pub const fn me(&self) -> PeerId {
        self.me
    }

    /// A data channel opened. False if the room is full, and the peer is ignored.
    pub fn up(&mut self, now: Millis, id: PeerId) -> bool {
        if id == self.me || self.peers.len() + 1 >= limits::PEERS {
            return false;
        }
        let peer = Peer {
            greeted: Greeted::NotYet,
            report: Report::default(),
            heard: now,
            last_pulse: None,
            round_trip_ms: None,
            live: false,
        };
        self.peers.insert(id, peer);
        true
    }

    /// A data channel closed. False if the peer was not known.
    pub fn down(&mut self, id: PeerId) -> bool {
        self.peers.remove(&id).is_some()
    }

    /// Whether a data channel to `id` is open.
    pub fn connected(&self, id: PeerId) -> bool {
        self.peers.contains_key(&id)
    }

    /// Whether `id` said Hello in a version that this one understands.
    pub fn greeted(&self, id: PeerId) -> bool {
        self.peers.get(&id).is_some_and(|peer| peer.greeted == Greeted::Yes)
    }

    /// Takes note that `id` said something.
    pub fn heard(&mut self, now: Millis, id: PeerId) {
        if let Some(peer) = self.peers.get_mut(&id) {
            peer.heard = now;
        }
    }

    /// Takes a Hello.
    pub fn hello(&mut self, id: PeerId, version: u8, oldest: u8, name: String) -> Greeting {
        let fits = version >= wire::OLDEST && oldest <= wire::VERSION;
        if let Some(peer) = self.peers.get_mut(&id) {
            peer.greeted = if fits { Greeted::Yes } else { Greeted::OtherVersion };
            peer.report.name = name;
        }
        if fits { Greeting::Welcome } else { Greeting::OtherVersion }
    }

    /// Takes a pulse: the report, and the round trip from the echo.
    pub fn pulse(&mut self, now: Millis, id: PeerId, pulse: Pulse) {
        let Some(peer) = self.peers.get_mut(&id) else {
            return;
        };
        peer.last_pulse = Some((pulse.sent, now));
        peer.report = pulse.report;
        let Some(echo) = pulse.echo else { return };
        let sample = now.0.saturating_sub(echo.sent).saturating_sub(echo.held).min(60_000) as u32;
        peer.round_trip_ms = Some(smooth(peer.round_trip_ms, sample));
    }

    /// The echo that belongs into the next pulse to `id`.
    pub fn echo(&self, now: Millis, id: PeerId) -> Option<Echo> {
        let (sent, at) = self.peers.get(&id)?.last_pulse?;
        Some(Echo { sent, held: now.since(at) })
    }

    /// Forgives `ms` of silence to everyone: this peer itself was asleep, so that it could not hear.
    pub fn forgive(&mut self, ms: u64) {
        for peer in self.peers.values_mut() {
            peer.heard = peer.heard.after(ms);
        }
    }

    /// Works out who is live, and what this peer says of itself by the way. True if anybody's state changed.
    pub fn refresh(&mut self, now: Millis) -> bool {
        let mut changed = false;
        for peer in self.peers.values_mut() {
            let live = peer.greeted == Greeted::Yes && now.since(peer.heard) <= limits::SILENT_MS;
            changed |= live != peer.live;
            peer.live = live;
        }
        self.own.age_s = (now.since(self.started) / 1000).min(u32::MAX.into()) as u32;
        self.own.sees = self.live().collect();
        changed
    }

    /// Whether `id` is live; this peer always is.
    pub fn is_live(&self, id: PeerId) -> bool {
        id == self.me || self.peers.get(&id).is_some_and(|peer| peer.live)
    }

    /// All live peers but this one, by id.
    pub fn live(&self) -> impl Iterator<Item = PeerId> + '_ {
        self.peers.iter().filter(|(_, peer)| peer.live).map(|(&id, _)| id)
    }

    /// All connected peers that did not say that they have another version: those worth sending to. A new one may
    /// not have said Hello yet, but has heard this peer's, so that nothing falls between Hello and welcome.
    pub fn known(&self) -> Vec<PeerId> {
        self.peers
            .iter()
            .filter(|(_, peer)| peer.greeted != Greeted::OtherVersion)
            .map(|(&id, _)| id)
            .collect()
    }

    /// All connected peers.
    pub fn all(&self) -> Vec<PeerId> {
        self.peers.keys().copied().collect()
    }

    /// What `id` says of itself, this peer included.
    pub fn report(&self, id: PeerId) -> Option<&Report> {
        if id == self.me { Some(&self.own) } else { self.peers.get(&id).map(|peer| &peer.report) }
    }

    /// Reports of this peer and of all live ones, by id.
    pub fn reports(&self) -> BTreeMap<PeerId, &Report> {
        let live = self.peers.iter().filter(|(_, peer)| peer.live).map(|(&id, peer)| (id, &peer.report));
        live.chain([(self.me, &self.own)]).collect()
    }

    /// A person's name for `id`, or its short id.
    pub fn name(&self, id: PeerId) -> String {
        match self.report(id) {
            Some(report) if !report.name.is_empty() => report.name.clone(),
            _ => id.to_string(),
        }
    }

    /// The people and devices, this peer first.
    pub fn view(&self) -> Vec<PeerView> {
        let fastest = self.reports().values().filter_map(|r| Some(r.capability.as_ref()?.layer_micros)).min();
        let model = self.own.model.as_ref().map(|model| model.id);
        let view = |id: PeerId, report: &Report, peer: Option<&Peer>| PeerView {
            id,
            name: report.name.clone(),
            capability: report.capability.clone(),
            ready: report.ready.clone(),
            round_trip_ms: peer.and_then(|peer| peer.round_trip_ms),
            health: match (peer, report) {
                (Some(peer), _) if peer.greeted == Greeted::OtherVersion => "other version",
                (Some(peer), _) if peer.greeted == Greeted::Yes && !peer.live => "silent",
                (_, r) if r.model.as_ref().is_some_and(|m| model.is_some_and(|own| own != m.id)) => {
                    "other model"
                }
                (_, r) if !r.share && r.capability.is_some() => "not sharing",
                (_, r) if r.hidden => "hidden",
                (_, r) if is_slow(r, fastest) => "slow",
                _ => "good",
            },
        };
        let others = self.peers.iter().map(|(&id, peer)| view(id, &peer.report, Some(peer)));
        std::iter::once(view(self.me, &self.own, None)).chain(others).collect()
    }
}

fn is_slow(report: &Report, fastest: Option<u32>) -> bool {
    let micros = report.capability.as_ref().map(|capability| u64::from(capability.layer_micros));
    micros.zip(fastest).is_some_and(|(micros, fastest)| micros > 4 * u64::from(fastest.max(1)))
}

/// An eighth of the new sample, kept still while it barely moves, so that the view does not change every second.
fn smooth(old: Option<u32>, sample: u32) -> u32 {
    let Some(old) = old else { return sample };
    let mean = (u64::from(old) * 7 + u64::from(sample)).div_ceil(8) as u32;
    if mean.abs_diff(old) * 8 <= old.max(8) && sample.abs_diff(old) * 2 <= old.max(8) { old } else { mean }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ME: PeerId = PeerId(1);
    const OTHER: PeerId = PeerId(2);

    fn room() -> Members {
        let mut members = Members::new(ME, "Ada", Millis(0));
        assert!(members.up(Millis(0), OTHER));
        members
    }

    #[test]
    fn live_needs_a_hello_and_a_word_now_and_then() {
        let mut members = room();
        members.refresh(Millis(10));
        assert!(!members.is_live(OTHER), "a channel alone is not a peer");
        assert_eq!(members.hello(OTHER, wire::VERSION, wire::OLDEST, "Bo".into()), Greeting::Welcome);
        assert!(members.refresh(Millis(10)));
        assert!(members.is_live(OTHER));
        members.refresh(Millis(limits::SILENT_MS + 1));
        assert!(!members.is_live(OTHER), "silent for too long");
        members.heard(Millis(9_000), OTHER);
        members.refresh(Millis(9_000));
        assert!(members.is_live(OTHER), "it spoke again");
    }

    #[test]
    fn versions_fit_when_their_ranges_meet() {
        let rows = [
            (wire::VERSION, wire::OLDEST, Greeting::Welcome, "the same"),
            (wire::VERSION + 1, wire::VERSION, Greeting::Welcome, "newer, but still understands ours"),
            (wire::VERSION + 2, wire::VERSION + 1, Greeting::OtherVersion, "newer, and gave ours up"),
            (0, 0, Greeting::OtherVersion, "older than anything we understand"),
        ];
        for (version, oldest, want, why) in rows {
            assert_eq!(room().hello(OTHER, version, oldest, String::new()), want, "{why}");
        }
    }

    #[test]
    fn the_round_trip_leaves_out_the_time_held() {
        let mut members = room();
        let echo = Some(Echo { sent: 100, held: 900 });
        let pulse = Pulse { sent: 0, echo, following: None, report: Report::default() };
        members.pulse(Millis(1_040), OTHER, pulse);
        assert_eq!(members.view()[1].round_trip_ms, Some(40));
    }

    #[test]
    fn a_full_room_takes_nobody() {
        let mut members = Members::new(ME, "Ada", Millis(0));
        let taken = (2..1_000).filter(|&id| members.up(Millis(0), PeerId(id))).count();
        assert_eq!(taken, limits::PEERS - 1);
    }
}
