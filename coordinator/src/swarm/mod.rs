//! Who fetches which block of weights from whom.
//!
//! A content (a model, an adapter) is a row of numbered blocks, each of which can be checked by itself; see the manifest in
//! `kernels`. A room of peers fills itself with it: one download from the origin, in shares, and from there from tab to tab.
//!
//! ```text
//!              Join                          who has it?            what has it shown?
//!   others ──► Tell (has, seeks, fetches) ──► weights ───────┬────► source: rate, window, rests, lies
//!                                              │ wanted − here − on the way      │
//!                         own files, then ─────┴──► peers (rarest first) ────────┴──► origin (my share of it)
//!                                                    Ask ─► Block ─► Check ─► here ─► Tell has
//!   others ──► Ask ──► uploads: in turn, under a limit, not while activations are on their way ──► Serve
//! ```
//!
//! The machine is told whether a block is what its hash says, and never sees a hash. **The rule of use** is that of
//! [`Coordinator`](crate::Coordinator): [`Swarm::handle`], carry out the outputs, and [`Input::Tick`] when nothing else happens
//! until [`Swarm::wake_at`].
//!
//! - **Peers before origins.** What a willing peer has is never fetched from a shared origin, so that the origin serves each
//!   byte to the room about once; what nobody has is drawn for (`origin.rs`).
//! - **A source earns its window.** A stranger is asked for one block; each good one doubles that (`source.rs`). So a liar costs
//!   each peer one block. It is named and never asked again. Who stalls rests, twice as long each time.
//! - **Neighbours stay together.** Large contents are drawn in stripes of neighbouring blocks, so that what a peer has is at
//!   most some thousand runs, told in a few kilobytes.

mod blocks;
mod hash;
mod io;
mod message;
mod origin;
mod peers;
mod roots;
mod source;
mod uploads;
mod weights;

pub use blocks::Blocks;
pub use io::{Content, Event, Input, OriginId, Output, Sharing, Source, Verdict};
pub(crate) use message::BULK as BULK_FROM;
pub use message::{Fact, Message, Refusal};

use crate::ids::{Millis, PeerId};
use crate::limits;
use origin::Origin;
use roots::Roots;
use source::Supplier;
use std::collections::{BTreeMap, BTreeSet};
use uploads::Uploads;
use weights::{Terms, Weights};

/// What one call of `handle` works with, beside the content at hand.
struct Context<'a> {
    now: Millis,
    me: PeerId,
    peers: &'a mut BTreeMap<PeerId, Supplier>,
    out: &'a mut Vec<Output>,
    /// Blocks that may still be asked for.
    flights_left: u32,
    /// When somebody was connected last.
    met: Millis,
    /// Whether it is time to draw for shares of origins.
    beat: bool,
}

impl Context<'_> {
    fn dropped(&mut self, from: Source, reason: &'static str) {
        if let Source::Peer(from) = from {
            self.out.push(Output::Event(Event::Dropped { from, reason }));
        }
    }

    fn supplier<'a>(
        &'a mut self,
        origins: &'a mut BTreeMap<OriginId, Origin>,
        source: Source,
    ) -> Option<&'a mut Supplier> {
        match source {
            Source::Peer(peer) => self.peers.get_mut(&peer),
            Source::Origin(origin) => origins.get_mut(&origin).map(|origin| &mut origin.supplier),
        }
    }
}

/// What of a content is here and on its way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// Blocks that are wanted.
    pub wanted: u32,
    /// Of these, blocks that are here.
    pub here: u32,
    /// Blocks on their way, and being checked.
    pub on_the_way: u32,
}

