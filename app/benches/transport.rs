//! What flow control costs: a message cut into frames, sent under its window, acknowledged, and put together again.

use app::transport::flow::{Receiving, Sending};
use app::transport::limits;
use bytes::Bytes;
use coordinator::io::Lane;
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use std::hint::black_box;

/// Sends one message from end to end.
fn pass(lane: Lane, message: Vec<u8>, sending: &mut Sending, receiving: &mut Receiving) -> Vec<u8> {
    sending.push(message).expect("an empty queue");
    loop {
        while let Some(frame) = sending.next_frame() {
            receiving.arrive(Bytes::from(frame)).expect("within the window");
        }
        let whole = receiving.next_message();
        if let Some(bytes) = receiving.acknowledgement() {
            sending.acknowledge(bytes).expect("what was sent");
        }
        if let Some(message) = whole {
            return message.unwrap_or_else(|fault| panic!("{lane:?}: {fault:?}"));
        }
    }
}

fn lanes(c: &mut Criterion) {
    let rows = [
        ("a token", Lane::Control, 60),
        ("a report", Lane::Control, 4_000),
        ("a hidden state", Lane::Bulk, 8_192),
        ("a prefill pass", Lane::Bulk, 64 * 8_192),
    ];
    let mut group = c.benchmark_group("transport");
    for (name, lane, size) in rows {
        let (mut sending, mut receiving) = (Sending::new(limits::of(lane)), Receiving::new(lane));
        group.throughput(Throughput::Bytes(size as u64));
        group.bench_function(BenchmarkId::new(name, size), |bench| {
            bench.iter(|| pass(lane, black_box(vec![7; size]), &mut sending, &mut receiving).len());
        });
    }
    group.finish();
}

criterion_group!(benches, lanes);
criterion_main!(benches);
