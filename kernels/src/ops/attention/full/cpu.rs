//! Over slices, with a running softmax (Milakov and Gimelshein 2018): scores exist for a few rows with 16 keys at a time.
//!
//! Keys of a head are turned once, so that the scores of neighbouring keys lie beside one another and every sum runs over
//! channels in their order: a row's bits depend neither on the rows beside it nor on the width of the registers.

use super::Shape;
use crate::ops::math::{exp, tanh};
use crate::ops::threads::each_of;
use crate::ops::wide::wide;
use std::ops::Range;

/// Keys whose scores exist at once.
const KEYS: usize = 16;
/// Rows that share what is read of keys and values: as many as leave their scores in registers.
const ROWS: usize = if cfg!(target_family = "wasm") { 2 } else { 4 };
/// Channels of values that are mixed at a time.
const LANES: usize = 16;

/// Multiplications that are worth handing to another thread: some microseconds' work.
const WORTH: usize = 64 << 10;

/// One key-value head, rearranged.
struct Held<'a> {
    shape: &'a Shape,
    seen: usize,
    /// `[seen / KEYS, head_dim, KEYS]`, zeros behind the last key.
    keys: Vec<f32>,
    /// `[seen, head_dim]`
    values: Vec<f32>,
}

/// The running softmax of one row.
#[derive(Clone, Copy)]
struct Running {
    largest: f32,
    whole: f32,
}

/// # Shapes
/// - `queries`, `out`: `[rows, heads, head_dim]`
/// - `keys`, `values`: `[seen, kv_heads, head_dim]`
///
/// # Panics
/// If the slices have other lengths, or a row sees no key.
pub fn attention(shape: &Shape, queries: &[f32], keys: &[f32], values: &[f32], out: &mut [f32]) {
    let Shape { heads, kv_heads, head_dim, .. } = *shape;
    let (row, key) = (heads * head_dim, kv_heads * head_dim);
    assert!(key > 0 && heads.is_multiple_of(kv_heads), "{shape:?}");
    assert!(queries.len().is_multiple_of(row) && queries.len() == out.len(), "queries and out differ");
    assert!(keys.len().is_multiple_of(key) && keys.len() == values.len(), "keys and values differ");
    let (rows, seen) = (queries.len() / row, keys.len() / key);
    assert!(rows == 0 || !shape.visible(rows - 1, seen).is_empty(), "a row sees no key");
    for kv_head in 0..kv_heads {
        let held = Held::new(shape, kv_head, keys, values);
        for head in kv_head * (heads / kv_heads)..(kv_head + 1) * (heads / kv_heads) {
            held.attend(head, rows, queries, out);
        }
    }
}

