//! What one call costs on average: a pulse, an ask and a story in a room of 200 with 100 open jobs, one story on one
//! peer from beginning to end. `scale` has the percentiles and the ticks.

#[expect(dead_code, reason = "`scale` uses the rest")]
mod crowd;

use coordinator::io::{
    Capability, Chunk, ChunkOutput, Device, Kind, ModelSpec, Offer, Part, Speed, TextWork, Work,
};
use coordinator::{Command, Config, Coordinator, Input, Millis, ModelId, Output, PeerId, wire};
use criterion::{Criterion, criterion_group, criterion_main};
use crowd::{Crowd, LEADER};
use std::hint::black_box;

fn messages(c: &mut Criterion) {
    let mut leader = Crowd::new(LEADER, 200, 100, 3, None);
    let job = leader.jobs()[0];
    let rows = [
        ("a pulse", PeerId(5), leader.pulse(PeerId(5))),
        ("an ask", job.requester, leader.ask(job)),
        ("a story", job.requester, leader.story(job)),
        ("a report", PeerId(5), leader.report(PeerId(5))),
    ];
    for (name, from, message) in rows {
        let bytes = wire::encode(&message);
        c.bench_function(&format!("{name} at the leader of 200"), |b| {
            b.iter(|| leader.node.handle(leader.now, Input::Received { from, bytes: bytes.clone() }));
        });
    }
}

fn offer() -> Offer {
    let id = ModelId([7; 32]);
    let (layer_bytes, ends_bytes, context, hidden_bytes) = (1 << 20, 1 << 20, 8_192, 8_192);
    let (name, kind) = ("toy".into(), Kind::Text);
    let model = ModelSpec {
        id,
        name,
        kind,
        layers: 32,
        layer_bytes,
        ends_bytes,
        context,
        hidden_bytes,
        block_bytes: 0,
        context_bytes: 0,
    };
    Offer { model, speed: Speed { layer_micros: 500, prefill_micros: 60, ..Speed::default() } }
}

/// A peer on its own that holds the whole model.
fn alone() -> Coordinator {
    let mut node = Coordinator::new(Config { me: PeerId(0), name: "Ada".into(), seed: 0 }, Millis(0));
    node.handle(Millis(1_000), Input::Tick);
    let capability = Capability { device: Device::Gpu, memory: 1 << 30 };
    let (model, layers) = (offer().model.id, offer().model.whole());
    node.handle(Millis(1_000), Input::ComputeReady { capability, offers: vec![offer()] });
    node.handle(Millis(1_000), Input::Loaded(Part { model, layers }));
    node
}

fn tokens(c: &mut Criterion) {
    c.bench_function("a story of 1,000 tokens on one peer", |b| {
        b.iter(|| {
            let mut node = alone();
            let work = Work::Text(TextWork { prompt: vec![1; 64], max_new: 1_000, sampling: vec![] });
            let submit = Command::Submit { model: None, text: String::new(), work };
            let mut outputs = node.handle(Millis(1_000), Input::Command(submit));
            let mut passes = 0;
            while let Some(chunk) = next_chunk(&outputs) {
                let (job, lease, number) = (chunk.job, chunk.lease, chunk.number);
                let result = Ok(ChunkOutput::Token { token: 5, end: false, note: Vec::new() });
                outputs = node.handle(Millis(1_000), Input::Ran { job, lease, number, result });
                passes += 1;
            }
            assert_eq!(passes, 1_000, "the prompt's pass samples the first token");
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

criterion_group!(benches, messages, tokens);
criterion_main!(benches);
