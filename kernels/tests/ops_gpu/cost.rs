//! What a token costs: launches, bytes read back; and how a product compares with burn's.

use crate::common::{Bench, Random, gpu, read, tensor};
use burn::tensor::{Int, Tensor, TensorData};
use futures::executor::block_on;
use kernels::ops::attention::gpu::{Cache, CacheShape, Mix, Places, Span};
use kernels::ops::matmul::gpu::{Finish, Gate, Packed};
use kernels::ops::pick::gpu::pick;
use kernels::ops::rms_norm::gpu::norm;
use kernels::ops::rope::gpu::{Pairs, Turn};
use kernels::quant::Format;
use std::time::{Duration, Instant};

struct Layer {
    norms: [Tensor<1>; 2],
    qkv: Packed,
    output: Packed,
    gate_up: Packed,
    down: Packed,
    cache: Cache,
    turn: Turn,
    mix: Mix,
}

const WIDTH: usize = 256;
const EPS: f32 = 1e-5;

impl Layer {
    fn random(bench: &Bench, random: &mut Random) -> Self {
        let (heads, kv_heads, head_dim, ff) = (8, 4, 32, 512);
        let mut packed = |rows: usize, cols: usize| {
            let bytes = random.blocks(Format::Q8_0, rows * cols);
            Packed::new(&bench.gpu, Format::Q8_0, rows, cols, &bytes).expect("it fits")
        };
        let shape = CacheShape { pages: 4, kv_heads, page: 128, head_dim, half: false };
        let table = tensor(&vec![0.7; 64 * head_dim], [64, head_dim], &bench.device);
        let weight = || tensor(&[1.0; WIDTH], [WIDTH], &bench.device);
        Self {
            norms: [weight(), weight()],
            qkv: packed((heads + 2 * kv_heads) * head_dim, WIDTH),
            output: packed(WIDTH, heads * head_dim),
            gate_up: packed(2 * ff, WIDTH),
            down: packed(WIDTH, ff),
            cache: Cache::new(&bench.gpu, shape).expect("room"),
            turn: Turn { heads, pairs: Pairs::Halves, table, norm: None },
            mix: Mix { heads, scale: 0.2, window: None, cap: None },
        }
    }

    /// A Llama block: eight launches.
    fn forward(&self, bench: &Bench, x: Tensor<2>, places: &Places) -> Tensor<2> {
        let add = |x: Tensor<2>| Finish { residual: Some(x), ..Finish::default() };
        let normed = norm(&bench.gpu, x.clone(), self.norms[0].clone(), EPS);
        let queries = self.cache.turn(self.qkv.product(normed, Finish::default()), places, &self.turn);
        let h = self.output.product(self.cache.attend(queries, places, &self.mix), add(x));
        let normed = norm(&bench.gpu, h.clone(), self.norms[1].clone(), EPS);
        self.down.product(self.gate_up.gated(normed, Gate::Silu), add(h))
    }
}

#[test]
fn tokens_cost_eight_launches_per_layer_and_one_small_readback_however_many_sequences() {
    let Some(bench) = gpu() else { return };
    for sequences in [1, 4] {
        cost_of_a_token_each(&bench, sequences);
    }
}

