//! One content: what of it is here, what is wanted, what is on its way, and what others say of theirs.

use super::Context;
use super::blocks::Blocks;
use super::io::{Content, Event, OriginId, Output, Source, Verdict};
use super::message::{Fact, Message, Refusal};
use super::origin::Origin;
use crate::ids::{Millis, PeerId};
use crate::limits;
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// A block on its way here.
#[derive(Clone, Copy, Debug)]
pub struct Flight {
    /// Where it comes from.
    pub source: Source,
    /// Since when.
    pub since: Millis,
    /// Its length once it has come: then it is being checked.
    pub bytes: Option<u32>,
}

/// What another peer says of itself.
#[derive(Debug, Default)]
pub struct Said {
    /// What it has and gives away.
    pub has: Blocks,
    /// What it wants and can fetch from the origin.
    pub seeks: Blocks,
    /// What it says that it is fetching: since when, and when it said so last.
    pub fetches: BTreeMap<u32, (Millis, Millis)>,
    /// Blocks that it said it was fetching, and never had.
    pub broken: u32,
    /// When it last got anything new.
    pub heard: Millis,
    /// When it was last told everything.
    greeted: Millis,
}

/// What the person allows.
#[derive(Clone, Copy, Debug)]
pub struct Terms {
    /// Something is given away.
    pub shares: bool,
    /// Something is fetched.
    pub fetches: bool,
    /// Even what is not needed here, so that the room does not lose it.
    pub rescues: bool,
}

/// One content.
#[derive(Debug)]
pub struct Weights {
    pub content: Content,
    pub numbers: u32,
    pub block_bytes: u32,
    /// Neighbouring blocks that are drawn to the same peers, so that what each has is few runs.
    pub stripe: u32,
    pub have: Blocks,
    pub wanted: Blocks,
    /// Blocks beyond those wanted that may be held.
    pub spare: u32,
    pub flights: BTreeMap<u32, Flight>,
    /// What was asked of peers and given up: it may come all the same.
    late: BTreeSet<(PeerId, u32)>,
    pub peers: BTreeMap<PeerId, Said>,
    pub origins: BTreeMap<OriginId, Origin>,
    /// Blocks that this peer drew from shared origins, and where it looks next.
    pub share_drawn: VecDeque<u32>,
    pub cursor: u32,
    /// What the others know of this peer.
    told_has: Blocks,
    told_seeks: Blocks,
    told_fetches: Millis,
    /// Whether anything is given away, as the others know it.
    shares: bool,
    pub opened: Millis,
    /// Until when nothing is fetched, for the store was full.
    full: Millis,
    /// Whether the person knows that nothing is missing.
    complete: bool,
}

impl Weights {
    pub fn new(now: Millis, content: Content, numbers: u32, block_bytes: u32, have: Blocks) -> Self {
        let stripe = (numbers / limits::SWARM_STRIPES).max(1).next_power_of_two();
        Self {
            content,
            numbers,
            block_bytes: block_bytes.clamp(1, limits::BLOCK_BYTES as u32),
            stripe,
            have: have.and(&Blocks::all(numbers)),
            wanted: Blocks::default(),
            spare: 0,
            flights: BTreeMap::new(),
            late: BTreeSet::new(),
            peers: BTreeMap::new(),
            origins: BTreeMap::new(),
            share_drawn: VecDeque::new(),
            cursor: 0,
            told_has: Blocks::default(),
            told_seeks: Blocks::default(),
            told_fetches: now,
            shares: true,
            opened: now,
            full: now,
            complete: true,
        }
    }

    /// What is wanted, and neither here nor on its way.
    pub fn missing(&self) -> Blocks {
        self.wanted.minus(&self.have).minus(&self.on_the_way())
    }

    pub fn on_the_way(&self) -> Blocks {
        self.flights.keys().copied().collect()
    }

    /// Whether something is to be done that needs the clock.
    pub fn is_active(&self, now: Millis, me: PeerId, terms: Terms) -> bool {
        !self.flights.is_empty()
            || (terms.fetches && !self.wanted.minus(&self.have).is_empty())
            || self.to_tell(now, terms) != (self.told_has.clone(), self.told_seeks.clone())
            || !self.endangered(me, terms).is_empty()
    }

    /// What the others should know: what is given away, and what is sought at an origin. For who gives nothing away, or
    /// fetches nothing, nobody should wait.
    fn to_tell(&self, now: Millis, terms: Terms) -> (Blocks, Blocks) {
        let has = if terms.shares { self.have.first(limits::SWARM_RUNS) } else { Blocks::default() };
        let reaches = self.origins.values().any(|origin| origin.is_usable(now) && origin.shared);
        let draws = reaches && terms.shares && terms.fetches;
        let seeks = if draws { self.wanted.first(limits::SWARM_RUNS) } else { Blocks::default() };
        (has, seeks)
    }

