//! Who is in the room, what each can do, and who of them is alive.
//!
//! A peer is reached over a *path*: its own data channel, or a relay, that is a peer which both sides see. It is *live*
//! while it said Hello in a version that this one understands and a path to it is alive in both directions, as its
//! [`Rhythm`](crate::health::Rhythm) judges. Only live peers are planned with, led by, or waited for; a silent one counts again as soon as it
//! speaks. A direct path is always preferred.
//!
//! ```text
//!   PeerUp --> channel --Hello--> live <--> silent, or one-way --+--> reached by relay, if somebody sees it
//!   in another's report, but without a channel here -------------+
//! ```

use crate::health::{Fitness, Share};
use crate::ids::{Epoch, Millis, ModelId, PeerId};
use crate::io::{Kind, ModelSpec, PeerView, Speed};
use crate::limits;
use crate::planner::{Link, Sight};
use crate::wire::{self, Echo, Pulse, Report, Trust};
use std::collections::{BTreeMap, BTreeSet};

mod paths;

use paths::Path;

/// The room as this peer knows it.
#[derive(Debug)]
pub struct Members {
    me: PeerId,
    /// What this peer says of itself.
    pub own: Report,
    /// How its device feels.
    pub fitness: Fitness,
    /// The epoch and version of the plan that it knows.
    pub own_plan: Option<(Epoch, u32)>,
    peers: BTreeMap<PeerId, Peer>,
    started: Millis,
    /// A link or a report changed, so that other relays may be needed.
    mesh_changed: bool,
}

#[derive(Debug)]
struct Peer {
    greeted: Greeted,
    report: Report,
    /// The links of its report.
    sight: Sight,
    /// Its last pulse.
    pulse: Option<Pulse>,
    /// Its data channel.
    direct: Option<Path>,
    /// A detour, and over whom.
    relay: Option<(PeerId, Path)>,
    /// Since when it has been known without a channel.
    distant_since: Millis,
    live: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Greeted {
    NotYet,
    /// The version that both understand.
    Yes(u8),
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
        let name = wire::clip(name, limits::NAME_BYTES);
        // Nobody could tell version 0 from never having heard a report.
        let own = Report { version: 1, name, share: true, ..Report::default() };
        let (peers, fitness) = (BTreeMap::new(), Fitness::default());
        Self { me, own, fitness, own_plan: None, peers, started: now, mesh_changed: false }
    }

    /// This peer.
    pub const fn me(&self) -> PeerId {
        self.me
    }

    /// A data channel opened. False if the room is full, and the peer is ignored.
    pub fn up(&mut self, now: Millis, id: PeerId) -> bool {
        if !self.peers.contains_key(&id) && self.peers.len() + 1 >= limits::PEERS {
            // Somebody that was only heard of makes room for somebody who is there.
            let rumour = self.peers.iter().find(|(_, peer)| peer.direct.is_none() && !peer.live);
            match rumour.map(|(&rumour, _)| rumour) {
                Some(rumour) => self.peers.remove(&rumour),
                None => return false,
            };
        }
        if id == self.me {
            return false;
        }
        let peer = self.peers.entry(id).or_insert_with(|| Peer::new(now));
        peer.direct = Some(Path::new(now));
        self.mesh_changed = true;
        true
    }

    /// A data channel closed. False if there was none. Whoever is behind a relay is reached that way from now on.
    pub fn down(&mut self, id: PeerId) -> bool {
        let Some(peer) = self.peers.get_mut(&id).filter(|peer| peer.direct.is_some()) else {
            return false;
        };
        peer.direct = None;
        self.mesh_changed = true;
        if peer.relay.is_none() {
            self.peers.remove(&id);
        }
        true
    }

    /// Whether a data channel to `id` is open.
    pub fn connected(&self, id: PeerId) -> bool {
        self.peers.get(&id).is_some_and(|peer| peer.direct.is_some())
    }

