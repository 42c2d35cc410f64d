//! Who fetches which block from an origin, so that the origin serves each to the room about once.
//!
//! Peers that want a block, lack it and can reach the origin draw for it; all draw alike, so nobody has to be asked. Who wins
//! fetches it and says so; the others wait and get it from there. A winner that shows nothing new for a while is left out of
//! the draw; one that is behind is helped by those who have nothing else to do and came second in the draw, from the end of its
//! share.

use super::Context;
use super::blocks::Blocks;
use super::hash::draw;
use super::io::{Event, OriginId, Output, Source};
use super::source::Supplier;
use super::weights::{Said, Weights};
use crate::ids::{Millis, PeerId};
use crate::limits;
use std::collections::BTreeMap;
use std::ops::Range;

/// A place outside the room.
#[derive(Debug, Default)]
pub struct Origin {
    /// Whether it can be reached, as the caller says.
    pub up: bool,
    /// Whether the room shares its cost.
    pub shared: bool,
    /// What it has shown.
    pub supplier: Supplier,
}

impl Origin {
    /// Whether it may be asked.
    pub fn is_usable(&self, now: Millis) -> bool {
        self.up && self.supplier.is_willing(now)
    }
}

/// Broken promises to fetch after which a peer is not believed any more.
const BROKEN: u32 = 3;
/// Milliseconds in which two peers may have begun the same block without knowing of each other.
const RACE_MS: u64 = 1_000;

impl Weights {
    /// Asks origins for some of `missing`: a person's own files for any of it, shared ones for this peer's share.
    pub fn ask_origins(&mut self, context: &mut Context<'_>, missing: &mut Blocks, shared: bool) {
        let mut order: Vec<(u64, OriginId)> = self
            .origins
            .iter()
            .filter(|(_, origin)| origin.is_usable(context.now) && origin.shared == shared)
            .map(|(&id, origin)| (origin.supplier.rank(), id))
            .collect();
        order.sort_unstable_by(|one, other| other.cmp(one));
        for (_, id) in order {
            let room = self.origins.get(&id).map_or(0, |origin| {
                origin.supplier.room(context.now, self.block_bytes, limits::SWARM_ORIGIN_WINDOW)
            });
            let room = room.min(context.flights_left) as usize;
            if room == 0 || missing.is_empty() {
                continue;
            }
            let numbers: Blocks = if shared {
                self.share(context, missing, room).into_iter().collect()
            } else {
                missing.iter().take(room).collect()
            };
            self.fetch(context, id, &numbers);
            *missing = missing.minus(&numbers);
        }
    }

    fn fetch(&mut self, context: &mut Context<'_>, origin: OriginId, numbers: &Blocks) {
        let Some(place) = self.origins.get_mut(&origin) else { return };
        let shared = place.shared;
        for _ in numbers.iter() {
            place.supplier.asked(context.now);
        }
        for number in numbers.iter() {
            self.expect(context.now, number, Source::Origin(origin));
            context.out.push(Output::Fetch { content: self.content, origin, number });
        }
        context.flights_left -= numbers.len();
        if shared && !numbers.is_empty() {
            self.tell_fetching(context, numbers);
        }
    }

    /// This peer's share of `missing`, `room` blocks at most.
    fn share(&self, context: &Context<'_>, missing: &Blocks, room: usize) -> Vec<u32> {
        if !self.is_settled(context) {
            return Vec::new();
        }
        let (mut mine, mut others) = (Vec::new(), BTreeMap::<PeerId, Vec<(Range<u32>, PeerId)>>::new());
        for run in self.stripes(missing) {
            let (winner, second) = self.winners(context, run.start);
            if winner != context.me {
                others.entry(winner).or_default().push((run, second));
                continue;
            }
            mine.extend(run.filter(|&number| !self.is_coming(context, number)).take(room - mine.len()));
            if mine.len() == room {
                break;
            }
        }
        if mine.is_empty() && self.fetching().is_empty() { self.help(context, &others) } else { mine }
    }

