//! A room in virtual time: peers, links and devices, driven by one queue of things that happen.

use crate::device::Device;
use crate::dice::Dice;
use crate::invariants;
use crate::network::{Fate, Network, Parcel};
use crate::witness::Witness;
use coordinator::io::{Capability, Device as Kind, ModelSpec};
use coordinator::{
    Command, Config, Coordinator, Epoch, Event, Input, Layers, Millis, ModelId, Output, PeerId,
};
use std::collections::{BTreeMap, VecDeque};

mod faults;

/// A peer to be.
#[derive(Clone, Copy, Debug)]
pub struct Spec {
    /// Microseconds for one row through one layer.
    pub layer_micros: u64,
    /// Bytes of weights.
    pub memory: u64,
}

impl Spec {
    /// An ordinary tab.
    pub const TAB: Self = Self { layer_micros: 500, memory: 1 << 30 };
}

/// One peer of the room.
#[derive(Debug)]
pub struct Peer {
    /// The machine under test.
    pub node: Coordinator,
    /// Its compute worker.
    pub device: Device,
    /// Its person's screen.
    pub witness: Witness,
    /// False once it left or crashed.
    pub alive: bool,
    /// The highest epoch that it followed.
    pub epoch: Option<Epoch>,
    spec: Spec,
    asleep: bool,
    inbox: VecDeque<Input>,
    wake_at: u64,
}

/// Something that happens at a time.
#[derive(Debug)]
enum Happening {
    Wake(PeerId),
    Arrive(Parcel),
    Chunk(PeerId, u32),
    Loaded(PeerId, u32, Layers),
    Ready(PeerId, u32),
    Link(PeerId, PeerId),
    Learn(PeerId, PeerId),
}

/// How unreliable things are; all zero is a calm room.
#[derive(Clone, Copy, Debug, Default)]
pub struct Weather {
    /// Percent of loads that fail.
    pub load_failures: u64,
    /// Chunks in 10,000 that fail.
    pub chunk_failures: u64,
    /// Messages in 10,000 that arrive twice, cut off, or with a byte changed.
    pub mangled: u64,
}

/// The whole room.
#[derive(Debug)]
pub struct World {
    /// Virtual milliseconds.
    pub now: u64,
    /// All peers, gone ones too.
    pub peers: BTreeMap<PeerId, Peer>,
    /// The model that everybody has.
    pub model: ModelSpec,
    /// What goes wrong by itself.
    pub weather: Weather,
    /// Chance.
    pub dice: Dice,
    /// The first invariant that broke.
    pub broken: Option<String>,
    /// Prints everything that happens.
    pub trace: bool,
    network: Network,
    agenda: BTreeMap<(u64, u64), Happening>,
    count: u64,
}

impl World {
    /// An empty room.
    #[must_use]
    pub fn new(seed: u64, layers: u16) -> Self {
        let id = ModelId([7; 32]);
        let name = "toy".to_owned();
        Self {
            now: 0,
            peers: BTreeMap::new(),
            model: ModelSpec { id, name, layers, layer_bytes: 1 << 20, ends_bytes: 1 << 20, context: 2048 },
            weather: Weather::default(),
            dice: Dice::new(seed),
            broken: None,
            trace: false,
            network: Network::default(),
            agenda: BTreeMap::new(),
            count: 0,
        }
    }

    /// A peer enters; its links open and its device gets ready a little later.
    pub fn join(&mut self, spec: Spec) -> PeerId {
        let me = PeerId(u128::from(self.dice.next()) << 64 | 1);
        self.join_as(me, spec);
        me
    }

    /// A peer with a given id enters.
    pub fn join_as(&mut self, me: PeerId, spec: Spec) {
        let config = Config { me, name: format!("P{}", self.peers.len() + 1), seed: self.dice.next() };
        let peer = Peer {
            node: Coordinator::new(config, Millis(self.now)),
            device: Device::new(self.model.layers, spec.layer_micros),
            witness: Witness::default(),
            alive: true,
            epoch: None,
            spec,
            asleep: false,
            inbox: VecDeque::new(),
            wake_at: u64::MAX,
        };
        let others: Vec<PeerId> = self.alive();
        self.peers.insert(me, peer);
        for other in others {
            let at = self.dice.range(100, 1_200);
            self.later(at, Happening::Link(me, other));
        }
        let at = self.dice.range(50, 2_000);
        self.later(at, Happening::Ready(me, 0));
        self.feed(me, Input::Tick);
    }

