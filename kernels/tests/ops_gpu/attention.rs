//! Rope with the write to the cache, and attention over it, against a plain reference in f64.

use crate::common::{Bench, Random, close, gpu, read, tensor};
use kernels::ops::attention::gpu::{Cache, CacheShape, Mix, Places, Span};
use kernels::ops::rope::gpu::{HeadNorm, Pairs, Turn};
use std::ops::Range;

/// One layer's attention, and its rows so far.
struct Case {
    shape: CacheShape,
    /// Positions of a sequence.
    capacity: usize,
    mix: Mix,
    pairs: Pairs,
    turned: usize,
    table: Vec<f32>,
    /// Query and key weights.
    norm: Option<(Vec<f32>, Vec<f32>)>,
}

const EPS: f32 = 1e-6;
const PAGE: usize = 128;
/// Of a sequence; three sequences have those of a cache in turns, the last ones first.
const PAGES: usize = 6;

fn pages(slot: usize) -> Vec<u32> {
    (0..PAGES as u32).rev().map(|page| 3 * page + slot as u32).collect()
}

impl Case {
    fn new(round: usize, random: &mut Random) -> Self {
        let kv_heads = 1 + random.below(3);
        let head_dim = [8, 64, 16, 80, 128, 96][round % 6];
        let capacity = [40, 300, 700][round % 3];
        let shape = CacheShape { pages: 3 * PAGES, kv_heads, page: PAGE, head_dim, half: round % 4 == 3 };
        let heads = kv_heads * (1 + random.below(4));
        let window = (round % 2 == 1).then(|| 1 + random.below(200));
        let cap = (round % 3 == 2).then_some(5.0);
        let turned = if round % 5 == 4 { head_dim / 2 } else { head_dim };
        let table = (0..capacity).flat_map(|position| {
            let angle = move |i: usize| position as f64 * 10_000f64.powf(-2.0 * i as f64 / turned as f64);
            let cos = (0..turned / 2).map(move |i| angle(i).cos() as f32);
            cos.chain((0..turned / 2).map(move |i| angle(i).sin() as f32)).collect::<Vec<_>>()
        });
        Self {
            shape,
            capacity,
            mix: Mix { heads, scale: (head_dim as f32).powf(-0.5), window, cap },
            pairs: if round.is_multiple_of(2) { Pairs::Halves } else { Pairs::Neighbours },
            turned,
            table: table.collect(),
            norm: (round % 3 == 1).then(|| (random.reals(head_dim), random.reals(head_dim))),
        }
    }

    fn turn(&self, bench: &Bench) -> Turn {
        let dim = self.shape.head_dim;
        let weight = |data: &[f32]| tensor(data, [dim], &bench.device);
        Turn {
            heads: self.mix.heads,
            pairs: self.pairs,
            table: tensor(&self.table, [self.capacity, self.turned], &bench.device),
            norm: self.norm.as_ref().map(|(query, key)| HeadNorm {
                query: weight(query),
                key: weight(key),
                eps: EPS,
            }),
        }
    }

    fn width(&self) -> usize {
        (self.mix.heads + 2 * self.shape.kv_heads) * self.shape.head_dim
    }

    /// Rows through the device: of which sequence, and at which positions.
    fn run(&self, bench: &Bench, cache: &Cache, qkv: &[f32], spans: &[(usize, Range<usize>)]) -> Vec<f32> {
        let rows = spans.iter().map(|(_, span)| span.len()).sum();
        let pages: Vec<Vec<u32>> = spans.iter().map(|(slot, _)| pages(*slot)).collect();
        let spans: Vec<Span<'_>> = spans
            .iter()
            .zip(&pages)
            .map(|((_, span), pages)| Span { pages, at: span.start, rows: span.len() })
            .collect();
        let places = Places::new(&bench.gpu, PAGE, &spans);
        let qkv = tensor(qkv, [rows, self.width()], &bench.device);
        let queries = cache.turn(qkv, &places, &self.turn(bench));
        read(cache.attend(queries, &places, &self.mix))
    }

