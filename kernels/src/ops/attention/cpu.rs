//! Over slices, with a running softmax (Milakov and Gimelshein 2018): scores exist for 32 positions at a time.
//!
//! The 32 are always the same ones, from a multiple of 32 on, so that a row's bits do not depend on where a pass begins.

use super::Shape;
use crate::ops::math::{dot, exp, tanh};
use crate::ops::threads::{self, Parts};
use crate::ops::wide::wide;
use half::f16;
use half::slice::HalfFloatSliceExt;

/// Positions whose scores exist at once.
const CHUNK: usize = 32;

/// Multiplications that are worth handing to another thread: some microseconds' work.
const WORTH: usize = 64 << 10;

/// A number as a cache holds it.
pub trait Cached: Copy + Default + Sync {
    /// Copies numbers into a cache.
    fn write(from: &[f32], to: &mut [Self]);
    /// Numbers of the cache as floats, in `room` if they are not floats already.
    fn read<'a>(held: &'a [Self], room: &'a mut Vec<f32>) -> &'a [f32];
}

impl Cached for f32 {
    fn write(from: &[f32], to: &mut [Self]) {
        to.copy_from_slice(from);
    }
    #[inline(always)]
    fn read<'a>(held: &'a [Self], _: &'a mut Vec<f32>) -> &'a [f32] {
        held
    }
}

impl Cached for f16 {
    fn write(from: &[f32], to: &mut [Self]) {
        const MOST: f32 = 65504.0;
        let mut room = [0.0; CHUNK];
        for (from, to) in from.chunks(CHUNK).zip(to.chunks_mut(CHUNK)) {
            // Beyond f16 the largest f16: an infinity would turn into NaN in a product with 0.
            room.iter_mut().zip(from).for_each(|(held, number)| *held = number.clamp(-MOST, MOST));
            to.convert_from_f32_slice(&room[..from.len()]);
        }
    }
    #[inline(always)]
    fn read<'a>(held: &'a [Self], room: &'a mut Vec<f32>) -> &'a [f32] {
        room.resize(held.len(), 0.0);
        held.convert_to_f32_slice(room);
        room
    }
}

/// The running softmax of one head.
#[derive(Debug, Clone, Copy)]
struct Running {
    largest: f32,
    whole: f32,
}

/// Memory that the rows of a thread reuse.
#[derive(Debug, Default)]
struct Scratch {
    keys: Vec<f32>,
    values: Vec<f32>,
    running: Vec<Running>,
}

/// Attention of the rows of one sequence at positions from `at` on; their own keys and values are in the cache already.
///
/// # Shapes
/// - `queries`, `out`: `[rows, heads, head_dim]`
/// - `keys`, `values`: the sequence's pages in order, `[kv_heads, page, head_dim]` each
///
/// # Panics
/// If the slices have other lengths, the rows end beyond the pages, or there are several pages that are not whole chunks
/// of 32 positions.
pub fn attention<C: Cached>(
    shape: &Shape,
    at: usize,
    queries: &[f32],
    keys: &[&[C]],
    values: &[&[C]],
    out: &mut [f32],
) {
    let (row, page) = (shape.heads * shape.head_dim, shape.kv_heads * shape.page * shape.head_dim);
    assert!(row > 0 && shape.kv_heads > 0 && shape.heads.is_multiple_of(shape.kv_heads), "{shape:?}");
    assert!(queries.len().is_multiple_of(row) && queries.len() == out.len(), "queries and out differ");
    let room = keys.len() * shape.page;
    assert!(at + queries.len() / row <= room, "rows from {at} on do not fit {room}");
    assert!(keys.len() == 1 || shape.page.is_multiple_of(CHUNK), "pages of {} positions", shape.page);
    let whole = |pages: &[&[C]]| pages.iter().all(|held| held.len() == page);
    assert!(keys.len() == values.len() && whole(keys) && whole(values), "pages must have {page} numbers");
    let heads = shape.head_dim * (shape.heads / shape.kv_heads);
    let (rows, out) = (queries.len() / row, Parts::new(out));
    let worth = WORTH.div_ceil(2 * heads * (at + rows).max(1));
    threads::each(shape.kv_heads * rows, worth, |tasks| {
        let mut scratch = Scratch::default();
        // The rows of a head one after the other: they look at the same keys and values.
        for task in tasks {
            let (kv_head, number) = (task / rows, task % rows);
            let from = number * row + kv_head * heads;
            let held = Held { keys, values, from: kv_head * shape.page * shape.head_dim };
            // SAFETY: what these heads of this row give is this thread's.
            let out = unsafe { out.part(from..from + heads) };
            let queries = &queries[from..][..heads];
            wide(|| attend(shape, at + number, queries, held, out, &mut scratch));
        }
    });
}

