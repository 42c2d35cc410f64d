//! A room in virtual time: peers, links and devices, driven by one queue of things that happen.

use crate::clock::Clock;
use crate::device::Device;
use crate::dice::Dice;
use crate::invariants::{self, late_results::Closed, no_storm::Traffic, one_lease::Leases};
use crate::network::{Distance, Network};
use crate::toy;
use crate::witness::Witness;
use coordinator::io::{Kind, ModelSpec};
use coordinator::{Command, Config, Coordinator, Event, Input, ModelId, Output, PeerId};
use std::collections::{BTreeMap, VecDeque};

mod agenda;
mod compute;
pub mod faults;
mod mail;
mod peer;

use agenda::{Agenda, Happening};
pub use faults::{Fault, Weather};
pub use peer::{Peer, Spec};

/// The whole room.
#[derive(Debug)]
pub struct World {
    /// Virtual milliseconds.
    pub now: u64,
    /// All peers, gone ones too.
    pub peers: BTreeMap<PeerId, Peer>,
    /// The text model that everybody has.
    pub model: ModelSpec,
    /// The picture model that painters have.
    pub painter: ModelSpec,
    /// What goes wrong by itself.
    pub weather: Weather,
    /// Chance.
    pub dice: Dice,
    /// The first invariant that broke.
    pub broken: Option<String>,
    /// Prints everything that happens.
    pub trace: bool,
    /// Some device has made numbers that are none.
    nonsense: bool,
    /// A leader that lives, and takes no ask.
    useless: Option<PeerId>,
    traffic: Traffic,
    network: Network,
    agenda: Agenda,
}

impl World {
    /// An empty room, its people all over the world.
    #[must_use]
    pub fn new(seed: u64, layers: u16) -> Self {
        let spec = |id: u8, kind, layers| ModelSpec {
            id: ModelId([id; 32]),
            name: format!("toy {kind:?}"),
            kind,
            layers,
            layer_bytes: 1 << 20,
            ends_bytes: 1 << 20,
            context: 2048,
            hidden_bytes: 8,
            block_bytes: 8,
            context_bytes: 64,
        };
        Self {
            now: 0,
            peers: BTreeMap::new(),
            model: spec(7, Kind::Text, layers),
            painter: spec(9, Kind::Picture, toy::picture::LAYERS),
            weather: Weather::default(),
            dice: Dice::new(seed),
            broken: None,
            trace: false,
            nonsense: false,
            useless: None,
            traffic: Traffic::default(),
            network: Network::new(Distance::World),
            agenda: Agenda::default(),
        }
    }

    /// The same in one house, where every message takes `latency_ms`.
    #[must_use]
    pub const fn in_one_house(self, latency_ms: u64) -> Self {
        self.with_distance(Distance::House(latency_ms))
    }

    /// The peers are this far apart.
    #[must_use]
    pub const fn with_distance(mut self, distance: Distance) -> Self {
        self.network.distance = distance;
        self
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
        let clock = self.draw_clock();
        let peer = Peer {
            node: Coordinator::new(config, clock.read(self.now)),
            device: Device::new(self.model.layers, spec.layer_micros, spec.step_micros),
            witness: Witness::default(),
            alive: true,
            epoch: None,
            spec,
            clock,
            leases: Leases::default(),
            done: 0,
            closed: Closed::default(),
            asleep: false,
            inbox: VecDeque::new(),
            wake_at: u64::MAX,
        };
        let others: Vec<PeerId> = self.alive();
        self.peers.insert(me, peer);
        for other in others {
            if self.dice.chance(self.weather.apart) {
                self.network.keep_apart(me, other);
            }
            let ms = self.dice.range(100, 1_200);
            self.later(ms, Happening::Link(me, other));
        }
        let ms = self.dice.range(50, 2_000);
        self.later(ms, Happening::Ready(me, 0));
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
        while self.broken.is_none()
            && let Some((at, happening)) = self.agenda.pop(until)
        {
            self.now = at;
            if let Err(storm) = self.traffic.happens(at) {
                self.broken.get_or_insert(storm);
            }
            self.happens(happening);
        }
        self.now = until;
    }

    fn happens(&mut self, happening: Happening) {
        match happening {
            Happening::Wake(peer) => self.wake(peer),
            Happening::Arrive(parcel) => self.arrives(parcel),
            Happening::Chunk(peer, generation) => self.chunk_done(peer, generation),
            Happening::Loaded(peer, generation, part) => self.load_done(peer, generation, part),
            Happening::Ready(peer, generation) => self.device_ready(peer, generation),
            Happening::Link(a, b) => self.link(a, b),
            Happening::Learn(peer, other) => {
                if self.network.learn(peer, other) {
                    self.feed(peer, Input::PeerDown(other));
                }
            }
            Happening::Fault(sequel) => self.goes_on(sequel),
        }
    }

    fn wake(&mut self, id: PeerId) {
        let now = self.now;
        let Some(peer) = self.peers.get_mut(&id).filter(|peer| peer.wake_at <= now && !peer.asleep) else {
            return;
        };
        peer.wake_at = u64::MAX;
        self.feed(id, Input::Tick);
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
        let token = mail::token(&input);
        let outputs = peer.node.handle(peer.clock.read(now), input);
        let epoch = peer.node.epoch();
        let grew = |job| {
            outputs.iter().any(
                |output| matches!(output, Output::Event(Event::Tokens { job: grown, .. }) if *grown == job),
            )
        };
        let always = [
            token.map_or(Ok(()), |(job, lease)| peer.closed.token(job, lease, grew(job))),
            invariants::bounded_queues::check(&peer.node.sizes(), outputs.len()),
            invariants::epochs_monotonic::check(peer.epoch, epoch),
        ];
        peer.epoch = peer.epoch.max(epoch);
        for broken in always.into_iter().filter_map(Result::err) {
            self.breaks(id, broken);
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
        let Some(time) = peer.node.wake_at() else {
            return;
        };
        let wake = peer.clock.when(time).max(self.now + 1);
        if wake < peer.wake_at {
            peer.wake_at = wake;
            self.agenda.push(wake, Happening::Wake(id));
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
            Output::Load(part) => self.start_load(id, part),
            Output::Unload(part) => peer.device.unload(part),
            Output::Run(chunk) => self.run_chunk(id, chunk),
            Output::Forget(job, lease) => {
                peer.leases.forget(job, lease);
                peer.device.forget(job, lease);
            }
            Output::Event(event) => {
                if self.trace && !matches!(event, Event::Room(_)) {
                    println!("{:>7} {id} ! {event:?}", self.now);
                }
                peer.witness.see(self.now, event);
            }
        }
    }

    /// Takes note of the first invariant that broke.
    fn breaks(&mut self, id: PeerId, what: String) {
        let now = self.now;
        self.broken.get_or_insert_with(|| format!("{id} at {now} ms: {what}"));
    }

    fn later(&mut self, ms: u64, happening: Happening) {
        self.agenda.push(self.now + ms, happening);
    }

    fn draw_clock(&mut self) -> Clock {
        match self.weather.clock_skew_permille {
            0 => Clock::TRUE,
            skew => Clock {
                offset_ms: self.dice.range(0, 1 << 40),
                rate_permille: self.dice.range(1_000 - skew, 1_001 + skew),
            },
        }
    }

    fn is_alive(&self, peer: PeerId) -> bool {
        self.peers.get(&peer).is_some_and(|peer| peer.alive)
    }
}