/// The swarm as one peer sees it.
#[derive(Debug)]
pub struct Swarm {
    me: PeerId,
    contents: BTreeMap<Content, Weights>,
    /// Everybody who is connected, and what they have shown.
    peers: BTreeMap<PeerId, Supplier>,
    /// Peers that lied, those who left among them.
    liars: BTreeSet<PeerId>,
    uploads: Uploads,
    roots: Roots,
    /// Whether the person wants nothing new to be fetched.
    paused: bool,
    /// When somebody was connected last.
    met: Millis,
    /// When was last looked at what is due.
    looked: Millis,
}

impl Swarm {
    /// A peer that takes part in nothing yet.
    #[must_use]
    pub fn new(me: PeerId, now: Millis) -> Self {
        let (contents, peers, liars) = (BTreeMap::new(), BTreeMap::new(), BTreeSet::new());
        let (uploads, roots) = (Uploads::default(), Roots::default());
        Self { me, contents, peers, liars, uploads, roots, paused: false, met: now, looked: now }
    }

    /// Takes in what happened; returns what is to be done, in order.
    pub fn handle(&mut self, now: Millis, input: Input) -> Vec<Output> {
        let mut out = Vec::new();
        self.take(now, input, &mut out);
        let beat = now.since(self.looked) >= limits::SWARM_BEAT_MS;
        if beat {
            self.looked = now;
            self.beat(now, &mut out);
        }
        if !self.paused {
            self.fill(now, beat, &mut out);
        }
        self.uploads.pump(now, &mut out);
        out
    }

    /// When [`Input::Tick`] is due at the latest; None while there is nothing to wait for.
    #[must_use]
    pub fn wake_at(&self) -> Option<Millis> {
        let active = |weights: &Weights| weights.is_active(self.looked, self.me, self.terms());
        let waits = self.uploads.is_active() || self.roots.is_active();
        let active = waits || self.contents.values().any(active);
        active.then(|| self.looked.after(limits::SWARM_BEAT_MS))
    }

    /// How far a content is.
    #[must_use]
    pub fn progress(&self, content: Content) -> Progress {
        let Some(weights) = self.contents.get(&content) else { return Progress::default() };
        Progress {
            wanted: weights.wanted.len(),
            here: weights.wanted.and(&weights.have).len(),
            on_the_way: weights.flights.len() as u32,
        }
    }

    /// What of a content is here, wanted or not.
    #[must_use]
    pub fn have(&self, content: Content) -> Blocks {
        self.contents.get(&content).map(|weights| weights.have.clone()).unwrap_or_default()
    }

    /// Of a content, how many numbers each of the others has and gives away, and how many somebody has, this peer too.
    #[must_use]
    pub fn others(&self, content: Content) -> (BTreeMap<PeerId, u32>, u32) {
        let Some(weights) = self.contents.get(&content) else { return Default::default() };
        let each = weights.peers.iter().map(|(&peer, said)| (peer, said.has.len())).collect();
        let all = weights.peers.values().fold(weights.have.clone(), |all, said| all.or(&said.has));
        (each, all.len())
    }