fn cost_of_a_token_each(bench: &Bench, sequences: usize) {
    let mut random = Random(41);
    let layers: Vec<Layer> = (0..3).map(|_| Layer::random(bench, &mut random)).collect();
    let vocabulary = 1024;
    let bytes = random.blocks(Format::Q8_0, vocabulary * WIDTH);
    let embedding = Packed::new(&bench.gpu, Format::Q8_0, vocabulary, WIDTH, &bytes).expect("it fits");
    let weight = tensor(&[1.0; WIDTH], [WIDTH], &bench.device);
    let ids = Tensor::<1, Int>::from_data(TensorData::new(vec![5; sequences], [sequences]), &bench.device);
    let pages: Vec<[u32; 1]> = (0..sequences as u32).map(|page| [page]).collect();
    let spans: Vec<Span<'_>> = pages.iter().map(|pages| Span { pages, at: 0, rows: 1 }).collect();

    let before = bench.gpu.counters();
    let places = Places::new(&bench.gpu, 128, &spans);
    let mut x = embedding.lookup(ids, 1.0);
    for layer in &layers {
        x = layer.forward(bench, x, &places);
    }
    let scores = embedding.product(norm(&bench.gpu, x, weight, EPS), Finish::default());
    let softness = vec![1.0; sequences];
    let picked = block_on(pick(&bench.gpu, scores, 40, &softness).expect("40 of 1024").read()).expect("read");
    let cost = bench.gpu.counters().since(before);

    assert!(picked.len() == sequences && picked[0].best.len() == 40);
    // Around the layers: the embedding, the last norm, the head, one round of picking.
    assert_eq!(cost.launches, 8 * layers.len() as u64 + 4, "{sequences} sequences");
    assert_eq!(cost.bytes_read, ((8 + 8 * 40) * sequences) as u64);
    // A row's place, its group and its page, and where the last group ends.
    assert_eq!(cost.bytes_written, 16 * sequences as u64 + 4);
}

/// Mean time of `times` products, with one readback.
fn time(times: u32, run: &dyn Fn() -> Tensor<2>) -> Duration {
    let start = Instant::now();
    let last = (0..times).map(|_| run()).last().expect("at least one");
    read(last);
    start.elapsed() / times
}

/// The best of several rounds for each of `runs`; they take turns, so that a busy machine is unfair to all alike.
fn best(runs: &[Box<dyn Fn() -> Tensor<2> + '_>]) -> Vec<Duration> {
    runs.iter().for_each(|run| drop(read(run())));
    let mut best = vec![Duration::MAX; runs.len()];
    for _ in 0..8 {
        for (best, run) in best.iter_mut().zip(runs) {
            *best = time(4, run).min(*best);
        }
    }
    best
}

/// A measurement, to be run alone: `cargo test … --test ops_gpu -- --ignored --nocapture gemv`
#[test]
#[ignore = "a measurement"]
fn gemv_against_burns_matmul() {
    let Some(bench) = gpu() else { return };
    let mut random = Random(42);
    for (rows, cols) in [(576, 576), (1536, 576), (1024, 1024), (2048, 2048), (576, 1536), (49_152, 576)] {
        let w = random.reals(rows * cols);
        let x = tensor(&random.reals(cols), [1, cols], &bench.device);
        let view = tensor(&w, [rows, cols], &bench.device).transpose();
        let straight = tensor(&w, [cols, rows], &bench.device);
        let formats = [Format::F32, Format::F16, Format::Q8_0, Format::Q4_0, Format::Q4_K, Format::Q6_K];
        let formats: Vec<Format> =
            formats.into_iter().filter(|f| cols.is_multiple_of(f.block_len())).collect();
        let x = &x;
        let mut runs: Vec<Box<dyn Fn() -> Tensor<2> + '_>> = vec![
            Box::new(|| x.clone().matmul(view.clone())),
            Box::new(|| x.clone().matmul(straight.clone())),
        ];
        for format in &formats {
            let bytes = random.blocks(*format, rows * cols);
            let packed = Packed::new(&bench.gpu, *format, rows, cols, &bytes).expect("it fits");
            runs.push(Box::new(move || packed.product(x.clone(), Finish::default())));
        }
        let times = best(&runs);
        print!("{rows}×{cols}: burn {:.2?} as a view, {:.2?} as [in, out];", times[0], times[1]);
        for (format, own) in formats.iter().zip(&times[2..]) {
            let ratio = |burn: Duration| burn.as_secs_f64() / own.as_secs_f64();
            print!(" {format:?} {own:.2?} ({:.1}×, {:.1}×)", ratio(times[0]), ratio(times[1]));
        }
        println!();
    }
}