    /// Head `j` of a row, normed and turned as a query or key is.
    fn head(&self, row: &[f32], j: usize, position: usize) -> Vec<f64> {
        let dim = self.shape.head_dim;
        let mut head: Vec<f64> = row[j * dim..][..dim].iter().map(|x| f64::from(*x)).collect();
        if j >= self.mix.heads + self.shape.kv_heads {
            return head;
        }
        if let Some((query, key)) = &self.norm {
            let square: f64 = head.iter().map(|x| x * x).sum();
            let scale = (square / dim as f64 + f64::from(EPS)).sqrt().recip();
            let weight = if j < self.mix.heads { query } else { key };
            head.iter_mut().zip(weight).for_each(|(x, w)| *x *= scale * f64::from(*w));
        }
        let half = self.turned / 2;
        for i in 0..half {
            let (a, b) = match self.pairs {
                Pairs::Halves => (i, i + half),
                Pairs::Neighbours => (2 * i, 2 * i + 1),
            };
            let cos = f64::from(self.table[position * self.turned + i]);
            let sin = f64::from(self.table[position * self.turned + half + i]);
            (head[a], head[b]) = (head[a] * cos - head[b] * sin, head[b] * cos + head[a] * sin);
        }
        head
    }

    /// Attention of the last of `rows`, which are one sequence from its beginning.
    fn reference(&self, rows: &[&[f32]]) -> Vec<f32> {
        let (heads, kv_heads) = (self.mix.heads, self.shape.kv_heads);
        let last = rows.len() - 1;
        let first = self.mix.window.map_or(0, |window| (last + 1).saturating_sub(window));
        let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
        let mut out = Vec::new();
        for head in 0..heads {
            let kv = head / (heads / kv_heads);
            let query = self.head(rows[last], head, last);
            let scores = (first..=last).map(|at| {
                let score = dot(&query, &self.head(rows[at], heads + kv, at)) * f64::from(self.mix.scale);
                self.mix.cap.map_or(score, |cap| f64::from(cap) * (score / f64::from(cap)).tanh())
            });
            let weights: Vec<f64> = scores.map(f64::exp).collect();
            let all: f64 = weights.iter().sum();
            let mut mixed = vec![0.0; self.shape.head_dim];
            for (at, weight) in (first..=last).zip(weights) {
                let value = self.head(rows[at], heads + kv_heads + kv, at);
                mixed.iter_mut().zip(value).for_each(|(mixed, value)| *mixed += weight / all * value);
            }
            out.extend(mixed.into_iter().map(|x| x as f32));
        }
        out
    }
}

#[test]
fn attention_agrees_whole_and_step_by_step() {
    let Some(bench) = gpu() else { return };
    let mut random = Random(31);
    for round in 0..12 {
        let case = Case::new(round, &mut random);
        let what = format!("{:?} {:?} {:?}, {} turned", case.shape, case.mix, case.pairs, case.turned);
        let total = case.capacity.min(30 + random.below(300));
        let qkv = random.reals(total * case.width());
        let rows: Vec<&[f32]> = qkv.chunks_exact(case.width()).collect();
        let (cache, slot) = (Cache::new(&bench.gpu, case.shape).expect("room"), random.below(3));
        let whole = case.run(&bench, &cache, &qkv, &[(slot, 0..total)]);
        let width = case.mix.heads * case.shape.head_dim;
        // f16 has 11 bits.
        let tolerance = if case.shape.half { 4e-3 } else { 2e-5 };
        for at in [0, 1, total / 2, total - 1] {
            close(&what, &whole[at * width..][..width], &case.reference(&rows[..=at]), tolerance);
        }
        // The same in two parts and the last rows one by one, in another slot: to the bit.
        let other = (slot + 1) % 3;
        let split = random.below(total - 10) + 1;
        let mut parts = vec![0..split, split..total - 3];
        parts.extend((total - 3..total).map(|at| at..at + 1));
        for part in parts.into_iter().filter(|part| !part.is_empty()) {
            let own = &qkv[part.start * case.width()..part.end * case.width()];
            let found = case.run(&bench, &cache, own, &[(other, part.clone())]);
            assert_eq!(found, whole[part.start * width..part.end * width], "{what}: rows {part:?}");
        }
    }
}

