//! A room in which everything takes time: a seed decides who comes, leaves, lies and stalls.

use coordinator::swarm::{
    Blocks, Content, Event, Input, Message, OriginId, Output, Sharing, Source, Swarm, Verdict,
};
use coordinator::{Millis, PeerId, limits};
use std::collections::{BTreeMap, BTreeSet};

pub const CONTENT: Content = Content([7; 32]);
pub const ORIGIN: OriginId = OriginId(0);
/// Small, so that thousands of rooms are quick; rates are as much smaller.
pub const BLOCK_BYTES: u32 = 256;

/// SplitMix64.
pub struct Dice(pub u64);

impl Dice {
    pub fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// `from..to`.
    pub fn range(&mut self, from: u64, to: u64) -> u64 {
        from + self.roll() % (to - from)
    }

    pub fn chance(&mut self, percent: u64) -> bool {
        self.range(0, 100) < percent
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Honest,
    /// Says that it has everything, and sends wrong bytes.
    Liar,
    /// Says that it has everything, and never sends anything.
    Staller,
}

/// What a peer is before it joins.
#[derive(Clone, Debug)]
pub struct Plan {
    pub kind: Kind,
    pub joins: u64,
    pub leaves: Option<u64>,
    pub wants: Blocks,
    pub store: Blocks,
    pub sharing: Sharing,
    /// Bytes a second to others, and from the origin.
    pub uplink: u64,
    pub downlink: u64,
    pub spare: u32,
}

struct Node {
    plan: Plan,
    swarm: Swarm,
    there: bool,
    /// When the uplink and the origin's connection are free.
    uplink_free: u64,
    origin_free: u64,
    /// What was asked of whom and not answered yet.
    open: BTreeMap<PeerId, BTreeSet<u32>>,
    /// Fetches: when they began and when they end.
    fetches: BTreeMap<u32, (u64, u64)>,
    liars: BTreeSet<PeerId>,
    wrong: BTreeMap<PeerId, u32>,
    here: u32,
    wakes: Option<u64>,
}

enum What {
    Join,
    Leave,
    Linked(PeerId),
    Unlinked(PeerId),
    Deliver(PeerId, Message),
    Fetched(u32),
    Checked(u32, Source, Verdict),
    Served(PeerId, u32),
    Busy(bool),
    OriginGone,
    Wake,
}

pub struct World {
    pub now: u64,
    pub numbers: u32,
    pub origin_up: bool,
    /// Bytes that the origin has sent.
    pub origin_bytes: u64,
    pub trace: u64,
    latency: u64,
    nodes: BTreeMap<PeerId, Node>,
    events: BTreeMap<(u64, u64), (PeerId, What)>,
    serial: u64,
}

impl World {
    pub fn new(numbers: u32, latency: u64, origin: bool, plans: Vec<Plan>) -> Self {
        let mut world = Self {
            now: 0,
            numbers,
            origin_up: origin,
            origin_bytes: 0,
            trace: 0,
            latency,
            nodes: BTreeMap::new(),
            events: BTreeMap::new(),
            serial: 0,
        };
        for (index, plan) in plans.into_iter().enumerate() {
            // Ids far apart in both halves.
            let me = PeerId((index as u128 + 1) * 0x100_0000_0000_0000_0000_0000_0001);
            world.at(plan.joins, me, What::Join);
            if let Some(leaves) = plan.leaves {
                world.at(leaves, me, What::Leave);
            }
            let swarm = Swarm::new(me, Millis(0));
            let (open, fetches) = (BTreeMap::new(), BTreeMap::new());
            let (liars, wrong) = (BTreeSet::new(), BTreeMap::new());
            let there = false;
            world.nodes.insert(
                me,
                Node {
                    plan,
                    swarm,
                    there,
                    uplink_free: 0,
                    origin_free: 0,
                    open,
                    fetches,
                    liars,
                    wrong,
                    here: 0,
                    wakes: None,
                },
            );
        }
        world
    }

    /// The line of a peer is busy with activations for a while.
    pub fn busy(&mut self, index: usize, from: u64, to: u64) {
        if let Some(&peer) = self.nodes.keys().nth(index) {
            self.at(from, peer, What::Busy(true));
            self.at(to, peer, What::Busy(false));
        }
    }

    pub fn origin_goes(&mut self, at: u64) {
        for peer in self.nodes.keys().copied().collect::<Vec<_>>() {
            self.at(at, peer, What::OriginGone);
        }
    }

    /// Runs until `until` ms, or until everybody has what it can have after `quiet` ms.
    pub fn run(&mut self, quiet: u64, until: u64) {
        let mut looked = quiet;
        while let Some(entry) = self.events.first_entry() {
            let ((at, _), (peer, what)) = entry.remove_entry();
            if at > until || (at > looked && self.owed().is_empty()) {
                break;
            }
            looked = looked.max(at / 1000 * 1000 + 1000 * u64::from(at > quiet));
            self.now = at;
            self.step(peer, what);
        }
    }

