//! Grouped-query self-attention (Ainslie et al. 2023) with rotary positions.

use crate::llm::cache::Slot;
use crate::llm::rope::Rotation;
use crate::llm::{Config, model};
use burn::module::Module;
use burn::nn::Linear;
use burn::tensor::{Device, Tensor, activation::softmax};

/// `softmax(Q·Kᵀ / √head_dim + mask)·V·O`, where `heads / kv_heads` query heads share one key-value head.
///
/// Queries, keys and values come from one product: three launches in one.
#[derive(Module, Debug)]
pub struct Attention {
    /// `[width, (heads + 2 · kv_heads) · head_dim]`: queries, keys, values.
    pub qkv: Linear,
    /// `[heads · head_dim, width]`
    pub output: Linear,
    heads: usize,
    kv_heads: usize,
    head_dim: usize,
}

/// What all layers of one pass share.
#[derive(Debug, Clone)]
pub(super) struct Pass {
    /// Position of the first row.
    pub at: usize,
    /// What the rows' positions turn by.
    pub rotation: Rotation,
    /// Added to the scores, `[1, 1, rows, at + rows]`; none where every row sees everything.
    pub mask: Option<Tensor<4>>,
}

impl Attention {
    /// From its two products.
    pub(super) fn new(config: &Config, qkv: Linear, output: Linear) -> Self {
        Self { qkv, output, heads: config.heads, kv_heads: config.kv_heads, head_dim: config.head_dim }
    }

    /// Random weights, to be trained.
    pub(super) fn init(config: &Config, device: &Device) -> Self {
        let channels = config.heads * config.head_dim;
        let all = channels + 2 * config.kv_heads * config.head_dim;
        let qkv = model::random(config.width, all, model::SPREAD, device);
        let output = model::random(channels, config.width, model::residual_spread(config), device);
        Self::new(config, qkv, output)
    }

    /// # Shapes
    /// - `x` and the result: `[batch, rows, width]`; `batch` is 1 with a cache
    pub(super) fn forward(&self, x: Tensor<3>, pass: &Pass, cache: Option<&mut Slot>) -> Tensor<3> {
        let [batch, rows, _] = x.dims();
        let (heads, kv_heads, head_dim) = (self.heads, self.kv_heads, self.head_dim);
        let qkv = self.qkv.forward(x).reshape([batch, rows, heads + 2 * kv_heads, 2, head_dim / 2]);
        let turned = pass.rotation.apply(qkv.clone().narrow(2, 0, heads + kv_heads));
        let by_head = |x: Tensor<5>, first: usize, count: usize| -> Tensor<4> {
            x.narrow(2, first, count).reshape([batch, rows, count, head_dim]).swap_dims(1, 2)
        };
        let queries = by_head(turned.clone(), 0, heads) * (head_dim as f64).powf(-0.5);
        let keys = by_head(turned, heads, kv_heads);
        let values = by_head(qkv, heads + kv_heads, kv_heads);
        let (keys, values) = match cache {
            Some(slot) => slot.append(pass.at, keys, values),
            None => (keys, values),
        };
        let mixed = self.mix(queries, keys, values, pass.mask.clone());
        self.output.forward(mixed.swap_dims(1, 2).reshape([batch, rows, heads * head_dim]))
    }

    /// Query heads that share a key-value head become its rows, so that nothing is repeated.
    ///
    /// # Shapes
    /// - `queries` and the result: `[batch, heads, rows, head_dim]`
    /// - `keys`, `values`: `[batch, kv_heads, seen, head_dim]`
    fn mix(
        &self,
        queries: Tensor<4>,
        keys: Tensor<4>,
        values: Tensor<4>,
        mask: Option<Tensor<4>>,
    ) -> Tensor<4> {
        let [batch, heads, rows, head_dim] = queries.dims();
        let [_, kv_heads, seen, _] = keys.dims();
        let grouped = heads / kv_heads * rows;
        let scores = queries.reshape([batch, kv_heads, grouped, head_dim]).matmul(keys.swap_dims(2, 3));
        let weights = match mask {
            Some(mask) => softmax(scores.reshape([batch, heads, rows, seen]) + mask, 3),
            None => softmax(scores, 3),
        };
        let weights = weights.reshape([batch, kv_heads, grouped, seen]);
        weights.matmul(values).reshape([batch, heads, rows, head_dim])
    }
}

impl Pass {
    /// # Shapes
    /// The mask is 0 where a row may look (itself and what came before) and far below every score elsewhere.
    pub(super) fn new(at: usize, rows: usize, rotation: Rotation, device: &Device) -> Self {
        Self { at, rotation, mask: (rows > 1).then(|| causal_mask(at, rows, device)) }
    }
}

/// A finite number instead of −∞: shader compilers may assume that there are no infinities.
const UNSEEN: f32 = -1e30;

fn causal_mask(at: usize, rows: usize, device: &Device) -> Tensor<4> {
    let seen = at + rows;
    let row = |r: usize| (0..seen).map(move |column| if column <= at + r { 0.0 } else { UNSEEN });
    let data: Vec<f32> = (0..rows).flat_map(row).collect();
    Tensor::from_data(burn::tensor::TensorData::new(data, [1, 1, rows, seen]), device)
}