/// What one head of keys and values is in the pages of a sequence.
#[derive(Clone, Copy)]
struct Held<'a, C> {
    keys: &'a [&'a [C]],
    values: &'a [&'a [C]],
    /// Where the head begins in every page.
    from: usize,
}

/// The heads of one row that share keys and values.
#[inline(always)]
fn attend<C: Cached>(
    shape: &Shape,
    position: usize,
    queries: &[f32],
    held: Held<'_, C>,
    out: &mut [f32],
    scratch: &mut Scratch,
) {
    let head_dim = shape.head_dim;
    let Scratch { keys: key_room, values: value_room, running } = scratch;
    running.clear();
    running.resize(queries.len() / head_dim, Running { largest: f32::NEG_INFINITY, whole: 0.0 });
    out.fill(0.0);
    let mut from = shape.first_seen(position);
    while from <= position {
        // A chunk never crosses a page: pages are whole chunks, or there is one only.
        let to = (from / CHUNK * CHUNK + CHUNK).min(position + 1);
        let start = held.from + from % shape.page * head_dim;
        let here = start..start + (to - from) * head_dim;
        let keys = C::read(&held.keys[from / shape.page][here.clone()], key_room);
        let values = C::read(&held.values[from / shape.page][here], value_room);
        let heads =
            queries.chunks_exact(head_dim).zip(out.chunks_exact_mut(head_dim)).zip(running.iter_mut());
        for ((query, out), running) in heads {
            mix(shape, query, keys, values, out, running);
        }
        from = to;
    }
    for (out, running) in out.chunks_exact_mut(head_dim).zip(running) {
        out.iter_mut().for_each(|out| *out /= running.whole);
    }
}

/// Adds the positions of one chunk to what a head has so far.
#[inline(always)]
fn mix(shape: &Shape, query: &[f32], keys: &[f32], values: &[f32], out: &mut [f32], running: &mut Running) {
    let mut scores = [f32::NEG_INFINITY; CHUNK];
    for (score, key) in scores.iter_mut().zip(keys.chunks_exact(shape.head_dim)) {
        *score = dot(query, key) * shape.scale;
    }
    let seen = keys.len() / shape.head_dim;
    if let Some(cap) = shape.soft_cap {
        scores[..seen].iter_mut().for_each(|score| *score = cap * tanh(*score / cap));
    }
    let largest = scores.iter().fold(running.largest, |a, &b| if b > a { b } else { a });
    // Before the first chunk there is nothing to correct, and −∞ − −∞ would be NaN.
    let correction = if running.whole == 0.0 { 0.0 } else { exp(running.largest - largest) };
    scores.iter_mut().for_each(|score| *score = exp(*score - largest));
    out.iter_mut().for_each(|out| *out *= correction);
    running.whole *= correction;
    running.largest = largest;
    for (weight, value) in scores[..seen].iter().zip(values.chunks_exact(shape.head_dim)) {
        running.whole += weight;
        for (out, value) in out.iter_mut().zip(value) {
            *out += weight * value;
        }
    }
}