#[test]
fn sequences_in_one_batch_do_not_touch_each_other() {
    let Some(bench) = gpu() else { return };
    let mut random = Random(32);
    let case = Case::new(1, &mut random);
    let width = case.mix.heads * case.shape.head_dim;
    // One decodes, one reads a prompt across a page, one in between.
    let (lengths, lasts) = ([5, 150, 40], [1, 30, 6]);
    let texts: Vec<Vec<f32>> = lengths.iter().map(|length| random.reals(length * case.width())).collect();
    let cache = Cache::new(&bench.gpu, case.shape).expect("room");
    for (slot, text) in texts.iter().enumerate() {
        let before = lengths[slot] - lasts[slot];
        case.run(&bench, &cache, &text[..before * case.width()], &[(slot, 0..before)]);
    }
    // The last rows of all three in one pass, in another order.
    let order = [2, 0, 1];
    let last = |slot: usize| lengths[slot] - lasts[slot]..lengths[slot];
    let qkv: Vec<f32> =
        order.iter().flat_map(|slot| &texts[*slot][last(*slot).start * case.width()..]).copied().collect();
    let found = case.run(&bench, &cache, &qkv, &order.map(|slot| (slot, last(slot))));
    let mut row = 0;
    for slot in order {
        let rows: Vec<&[f32]> = texts[slot].chunks_exact(case.width()).collect();
        for position in last(slot) {
            let expected = case.reference(&rows[..=position]);
            close(&format!("sequence {slot}"), &found[row * width..][..width], &expected, 2e-5);
            row += 1;
        }
    }
}

#[test]
fn a_cache_that_cannot_be_is_refused() {
    let Some(bench) = gpu() else { return };
    let shape = CacheShape { pages: 1, kv_heads: 1, page: PAGE, head_dim: 8, half: false };
    for bad in [
        CacheShape { head_dim: 6, ..shape },
        CacheShape { page: 0, ..shape },
        CacheShape { page: 64, ..shape },
        CacheShape { page: 1 << 60, ..shape },
        CacheShape { pages: 0, ..shape },
        CacheShape { pages: 1 << 40, ..shape },
        CacheShape { head_dim: 4096, ..shape },
    ] {
        assert!(Cache::new(&bench.gpu, bad).is_err(), "{bad:?}");
    }
}

/// Growing and copying pages moves what is in them, and nothing else.
#[test]
fn pages_survive_growth_and_can_be_copied() {
    let Some(bench) = gpu() else { return };
    let mut random = Random(33);
    // Full and half precision.
    for round in [1, 7] {
        let case = Case::new(round, &mut random);
        let total = 200;
        let qkv = random.reals(total * case.width());
        let small = Cache::new(&bench.gpu, case.shape).expect("room");
        let (row, width) = (case.width(), case.mix.heads * case.shape.head_dim);
        let whole = case.run(&bench, &small, &qkv, &[(0, 0..total)]);
        let before = case.run(&bench, &small, &qkv[..150 * row], &[(1, 0..150)]);
        assert_eq!(before, whole[..150 * width], "another sequence, the same rows");
        let grown = small.grown(case.shape.pages + 5).expect("room");
        // What sequence 2 goes on from is a copy of what sequence 1 has.
        for (from, to) in pages(1).into_iter().zip(pages(2)) {
            grown.copy(from as usize, to as usize);
        }
        for slot in [2, 1] {
            let rest = case.run(&bench, &grown, &qkv[150 * row..], &[(slot, 150..total)]);
            assert_eq!(rest, whole[150 * width..], "sequence {slot}, {:?}", case.shape);
        }
    }
}