    /// Whether `id` said Hello in a version that this one understands.
    pub fn greeted(&self, id: PeerId) -> bool {
        self.peers.get(&id).is_some_and(|peer| matches!(peer.greeted, Greeted::Yes(_)))
    }

    /// The version to speak to `id` in.
    pub fn version(&self, id: PeerId) -> u8 {
        match self.peers.get(&id).map(|peer| peer.greeted) {
            Some(Greeted::Yes(version)) => version,
            _ => wire::VERSION,
        }
    }

    /// Takes note that `id` said something on its channel. True if it counts as live again.
    pub fn heard(&mut self, now: Millis, id: PeerId) -> bool {
        let Some(peer) = self.peers.get_mut(&id) else { return false };
        if let Some(path) = &mut peer.direct {
            path.heard(now);
        }
        peer.relive(now)
    }

    /// Takes a Hello.
    pub fn hello(&mut self, now: Millis, id: PeerId, version: u8, oldest: u8, name: String) -> Greeting {
        let agreed = wire::agree(version, oldest);
        if let Some(peer) = self.peers.get_mut(&id) {
            peer.greeted = agreed.map_or(Greeted::OtherVersion, Greeted::Yes);
            peer.report.name = name;
            peer.relive(now);
        }
        if agreed.is_some() { Greeting::Welcome } else { Greeting::OtherVersion }
    }

    /// Takes a pulse that came over the relay `via`, or over the channel. True if anything that plans, elections or
    /// people see changed.
    pub fn pulse(&mut self, now: Millis, id: PeerId, via: Option<PeerId>, pulse: Pulse) -> bool {
        let Some(peer) = self.peers.get_mut(&id) else { return false };
        let old = peer.pulse.replace(pulse);
        let path = match via {
            None => peer.direct.as_mut(),
            Some(relay) => peer.relay.as_mut().filter(|(known, _)| *known == relay).map(|(_, path)| path),
        };
        let news = path.is_some_and(|path| path.pulse(now, &pulse));
        let same = |old: Pulse| (old.plan, old.trust, old.following.map(|f| f.epoch));
        let changed = old.map(same) != Some(same(pulse));
        peer.relive(now) || news || changed
    }

    /// Takes a report. True if it is news.
    pub fn take_report(&mut self, id: PeerId, report: Report) -> bool {
        let Some(peer) = self.peers.get_mut(&id) else { return false };
        let news = peer.report != report;
        self.mesh_changed |= peer.report.sees != report.sees;
        if (&peer.report.sees, &peer.report.round_trips_ms) != (&report.sees, &report.round_trips_ms) {
            peer.sight = sight(&report);
        }
        if let Some(path) = &mut peer.direct {
            path.rhythm.hidden(report.hidden);
        }
        peer.report = report;
        news
    }

    /// Whether `id`'s newest report is missing here.
    pub fn lacks_report(&self, id: PeerId) -> bool {
        self.peers.get(&id).is_some_and(|peer| peer.pulse.is_some_and(|p| p.report != peer.report.version))
    }

    /// The echo that belongs into the next pulse to `id`, over a relay or not.
    pub fn echo(&self, now: Millis, id: PeerId, relayed: bool) -> Option<Echo> {
        let peer = self.peers.get(&id)?;
        let path = if relayed { peer.relay.as_ref().map(|(_, path)| path) } else { peer.direct.as_ref() };
        path?.echo(now)
    }

    /// A pulse to `id` leaves.
    pub fn sent(&mut self, now: Millis, id: PeerId, relayed: bool) {
        let Some(peer) = self.peers.get_mut(&id) else { return };
        let path = if relayed { peer.relay.as_mut().map(|(_, path)| path) } else { peer.direct.as_mut() };
        if let Some(path) = path {
            path.rhythm.sent(now);
        }
    }

    /// Forgives `ms` of silence to everyone: this peer itself was asleep, so that it could not hear.
    pub fn forgive(&mut self, ms: u64) {
        for path in self.peers.values_mut().flat_map(Peer::paths) {
            path.rhythm.forgive(ms);
        }
    }