    fn take(&mut self, now: Millis, input: Input, out: &mut Vec<Output>) {
        match input {
            Input::Tick => {}
            Input::PeerUp(peer) => self.up(now, peer, out),
            Input::PeerDown(peer) => self.down(peer, out),
            Input::Received { from, message } => self.received(now, from, message, out),
            Input::Open { content, numbers, block_bytes, have } => {
                self.open(now, content, numbers, block_bytes, have, out);
            }
            Input::Close(content) => self.close(content, out),
            Input::Seek(content) => self.roots.seek(content),
            Input::RootChecked { content, from, right } => {
                self.roots.checked(content, from, right);
                if !right {
                    let source = Source::Peer(from);
                    out.push(Output::Event(Event::Lied { source, content, number: None }));
                    self.found_lying(from, out);
                }
            }
            Input::Found { content, blocks } => self.with(now, content, out, |weights, context| {
                weights.found(&blocks);
                weights.tell_complete(context);
            }),
            Input::Want { content, blocks } => self.with(now, content, out, |weights, context| {
                weights.want(&blocks);
                weights.tell_complete(context);
            }),
            Input::Spare { content, blocks } => {
                self.with(now, content, out, |weights, _| weights.spare = blocks);
            }
            Input::Origin { content, origin, up, shared } => {
                self.with(now, content, out, |weights, context| {
                    weights.set_origin(context, origin, up, shared);
                });
            }
            Input::Fetched { content, origin, number, result } => match result {
                Ok(bytes) => self.with(now, content, out, |weights, context| {
                    weights.arrived(context, Source::Origin(origin), number, bytes);
                }),
                Err(reason) => self.with(now, content, out, |weights, context| {
                    weights.failed(context, origin, number, reason);
                }),
            },
            Input::Checked { content, number, from, verdict } => {
                self.checked(now, content, number, from, verdict, out);
            }
            Input::Served { to, content, number, bytes } => {
                self.uploads.served(to, content, number, bytes);
                if bytes.is_none() && self.peers.contains_key(&to) {
                    out.push(refusal(to, content, Blocks::from_iter([number])));
                }
            }
            Input::Evicted { content, blocks } => {
                self.with(now, content, out, |weights, _| weights.have = weights.have.minus(&blocks));
            }
            Input::Sharing(sharing) => {
                self.uploads.sharing = sharing;
                self.announce(now, out);
            }
            Input::Pause(paused) => {
                self.paused = paused;
                self.announce(now, out);
            }
            Input::Busy(busy) => self.uploads.busy = busy,
        }
    }

