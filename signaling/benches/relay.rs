//! What the server costs: a message from one peer to another of its room, and a file of the app.

#[path = "../tests/support/mod.rs"]
mod support;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use serde_json::json;
use signaling::{Config, Limits};
use support::{Peer, get, start, start_with};
use tokio::runtime::Runtime;

/// No bound on messages a second: the bench sends more than any room would.
fn unhurried() -> Limits {
    Limits { burst: 1_000_000_000, messages_per_second: 1_000_000_000, ..Limits::default() }
}

fn relay(c: &mut Criterion) {
    let runtime = Runtime::new().expect("threads");
    let (server, mut ada, mut bo) = runtime.block_on(async {
        let server = start(unhurried()).await;
        let mut ada = Peer::join(&server, "bench").await;
        let bo = Peer::join(&server, "bench").await;
        ada.announced().await;
        (server, ada, bo)
    });
    // As long as a sealed offer.
    let data = json!("x".repeat(3_000));
    let mut group = c.benchmark_group("signaling");
    group.throughput(Throughput::Elements(1));
    group.bench_function("one offer from peer to peer", |bench| {
        bench.iter(|| {
            runtime.block_on(async {
                ada.signal(&bo.id, data.clone()).await;
                bo.read().await
            })
        });
    });
    group.finish();
    drop(server);
}

fn file(c: &mut Criterion) {
    let runtime = Runtime::new().expect("threads");
    let dist = tempfile::tempdir().expect("a directory");
    std::fs::write(dist.path().join("index.html"), "<!doctype html>").expect("written");
    let code: Vec<u8> = (0..1_000_000_u32).flat_map(|n| (n % 251).to_le_bytes()).collect();
    std::fs::write(dist.path().join("page-0123456789abcdef.wasm"), &code).expect("written");
    std::fs::write(dist.path().join("page-0123456789abcdef.wasm.br"), &code[..500_000]).expect("written");
    let server = runtime.block_on(start_with(Config { app: Some(dist.path().into()), ..Config::default() }));
    let mut group = c.benchmark_group("signaling");
    group.throughput(Throughput::Bytes(500_000));
    group.bench_function("half a megabyte that the build compressed", |bench| {
        bench.iter(|| {
            let path = "/page-0123456789abcdef.wasm";
            runtime.block_on(get(&server, path, &[("accept-encoding", "br")])).body.len()
        });
    });
    group.finish();
}

criterion_group!(benches, relay, file);
criterion_main!(benches);
