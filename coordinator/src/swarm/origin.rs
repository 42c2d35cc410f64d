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
use std::collections::{BTreeMap, VecDeque};
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
        if shared && context.beat {
            self.share_drawn = self.draw_share(context, missing);
        }
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
            let numbers: Blocks =
                if shared { self.share(context, missing, room) } else { missing.iter().take(room).collect() };
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

    /// This peer's share of `missing`, `room` blocks at most. It is drawn at each beat, and used up in between.
    fn share(&mut self, context: &Context<'_>, missing: &Blocks, room: usize) -> Blocks {
        let mut drawn = std::mem::take(&mut self.share_drawn);
        let mut taken = Blocks::default();
        while (taken.len() as usize) < room {
            let Some(number) = drawn.pop_front() else { break };
            // Others may have come, or begun it, since it was drawn.
            let (winner, second) = self.winners(context, number);
            let mine = winner == context.me || second == context.me;
            if mine && missing.contains(number) && !self.is_coming(context, number) {
                taken.insert(number);
            }
        }
        self.share_drawn = drawn;
        taken
    }

    /// Some blocks of this peer's share; one of another's, if it has nothing else to fetch.
    fn draw_share(&mut self, context: &Context<'_>, missing: &Blocks) -> VecDeque<u32> {
        let reaches = self.origins.values().any(|origin| origin.shared && origin.is_usable(context.now));
        if !reaches || !self.is_settled(context) {
            return VecDeque::new();
        }
        let window = self.window(missing);
        let open = self.not_coming(context, &window);
        let (mut mine, mut others) = (VecDeque::new(), BTreeMap::<PeerId, Vec<(Range<u32>, PeerId)>>::new());
        for run in self.stripes(&open) {
            let (winner, second) = self.winners(context, run.start);
            if winner == context.me {
                mine.extend(run.take(limits::SWARM_LOOK - mine.len()));
            } else {
                others.entry(winner).or_default().push((run, second));
            }
            if mine.len() == limits::SWARM_LOOK {
                return mine;
            }
        }
        // Nothing here is left to this peer: the next window, next time.
        self.cursor = if window.end() > self.cursor { window.end() } else { 0 };
        if mine.is_empty() && self.fetching().is_empty() {
            mine.extend(self.help(&others, context.me));
        }
        mine
    }

    /// The blocks that are looked at this time: all of a small content, some of the stripes of a large one.
    fn window(&self, missing: &Blocks) -> Blocks {
        let after = missing.within(self.cursor..u32::MAX);
        let (from, all) = if after.is_empty() { (0, missing) } else { (self.cursor, &after) };
        let first = all.iter_from(from).next().unwrap_or(0);
        let most = self.stripe.saturating_mul(limits::SWARM_WINDOW_STRIPES);
        all.within(first..first.saturating_add(most))
    }

    /// Those of a window that nobody in the room will send.
    fn not_coming(&self, context: &Context<'_>, window: &Blocks) -> Blocks {
        let range = window.runs().first().map_or(0, |run| run.start)..window.end();
        let mut coming = Vec::new();
        for (peer, said) in &self.peers {
            let fetched = said.fetches.keys().filter(|&&number| said.is_fetching(context.now, number));
            coming.extend(fetched.map(|&number| number..number + 1));
            if context.peers.get(peer).is_some_and(|one| one.gives(context.now)) {
                coming.extend_from_slice(said.has.within(range.clone()).runs());
            }
        }
        window.minus(&coming.into_iter().collect())
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

    /// The last block for which this peer is the next one, of somebody who will not begin it before it hears of the help.
    fn help(&self, others: &BTreeMap<PeerId, Vec<(Range<u32>, PeerId)>>, me: PeerId) -> Option<u32> {
        others.values().find_map(|runs| {
            let mut before: usize = runs.iter().map(|(run, _)| run.len()).sum();
            runs.iter().rev().find_map(|(run, second)| {
                before -= run.len();
                // The first two it may begin now.
                (*second == me && before + run.len() > 2).then(|| run.end - 1)
            })
        })
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

    /// Forgets fetches that nobody speaks of any more, and what was drawn before everybody was heard again.
    pub fn expire(&mut self, now: Millis) {
        self.share_drawn.clear();
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