    /// Whether there was time to hear what the others have. Those who keep coming cannot keep anybody waiting.
    fn is_settled(&self, context: &Context<'_>) -> bool {
        let heard = context.now.since(context.met) >= limits::SWARM_SETTLE_MS;
        let waited = context.now.since(self.opened);
        waited >= limits::SWARM_SETTLE_MOST_MS || (heard && waited >= limits::SWARM_SETTLE_MS)
    }

    /// The blocks of each stripe, run by run.
    fn stripes(&self, blocks: &Blocks) -> impl Iterator<Item = Range<u32>> {
        let stripe = self.stripe;
        blocks.runs().to_vec().into_iter().flat_map(move |run| {
            let first = run.start / stripe;
            (first..=(run.end - 1) / stripe).map(move |index| {
                let end = index.saturating_add(1).saturating_mul(stripe);
                run.start.max(index * stripe)..run.end.min(end)
            })
        })
    }

    /// Who fetches a block: of all who seek and lack it, the one that is drawn to it most. And who helps: the next one.
    fn winners(&self, context: &Context<'_>, number: u32) -> (PeerId, PeerId) {
        let thing = self.stripe_of(number);
        let seeks = |said: &Said| said.seeks.contains(number) && !said.has.contains(number);
        let others = self.peers.iter().filter(|(_, said)| seeks(said) && said.is_at_work(context.now));
        let mut all: Vec<(u64, PeerId)> =
            others.map(|(&peer, _)| peer).chain([context.me]).map(|peer| (draw(peer, thing), peer)).collect();
        all.sort_unstable_by(|one, other| other.cmp(one));
        (all[0].1, all.get(1).unwrap_or(&all[0]).1)
    }

    /// Whether a block will come from somebody in the room: who has it, or says that it is fetching it.
    fn is_coming(&self, context: &Context<'_>, number: u32) -> bool {
        self.peers.iter().any(|(peer, said)| {
            let gives = || context.peers.get(peer).is_some_and(|one| one.gives(context.now));
            said.is_fetching(context.now, number) || (said.has.contains(number) && gives())
        })
    }

    /// With nothing of one's own to fetch: the last block for which this peer is the next one, of somebody who will not begin it
    /// before it hears of the help.
    fn help(&self, context: &Context<'_>, others: &BTreeMap<PeerId, Vec<(Range<u32>, PeerId)>>) -> Vec<u32> {
        for runs in others.values() {
            let all =
                runs.iter().rev().flat_map(|(run, second)| run.clone().rev().map(move |one| (one, *second)));
            let open = all.take(limits::SWARM_LOOK).filter(|&(number, _)| !self.is_coming(context, number));
            let open: Vec<(u32, PeerId)> = open.collect();
            let late = open.iter().take(open.len().saturating_sub(2));
            if let Some(&(number, _)) = late.into_iter().find(|(_, second)| *second == context.me) {
                return vec![number];
            }
        }
        Vec::new()
    }

    /// What this peer is fetching from shared origins.
    pub fn fetching(&self) -> Blocks {
        let shared = |source: Source| match source {
            Source::Origin(id) => self.origins.get(&id).is_some_and(|origin| origin.shared),
            Source::Peer(_) => false,
        };
        self.flights.iter().filter(|(_, flight)| shared(flight.source)).map(|(&number, _)| number).collect()
    }

    /// A peer says what it is fetching.
    pub fn hear_fetches(&mut self, context: &mut Context<'_>, from: PeerId, blocks: &Blocks) {
        if blocks.len() > limits::SWARM_ORIGIN_WINDOW * limits::CONTENTS as u32 {
            return context.dropped(Source::Peer(from), "more fetches than anybody has");
        }
        let now = context.now;
        let Some(said) = self.peers.get_mut(&from).filter(|said| said.broken < BROKEN) else { return };
        let has = &said.has;
        for number in blocks.iter().filter(|&number| !has.contains(number)) {
            said.fetches.entry(number).or_insert((now, now)).1 = now;
        }
        let many = said.fetches.len() > (limits::SWARM_ORIGIN_WINDOW as usize) * limits::CONTENTS;
        if many {
            said.fetches.clear();
        }
        self.yield_to(context, from, blocks);
    }

