//! A room to be hostile in.

use coordinator::io::{Capability, Chunk, Device, ModelSpec};
use coordinator::wire::{self, Message, Pulse, Report};
use coordinator::{
    Command, Config, Coordinator, Epoch, Input, JobId, Layers, Lease, Millis, ModelId, Output, PeerId,
};

pub const ME: PeerId = PeerId(1);
pub const EVE: PeerId = PeerId(2);
pub const BO: PeerId = PeerId(3);
pub const MODEL: ModelId = ModelId([7; 32]);
pub const ALL: Layers = Layers { start: 0, end: 4 };
pub const EPOCH: Epoch = Epoch { term: 1, leader: ME };
pub const LEASE: Lease = Lease { epoch: EPOCH, serial: 1 };

/// A peer that leads a room with Eve and Bo and holds all layers; some seconds have passed.
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
            room.give(Input::PeerUp(peer));
            let name = "x".to_owned();
            room.receive(peer, &Message::Hello { version: wire::VERSION, oldest: wire::OLDEST, name });
        }
        let capability = Capability { device: Device::Cpu, memory: 1 << 40, layer_micros: 100 };
        let name = "toy".to_owned();
        let model = ModelSpec { id: MODEL, name, layers: 4, layer_bytes: 10, ends_bytes: 10, context: 512 };
        room.give(Input::ComputeReady { capability, model });
        room.give(Input::Loaded(ALL));
        room
    }

    /// Hands this peer an input.
    pub fn give(&mut self, input: Input) -> Vec<Output> {
        self.node.handle(Millis(self.now), input)
    }

    /// Lets time pass, with everybody's pulses.
    pub fn wait(&mut self, ms: u64) {
        for _ in 0..ms / 1_000 {
            self.now += 1_000;
            self.give(Input::Tick);
            for peer in [EVE, BO] {
                let pulse = Pulse { sent: 0, echo: None, following: None, report: Report::default() };
                self.receive(peer, &Message::Pulse(Box::new(pulse)));
            }
        }
    }

    /// Hands this peer a message as `from` sent it.
    pub fn receive(&mut self, from: PeerId, message: &Message) -> Vec<Output> {
        self.give(Input::Received { from, bytes: wire::encode(message) })
    }

    /// This peer's own story, running on this peer alone.
    pub fn write(&mut self) -> (JobId, Chunk) {
        let (text, prompt, sampling) = ("Once".to_owned(), vec![1, 2, 3], vec![5]);
        let outputs = self.give(Input::Command(Command::Submit { text, prompt, max_new: 9, sampling }));
        let run = outputs.into_iter().find_map(|output| match output {
            Output::Run(chunk) => Some(chunk),
            _ => None,
        });
        let chunk = run.expect("the only stage is here and ready");
        (chunk.job, chunk)
    }
}
