//! One transformer layer.

use crate::llm::pass::Pass;
use crate::llm::{Attention, Config, Feed, Product, RmsNorm};
use burn::module::Module;
use burn::tensor::{Device, Tensor};

/// `h = x + attention(norm(x))`, then `h + feed(norm(h))`; some families normalise what is added once more.
#[derive(Module, Debug)]
pub struct Block {
    /// Before attention.
    pub attention_norm: RmsNorm,
    /// Self-attention.
    pub attention: Attention,
    /// After attention, where the model has it.
    pub attention_post: Option<RmsNorm>,
    /// Before the feed-forward layer.
    pub ff_norm: RmsNorm,
    /// The feed-forward layer, or the experts.
    pub ff: Feed,
    /// After it, where the model has it.
    pub ff_post: Option<RmsNorm>,
}

impl Block {
    /// `layer` with random weights, to be trained.
    pub(crate) fn init(config: &Config, layer: usize, device: &Device) -> Self {
        let norm = || RmsNorm::init(config.width, config.norm_eps, device);
        let post = || config.post_norms.then(norm);
        Self {
            attention_norm: norm(),
            attention: Attention::init(config, layer, device),
            attention_post: post(),
            ff_norm: norm(),
            ff: Feed::init(config, layer, device),
            ff_post: post(),
        }
    }

    /// Its products, in the order of [`BlockNames::products`](crate::llm::names::BlockNames::products); None for those of
    /// experts that are not in memory.
    pub(super) fn products_mut(&mut self) -> Vec<Option<&mut Product>> {
        let mut all = vec![Some(&mut self.attention.qkv), Some(&mut self.attention.output)];
        self.ff.add_products_to(&mut all);
        all
    }

    /// `index`: the layer's, within the caches of the pass.
    ///
    /// # Shapes
    /// - `x` and the result: `[batch, rows, width]`
    pub(super) fn forward(&self, x: Tensor<3>, pass: &mut Pass<'_, '_>, index: usize) -> Tensor<3> {
        let h = self.attend(x, pass, index);
        let normed = self.ff_norm.forward(h.clone());
        match &self.ff_post {
            Some(post) => post.forward(self.ff.forward(normed)) + h,
            None => self.ff.forward_onto(normed, h),
        }
    }

    /// The part before the feed-forward layer: `x + attention(norm(x))`.
    ///
    /// # Shapes
    /// As [`Block::forward`].
    pub(super) fn attend(&self, x: Tensor<3>, pass: &mut Pass<'_, '_>, index: usize) -> Tensor<3> {
        let normed = self.attention_norm.forward(x.clone());
        match &self.attention_post {
            Some(post) => post.forward(self.attention.forward(normed, pass, index, None)) + x,
            None => self.attention.forward(normed, pass, index, Some(x)),
        }
    }

    /// The part after it: `h`, and what the feed-forward layer found.
    ///
    /// # Shapes
    /// As [`Block::forward`].
    pub(super) fn finish(&self, h: Tensor<3>, found: Tensor<3>) -> Tensor<3> {
        match &self.ff_post {
            Some(post) => post.forward(found) + h,
            None => found + h,
        }
    }
}
