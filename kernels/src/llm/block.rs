//! One transformer layer.

use crate::llm::attention::Pass;
use crate::llm::cache::Slot;
use crate::llm::{Attention, Config, model};
use burn::module::Module;
use burn::nn::{Linear, RmsNorm, RmsNormConfig};
use burn::tensor::{Device, Tensor, activation::silu};

/// `h = x + attention(norm(x))`, then `h + feed_forward(norm(h))`.
#[derive(Module, Debug)]
pub struct Block {
    /// Before attention.
    pub attention_norm: RmsNorm,
    /// Self-attention.
    pub attention: Attention,
    /// Before the feed-forward layer.
    pub ff_norm: RmsNorm,
    /// The feed-forward layer.
    pub ff: FeedForward,
}

/// SwiGLU (Shazeer 2020): `(silu(x·G) ∘ x·U)·D`. `G` and `U` are one product.
#[derive(Module, Debug)]
pub struct FeedForward {
    /// `[width, 2 · ff_width]`: gate, up.
    pub gate_up: Linear,
    /// `[ff_width, width]`
    pub down: Linear,
}

impl Block {
    /// Random weights, to be trained.
    pub(crate) fn init(config: &Config, device: &Device) -> Self {
        let norm = RmsNormConfig::new(config.width).with_epsilon(config.norm_eps);
        let gate_up = model::random(config.width, 2 * config.ff_width, model::SPREAD, device);
        let down = model::random(config.ff_width, config.width, model::residual_spread(config), device);
        Self {
            attention_norm: norm.init(device),
            attention: Attention::init(config, device),
            ff_norm: norm.init(device),
            ff: FeedForward { gate_up, down },
        }
    }

    /// # Shapes
    /// - `x` and the result: `[batch, rows, width]`; `batch` is 1 with a cache
    pub(super) fn forward(&self, x: Tensor<3>, pass: &Pass, cache: Option<&mut Slot>) -> Tensor<3> {
        let h = self.attention.forward(self.attention_norm.forward(x.clone()), pass, cache) + x;
        self.ff.forward(self.ff_norm.forward(h.clone())) + h
    }
}

impl FeedForward {
    /// # Shapes
    /// - `x` and the result: `[batch, rows, width]`
    fn forward(&self, x: Tensor<3>) -> Tensor<3> {
        let both = self.gate_up.forward(x);
        let half = both.dims()[2] / 2;
        let gate = silu(both.clone().narrow(2, 0, half));
        self.down.forward(gate * both.narrow(2, half, half))
    }
}