    /// Works out who is live. True if that changed.
    pub fn refresh(&mut self, now: Millis) -> bool {
        let mut changed = false;
        for peer in self.peers.values_mut() {
            let live = peer.is_live(now);
            changed |= live != peer.live;
            peer.live = live;
        }
        self.mesh_changed |= changed;
        changed
    }

    /// Brings what this peer says of its device up to date.
    pub fn report_fitness(&mut self) {
        self.own.fitness = self.fitness.share();
        self.own.hidden = self.fitness.vitals().hidden;
    }

    /// Brings what this peer says of its links up to date. True if it is news.
    pub fn report_links(&mut self, now: Millis) -> bool {
        let seen = self.peers.iter().filter(|(_, peer)| peer.sees(now));
        let (sees, round_trips): (Vec<PeerId>, Vec<u16>) =
            seen.map(|(&id, peer)| (id, peer.direct_ms())).unzip();
        self.mesh_changed |= self.own.sees != sees;
        let news = self.own.sees != sees || paths::differ(&self.own.round_trips_ms, &round_trips);
        if news {
            (self.own.sees, self.own.round_trips_ms) = (sees, round_trips);
        }
        news
    }

    /// When somebody falls silent if nothing is heard meanwhile.
    pub fn wake_at(&self) -> Option<Millis> {
        self.peers.values().filter(|peer| peer.live).map(Peer::overdue_at).min()
    }

    /// Seconds since `id` started.
    pub fn age_s(&self, now: Millis, id: PeerId) -> u32 {
        if id == self.me {
            return (now.since(self.started) / 1000).min(u32::MAX.into()) as u32;
        }
        self.peers.get(&id).and_then(|peer| peer.pulse).map_or(0, |pulse| pulse.age_s)
    }

    /// The epoch and version of the plan that `id` knows.
    pub fn plan(&self, id: PeerId) -> Option<(Epoch, u32)> {
        self.peers.get(&id)?.pulse?.plan
    }

    /// How many live peers the leader of `epoch` ignores, and how many it answers.
    pub fn trust(&self, epoch: Epoch) -> (usize, usize) {
        let pulses = self.peers.values().filter(|peer| peer.live).filter_map(|peer| peer.pulse);
        let theirs = pulses.filter(|pulse| pulse.following.is_some_and(|f| f.epoch == epoch));
        theirs.fold((0, 0), |(ignored, answered), pulse| match pulse.trust {
            Trust::Ignored => (ignored + 1, answered),
            Trust::Answered => (ignored, answered + 1),
            Trust::Unknown => (ignored, answered),
        })
    }

    /// Whether `id` is live; this peer always is.
    pub fn is_live(&self, id: PeerId) -> bool {
        id == self.me || self.peers.get(&id).is_some_and(|peer| peer.live)
    }

