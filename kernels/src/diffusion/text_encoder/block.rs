//! One layer of the encoder.

use super::Config;
use crate::llm::product::SPREAD;
use crate::llm::{Activation, FeedForward, Product, RmsNorm};
use crate::ops::attention::full::{Shape, attend};
use burn::module::Module;
use burn::tensor::{Device, Tensor, TensorData};

/// `x + norm(attention(norm(x)))`, then `h + norm(feed(norm(h)))`.
#[derive(Module, Debug)]
pub struct Block {
    /// Before attention.
    pub attention_norm: RmsNorm,
    /// Queries, keys and values: `(heads + 2 · kv_heads) · head_dim` outputs.
    pub qkv: Product,
    /// `width` outputs.
    pub output: Product,
    /// After attention.
    pub attention_post: RmsNorm,
    /// Before the feed-forward layer.
    pub feed_norm: RmsNorm,
    /// The gated feed-forward layer.
    pub feed: FeedForward,
    /// After it.
    pub feed_post: RmsNorm,
    #[module(skip)]
    shape: Shape,
}

/// How far the tokens of a text turn: channel `i` of the first half of a head with channel `i` of the second.
pub(super) struct Rotation {
    /// `[1, tokens, 1, 1, head_dim / 2]`
    cos: Tensor<5>,
    /// `[1, tokens, 1, 2, head_dim / 2]`: −sin, then sin.
    sin: Tensor<5>,
}

impl Rotation {
    pub fn new(config: &Config, tokens: usize, device: &Device) -> Self {
        let half = config.head_dim / 2;
        let angle = |token: usize, i: usize| {
            token as f64 * config.rope_theta.powf(-((2 * i) as f64) / config.head_dim as f64)
        };
        let angles = |token: usize| (0..half).map(move |i| angle(token, i));
        let cos: Vec<f32> =
            (0..tokens).flat_map(|token| angles(token).map(|angle| angle.cos() as f32)).collect();
        let sin: Vec<f32> = (0..tokens)
            .flat_map(|token| {
                let sin = || angles(token).map(|angle| angle.sin() as f32);
                sin().map(|sin| -sin).chain(sin()).collect::<Vec<_>>()
            })
            .collect();
        let on = |values: Vec<f32>, halves: usize| {
            Tensor::from_data(TensorData::new(values, [1, tokens, 1, halves, half]), device)
        };
        Self { cos: on(cos, 1), sin: on(sin, 2) }
    }

    /// # Shapes
    /// - `x` and the result: `[batch, tokens, heads, head_dim]`
    fn turn(&self, x: Tensor<4>) -> Tensor<4> {
        let shape @ [batch, tokens, heads, head_dim] = x.dims();
        let halves = x.reshape([batch, tokens, heads, 2, head_dim / 2]);
        let turned = halves.clone() * self.cos.clone() + halves.flip([3]) * self.sin.clone();
        turned.reshape(shape)
    }
}

impl Block {
    /// From its products and norms (before and after attention, before and after the feed-forward layer), for `layer`.
    pub(super) fn new(
        config: &Config,
        layer: usize,
        [qkv, output]: [Product; 2],
        feed: FeedForward,
        [attention_norm, attention_post, feed_norm, feed_post]: [RmsNorm; 4],
    ) -> Self {
        let shape = Shape {
            heads: config.heads,
            kv_heads: config.kv_heads,
            head_dim: config.head_dim,
            scale: config.score_scale as f32,
            soft_cap: config.score_cap.map(|cap| cap as f32),
            window: config.local[layer].then_some(config.window),
        };
        Self { attention_norm, qkv, output, attention_post, feed_norm, feed, feed_post, shape }
    }

    /// Random weights, to be trained.
    pub(super) fn init(config: &Config, layer: usize, device: &Device) -> Self {
        let (width, ff) = (config.width, config.ff_width);
        let (queries, keys) = (config.heads * config.head_dim, config.kv_heads * config.head_dim);
        let random = |input, output, biased| {
            let product = Product::random(input, output, SPREAD, device);
            if biased { product.biased() } else { product }
        };
        let bias = config.attention_bias;
        let products = [random(width, queries + 2 * keys, bias), random(queries, width, bias)];
        let feed =
            FeedForward::new(random(width, 2 * ff, false), random(ff, width, false), Activation::GeluTanh);
        let norms = [(); 4].map(|()| RmsNorm::init(width, config.norm_eps, device));
        Self::new(config, layer, products, feed, norms)
    }

    /// # Shapes
    /// - `x` and the result: `[batch, tokens, width]`
    /// - `mask`: `[batch, 1, 1, tokens]`
    pub(super) fn forward(&self, x: Tensor<3>, mask: Option<Tensor<4>>, rotation: &Rotation) -> Tensor<3> {
        let attended = self.attention(self.attention_norm.forward(x.clone()), mask, rotation);
        let h = self.attention_post.forward(attended) + x;
        self.feed_post.forward(self.feed.forward(self.feed_norm.forward(h.clone()))) + h
    }

    /// # Shapes
    /// As [`Block::forward`].
    fn attention(&self, x: Tensor<3>, mask: Option<Tensor<4>>, rotation: &Rotation) -> Tensor<3> {
        let [batch, tokens, _] = x.dims();
        let Shape { heads, kv_heads, head_dim, window, .. } = self.shape;
        let qkv = self.qkv.forward(x).reshape([batch, tokens, heads + 2 * kv_heads, head_dim]);
        let turned = rotation.turn(qkv.clone().narrow(2, 0, heads + kv_heads));
        let flat = |x: Tensor<4>, from: usize, count: usize| -> Tensor<3> {
            x.narrow(2, from, count).reshape([batch, tokens, count * head_dim])
        };
        let queries = flat(turned.clone(), 0, heads);
        let keys = flat(turned, heads, kv_heads);
        let values = flat(qkv, heads + kv_heads, kv_heads);
        // A window that reaches over the whole text is none.
        let shape = Shape { window: window.filter(|window| *window + 1 < tokens), ..self.shape };
        self.output.forward(attend(queries, keys, values, mask, &shape))
    }
}