impl<'a> Held<'a> {
    fn new(shape: &'a Shape, head: usize, keys: &[f32], values: &[f32]) -> Self {
        let Shape { kv_heads, head_dim, .. } = *shape;
        let of = |all: &'_ [f32], key: usize| -> Range<usize> {
            let from = (key * kv_heads + head) * head_dim;
            debug_assert!(from + head_dim <= all.len());
            from..from + head_dim
        };
        let seen = keys.len() / (kv_heads * head_dim);
        let mut turned = vec![0.0; seen.div_ceil(KEYS) * KEYS * head_dim];
        let mut gathered = Vec::with_capacity(seen * head_dim);
        for key in 0..seen {
            let chunk = &mut turned[key / KEYS * KEYS * head_dim..][..KEYS * head_dim];
            for (channel, value) in keys[of(keys, key)].iter().enumerate() {
                chunk[channel * KEYS + key % KEYS] = *value;
            }
            gathered.extend_from_slice(&values[of(values, key)]);
        }
        Self { shape, seen, keys: turned, values: gathered }
    }

    /// All rows of one query head.
    fn attend(&self, head: usize, rows: usize, queries: &[f32], out: &mut [f32]) {
        let Shape { heads, head_dim, .. } = *self.shape;
        let place = |row: usize| (row * heads + head) * head_dim..(row * heads + head + 1) * head_dim;
        let mut mixed = vec![0.0; rows * head_dim];
        let worth = WORTH.div_ceil(2 * head_dim * self.seen).next_multiple_of(ROWS);
        each_of(&mut mixed, head_dim, worth, |first, mixed| {
            let query = |row: usize| &queries[place(first + row)];
            let whole = mixed.len() / head_dim / ROWS * ROWS;
            let (tiles, rest) = mixed.split_at_mut(whole * head_dim);
            for (tile, mixed) in tiles.chunks_exact_mut(ROWS * head_dim).enumerate() {
                let queries: [&[f32]; ROWS] = std::array::from_fn(|row| query(tile * ROWS + row));
                wide(|| self.tile(first + tile * ROWS, queries, mixed));
            }
            for (row, mixed) in (whole..).zip(rest.chunks_exact_mut(head_dim)) {
                wide(|| self.tile(first + row, [query(row)], mixed));
            }
        });
        for (row, mixed) in mixed.chunks_exact(head_dim).enumerate() {
            out[place(row)].copy_from_slice(mixed);
        }
    }

    /// `R` rows from `first` on.
    ///
    /// # Shapes
    /// - `mixed`: `[R, head_dim]`, what becomes of them
    #[inline(always)]
    fn tile<const R: usize>(&self, first: usize, queries: [&[f32]; R], mixed: &mut [f32]) {
        let head_dim = self.shape.head_dim;
        let mut running = [Running { largest: f32::NEG_INFINITY, whole: 0.0 }; R];
        mixed.fill(0.0);
        let span =
            self.shape.visible(first, self.seen).start..self.shape.visible(first + R - 1, self.seen).end;
        for chunk in span.start / KEYS..span.end.div_ceil(KEYS) {
            let keys = &self.keys[chunk * KEYS * head_dim..][..KEYS * head_dim];
            let values = &self.values[chunk * KEYS * head_dim..];
            let values = &values[..values.len().min(KEYS * head_dim)];
            let mut weights = scores(queries, keys);
            for (row, weights) in weights.iter_mut().enumerate() {
                let visible = self.shape.visible(first + row, self.seen);
                let within = |key: usize| key.clamp(chunk * KEYS, chunk * KEYS + KEYS) - chunk * KEYS;
                let here = within(visible.start)..within(visible.end);
                let mixed = &mut mixed[row * head_dim..][..head_dim];
                self.weigh(weights, here, &mut running[row], mixed);
            }
            add::<R>(&weights, values, head_dim, mixed);
        }
        for (mixed, running) in mixed.chunks_exact_mut(head_dim).zip(running) {
            mixed.iter_mut().for_each(|mixed| *mixed /= running.whole);
        }
    }

    /// Scores of one row become weights, 0 outside of `here`; what it has so far shrinks to the same scale.
    #[inline(always)]
    fn weigh(&self, scores: &mut [f32; KEYS], here: Range<usize>, running: &mut Running, mixed: &mut [f32]) {
        if here.is_empty() {
            return *scores = [0.0; KEYS];
        }
        scores.iter_mut().for_each(|score| *score *= self.shape.scale);
        if let Some(cap) = self.shape.soft_cap {
            scores.iter_mut().for_each(|score| *score = cap * tanh(*score / cap));
        }
        for (key, score) in scores.iter_mut().enumerate() {
            *score = if here.contains(&key) { *score } else { f32::NEG_INFINITY };
        }
        let largest = scores.iter().fold(running.largest, |a, &b| if b > a { b } else { a });
        // Before the first key there is nothing to correct, and −∞ − −∞ would be NaN.
        let correction = if running.whole == 0.0 { 0.0 } else { exp(running.largest - largest) };
        scores.iter_mut().for_each(|score| *score = exp(*score - largest));
        for (key, score) in scores.iter_mut().enumerate() {
            *score = if here.contains(&key) { *score } else { 0.0 };
        }
        mixed.iter_mut().for_each(|mixed| *mixed *= correction);
        running.whole = running.whole * correction + scores.iter().fold(0.0, |all, score| all + score);
        running.largest = largest;
    }
}

/// # Shapes
/// - `keys`: `[head_dim, KEYS]`
#[inline(always)]
fn scores<const R: usize>(queries: [&[f32]; R], keys: &[f32]) -> [[f32; KEYS]; R] {
    let mut scores = [[0.0; KEYS]; R];
    for (channel, keys) in keys.as_chunks::<KEYS>().0.iter().enumerate() {
        for row in 0..R {
            let query = queries[row][channel];
            for key in 0..KEYS {
                scores[row][key] += query * keys[key];
            }
        }
    }
    scores
}

/// `mixed += weights · values`.
///
/// # Shapes
/// - `values`: `[keys, head_dim]`, `KEYS` at most; `mixed`: `[R, head_dim]`
#[inline(always)]
fn add<const R: usize>(weights: &[[f32; KEYS]; R], values: &[f32], head_dim: usize, mixed: &mut [f32]) {
    let whole = head_dim / LANES * LANES;
    for from in (0..whole).step_by(LANES) {
        let mut sums = [[0.0; LANES]; R];
        for (row, sums) in sums.iter_mut().enumerate() {
            sums.copy_from_slice(&mixed[row * head_dim + from..][..LANES]);
        }
        for (key, value) in values.chunks_exact(head_dim).enumerate() {
            let value = &value[from..from + LANES];
            for row in 0..R {
                let weight = weights[row][key];
                for lane in 0..LANES {
                    sums[row][lane] += weight * value[lane];
                }
            }
        }
        for (row, sums) in sums.iter().enumerate() {
            mixed[row * head_dim + from..][..LANES].copy_from_slice(sums);
        }
    }
    for channel in whole..head_dim {
        for (key, value) in values.chunks_exact(head_dim).enumerate() {
            for row in 0..R {
                mixed[row * head_dim + channel] += weights[row][key] * value[channel];
            }
        }
    }
}