    /// All live peers but this one, by id.
    pub fn live(&self) -> impl Iterator<Item = PeerId> + '_ {
        self.peers.iter().filter(|(_, peer)| peer.live).map(|(&id, _)| id)
    }

    /// Everyone worth telling something: who is connected and did not say that it has another version, and who is live
    /// by relay. A new one may not have said Hello yet, but has heard this peer's, so that nothing falls between Hello
    /// and welcome.
    pub fn known(&self) -> Vec<PeerId> {
        let worth = |peer: &Peer| {
            peer.greeted != Greeted::OtherVersion
                && (peer.direct.is_some() || (peer.live && peer.relay.is_some()))
        };
        self.peers.iter().filter(|(_, peer)| worth(peer)).map(|(&id, _)| id).collect()
    }

    /// Everyone with a channel.
    pub fn all(&self) -> Vec<PeerId> {
        self.peers.iter().filter(|(_, peer)| peer.direct.is_some()).map(|(&id, _)| id).collect()
    }

    /// Peers known, those behind relays too.
    pub fn len(&self) -> usize {
        self.peers.len()
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

    /// The links that a live peer, or this one, says it has.
    pub fn sight(&self, id: PeerId) -> Sight {
        if id == self.me {
            return sight(&self.own);
        }
        self.peers.get(&id).map(|peer| peer.sight.clone()).unwrap_or_default()
    }

    /// A model that somebody here can load.
    pub fn model(&self, id: ModelId) -> Option<&ModelSpec> {
        let own = self.own.offers.iter();
        let live = self.peers.values().filter(|peer| peer.live).flat_map(|peer| &peer.report.offers);
        own.chain(live).map(|offer| &offer.model).find(|model| model.id == id)
    }

    /// How fast `id` is with a model.
    pub fn speed(&self, id: PeerId, model: ModelId) -> Option<Speed> {
        self.report(id)?.offers.iter().find(|offer| offer.model.id == model).map(|offer| offer.speed)
    }

    /// A person's name for `id`, or its short id.
    pub fn name(&self, id: PeerId) -> String {
        match self.report(id) {
            Some(report) if !report.name.is_empty() => report.name.clone(),
            _ => id.to_string(),
        }
    }

    /// The people and devices, this peer first.
    pub fn view(&self, credits: &BTreeMap<PeerId, u64>) -> Vec<PeerView> {
        let fastest = self.reports().values().filter_map(|report| layer_micros(report)).min();
        let models: BTreeSet<ModelId> = self.own.offers.iter().map(|offer| offer.model.id).collect();
        let view = |id: PeerId, report: &Report, peer: Option<&Peer>| PeerView {
            id,
            name: report.name.clone(),
            capability: report.capability,
            layer_micros: layer_micros(report),
            ready: report.ready.clone(),
            round_trip_ms: peer.and_then(|peer| peer.path()?.round_trip_ms),
            health: health(report, peer, &models, fastest),
            relayed: peer.is_some_and(|peer| peer.via().is_some()),
            credit: credits.get(&id).copied().unwrap_or(0),
        };
        let others = self.peers.iter().map(|(&id, peer)| view(id, &peer.report, Some(peer)));
        std::iter::once(view(self.me, &self.own, None)).chain(others).collect()
    }
}

fn health(
    report: &Report,
    peer: Option<&Peer>,
    models: &BTreeSet<ModelId>,
    fastest: Option<u32>,
) -> &'static str {
    let foreign = !models.is_empty()
        && !report.offers.is_empty()
        && !report.offers.iter().any(|offer| models.contains(&offer.model.id));
    match (peer, report.fitness) {
        (Some(peer), _) if peer.greeted == Greeted::OtherVersion => "other version",
        (Some(peer), _) if matches!(peer.greeted, Greeted::Yes(_)) && !peer.live => "silent",
        _ if foreign => "other model",
        _ if !report.share && report.capability.is_some() => "not sharing",
        (_, Share::LastResort) => "hidden",
        (_, Share::None) if report.capability.is_some() => "resting",
        (_, Share::Part(_)) => "busy",
        _ if is_slow(report, fastest) => "slow",
        _ => "good",
    }
}

fn sight(report: &Report) -> Sight {
    let measured = report.round_trips_ms.iter().copied().chain(std::iter::repeat(0));
    report.sees.iter().zip(measured).map(|(&peer, ms)| (peer, Link::of_round_trip(ms))).collect()
}

fn layer_micros(report: &Report) -> Option<u32> {
    report.offers.iter().find(|offer| offer.model.kind == Kind::Text).map(|offer| offer.speed.layer_micros)
}

fn is_slow(report: &Report, fastest: Option<u32>) -> bool {
    layer_micros(report)
        .zip(fastest)
        .is_some_and(|(micros, fastest)| u64::from(micros) > 4 * u64::from(fastest.max(1)))
}

#[cfg(test)]
mod tests;