    /// What somebody who stays wants and lacks although it can be had.
    pub fn owed(&self) -> Vec<(PeerId, Blocks)> {
        let stays = |node: &&Node| node.there && node.plan.kind == Kind::Honest && node.plan.leaves.is_none();
        let shared = self
            .nodes
            .values()
            .filter(stays)
            .filter(|node| node.plan.sharing != Sharing::Off)
            .fold(Blocks::default(), |all, node| all.or(&node.swarm.have(CONTENT)));
        let there = if self.origin_up { Blocks::all(self.numbers) } else { shared };
        let staying = self.nodes.iter().filter(|(_, node)| stays(node));
        let owed =
            staying.map(|(&peer, node)| (peer, node.plan.wants.and(&there).minus(&node.swarm.have(CONTENT))));
        owed.filter(|(_, blocks)| !blocks.is_empty()).collect()
    }

    /// Wrong blocks that came to peer by liar.
    pub fn wrong(&self) -> impl Iterator<Item = u32> {
        self.nodes
            .values()
            .filter(|node| node.plan.kind == Kind::Honest)
            .flat_map(|node| node.wrong.values().copied())
    }

    pub fn have(&self, index: usize) -> Blocks {
        self.nodes.values().nth(index).map(|node| node.swarm.have(CONTENT)).unwrap_or_default()
    }

    fn at(&mut self, at: u64, peer: PeerId, what: What) {
        self.serial += 1;
        self.events.insert((at, self.serial), (peer, what));
    }

    fn step(&mut self, peer: PeerId, what: What) {
        if !matches!(what, What::Join) && !self.nodes[&peer].there {
            return;
        }
        match what {
            What::Join => self.join(peer),
            What::Leave => self.leave(peer),
            What::Linked(other) => self.handle(peer, Input::PeerUp(other)),
            What::Unlinked(other) => {
                self.node(peer).open.remove(&other);
                self.handle(peer, Input::PeerDown(other));
            }
            What::Deliver(from, message) => self.deliver(peer, from, message),
            What::Fetched(number) => {
                let now = self.now;
                if self.node(peer).fetches.get(&number).is_some_and(|&(_, end)| end == now) {
                    self.node(peer).fetches.remove(&number);
                    self.origin_bytes += u64::from(BLOCK_BYTES);
                    let result = Ok(BLOCK_BYTES);
                    self.handle(peer, Input::Fetched { content: CONTENT, origin: ORIGIN, number, result });
                    let what = What::Checked(number, Source::Origin(ORIGIN), Verdict::Kept);
                    self.at(now + 3, peer, what);
                }
            }
            What::Checked(number, from, verdict) => {
                self.handle(peer, Input::Checked { content: CONTENT, number, from, verdict });
            }
            What::Served(to, number) => {
                let bytes = Some(BLOCK_BYTES);
                self.handle(peer, Input::Served { to, content: CONTENT, number, bytes });
            }
            What::Busy(busy) => self.handle(peer, Input::Busy(busy)),
            What::OriginGone => {
                self.origin_up = false;
                self.node(peer).fetches.clear();
                let (content, origin) = (CONTENT, ORIGIN);
                self.handle(peer, Input::Origin { content, origin, up: false, shared: true });
            }
            What::Wake => {
                let now = self.now;
                if self.node(peer).wakes == Some(now) {
                    self.node(peer).wakes = None;
                    self.handle(peer, Input::Tick);
                }
            }
        }
    }

    fn join(&mut self, peer: PeerId) {
        let others: Vec<PeerId> =
            self.nodes.iter().filter(|(_, node)| node.there).map(|(&id, _)| id).collect();
        let node = self.node(peer);
        node.there = true;
        let plan = node.plan.clone();
        let (numbers, block_bytes, have) = (self.numbers, BLOCK_BYTES, plan.store.clone());
        self.handle(peer, Input::Open { content: CONTENT, numbers, block_bytes, have });
        self.handle(peer, Input::Sharing(plan.sharing));
        let up = self.origin_up && plan.kind == Kind::Honest;
        self.handle(peer, Input::Origin { content: CONTENT, origin: ORIGIN, up, shared: true });
        self.handle(peer, Input::Want { content: CONTENT, blocks: plan.wants });
        self.handle(peer, Input::Spare { content: CONTENT, blocks: plan.spare });
        for other in others {
            let at = self.now + 2 * self.latency;
            self.at(at, peer, What::Linked(other));
            self.at(at, other, What::Linked(peer));
        }
    }

    fn leave(&mut self, peer: PeerId) {
        self.node(peer).there = false;
        let noticed = self.now + self.latency;
        for other in self.nodes.keys().copied().collect::<Vec<_>>() {
            self.at(noticed, other, What::Unlinked(peer));
        }
    }

