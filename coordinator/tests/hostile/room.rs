//! A room to be hostile in.

use coordinator::io::{
    Capability, Chunk, Device, Kind, ModelSpec, Offer, Part, PictureWork, Shape, Speed, TextWork, Work,
};
use coordinator::wire::{self, Echo, Message, Pulse, Report, Trust};
use coordinator::{
    Command, Config, Coordinator, Epoch, Input, JobId, Layers, Lease, Millis, ModelId, Output, PeerId,
};

pub const ME: PeerId = PeerId(1);
pub const EVE: PeerId = PeerId(2);
pub const BO: PeerId = PeerId(3);
/// A model that writes, and one that paints.
pub const MODEL: ModelId = ModelId([7; 32]);
pub const PAINTER: ModelId = ModelId([8; 32]);
pub const ALL: Layers = Layers { start: 0, end: 4 };
pub const EPOCH: Epoch = Epoch { term: 1, leader: ME };
pub const LEASE: Lease = Lease { epoch: EPOCH, serial: 1 };

/// A peer that leads a room with Eve and Bo and holds both models; some seconds have passed.
pub struct Room {
    pub node: Coordinator,
    now: u64,
}

impl Room {
    /// See the type.
    pub fn new() -> Self {
        let node = Coordinator::new(Config { me: ME, name: "Ada".into(), seed: 0 }, Millis(0));
        let mut room = Self { node, now: 0 };
        room.wait(6_000);
        for peer in [EVE, BO] {
            room.join(peer);
        }
        let offers = vec![offer(Kind::Text), offer(Kind::Picture)];
        room.give(Input::ComputeReady { capability: capability(), offers });
        for model in [MODEL, PAINTER] {
            room.give(Input::Loaded(Part { model, layers: ALL }));
        }
        room.wait(1_000);
        room
    }

    /// A peer comes and says hello.
    pub fn join(&mut self, peer: PeerId) {
        self.give(Input::PeerUp(peer));
        let name = "x".to_owned();
        self.receive(peer, &Message::Hello { version: wire::VERSION, oldest: wire::OLDEST, name });
    }

    /// Hands this peer an input.
    pub fn give(&mut self, input: Input) -> Vec<Output> {
        self.node.handle(Millis(self.now), input)
    }

    /// Lets time pass, with everybody's pulses.
    pub fn wait(&mut self, ms: u64) {
        for _ in 0..ms / 500 {
            self.pass(500);
            for peer in [EVE, BO] {
                // They have heard the pulse that left last.
                let echo = Some(Echo { sent: self.now.saturating_sub(20), held: 10 });
                self.receive(peer, &Message::Pulse(Pulse { echo, ..pulse() }));
            }
        }
    }

    /// Lets time pass in silence.
    pub fn pass(&mut self, ms: u64) -> Vec<Output> {
        self.now += ms;
        self.give(Input::Tick)
    }

    /// Hands this peer a message as `from` sent it.
    pub fn receive(&mut self, from: PeerId, message: &Message) -> Vec<Output> {
        self.give(Input::Received { from, bytes: wire::encode(message) })
    }

    /// This peer's own story, running on this peer alone.
    pub fn write(&mut self) -> (JobId, Chunk) {
        let work = Work::Text(TextWork { prompt: vec![1, 2, 3], max_new: 9, sampling: vec![5] });
        self.submit(work)
    }

    /// This peer's own picture, running on this peer alone.
    pub fn paint(&mut self) -> (JobId, Chunk) {
        let shape = Shape { count: 1, steps: 8, guided: true, tiles: 2, stale: false };
        self.submit(Work::Picture(PictureWork { shape, settings: vec![5] }))
    }

    fn submit(&mut self, work: Work) -> (JobId, Chunk) {
        let text = "Once".to_owned();
        let outputs = self.give(Input::Command(Command::Submit { model: None, text, work }));
        let run = outputs.into_iter().find_map(|output| match output {
            Output::Run(chunk) => Some(chunk),
            _ => None,
        });
        let chunk = run.expect("the only stage is here and ready");
        (chunk.job, chunk)
    }
}

/// What this peer computes with.
pub const fn capability() -> Capability {
    Capability { device: Device::Cpu, memory: 1 << 40 }
}

/// A pulse of a peer that follows nobody.
pub fn pulse() -> Pulse {
    let (echo, following, plan) = (None, None, None);
    Pulse { sent: 0, echo, following, trust: Trust::Unknown, plan, report: 0, age_s: 0 }
}

/// One of the two models.
pub fn offer(kind: Kind) -> Offer {
    let (id, context, step_micros) = match kind {
        Kind::Text => (MODEL, 512, 0),
        Kind::Picture => (PAINTER, 0, 1_000),
    };
    let (name, layer_bytes, ends_bytes, hidden_bytes) = ("toy".to_owned(), 10, 10, 16);
    let model = ModelSpec {
        id,
        name,
        kind,
        layers: 4,
        layer_bytes,
        ends_bytes,
        context,
        hidden_bytes,
        block_bytes: 0,
        context_bytes: 0,
    };
    let speed = Speed { layer_micros: 100, prefill_micros: 100, step_micros, ..Speed::default() };
    Offer { model, speed }
}

/// What a peer says that sees these and can do nothing.
pub fn sees(peers: &[PeerId]) -> Message {
    let round_trips_ms = vec![20; peers.len()];
    Message::Report(Box::new(Report { sees: peers.to_vec(), round_trips_ms, ..Report::default() }))
}
