//! What a message costs: one pulse in a room of 64, one token of a story on one peer, one plan for 64 peers.

use coordinator::io::{Capability, Chunk, ChunkOutput, Device, ModelSpec};
use coordinator::plan::{Candidate, plan};
use coordinator::wire::{self, Message, Pulse, Report};
use coordinator::{Command, Config, Coordinator, Input, Layers, Millis, ModelId, Output, PeerId};
use criterion::{Criterion, criterion_group, criterion_main};
use std::hint::black_box;

fn model() -> ModelSpec {
    let id = ModelId([7; 32]);
    ModelSpec {
        id,
        name: "toy".into(),
        layers: 32,
        layer_bytes: 1 << 20,
        ends_bytes: 1 << 20,
        context: 8_192,
    }
}

fn report(peers: u128) -> Report {
    Report {
        name: "Somebody".into(),
        capability: Some(Capability { device: Device::Gpu, memory: 1 << 30, layer_micros: 500 }),
        model: Some(model()),
        share: true,
        sees: (0..peers).map(PeerId).collect(),
        ..Report::default()
    }
}

/// Peer 0, the leader of a room of `peers`.
fn room(peers: u128) -> Coordinator {
    let mut node = Coordinator::new(Config { me: PeerId(0), name: "Ada".into(), seed: 0 }, Millis(0));
    node.handle(Millis(1_000), Input::Tick);
    let capability = Capability { device: Device::Gpu, memory: 1 << 30, layer_micros: 500 };
    node.handle(Millis(1_000), Input::ComputeReady { capability, model: model() });
    for peer in (1..peers).map(PeerId) {
        node.handle(Millis(1_000), Input::PeerUp(peer));
        let hello = Message::Hello { version: wire::VERSION, oldest: wire::OLDEST, name: "Somebody".into() };
        node.handle(Millis(1_000), Input::Received { from: peer, bytes: wire::encode(&hello) });
    }
    node
}

fn pulses(c: &mut Criterion) {
    let mut node = room(64);
    let pulse = Pulse { sent: 0, echo: None, following: None, report: report(64) };
    let bytes = wire::encode(&Message::Pulse(Box::new(pulse)));
    c.bench_function("a pulse in a room of 64", |b| {
        b.iter(|| node.handle(Millis(1_000), Input::Received { from: PeerId(5), bytes: bytes.clone() }));
    });
}

fn tokens(c: &mut Criterion) {
    c.bench_function("a story of 1,000 tokens on one peer", |b| {
        b.iter(|| {
            let mut node = room(1);
            node.handle(Millis(1_000), Input::Loaded(Layers { start: 0, end: 32 }));
            let (text, prompt, sampling) = (String::new(), vec![1; 64], vec![]);
            let submit = Command::Submit { text, prompt, max_new: 1_000, sampling };
            let mut outputs = node.handle(Millis(1_000), Input::Command(submit));
            while let Some(chunk) = next_chunk(&outputs) {
                let (job, lease, position) = (chunk.job, chunk.lease, chunk.position);
                let result = Ok(ChunkOutput::Token { token: 5, end: false });
                outputs = node.handle(Millis(1_000), Input::Ran { job, lease, position, result });
            }
            black_box(node.sizes())
        });
    });
}

fn next_chunk(outputs: &[Output]) -> Option<&Chunk> {
    outputs.iter().find_map(|output| match output {
        Output::Run(chunk) => Some(chunk),
        _ => None,
    })
}

fn plans(c: &mut Criterion) {
    let candidate = |id: u128| Candidate {
        id: PeerId(id),
        name: "Somebody".into(),
        memory: 1 << 30,
        layer_micros: 500 + id as u32,
        sees: (0..64).map(PeerId).collect(),
    };
    let candidates: Vec<Candidate> = (0..64).map(candidate).collect();
    c.bench_function("a plan for 64 peers", |b| {
        b.iter(|| plan(&model(), black_box(&candidates)));
    });
}

criterion_group!(benches, pulses, tokens, plans);
criterion_main!(benches);
