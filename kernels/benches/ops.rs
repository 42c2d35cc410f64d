//! Products of a 135 M parameter model's shapes: bytes of weights per second, which is what a token costs, and
//! multiplications per second, which is what a prompt costs, on each instruction set of this machine. `memory` is the
//! bound of the first: how fast one thread reads memory at all.

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use kernels::ops::attention::{Shape, cpu as attention};
use kernels::ops::matmul::cpu::{Isa, Packed, Scratch};
use kernels::quant::Format;
use std::hint::black_box;

/// Rows and columns; many of them, so that no cache holds them.
const SHAPE: (usize, usize) = (49_152, 768);
const FORMATS: [Format; 6] =
    [Format::F32, Format::F16, Format::Q8_0, Format::Q4_0, Format::Q4_K, Format::Q6_K];

fn packed(format: Format, (rows, cols): (usize, usize)) -> Packed {
    let bytes = rows * cols / format.block_len() * format.block_bytes();
    // Any bits are weights; without these two the scales are all finite.
    let bytes = (0..bytes).map(|i| (i.wrapping_mul(0x9E37_79B1) >> 13) as u8 & 0xBB).collect();
    Packed::new(format, rows, cols, bytes).expect("a whole matrix")
}

fn activations(count: usize) -> Vec<f32> {
    (0..count).map(|i| (i as f32 * 0.37).sin()).collect()
}

fn memory(criterion: &mut Criterion) {
    let words = vec![1u64; 16 << 20];
    let mut group = criterion.benchmark_group("memory");
    group.throughput(Throughput::Bytes(size_of_val(&words[..]) as u64));
    group.bench_function("read", |bencher| {
        bencher.iter(|| {
            let add = |mut sums: [u64; 16], words: &[u64]| {
                sums.iter_mut().zip(words).for_each(|(sum, word)| *sum = sum.wrapping_add(*word));
                sums
            };
            black_box(&words).chunks_exact(16).fold([0; 16], add)
        });
    });
}

fn decode(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("decode");
    let (x, mut out, mut scratch) = (activations(SHAPE.1), vec![0.0; SHAPE.0], Scratch::default());
    for format in FORMATS {
        let weights = packed(format, SHAPE);
        group.throughput(Throughput::Bytes(weights.bytes().len() as u64));
        for isa in Isa::available() {
            group.bench_function(BenchmarkId::new(format!("{format:?}"), format!("{isa:?}")), |bencher| {
                bencher.iter(|| weights.matmul_with(isa, &x, 1, &mut out, &mut scratch));
            });
        }
    }
}

fn prefill(criterion: &mut Criterion) {
    const N: usize = 64;
    let (rows, cols) = (1536, 768);
    let mut group = criterion.benchmark_group("prefill");
    let (x, mut out, mut scratch) = (activations(N * cols), vec![0.0; N * rows], Scratch::default());
    for format in FORMATS {
        let weights = packed(format, (rows, cols));
        group.throughput(Throughput::Elements((N * rows * cols) as u64));
        for isa in Isa::available() {
            group.bench_function(BenchmarkId::new(format!("{format:?}"), format!("{isa:?}")), |bencher| {
                bencher.iter(|| weights.matmul_with(isa, &x, N, &mut out, &mut scratch));
            });
        }
    }
}

fn attend(criterion: &mut Criterion) {
    let (heads, kv_heads, head_dim, page) = (9, 3, 64, 512);
    let shape = Shape { heads, kv_heads, head_dim, page, scale: 0.125, window: None, soft_cap: None };
    let held = activations(kv_heads * page * head_dim);
    for (name, at, rows) in [("one row after 511", 511, 1), ("64 rows after 448", 448, 64)] {
        let queries = activations(rows * heads * head_dim);
        let mut out = vec![0.0; queries.len()];
        criterion.bench_function(&format!("attention, {name}"), |bencher| {
            bencher.iter(|| attention::attention(&shape, at, &queries, &[&held], &[&held], &mut out));
        });
    }
}

criterion_group!(benches, memory, decode, prefill, attend);
criterion_main!(benches);
