//! T5Gemma's encoder: token ids become the rows that tell a denoiser what to paint.
//!
//! Gemma 2's layers, looking both ways. The embedding of the published model is larger than any binding of a GPU: the few
//! rows that a prompt needs are read by themselves then.

mod block;
mod config;
mod export;
mod load;

pub use block::Block;
pub use config::Config;
pub(crate) use config::MODEL_TYPES;

use crate::llm::{Embedding, Layers, RmsNorm};
use crate::ops::attention::full::UNSEEN;
use block::Rotation;
use burn::module::Module;
use burn::tensor::{Device, Int, Tensor, TensorData};

/// An encoder, of which any layers may be absent.
#[derive(Module, Debug)]
pub struct TextEncoder {
    /// Present with layer 0, unless it is too large to be held.
    pub embedding: Option<Embedding>,
    /// One entry per layer of the whole model.
    pub blocks: Vec<Option<Block>>,
    /// Present with the last layer.
    pub norm: Option<RmsNorm>,
    #[module(skip)]
    config: Config,
    /// Activations are never rounded to 8 bits.
    #[module(skip)]
    exact: bool,
}

impl TextEncoder {
    /// An encoder without any weights yet.
    #[must_use]
    pub fn empty(config: &Config) -> Self {
        Self {
            embedding: None,
            blocks: (0..config.layers).map(|_| None).collect(),
            norm: None,
            config: config.clone(),
            exact: false,
        }
    }

    /// The whole encoder with random weights, to be trained.
    #[must_use]
    pub fn init(config: &Config, device: &Device) -> Self {
        Self {
            embedding: Some(Embedding::random(config.vocabulary, config.width, device)),
            blocks: (0..config.layers).map(|layer| Some(Block::init(config, layer, device))).collect(),
            norm: Some(RmsNorm::init(config.width, config.norm_eps, device)),
            ..Self::empty(config)
        }
    }

    /// As [`Model::exact`](crate::llm::Model::exact).
    #[must_use]
    pub fn exact(self, exact: bool) -> Self {
        Self { exact, ..self }
    }

    /// Its shape.
    #[must_use]
    pub const fn config(&self) -> &Config {
        &self.config
    }

    /// True if all of `layers`, and the norm at the end, are in memory.
    #[must_use]
    pub fn holds(&self, layers: Layers) -> bool {
        layers.fit(self.blocks.len())
            && self.blocks[layers.range()].iter().all(Option::is_some)
            && (layers.end < self.blocks.len() || self.norm.is_some())
    }

    /// Drops `layers` and the ends that nothing needs any more.
    pub fn unload(&mut self, layers: Layers) {
        let count = self.blocks.len();
        self.blocks[layers.start.min(count)..layers.end.min(count)]
            .iter_mut()
            .for_each(|block| *block = None);
        if self.blocks[0].is_none() {
            self.embedding = None;
        }
        if self.blocks[count - 1].is_none() {
            self.norm = None;
        }
    }

    /// Hidden states of token ids, by the embedding in memory; [`TextEncoder::embed`] reads rows where there is none.
    ///
    /// # Shapes
    /// - `ids`: `[batch, tokens]`
    /// - result: `[batch, tokens, width]`
    #[must_use]
    pub fn lookup(&self, ids: Tensor<2, Int>) -> Option<Tensor<3>> {
        let embedding = self.embedding.as_ref()?;
        Some(embedding.forward(ids) * self.embedding_scale())
    }

    /// What the rows of the embedding are multiplied with.
    pub(crate) fn embedding_scale(&self) -> f64 {
        (self.config.width as f64).sqrt()
    }

    /// Runs `layers`, with the norm after the last.
    ///
    /// # Shapes
    /// - `x` and the result: `[batch, tokens, width]`
    /// - `mask`: `[batch, tokens]`, 1 for a token and 0 for padding. Without one all count: padding that is cut off instead
    ///   gives the same rows sooner
    ///
    /// # Panics
    /// If a layer is not in memory.
    #[must_use]
    pub fn forward(&self, layers: Layers, mut x: Tensor<3>, mask: Option<Tensor<2>>) -> Tensor<3> {
        let [batch, tokens, _] = x.dims();
        let rotation = Rotation::new(&self.config, tokens, &x.device());
        let mask: Option<Tensor<4>> =
            mask.map(|mask| ((mask - 1.0) * -UNSEEN).reshape([batch, 1, 1, tokens]));
        for layer in layers.range() {
            let block = self.blocks[layer].as_ref().expect("the layer is loaded");
            x = block.forward(x, mask.clone(), &rotation);
        }
        match &self.norm {
            Some(norm) if layers.end == self.config.layers => norm.forward(x),
            _ => x,
        }
    }
}

/// # Shapes
/// - result: `[1, count]`
pub(crate) fn ids(tokens: &[u32], device: &Device) -> Tensor<2, Int> {
    let values: Vec<i32> = tokens.iter().map(|id| *id as i32).collect();
    Tensor::from_data(TensorData::new(values, [1, tokens.len()]), device)
}
