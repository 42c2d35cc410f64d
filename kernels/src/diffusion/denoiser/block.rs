//! One block of a denoiser.

use super::{Config, Positions};
use crate::llm::product::SPREAD;
use crate::llm::{Activation, FeedForward, Product, RmsNorm};
use crate::ops::attention::full::{Shape, attend};
use crate::ops::gated_sum::gated_sum;
use crate::ops::layer_norm::modulated;
use crate::ops::split::parts;
use burn::module::Module;
use burn::tensor::{Device, Tensor};

/// Under the roots of all norms here.
pub(super) const EPSILON: f64 = 1e-6;

/// Keys and values of tokens, `[batch, tokens, width]` each.
pub(in crate::diffusion) type Keys = [Tensor<3>; 2];

/// What a band of a picture is told of the rest of it in one block: the tokens before it, and those after it. Nothing for a
/// whole picture.
#[derive(Debug, Clone, Default)]
pub(in crate::diffusion) struct Around {
    pub before: Option<Keys>,
    pub after: Option<Keys>,
}

/// ```text
/// x = x + gate₁ ∘ attention(norm(x)·(1 + scale₁) + shift₁, text)
/// x = x + gate₂ ∘ feed(norm(x)·(1 + scale₂) + shift₂)
/// ```
#[derive(Module, Debug)]
pub struct Block {
    /// Time to shifts, scales and gates: `6 · width` outputs. None where they come as a table.
    pub modulation: Option<Product>,
    /// Queries, keys and values of the picture: `3 · width` outputs.
    pub qkv: Product,
    /// Over every query head.
    pub query_norm: RmsNorm,
    /// Over every key head.
    pub key_norm: RmsNorm,
    /// Keys and values of the text: `2 · width` outputs.
    pub text_kv: Product,
    /// Over every key head of the text.
    pub text_key_norm: RmsNorm,
    /// `width` outputs.
    pub output: Product,
    /// The gated feed-forward layer.
    pub feed: FeedForward,
    pub(super) heads: usize,
}

impl Block {
    /// Random weights, to be trained; it does nothing at first, because its gates are closed (Peebles and Xie 2022).
    pub(super) fn init(config: &Config, device: &Device) -> Self {
        let (width, ff) = (config.width, config.ff_width);
        let random = |input, output| Product::random(input, output, SPREAD, device);
        let norm = || RmsNorm::init(config.head_dim(), EPSILON, device);
        Self {
            modulation: Some(Product::random(width, 6 * width, 0.0, device).biased()),
            qkv: random(width, 3 * width),
            query_norm: norm(),
            key_norm: norm(),
            text_kv: random(width, 2 * width),
            text_key_norm: norm(),
            output: random(width, width),
            feed: FeedForward::new(random(width, 2 * ff), random(ff, width), Activation::GeluTanh),
            heads: config.heads,
        }
    }

    /// Keys and values of a text.
    ///
    /// # Shapes
    /// - `text`: `[batch, tokens, width]`
    /// - results: as `text`
    pub(super) fn text(&self, text: Tensor<3>) -> [Tensor<3>; 2] {
        let shape @ [batch, tokens, width] = text.dims();
        let [keys, values] = parts(self.text_kv.forward(text));
        let keys = keys.reshape([batch, tokens, self.heads, width / self.heads]);
        [self.text_key_norm.forward(keys).reshape(shape), values]
    }

    /// Runs the block, and tells the keys and values of `x`.
    ///
    /// # Shapes
    /// - `x` and the result: `[batch, tokens, width]`
    /// - `text`: keys and values, `[batch, text tokens, width]`
    /// - `mask`: of the keys of text and picture, `[batch, 1, 1, all tokens]`
    /// - `modulation`: `[batch or 1, 1, 6 · width]`
    pub(super) fn forward(
        &self,
        x: Tensor<3>,
        text: &Keys,
        around: &Around,
        mask: Option<Tensor<4>>,
        modulation: &Tensor<3>,
        positions: &Positions,
    ) -> (Tensor<3>, Keys) {
        let width = x.dims()[2];
        let part = |number: usize| modulation.clone().narrow(2, number * width, width);
        let normed = modulated(x.clone(), part(0), part(1), EPSILON);
        let [queries, own @ ..] = self.project(normed, positions);
        let x = gated_sum(x, self.attention(queries, [text, &own], around, mask), part(2));
        let normed = modulated(x.clone(), part(3), part(4), EPSILON);
        (gated_sum(x, self.feed.forward(normed), part(5)), own)
    }

    /// Queries, keys and values of the picture's tokens.
    ///
    /// # Shapes
    /// - `x` and the results: `[batch, tokens, width]`
    fn project(&self, x: Tensor<3>, positions: &Positions) -> [Tensor<3>; 3] {
        let whole @ [batch, tokens, width] = x.dims();
        let by_head = [batch, tokens, self.heads, width / self.heads];
        let [queries, keys, values] = parts(self.qkv.forward(x));
        let place =
            |norm: &RmsNorm, x: Tensor<3>| positions.turn(norm.forward(x.reshape(by_head))).reshape(whole);
        [place(&self.query_norm, queries), place(&self.key_norm, keys), values]
    }

    /// Attention to the text and the whole picture, in the order of its tokens.
    ///
    /// # Shapes
    /// As [`Block::forward`].
    fn attention(
        &self,
        queries: Tensor<3>,
        [text, own]: [&Keys; 2],
        around: &Around,
        mask: Option<Tensor<4>>,
    ) -> Tensor<3> {
        let head_dim = queries.dims()[2] / self.heads;
        let all = [Some(text), around.before.as_ref(), Some(own), around.after.as_ref()];
        let [keys, values] = [0, 1]
            .map(|which| Tensor::cat(all.iter().flatten().map(|keys| keys[which].clone()).collect(), 1));
        let scale = (head_dim as f32).powf(-0.5);
        let heads = self.heads;
        let shape = Shape { heads, kv_heads: heads, head_dim, scale, soft_cap: None, window: None };
        self.output.forward(attend(queries, keys, values, mask, &shape))
    }
}