    fn deliver(&mut self, peer: PeerId, from: PeerId, message: Message) {
        // What was under way when a peer left arrives no more.
        if !self.nodes[&from].there {
            return;
        }
        let node = self.node(peer);
        let open = node.open.entry(from).or_default();
        match &message {
            Message::Block { number, .. } => drop(open.remove(number)),
            Message::Refuse { blocks, .. } => open.retain(|number| !blocks.contains(*number)),
            _ => {}
        }
        self.handle(peer, Input::Received { from, message });
    }

    fn node(&mut self, peer: PeerId) -> &mut Node {
        self.nodes.get_mut(&peer).expect("a peer of this world")
    }

    fn handle(&mut self, peer: PeerId, input: Input) {
        let now = self.now;
        let outputs = self.node(peer).swarm.handle(Millis(now), input);
        for output in outputs {
            self.carry_out(peer, output);
        }
        let node = self.node(peer);
        let progress = node.swarm.progress(CONTENT);
        assert!(progress.here >= node.here, "{peer} had {} blocks and has {}", node.here, progress.here);
        assert!(progress.on_the_way as usize <= limits::SWARM_FLIGHTS, "{peer}: {progress:?}");
        node.here = progress.here;
        let wake = node.swarm.wake_at().map(|at| at.0.max(now + 1));
        if let Some(at) = wake.filter(|_| wake != node.wakes) {
            node.wakes = wake;
            self.at(at, peer, What::Wake);
        }
    }

    fn carry_out(&mut self, peer: PeerId, output: Output) {
        let (now, latency) = (self.now, self.latency);
        match output {
            Output::Send { to, message } => {
                self.watch(peer, to, &message);
                self.at(now + latency, to, What::Deliver(peer, message));
            }
            Output::Fetch { number, .. } => {
                let node = self.node(peer);
                let start = now.max(node.origin_free);
                let end = start + u64::from(BLOCK_BYTES) * 1000 / node.plan.downlink;
                node.origin_free = end;
                node.fetches.insert(number, (start, end));
                self.at(end, peer, What::Fetched(number));
            }
            Output::Abort { number, .. } => {
                if let Some((start, end)) = self.node(peer).fetches.remove(&number) {
                    self.origin_bytes += u64::from(BLOCK_BYTES) * now.saturating_sub(start) / (end - start);
                }
            }
            Output::Check { number, from, bytes, .. } => {
                let verdict = if bytes == right(number) { Verdict::Kept } else { Verdict::Wrong };
                if let (Verdict::Wrong, Source::Peer(liar)) = (verdict, from) {
                    *self.node(peer).wrong.entry(liar).or_default() += 1;
                }
                self.at(now + 3, peer, What::Checked(number, from, verdict));
            }
            Output::Serve { to, number, .. } => self.serve(peer, to, number),
            Output::CheckRoot { .. } | Output::ServeRoot { .. } => {
                panic!("there is one content, open to all")
            }
            Output::Event(Event::Lied { source: Source::Peer(liar), .. }) => {
                assert_eq!(self.nodes[&liar].plan.kind, Kind::Liar, "{liar} is named by {peer}");
                let node = self.node(peer);
                node.open.remove(&liar);
                node.liars.insert(liar);
            }
            Output::Event(Event::Lied { .. }) => panic!("the origin never lies here"),
            Output::Event(Event::Dropped { from, reason }) => {
                panic!("{peer} dropped a message of {from}: {reason}")
            }
            Output::Event(_) => {}
        }
    }

    fn serve(&mut self, peer: PeerId, to: PeerId, number: u32) {
        let (now, latency) = (self.now, self.latency);
        let node = self.node(peer);
        let bytes = match node.plan.kind {
            Kind::Honest => right(number),
            Kind::Liar => wrong(number),
            Kind::Staller => return,
        };
        let sent = now.max(node.uplink_free) + u64::from(BLOCK_BYTES) * 1000 / node.plan.uplink;
        node.uplink_free = sent;
        self.at(sent, peer, What::Served(to, number));
        let message = Message::Block { content: CONTENT, number, bytes };
        self.at(sent + latency, to, What::Deliver(peer, message));
    }

    /// What may be asked of whom.
    fn watch(&mut self, peer: PeerId, to: PeerId, message: &Message) {
        self.trace = self.trace.rotate_left(5) ^ self.now ^ (peer.0 as u64) ^ ((to.0 >> 64) as u64);
        let node = self.node(peer);
        let open = node.open.entry(to).or_default();
        match message {
            Message::Ask { blocks, .. } => {
                open.extend(blocks.iter());
                let many = open.len();
                assert!(many <= limits::SWARM_WINDOW as usize, "{peer} has {many} asks open at {to}");
                assert!(!node.liars.contains(&to), "{peer} asks {to}, which lied to it");
            }
            Message::Withdraw { blocks, .. } => open.retain(|number| !blocks.contains(*number)),
            _ => {}
        }
    }
}

fn right(number: u32) -> Vec<u8> {
    number.to_le_bytes().repeat(BLOCK_BYTES as usize / 4)
}

fn wrong(number: u32) -> Vec<u8> {
    (!number).to_le_bytes().repeat(BLOCK_BYTES as usize / 4)
}