    /// Peers that are there.
    #[must_use]
    pub fn alive(&self) -> Vec<PeerId> {
        self.peers.iter().filter(|(_, peer)| peer.alive).map(|(&id, _)| id).collect()
    }

    /// A person's wish.
    pub fn command(&mut self, peer: PeerId, command: Command) {
        self.feed(peer, Input::Command(command));
    }

    /// Lets `ms` milliseconds pass.
    pub fn run_for(&mut self, ms: u64) {
        let until = self.now + ms;
        while self.broken.is_none() {
            match self.agenda.first_key_value() {
                Some((&(at, _), _)) if at <= until => self.step(),
                _ => break,
            }
        }
        self.now = until;
    }

    fn step(&mut self) {
        let Some(((at, _), happening)) = self.agenda.pop_first() else {
            return;
        };
        self.now = at;
        match happening {
            Happening::Wake(peer) => {
                let due = self.peers.get(&peer).is_some_and(|peer| peer.wake_at <= at && !peer.asleep);
                if due {
                    self.peers.entry(peer).and_modify(|peer| peer.wake_at = u64::MAX);
                    self.feed(peer, Input::Tick);
                }
            }
            Happening::Arrive(parcel) => {
                if let Some(parcel) = self.network.arrive(parcel) {
                    self.feed(parcel.to, Input::Received { from: parcel.from, bytes: parcel.bytes });
                }
            }
            Happening::Chunk(peer, generation) => self.chunk_done(peer, generation),
            Happening::Loaded(peer, generation, layers) => self.load_done(peer, generation, layers),
            Happening::Ready(peer, generation) => self.device_ready(peer, generation),
            Happening::Link(a, b) => self.link(a, b),
            Happening::Learn(peer, other) => {
                if self.network.learn(peer, other) {
                    self.feed(peer, Input::PeerDown(other));
                }
            }
        }
    }

    fn chunk_done(&mut self, id: PeerId, generation: u32) {
        let Some(peer) = self.peers.get_mut(&id).filter(|peer| peer.device.generation == generation) else {
            return;
        };
        let Some((chunk, result)) = peer.device.finish() else {
            return;
        };
        let flaky = self.dice.range(0, 10_000) < self.weather.chunk_failures;
        let result = match result {
            Ok(_) if flaky => Err("out of memory".to_owned()),
            Ok(output) => Ok(output),
            Err(error) => {
                self.broken.get_or_insert(format!("{id}: {:?}: {error}", chunk.job));
                Err(error)
            }
        };
        self.feed(id, Input::Ran { job: chunk.job, lease: chunk.lease, position: chunk.position, result });
        self.compute(id);
    }

    fn load_done(&mut self, id: PeerId, generation: u32, layers: Layers) {
        let Some(peer) = self.peers.get_mut(&id).filter(|peer| peer.device.generation == generation) else {
            return;
        };
        let fails = self.dice.chance(self.weather.load_failures);
        let input = if fails {
            Input::LoadFailed(layers, "the disk is full".into())
        } else {
            peer.device.load(layers);
            Input::Loaded(layers)
        };
        self.feed(id, input);
    }

    fn device_ready(&mut self, id: PeerId, generation: u32) {
        let Some(peer) = self.peers.get_mut(&id).filter(|peer| peer.device.generation == generation) else {
            return;
        };
        peer.device.working = true;
        let capability = Capability {
            device: if peer.spec.layer_micros < 1_000 { Kind::Gpu } else { Kind::Cpu },
            memory: peer.spec.memory,
            layer_micros: peer.spec.layer_micros as u32,
        };
        let model = self.model.clone();
        self.feed(id, Input::ComputeReady { capability, model });
    }

