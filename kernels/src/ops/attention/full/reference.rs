//! The formula, in f64, with all scores of a row at once.

use super::Shape;

/// # Shapes
/// - `queries` and the result: `[rows, heads, head_dim]`
/// - `keys`, `values`: `[seen, kv_heads, head_dim]`
#[must_use]
pub fn attention(shape: &Shape, queries: &[f32], keys: &[f32], values: &[f32]) -> Vec<f64> {
    let Shape { heads, kv_heads, head_dim, .. } = *shape;
    let seen = keys.len() / (kv_heads * head_dim);
    let mut out = Vec::with_capacity(queries.len());
    for (number, query) in queries.chunks_exact(head_dim).enumerate() {
        let (row, head) = (number / heads, number % heads / (heads / kv_heads));
        let of = |all: &[f32], key: usize, channel: usize| -> f64 {
            f64::from(all[(key * kv_heads + head) * head_dim + channel])
        };
        let score = |key: usize| {
            let products = (0..head_dim).map(|channel| f64::from(query[channel]) * of(keys, key, channel));
            let score = products.sum::<f64>() * f64::from(shape.scale);
            shape.soft_cap.map_or(score, |cap| f64::from(cap) * (score / f64::from(cap)).tanh())
        };
        let scores: Vec<(usize, f64)> = shape.visible(row, seen).map(|key| (key, score(key))).collect();
        let largest = scores.iter().map(|(_, score)| *score).fold(f64::NEG_INFINITY, f64::max);
        let weights: Vec<(usize, f64)> =
            scores.into_iter().map(|(key, score)| (key, (score - largest).exp())).collect();
        let whole: f64 = weights.iter().map(|(_, weight)| weight).sum();
        for channel in 0..head_dim {
            let mixed: f64 = weights.iter().map(|(key, weight)| of(values, *key, channel) * weight).sum();
            out.push(mixed / whole);
        }
    }
    out
}