    /// Whether anything may be fetched.
    pub fn has_room(&self, now: Millis) -> bool {
        now >= self.full
    }

    pub fn want(&mut self, blocks: &Blocks) {
        self.wanted = blocks.and(&Blocks::all(self.numbers));
        self.complete = false;
    }

    pub fn stripe_of(&self, number: u32) -> u64 {
        u64::from(number / self.stripe)
    }

    /// Notes that a block is on its way.
    pub fn expect(&mut self, now: Millis, number: u32, source: Source) {
        if let Source::Peer(peer) = source {
            self.late.remove(&(peer, number));
        }
        self.flights.insert(number, Flight { source, since: now, bytes: None });
    }

    /// A block of so many bytes came from anywhere. True if it was asked for: it is to be checked.
    pub fn arrived(&mut self, context: &mut Context<'_>, from: Source, number: u32, length: u32) -> bool {
        let late = matches!(from, Source::Peer(peer) if self.late.remove(&(peer, number)));
        match self.flights.get_mut(&number) {
            Some(flight) if flight.source == from && flight.bytes.is_none() => flight.bytes = Some(length),
            // Given up, but nobody else was asked yet: the work is done, so it counts.
            None if late && !self.have.contains(number) && context.flights_left > 0 => {
                self.flights.insert(number, Flight { source: from, since: context.now, bytes: Some(length) });
            }
            _ if late => return false,
            _ => {
                context.dropped(from, "a block that was not asked for");
                return false;
            }
        }
        let now = context.now;
        if let Some(supplier) = context.supplier(&mut self.origins, from) {
            supplier.arrived(now, length as usize, late);
        }
        true
    }

    /// The store turns out to have these.
    pub fn found(&mut self, blocks: &Blocks) {
        self.have = self.have.or(&blocks.and(&Blocks::all(self.numbers)));
    }

    /// A block has been checked. True if its source lied.
    pub fn checked(
        &mut self,
        context: &mut Context<'_>,
        number: u32,
        from: Source,
        verdict: Verdict,
    ) -> bool {
        let content = self.content;
        let flight = self.flights.get(&number).copied();
        let Some(bytes) = flight.filter(|one| one.source == from).and_then(|one| one.bytes) else {
            return false;
        };
        self.flights.remove(&number);
        if let Some(supplier) = context.supplier(&mut self.origins, from) {
            supplier.checked();
        }
        match verdict {
            Verdict::Wrong => {
                context.out.push(Output::Event(Event::Lied { source: from, content, number: Some(number) }));
                return true;
            }
            Verdict::NoRoom => {
                self.full = context.now.after(limits::SWARM_FULL_MS);
                context.out.push(Output::Event(Event::NoRoom(content)));
            }
            Verdict::Unwanted => {
                if let Some(supplier) = context.supplier(&mut self.origins, from) {
                    supplier.proved();
                }
            }
            Verdict::Kept => {
                self.have.insert(number);
                if let Some(supplier) = context.supplier(&mut self.origins, from) {
                    supplier.proved();
                }
                context.out.push(Output::Event(Event::Got { content, number, from, bytes }));
                self.tell_complete(context);
            }
        }
        false
    }

    /// Tells the person once when nothing is missing any more.
    pub fn tell_complete(&mut self, context: &mut Context<'_>) {
        if !self.complete && self.wanted.minus(&self.have).is_empty() {
            self.complete = true;
            context.out.push(Output::Event(Event::Complete(self.content)));
        }
    }

    /// Gives up what is on its way from a source. What has come and is being checked stays: it may well be right.
    pub fn give_up(&mut self, source: Source, out: &mut Vec<Output>) {
        let gone = |flight: &Flight| flight.source == source && flight.bytes.is_none();
        let numbers: Blocks =
            self.flights.iter().filter(|(_, one)| gone(one)).map(|(&number, _)| number).collect();
        self.flights.retain(|_, flight| !gone(flight));
        let content = self.content;
        match source {
            Source::Peer(_) if numbers.is_empty() => {}
            Source::Peer(to) => {
                let many = self.late.iter().filter(|(peer, _)| *peer == to).count();
                let fitting = (4 * limits::SWARM_WINDOW as usize).saturating_sub(many);
                self.late.extend(numbers.iter().take(fitting).map(|number| (to, number)));
                out.push(Output::Send { to, message: Message::Withdraw { content, blocks: numbers } });
            }
            Source::Origin(origin) => {
                out.extend(numbers.iter().map(|number| Output::Abort { content, origin, number }));
            }
        }
    }

    /// A peer is gone, or not to be believed.
    pub fn forget(&mut self, peer: PeerId) {
        self.peers.remove(&peer);
        self.late.retain(|(one, _)| *one != peer);
        self.flights.retain(|_, flight| flight.source != Source::Peer(peer) || flight.bytes.is_some());
    }

