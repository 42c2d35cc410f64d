//! What a full plan costs: 8 to 1,000 peers, half as many jobs, in the kinds of room that cost most.

use coordinator::io::{Kind, ModelSpec};
use coordinator::planner::{
    HIDDEN_BYTES, Link, Links, PictureShape, Room, Sight, Speed, Spread, Worker, crew, teams,
};
use coordinator::{ModelId, PeerId};
use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use std::hint::black_box;

const PEERS: [u128; 5] = [8, 64, 200, 500, 1_000];

/// 32 layers of 100 MB.
fn model() -> ModelSpec {
    let id = ModelId([7; 32]);
    let (layer_bytes, ends_bytes) = (100_000_000, 200_000_000);
    let (kind, hidden_bytes) = (Kind::Text, HIDDEN_BYTES as u32);
    ModelSpec {
        id,
        name: "big".into(),
        kind,
        layers: 32,
        layer_bytes,
        ends_bytes,
        context: 8_192,
        hidden_bytes,
        block_bytes: 0,
        context_bytes: 0,
    }
}

/// Devices of all speeds; one with number `n` may hold `memory(n)` bytes and sees those that `sees(n, other)` says.
fn workers(peers: u128, memory: impl Fn(u128) -> u64, sees: impl Fn(u128, u128) -> bool) -> Vec<Worker> {
    let worker = |n: u128| {
        let speed = Speed {
            layer_micros: 300 + (n * 7_919 % 6_007) as u32,
            prefill_micros: 50,
            hop_micros: 2_000,
            step_micros: 100_000 + (n * 104_729 % 600_011) as u32,
            encode_micros: 50_000,
            decode_micros: 900_000,
        };
        let sees: Sight = (0..peers).filter(|&other| other != n && sees(n, other)).map(PeerId).collect();
        Worker { id: PeerId(n), name: "Somebody".into(), memory: memory(n), speed, held: Vec::new(), sees }
    };
    (0..peers).map(worker).collect()
}

fn links(peers: u128) -> Links {
    let mut links = Links::default();
    for one in 0..peers {
        for other in one + 1..peers {
            let round_trip_ms = 5 + ((one * 31 + other * 17) % 120) as u32;
            links.insert(PeerId(one), PeerId(other), Link { round_trip_ms, bytes_per_ms: 2_000 });
        }
    }
    links
}

fn plans(c: &mut Criterion) {
    let model = model();
    for peers in PEERS {
        let links = links(peers);
        let small = |n: u128| 600_000_000 + (n * 6_151 % 1_000) as u64 * 1_000_000;
        let mixed = |n: u128| if n.is_multiple_of(4) { 8_000_000_000 } else { small(n) };
        let gaps = |one: u128, other: u128| !(one + other).is_multiple_of(3);
        let rooms = [
            ("replicas", workers(peers, |_| 8_000_000_000, |_, _| true)),
            ("mixed", workers(peers, mixed, |_, _| true)),
            ("rings", workers(peers, small, |_, _| true)),
            ("rings, a third of the links missing", workers(peers, small, gaps)),
        ];
        for (name, workers) in rooms {
            let room = Room { model: &model, workers: &workers, links: &links, hidden_bytes: HIDDEN_BYTES };
            c.bench_with_input(BenchmarkId::new(format!("a plan: {name}"), peers), &room, |b, room| {
                b.iter(|| teams(black_box(room), peers as usize / 2, Spread::Measured));
            });
        }
    }
}

fn crews(c: &mut Criterion) {
    let shape = PictureShape {
        steps: 28,
        guided: true,
        tiles: 16,
        stale: true,
        everyone: false,
        latent_bytes: 1 << 20,
        context_bytes: 1 << 24,
    };
    for peers in PEERS {
        let links = links(peers);
        let workers = workers(peers, |_| 8_000_000_000, |_, _| true);
        let free: Vec<&Worker> = workers.iter().collect();
        c.bench_with_input(BenchmarkId::new("a crew", peers), &free, |b, free| {
            b.iter(|| crew(&shape, black_box(free), &links, 2));
        });
    }
}

criterion_group!(benches, plans, crews);
criterion_main!(benches);
