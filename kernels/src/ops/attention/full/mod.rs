//! Attention in which rows see keys on both sides: `softmax(cap(Q·Kᵀ·scale))·V`, without a causal mask and without a cache.
//!
//! What pictures and text encoders need: the keys of one pass are all there before the first row asks. On the CPU and
//! on WebGPU never more scores exist at a time than those of a few rows with a few keys.

pub mod cpu;
pub mod gpu;
pub mod reference;

use crate::ops::{Tier, floats, on_cpu};
use burn::tensor::activation::softmax;
use burn::tensor::{Device, Tensor, TensorData};

/// What all heads share.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Shape {
    /// Query heads, a multiple of `kv_heads`.
    pub heads: usize,
    /// Heads of keys and values.
    pub kv_heads: usize,
    /// Channels of a head.
    pub head_dim: usize,
    /// What scores are multiplied with, as a rule `1/√head_dim`.
    pub scale: f32,
    /// Scores are bent to `cap·tanh(score/cap)` (Gemma 2).
    pub soft_cap: Option<f32>,
    /// A row sees keys at most so far from it on either side; all, if there is none. Row `i` lies where key `i` does.
    pub window: Option<usize>,
}

impl Shape {
    /// The keys that a row sees, of `seen` in all.
    #[must_use]
    pub fn visible(&self, row: usize, seen: usize) -> std::ops::Range<usize> {
        match self.window {
            Some(window) => row.saturating_sub(window).min(seen)..row.saturating_add(window + 1).min(seen),
            None => 0..seen,
        }
    }
}

/// # Shapes
/// - `queries` and the result: `[batch, rows, heads · head_dim]`
/// - `keys`, `values`: `[batch, seen, kv_heads · head_dim]`
/// - `mask`: `[batch, 1, 1, seen]`, added to the scores: 0, or [`UNSEEN`] for keys that are only padding
#[must_use]
pub fn attend(
    queries: Tensor<3>,
    keys: Tensor<3>,
    values: Tensor<3>,
    mask: Option<Tensor<4>>,
    shape: &Shape,
) -> Tensor<3> {
    let dims @ [batch, ..] = queries.dims();
    let tier = Tier::of(&queries.device());
    let own = mask.is_none()
        && match &tier {
            Tier::Stock => false,
            Tier::Cpu => true,
            Tier::Gpu(_) => gpu::takes(shape),
        };
    if own && batch > 1 {
        let one = |x: &Tensor<3>, i: usize| x.clone().narrow(0, i, 1);
        let each = (0..batch)
            .map(|i| attend(one(&queries, i), one(&keys, i), one(&values, i), None, shape))
            .collect();
        return Tensor::cat(each, 0);
    }
    match tier {
        Tier::Cpu if own => {
            let mut out = vec![0.0; dims.iter().product()];
            cpu::attention(shape, &floats(queries), &floats(keys), &floats(values), &mut out);
            on_cpu(out, dims)
        }
        Tier::Gpu(gpu) if own => gpu::attention(&gpu, queries, keys, values, shape),
        _ => stock(queries, keys, values, mask, shape),
    }
}

/// A finite number instead of −∞: shader compilers may assume that there are no infinities.
pub const UNSEEN: f32 = -1e30;

/// burn's own operations: where gradients flow, where there are masks, and on devices without kernels of ours.
fn stock(
    queries: Tensor<3>,
    keys: Tensor<3>,
    values: Tensor<3>,
    mask: Option<Tensor<4>>,
    shape: &Shape,
) -> Tensor<3> {
    let ([batch, rows, width], [_, seen, _]) = (queries.dims(), keys.dims());
    let Shape { heads, kv_heads, head_dim, .. } = *shape;
    let by_head = |x: Tensor<3>, count: usize, heads: usize| -> Tensor<4> {
        x.reshape([batch, count, heads, head_dim]).swap_dims(1, 2)
    };
    // Query heads that share keys become rows beside one another, so that nothing is repeated.
    let grouped = [batch, kv_heads, heads / kv_heads * rows, head_dim];
    let queries = (by_head(queries, rows, heads) * shape.scale).reshape(grouped);
    let scores = queries.matmul(by_head(keys, seen, kv_heads).swap_dims(2, 3));
    let scores = match shape.soft_cap {
        Some(cap) => (scores / cap).tanh() * cap,
        None => scores,
    };
    let device = scores.device();
    let mut scores = scores.reshape([batch, heads, rows, seen]);
    if let Some(mask) = mask {
        scores = scores + mask;
    }
    if shape.window.is_some() {
        scores = scores + window_mask(shape, rows, seen, &device);
    }
    let weights = softmax(scores, 3).reshape([batch, kv_heads, heads / kv_heads * rows, seen]);
    let mixed = weights.matmul(by_head(values, seen, kv_heads)).reshape([batch, heads, rows, head_dim]);
    mixed.swap_dims(1, 2).reshape([batch, rows, width])
}

/// # Shapes
/// - result: `[1, 1, rows, seen]`
fn window_mask(shape: &Shape, rows: usize, seen: usize, device: &Device) -> Tensor<4> {
    let row = |row: usize| {
        let visible = shape.visible(row, seen);
        (0..seen).map(move |key| if visible.contains(&key) { 0.0 } else { UNSEEN })
    };
    let values: Vec<f32> = (0..rows).flat_map(row).collect();
    Tensor::from_data(TensorData::new(values, [1, 1, rows, seen]), device)
}