    /// Two began the same block at the same time: whoever is drawn to it less stops.
    fn yield_to(&mut self, context: &mut Context<'_>, other: PeerId, blocks: &Blocks) {
        let (content, now, me) = (self.content, context.now, context.me);
        for number in self.fetching().and(blocks).iter() {
            let thing = self.stripe_of(number);
            let weaker = (draw(me, thing), me) < (draw(other, thing), other);
            let young = self
                .flights
                .get(&number)
                .filter(|flight| weaker && flight.bytes.is_none() && now.since(flight.since) < RACE_MS);
            let Some(Source::Origin(origin)) = young.map(|flight| flight.source) else { continue };
            self.flights.remove(&number);
            if let Some(place) = self.origins.get_mut(&origin) {
                place.supplier.cancelled();
            }
            context.out.push(Output::Abort { content, origin, number });
        }
    }

    /// Forgets fetches that nobody speaks of any more.
    pub fn expire(&mut self, now: Millis) {
        for said in self.peers.values_mut() {
            let before = said.fetches.len();
            said.fetches.retain(|_, times| lives(now, *times));
            said.broken = said.broken.saturating_add((before - said.fetches.len()) as u32);
        }
    }
}

impl Said {
    fn is_fetching(&self, now: Millis, number: u32) -> bool {
        self.fetches.get(&number).is_some_and(|&times| lives(now, times))
    }

    /// Whether it gets on with its share, as far as can be seen.
    fn is_at_work(&self, now: Millis) -> bool {
        now.since(self.heard) < limits::SWARM_TAKEOVER_MS
            || self.fetches.values().any(|&times| lives(now, times))
    }
}

fn lives(now: Millis, (first, last): (Millis, Millis)) -> bool {
    now.since(last) < limits::SWARM_CLAIM_LOST_MS && now.since(first) < limits::SWARM_CLAIM_MOST_MS
}

impl Weights {
    /// An origin can be reached, or not any more.
    pub fn set_origin(&mut self, context: &mut Context<'_>, id: OriginId, up: bool, shared: bool) {
        let origin = self.origins.entry(id).or_default();
        (origin.up, origin.shared) = (up, shared);
        if !up {
            origin.supplier.open = 0;
            self.give_up(Source::Origin(id), context.out);
        }
    }

    /// A fetch failed. The origin rests, and what else is on its way from it is given up.
    pub fn failed(&mut self, context: &mut Context<'_>, id: OriginId, number: u32, reason: String) {
        let source = Source::Origin(id);
        let ours = self.flights.get(&number).is_some_and(|one| one.source == source && one.bytes.is_none());
        if !ours {
            return;
        }
        self.flights.remove(&number);
        let rests_ms = self.rest(context.now, id, context.out);
        context.out.push(Output::Event(Event::Failed { origin: id, reason }));
        context.out.push(Output::Event(Event::Stalled { source, rests_ms }));
    }

    /// Origins that have been quiet for too long rest.
    pub fn find_stalled_origins(&mut self, now: Millis, out: &mut Vec<Output>) {
        let block_bytes = self.block_bytes;
        let stalled = |origin: &Origin| origin.supplier.is_stalled(now, block_bytes);
        let ids: Vec<OriginId> =
            self.origins.iter().filter(|(_, origin)| stalled(origin)).map(|(&id, _)| id).collect();
        for id in ids {
            let rests_ms = self.rest(now, id, out);
            out.push(Output::Event(Event::Stalled { source: Source::Origin(id), rests_ms }));
        }
    }

    fn rest(&mut self, now: Millis, id: OriginId, out: &mut Vec<Output>) -> u64 {
        self.give_up(Source::Origin(id), out);
        self.origins.get_mut(&id).map_or(0, |origin| origin.supplier.rest(now))
    }
}
