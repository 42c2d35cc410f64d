//! Grouped-query self-attention (Ainslie et al. 2023) with rotary positions.

use crate::limits::CACHE_PAGE;
use crate::llm::ops::{self, View};
use crate::llm::pass::{Outlook, Pass, Way};
use crate::llm::product::{self, Product};
use crate::llm::{Cache, Config, RmsNorm};
use crate::ops::attention::gpu::{self, Mix, Places};
use crate::ops::rope::gpu::{HeadNorm, Pairs, Turn};
use crate::ops::{attention, floats, on_cpu, rope, rows};
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

    /// `index`: the layer's, within the caches of the pass.
    ///
    /// # Shapes
    /// - `x` and the result: `[batch, rows, width]`
    /// - `onto`: as `x`; added to the result
    pub(super) fn forward(
        &self,
        x: Tensor<3>,
        pass: &mut Pass<'_, '_>,
        index: usize,
        onto: Option<Tensor<3>>,
    ) -> Tensor<3> {
        let qkv = self.qkv.forward(x);
        let (outlook, way) = pass.of_layer(self.shape.local);
        let mixed = match way {
            Way::Cpu(caches) => self.mix_on_cpu(qkv, outlook, caches, index),
            Way::Gpu(places, layers) => self.mix_on_gpu(qkv, outlook, places, &layers[index]),
            Way::Stock => self.mix(qkv, outlook),
        };
        match onto {
            Some(onto) => self.output.forward_onto(mixed, onto),
            None => self.output.forward(mixed),
        }
    }

    /// Attention over slices: all rows turn together, then every sequence looks at its own pages.
    ///
    /// # Shapes
    /// - `qkv`: `[1, rows, (heads + 2 · kv_heads) · head_dim]`
    /// - result: `[1, rows, heads · head_dim]`
    fn mix_on_cpu(
        &self,
        qkv: Tensor<3>,
        outlook: &Outlook,
        caches: &mut [(&mut Cache, usize)],
        index: usize,
    ) -> Tensor<3> {
        let Shape { heads, kv_heads, head_dim, scale, cap, .. } = self.shape;
        let [_, rows, _] = qkv.dims();
        let (query, key) = (heads * head_dim, kv_heads * head_dim);
        let qkv = floats(qkv);
        let part = |from: usize, width: usize| -> Vec<f32> {
            qkv.chunks_exact(query + 2 * key).flat_map(|row| &row[from..from + width]).copied().collect()
        };
        let turned = |x: Vec<f32>, heads: usize, norm: Option<&RmsNorm>| {
            let mut x = match norm {
                Some(norm) => floats(norm.forward(on_cpu(x, [rows * heads, head_dim]))),
                None => x,
            };
            let (cos, sin) = outlook.rotation.slices();
            rope::cpu::rope(&mut x, heads, head_dim, cos, sin);
            x
        };
        let queries = turned(part(0, query), heads, self.query_norm.as_ref());
        let keys = turned(part(query, key), kv_heads, self.key_norm.as_ref());
        let values = part(query + key, key);
        let shape = attention::Shape {
            heads,
            kv_heads,
            head_dim,
            page: CACHE_PAGE,
            scale: scale as f32,
            window: outlook.window,
            soft_cap: cap.map(|cap| cap as f32),
        };
        let mut out = vec![0.0; rows * query];
        let mut first = 0;
        for (cache, count) in caches {
            let (kv, own) = (first * key..(first + *count) * key, first * query..(first + *count) * query);
            cache.write(index, &keys[kv.clone()], &values[kv]);
            cache.attend(index, &shape, &queries[own.clone()], &mut out[own]);
            first += *count;
        }
        on_cpu(out, [1, rows, query])
    }

    /// Attention by our own WGSL, for all sequences: one launch turns queries and keys and fills the cache, one mixes.
    ///
    /// # Shapes
    /// As [`Attention::mix_on_cpu`].
    fn mix_on_gpu(&self, qkv: Tensor<3>, outlook: &Outlook, places: &Places, held: &gpu::Cache) -> Tensor<3> {
        let Shape { heads, head_dim, scale, cap, .. } = self.shape;
        let [_, count, _] = qkv.dims();
        let table = outlook.rotation.table().cloned().expect("tables lie where kernels read them");
        let norm = self.query_norm.as_ref().zip(self.key_norm.as_ref()).map(|(query, key)| HeadNorm {
            query: query.gamma.val(),
            key: key.gamma.val(),
            eps: query.epsilon() as f32,
        });
        let turn = Turn { heads, pairs: Pairs::Halves, table, norm };
        let queries = held.turn(rows(qkv), places, &turn);
        let (scale, cap) = (scale as f32, cap.map(|cap| cap as f32));
        let mix = Mix { heads, scale, window: outlook.window, cap };
        held.attend(queries, places, &mix).reshape([1, count, heads * head_dim])
    }

    /// Attention of whole sequences by burn's own operations.
    ///
    /// # Shapes
    /// - `qkv`: `[batch, rows, (heads + 2 · kv_heads) · head_dim]`
    /// - result: `[batch, rows, heads · head_dim]`
    fn mix(&self, qkv: Tensor<3>, outlook: &Outlook) -> Tensor<3> {
        let [batch, rows, _] = qkv.dims();
        let Shape { heads, kv_heads, head_dim, scale, cap, .. } = self.shape;
        let qkv = qkv.reshape([batch, rows, heads + 2 * kv_heads, head_dim]);
        let turned = ops::rope(self.queries_and_keys(&qkv), &outlook.rotation);
        let by_head = |x: Tensor<4>, first: usize, count: usize| x.narrow(2, first, count).swap_dims(1, 2);
        let queries = by_head(turned.clone(), 0, heads);
        let keys = by_head(turned, heads, kv_heads);
        let values = by_head(qkv, heads + kv_heads, kv_heads);
        let view = View::new(rows, outlook.window, &queries.device());
        let mixed = ops::attention(queries, keys, values, &view, scale, cap);
        mixed.swap_dims(1, 2).reshape([batch, rows, heads * head_dim])
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