    /// A peer does not send some blocks. Returns how many of them it was asked for.
    pub fn refused(&mut self, from: PeerId, blocks: &Blocks, why: Refusal) -> u32 {
        let refused = |number: &u32, flight: &Flight| {
            flight.source == Source::Peer(from) && flight.bytes.is_none() && blocks.contains(*number)
        };
        let numbers: Vec<u32> = self
            .flights
            .iter()
            .filter(|(number, one)| refused(number, one))
            .map(|(&number, _)| number)
            .collect();
        for number in &numbers {
            self.flights.remove(number);
        }
        self.late.retain(|(peer, number)| *peer != from || !blocks.contains(*number));
        if let Some(said) = self.peers.get_mut(&from).filter(|_| why == Refusal::Gone) {
            said.has = said.has.minus(blocks);
        }
        numbers.len() as u32
    }

    /// A peer wishes to know everything, or says something for the first time.
    pub fn greet(&mut self, context: &mut Context<'_>, peer: PeerId) {
        let now = context.now;
        let known = self.peers.get(&peer).map(|said| said.greeted);
        if known.is_some_and(|greeted| now.since(greeted) < limits::SWARM_JOIN_MS) {
            return;
        }
        let said = self.peers.entry(peer).or_insert_with(|| Said { heard: now, ..Said::default() });
        said.greeted = now;
        self.tell(context, &[peer], Fact::Has, &self.told_has, true);
        self.tell(context, &[peer], Fact::Seeks, &self.told_seeks, false);
        if self.shares {
            self.tell(context, &[peer], Fact::Fetches, &self.fetching(), false);
        }
    }

    /// A peer says something of itself.
    pub fn hear(&mut self, context: &mut Context<'_>, from: PeerId, fact: Fact, blocks: &Blocks) {
        if blocks.end() > self.numbers {
            return context.dropped(Source::Peer(from), "blocks that the content does not have");
        }
        if !self.peers.contains_key(&from) {
            self.greet(context, from);
        }
        let now = context.now;
        let Some(said) = self.peers.get_mut(&from) else { return };
        let (next, set) = match fact {
            Fact::Has => (said.has.or(blocks), &mut said.has),
            Fact::Lost => (said.has.minus(blocks), &mut said.has),
            Fact::Seeks => (said.seeks.or(blocks), &mut said.seeks),
            Fact::Rests => (said.seeks.minus(blocks), &mut said.seeks),
            Fact::Fetches => return self.hear_fetches(context, from, blocks),
        };
        // Twice, for what is lost may cut runs in two before others are added.
        if next.runs().len() > 2 * limits::SWARM_RUNS {
            return context.dropped(Source::Peer(from), "more runs of blocks than allowed");
        }
        let grows = matches!(fact, Fact::Has | Fact::Seeks) && next != *set;
        *set = next;
        if grows {
            said.heard = now;
        }
        let has = &said.has;
        said.fetches.retain(|number, _| !has.contains(*number) && fact != Fact::Rests);
    }

    /// Everything that changed since the others were told, and reminders of what is being fetched.
    pub fn announce(&mut self, context: &mut Context<'_>, terms: Terms) {
        let (has, seeks) = self.to_tell(context.now, terms);
        let to: Vec<PeerId> = self.peers.keys().copied().collect();
        self.tell(context, &to, Fact::Lost, &self.told_has.minus(&has), false);
        self.tell(context, &to, Fact::Has, &has.minus(&self.told_has), false);
        self.tell(context, &to, Fact::Rests, &self.told_seeks.minus(&seeks), false);
        self.tell(context, &to, Fact::Seeks, &seeks.minus(&self.told_seeks), false);
        (self.told_has, self.told_seeks) = (has, seeks);
        self.shares = terms.shares;
        if context.now.since(self.told_fetches) >= limits::SWARM_CLAIM_MS {
            self.tell_fetching(context, &self.fetching());
        }
    }

    /// Tells everybody that these are being fetched from the origin.
    pub fn tell_fetching(&mut self, context: &mut Context<'_>, blocks: &Blocks) {
        if self.shares {
            let to: Vec<PeerId> = self.peers.keys().copied().collect();
            self.tell(context, &to, Fact::Fetches, blocks, false);
        }
        self.told_fetches = context.now;
    }

    fn tell(
        &self,
        context: &mut Context<'_>,
        to: &[PeerId],
        fact: Fact,
        blocks: &Blocks,
        even_nothing: bool,
    ) {
        let content = self.content;
        let nothing = (even_nothing && blocks.is_empty()).then(Blocks::default);
        for blocks in nothing.into_iter().chain(blocks.chunks(limits::SWARM_RUNS)) {
            let message = Message::Tell { content, fact, blocks };
            context.out.extend(to.iter().map(|&to| Output::Send { to, message: message.clone() }));
        }
    }
}
