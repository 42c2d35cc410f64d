//! The formula, in f64, with all scores at once.

use super::Shape;

/// # Shapes
/// - `queries` and the result: `[rows, heads, head_dim]`, of positions from `at` on
/// - `keys`, `values`: `[kv_heads, page, head_dim]`, all in one page
#[must_use]
pub fn attention(shape: &Shape, at: usize, queries: &[f32], keys: &[f32], values: &[f32]) -> Vec<f64> {
    let (head_dim, group) = (shape.head_dim, shape.heads / shape.kv_heads);
    let mut out = Vec::with_capacity(queries.len());
    for (number, query) in queries.chunks_exact(head_dim).enumerate() {
        let (position, head) = (at + number / shape.heads, number % shape.heads);
        let row = |all: &[f32], seen: usize| -> Vec<f64> {
            let from = (head / group * shape.page + seen) * head_dim;
            all[from..from + head_dim].iter().map(|&x| f64::from(x)).collect()
        };
        let seen: Vec<usize> = (shape.first_seen(position)..=position).collect();
        let score = |&seen: &usize| {
            let products = row(keys, seen).into_iter().zip(query).map(|(k, &q)| k * f64::from(q));
            let score = products.sum::<f64>() * f64::from(shape.scale);
            shape.soft_cap.map_or(score, |cap| f64::from(cap) * (score / f64::from(cap)).tanh())
        };
        let scores: Vec<f64> = seen.iter().map(score).collect();
        let largest = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let weights: Vec<f64> = scores.iter().map(|score| (score - largest).exp()).collect();
        let whole: f64 = weights.iter().sum();
        for channel in 0..head_dim {
            let mixed = seen.iter().zip(&weights).map(|(&seen, weight)| row(values, seen)[channel] * weight);
            out.push(mixed.sum::<f64>() / whole);
        }
    }
    out
}
