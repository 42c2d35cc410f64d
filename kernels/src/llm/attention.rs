//! Grouped-query self-attention (Ainslie et al. 2023) with rotary positions.

use crate::llm::cache::Slot;
use crate::llm::ops::{self, View};
use crate::llm::product::{self, Product};
use crate::llm::rope::{Rope, Rotation};
use crate::llm::{Config, RmsNorm};
use burn::module::Module;
use burn::tensor::{Device, Tensor};

/// `softmax(Q·Kᵀ / √head_dim + mask)·V·O`, where `heads / kv_heads` query heads share one key-value head.
///
/// Queries, keys and values come from one product: three launches in one.
#[derive(Module, Debug)]
pub struct Attention {
    /// `(heads + 2 · kv_heads) · head_dim` outputs: queries, keys, values.
    pub qkv: Product,
    /// `width` outputs.
    pub output: Product,
    /// Over every query head, where the model has it.
    pub query_norm: Option<RmsNorm>,
    /// Over every key head, where the model has it.
    pub key_norm: Option<RmsNorm>,
    #[module(skip)]
    shape: Shape,
}

/// What of the configuration matters here.
#[derive(Debug, Clone)]
struct Shape {
    heads: usize,
    kv_heads: usize,
    head_dim: usize,
    scale: f64,
    cap: Option<f64>,
    local: bool,
}

/// What all layers of one pass share.
#[derive(Debug, Clone)]
pub(super) struct Pass {
    /// Position of the first row.
    pub at: usize,
    global: Outlook,
    /// Of layers with a window.
    local: Option<Outlook>,
}

/// How far rows turn, and what they see.
#[derive(Debug, Clone)]
struct Outlook {
    rotation: Rotation,
    view: View,
}

impl Attention {
    /// From its products and norms, for `layer`.
    pub(super) fn new(
        config: &Config,
        layer: usize,
        [qkv, output]: [Product; 2],
        [query_norm, key_norm]: [Option<RmsNorm>; 2],
    ) -> Self {
        let shape = Shape {
            heads: config.heads,
            kv_heads: config.kv_heads,
            head_dim: config.head_dim,
            scale: config.score_scale(),
            cap: config.score_cap,
            local: config.is_local(layer),
        };
        Self { qkv, output, query_norm, key_norm, shape }
    }

    /// Random weights, to be trained.
    pub(super) fn init(config: &Config, layer: usize, device: &Device) -> Self {
        let channels = config.heads * config.head_dim;
        let all = channels + 2 * config.kv_heads * config.head_dim;
        let qkv = Product::random(config.width, all, product::SPREAD, device);
        let output = Product::random(channels, config.width, product::residual_spread(config), device);
        let norm = || config.head_norms.then(|| RmsNorm::init(config.head_dim, config.norm_eps, device));
        Self::new(config, layer, [qkv, output], [norm(), norm()])
    }

    /// # Shapes
    /// - `x` and the result: `[batch, rows, width]`; `batch` is 1 with a cache
    pub(super) fn forward(&self, x: Tensor<3>, pass: &Pass, cache: Option<&mut Slot>) -> Tensor<3> {
        let [batch, rows, _] = x.dims();
        let Shape { heads, kv_heads, head_dim, scale, cap, local } = self.shape;
        let outlook = pass.outlook(local);
        let qkv = self.qkv.forward(x).reshape([batch, rows, heads + 2 * kv_heads, head_dim]);
        let turned = ops::rope(self.queries_and_keys(&qkv), &outlook.rotation);
        let by_head = |x: Tensor<4>, first: usize, count: usize| x.narrow(2, first, count).swap_dims(1, 2);
        let queries = by_head(turned.clone(), 0, heads);
        let keys = by_head(turned, heads, kv_heads);
        let values = by_head(qkv, heads + kv_heads, kv_heads);
        let (keys, values) = match cache {
            Some(slot) => slot.append(pass.at, keys, values),
            None => (keys, values),
        };
        let mixed = ops::attention(queries, keys, values, &outlook.view, scale, cap);
        self.output.forward(mixed.swap_dims(1, 2).reshape([batch, rows, heads * head_dim]))
    }

    /// # Shapes
    /// - `qkv`: `[batch, rows, heads + 2 · kv_heads, head_dim]`
    /// - result: `[batch, rows, heads + kv_heads, head_dim]`
    fn queries_and_keys(&self, qkv: &Tensor<4>) -> Tensor<4> {
        let (heads, kv_heads) = (self.shape.heads, self.shape.kv_heads);
        let both = qkv.clone().narrow(2, 0, heads + kv_heads);
        let (Some(query_norm), Some(key_norm)) = (&self.query_norm, &self.key_norm) else {
            return both;
        };
        let queries = query_norm.forward(both.clone().narrow(2, 0, heads));
        Tensor::cat(vec![queries, key_norm.forward(both.narrow(2, heads, kv_heads))], 2)
    }
}

impl Pass {
    /// Of `rows` rows, the first of which is at position `at`.
    pub(super) fn new(at: usize, rows: usize, config: &Config, rope: &Rope, device: &Device) -> Self {
        let outlook = |local: bool| {
            let window = config.window.as_ref().filter(|_| local).map(|window| window.rows);
            let rotation = rope.rotation(at, rows, local);
            Outlook { rotation, view: View::new(at, rows, window, device) }
        };
        Self { at, global: outlook(false), local: config.window.is_some().then(|| outlook(true)) }
    }

    fn outlook(&self, local: bool) -> &Outlook {
        self.local.as_ref().filter(|_| local).unwrap_or(&self.global)
    }
}