    /// Hands an input to a peer, carries out what it says, and looks at what must always hold.
    pub fn feed(&mut self, id: PeerId, input: Input) {
        let now = self.now;
        let Some(peer) = self.peers.get_mut(&id).filter(|peer| peer.alive) else {
            return;
        };
        if peer.asleep {
            peer.inbox.push_back(input);
            return;
        }
        if self.trace {
            println!("{now:>7} {id} < {}", crate::trace::input(&input));
        }
        let outputs = peer.node.handle(Millis(now), input);
        let always = [
            invariants::bounded_queues::check(&peer.node.sizes(), outputs.len()),
            invariants::epochs_monotonic::check(peer.epoch, peer.node.epoch()),
        ];
        peer.epoch = peer.epoch.max(peer.node.epoch());
        for broken in always.into_iter().filter_map(Result::err) {
            self.broken.get_or_insert(format!("{id} at {now} ms: {broken}"));
        }
        for output in outputs {
            self.carry_out(id, output);
        }
        self.set_alarm(id);
    }

    fn set_alarm(&mut self, id: PeerId) {
        let Some(peer) = self.peers.get_mut(&id) else {
            return;
        };
        let Some(Millis(wake)) = peer.node.wake_at() else {
            return;
        };
        let wake = wake.max(self.now + 1);
        if wake < peer.wake_at {
            peer.wake_at = wake;
            self.later(wake - self.now, Happening::Wake(id));
        }
    }

    fn carry_out(&mut self, id: PeerId, output: Output) {
        if self.trace {
            crate::trace::output(self.now, id, &output);
        }
        let Some(peer) = self.peers.get_mut(&id) else {
            return;
        };
        match output {
            Output::Send { to, lane, bytes } => self.send(id, to, lane, bytes),
            Output::Load(layers) => {
                let generation = peer.device.generation;
                let at = self.dice.range(20, 800);
                self.later(at, Happening::Loaded(id, generation, layers));
            }
            Output::Unload(layers) => peer.device.unload(layers),
            Output::Run(chunk) => {
                if let Err(error) = peer.device.push(chunk) {
                    self.broken.get_or_insert(format!("{id} at {} ms: {error}", self.now));
                }
                self.compute(id);
            }
            Output::Forget(job, lease) => peer.device.forget(job, lease),
            Output::Event(event) => {
                if self.trace && !matches!(event, Event::Room(_)) {
                    println!("{:>7} {id} ! {event:?}", self.now);
                }
                peer.witness.see(event);
            }
        }
    }

    fn compute(&mut self, id: PeerId) {
        let Some(peer) = self.peers.get_mut(&id) else {
            return;
        };
        let generation = peer.device.generation;
        if let Some(ms) = peer.device.start() {
            let ms = ms + peer.device.hangs_until.saturating_sub(self.now);
            self.later(ms, Happening::Chunk(id, generation));
        }
    }

    fn send(&mut self, from: PeerId, to: PeerId, lane: coordinator::io::Lane, bytes: Vec<u8>) {
        if self.dice.range(0, 10_000) < self.weather.mangled {
            let mut copy = bytes.clone();
            match self.dice.range(0, 3) {
                0 => copy.truncate(self.dice.range(0, copy.len() as u64) as usize),
                // Never the content of a job: what a member of the room makes up is not to be told from the truth.
                1 => copy[1] = self.dice.range(17, 256) as u8,
                _ => {}
            }
            let fate = self.network.send(self.now, from, to, lane, copy, &mut self.dice);
            self.on_its_way(fate);
        }
        let fate = self.network.send(self.now, from, to, lane, bytes, &mut self.dice);
        self.on_its_way(fate);
    }

    fn on_its_way(&mut self, fate: Fate) {
        if let Fate::At(at, parcel) = fate {
            self.later(at - self.now, Happening::Arrive(parcel));
        }
    }

    fn later(&mut self, ms: u64, happening: Happening) {
        self.count += 1;
        self.agenda.insert((self.now + ms, self.count), happening);
    }

    fn is_alive(&self, peer: PeerId) -> bool {
        self.peers.get(&peer).is_some_and(|peer| peer.alive)
    }
}