    /// Does something with a content, if this peer takes part in it.
    fn with(
        &mut self,
        now: Millis,
        content: Content,
        out: &mut Vec<Output>,
        act: impl FnOnce(&mut Weights, &mut Context<'_>),
    ) {
        let flights: usize = self.contents.values().map(|weights| weights.flights.len()).sum();
        let flights_left = limits::SWARM_FLIGHTS.saturating_sub(flights) as u32;
        let Self { me, met, ref mut peers, ref mut contents, .. } = *self;
        let Some(weights) = contents.get_mut(&content) else { return };
        act(weights, &mut Context { now, me, peers, out, flights_left, met, beat: false });
    }

    fn open(
        &mut self,
        now: Millis,
        content: Content,
        numbers: u32,
        block_bytes: u32,
        have: Blocks,
        out: &mut Vec<Output>,
    ) {
        if self.contents.len() < limits::CONTENTS && !self.contents.contains_key(&content) {
            self.roots.know(content);
            self.contents.insert(content, Weights::new(now, content, numbers, block_bytes, have));
            out.extend(self.peers.keys().map(|&to| Output::Send { to, message: Message::Join(content) }));
        }
    }

    fn close(&mut self, content: Content, out: &mut Vec<Output>) {
        let Some(mut weights) = self.contents.remove(&content) else { return };
        self.uploads.close(content);
        let sources: BTreeSet<Source> = weights.flights.values().map(|flight| flight.source).collect();
        for source in sources {
            weights.give_up(source, out);
        }
        out.extend(self.peers.keys().map(|&to| Output::Send { to, message: Message::Leave(content) }));
        self.recount();
    }

    fn up(&mut self, now: Millis, peer: PeerId, out: &mut Vec<Output>) {
        if peer == self.me || (self.peers.len() >= limits::PEERS && !self.peers.contains_key(&peer)) {
            return;
        }
        self.down(peer, out);
        let lied = self.liars.contains(&peer);
        self.peers.insert(peer, Supplier::new(lied));
        self.met = now;
        if !lied {
            let join = |&content: &Content| Output::Send { to: peer, message: Message::Join(content) };
            out.extend(self.contents.keys().map(join));
        }
    }

    fn down(&mut self, peer: PeerId, out: &mut Vec<Output>) {
        self.peers.remove(&peer);
        self.roots.forget(peer, out);
        self.uploads.forget(peer);
        self.contents.values_mut().for_each(|weights| weights.forget(peer));
    }

    fn received(&mut self, now: Millis, from: PeerId, message: Message, out: &mut Vec<Output>) {
        // What a liar says is worth nothing, and an answer would tell it more than it should know.
        if self.peers.get(&from).is_none_or(|supplier| supplier.lied) {
            return;
        }
        let content = message.content();
        match message {
            Message::Join(_) => {
                self.roots.joined(content, from, out);
                self.with(now, content, out, |weights, context| weights.greet(context, from));
            }
            Message::Leave(_) => {
                self.roots.left(content, from, out);
                self.with(now, content, out, |weights, _| weights.forget(from));
                self.recount();
            }
            Message::Tell { fact, blocks, .. } => {
                self.with(now, content, out, |weights, context| weights.hear(context, from, fact, &blocks));
            }
            Message::Ask { blocks, .. } => self.asked(now, from, content, &blocks, out),
            Message::Withdraw { blocks, .. } => self.uploads.withdraw(from, content, &blocks),
            Message::Refuse { blocks, why, .. } => self.with(now, content, out, |weights, context| {
                let refused = weights.refused(from, &blocks, why);
                let Some(supplier) = context.peers.get_mut(&from) else { return };
                (0..refused).for_each(|_| supplier.cancelled());
                if why == Refusal::Busy && refused > 0 {
                    supplier.busy(now);
                }
            }),
            Message::AskRoot(_) => {
                let here = self.contents.contains_key(&content) && self.uploads.sharing != Sharing::Off;
                out.push(if here && self.roots.may_send(now) {
                    Output::ServeRoot { to: from, content }
                } else {
                    Output::Send { to: from, message: Message::NoRoot(content) }
                });
            }
            Message::NoRoot(_) => self.roots.refused(now, content, from),
            Message::Root { bytes, .. } => self.roots.arrived(now, content, from, bytes, out),
            Message::Block { number, bytes, .. } => self.with(now, content, out, |weights, context| {
                if weights.arrived(context, Source::Peer(from), number, bytes.len() as u32) {
                    context.out.push(Output::Check { content, number, from: Source::Peer(from), bytes });
                }
            }),
        }
    }

    fn asked(&mut self, now: Millis, from: PeerId, content: Content, blocks: &Blocks, out: &mut Vec<Output>) {
        if blocks.len() > limits::SWARM_WINDOW {
            return out.push(dropped(from, "asks for more blocks than it may"));
        }
        let here = self.contents.get(&content).map(|weights| weights.have.and(blocks)).unwrap_or_default();
        let gone = blocks.minus(&here);
        if !gone.is_empty() {
            out.push(refusal(from, content, gone));
        }
        if !here.is_empty() && !self.uploads.ask(now, from, content, &here) {
            out.push(dropped(from, "asks for more blocks than it may"));
        }
    }

    fn checked(
        &mut self,
        now: Millis,
        content: Content,
        number: u32,
        from: Source,
        verdict: Verdict,
        out: &mut Vec<Output>,
    ) {
        let mut lied = false;
        self.with(now, content, out, |weights, context| {
            lied = weights.checked(context, number, from, verdict);
            if let (true, Source::Origin(_)) = (lied, from) {
                weights.give_up(from, context.out);
                if let Some(supplier) = context.supplier(&mut weights.origins, from) {
                    (supplier.lied, supplier.open) = (true, 0);
                }
            }
        });
        if let (true, Source::Peer(peer)) = (lied, from) {
            self.found_lying(peer, out);
        }
    }

    /// It may have left while what it sent was being checked.
    fn found_lying(&mut self, peer: PeerId, out: &mut Vec<Output>) {
        let here = self.peers.contains_key(&peer);
        self.down(peer, out);
        self.peers.extend(here.then(|| (peer, Supplier::new(true))));
        self.remember(peer);
    }

    /// A liar is known for as long as there is room to remember it.
    fn remember(&mut self, liar: PeerId) {
        if self.liars.len() >= limits::PEERS {
            self.liars.pop_first();
        }
        self.liars.insert(liar);
    }

    /// What time alone brings.
    fn beat(&mut self, now: Millis, out: &mut Vec<Output>) {
        self.find_stalled(now, out);
        self.contents.values_mut().for_each(|weights| weights.expire(now));
        self.announce(now, out);
        let Self { me, met, ref mut peers, ref mut roots, .. } = *self;
        roots.ask(&mut Context { now, me, peers, out, flights_left: 0, met, beat: true });
    }

    fn announce(&mut self, now: Millis, out: &mut Vec<Output>) {
        let terms = self.terms();
        for content in self.contents.keys().copied().collect::<Vec<_>>() {
            self.with(now, content, out, |weights, context| weights.announce(context, terms));
        }
    }

    fn terms(&self) -> Terms {
        let sharing = self.uploads.sharing;
        Terms {
            shares: sharing != Sharing::Off,
            fetches: !self.paused,
            rescues: !self.paused && sharing == Sharing::On,
        }
    }

    fn find_stalled(&mut self, now: Millis, out: &mut Vec<Output>) {
        let block_bytes = self.contents.values().map(|weights| weights.block_bytes).max().unwrap_or(1);
        for (&peer, supplier) in &mut self.peers {
            if supplier.is_stalled(now, block_bytes) {
                let (source, rests_ms) = (Source::Peer(peer), supplier.rest(now));
                self.contents.values_mut().for_each(|weights| weights.give_up(source, out));
                out.push(Output::Event(Event::Stalled { source, rests_ms }));
            }
        }
        for weights in self.contents.values_mut() {
            weights.find_stalled_origins(now, out);
        }
    }

    /// Asks for as much as may be on its way: first what is needed, of all contents; then, if nothing is on its way, what
    /// the room might lose.
    fn fill(&mut self, now: Millis, beat: bool, out: &mut Vec<Output>) {
        let contents: Vec<Content> = self.contents.keys().copied().collect();
        for &content in &contents {
            self.with(now, content, out, |weights, context| {
                if context.flights_left == 0 || !weights.has_room(now) {
                    return;
                }
                let mut missing = weights.missing();
                if missing.is_empty() {
                    return;
                }
                context.beat = beat;
                weights.ask_origins(context, &mut missing, false);
                weights.ask_peers(context, &mut missing);
                weights.ask_origins(context, &mut missing, true);
            });
        }
        let terms = self.terms();
        for &content in contents.iter().filter(|_| beat) {
            if self.contents.values().any(|weights| !weights.flights.is_empty()) {
                return;
            }
            self.with(now, content, out, |weights, context| {
                if weights.has_room(now) && weights.wanted.minus(&weights.have).is_empty() {
                    let mut endangered = weights.endangered(context.me, terms);
                    weights.ask_peers(context, &mut endangered);
                }
            });
        }
    }

    /// Counts again what is on its way from whom, and what is being checked, when blocks of one content were given up and
    /// others were not.
    fn recount(&mut self) {
        let flights = || self.contents.values().flat_map(|weights| weights.flights.values());
        for (&peer, supplier) in &mut self.peers {
            let its = || flights().filter(|one| one.source == Source::Peer(peer));
            supplier.open = its().filter(|one| one.bytes.is_none()).count() as u32;
            supplier.checking = its().filter(|one| one.bytes.is_some()).count() as u32;
        }
    }
}

fn refusal(to: PeerId, content: Content, blocks: Blocks) -> Output {
    Output::Send { to, message: Message::Refuse { content, blocks, why: Refusal::Gone } }
}

fn dropped(from: PeerId, reason: &'static str) -> Output {
    Output::Event(Event::Dropped { from, reason })
}

#[cfg(test)]
mod tests;
