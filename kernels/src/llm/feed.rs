//! What follows attention in a layer: one gated feed-forward layer, or a few of many.

use crate::llm::product::{self, Product};
use crate::llm::{Activation, Config, Mixture};
use burn::module::Module;
use burn::tensor::{Device, Tensor};

/// One feed-forward layer, or a mixture of experts.
#[derive(Module, Debug)]
#[allow(clippy::large_enum_variant, reason = "there are as many as layers, and burn's modules know no boxes")]
pub enum Feed {
    /// Every row goes through the same layer.
    Dense(FeedForward),
    /// A router picks a few layers for every row.
    Experts(Mixture),
}

/// SwiGLU and its kin (Shazeer 2020): `(activation(x·G) ∘ x·U)·D`. `G` and `U` are one product.
#[derive(Module, Debug)]
pub struct FeedForward {
    /// Gate and up: `2 · ff_width` outputs.
    pub gate_up: Product,
    /// `width` outputs.
    pub down: Product,
    #[module(skip)]
    activation: Activation,
}

impl Feed {
    /// Random weights, to be trained.
    pub(super) fn init(config: &Config, layer: usize, device: &Device) -> Self {
        match config.experts_of(layer) {
            Some(experts) => Self::Experts(Mixture::init(config, experts, device)),
            None => Self::Dense(FeedForward::init(config, config.ff_width, device)),
        }
    }

    /// Its products, in the order of their names; None for those of experts that are not in memory.
    pub(super) fn add_products_to<'a>(&'a mut self, all: &mut Vec<Option<&'a mut Product>>) {
        match self {
            Self::Dense(layer) => layer.add_products_to(all),
            Self::Experts(experts) => experts.add_products_to(all),
        }
    }

    /// # Shapes
    /// - `x` and the result: `[batch, rows, width]`
    pub(super) fn forward(&self, x: Tensor<3>) -> Tensor<3> {
        match self {
            Self::Dense(layer) => layer.forward(x),
            Self::Experts(experts) => experts.forward(x),
        }
    }

    /// The same, added to `onto`.
    ///
    /// # Shapes
    /// - `x`, `onto` and the result: `[batch, rows, width]`
    pub(super) fn forward_onto(&self, x: Tensor<3>, onto: Tensor<3>) -> Tensor<3> {
        match self {
            Self::Dense(layer) => layer.forward_onto(x, onto),
            Self::Experts(experts) => experts.forward(x) + onto,
        }
    }
}

impl FeedForward {
    /// From its products.
    #[must_use]
    pub const fn new(gate_up: Product, down: Product, activation: Activation) -> Self {
        Self { gate_up, down, activation }
    }

    pub(super) fn add_products_to<'a>(&'a mut self, all: &mut Vec<Option<&'a mut Product>>) {
        all.extend([Some(&mut self.gate_up), Some(&mut self.down)]);
    }

    pub(super) fn init(config: &Config, width: usize, device: &Device) -> Self {
        let gate_up = Product::random(config.width, 2 * width, product::SPREAD, device);
        let down = Product::random(width, config.width, product::residual_spread(config), device);
        Self::new(gate_up, down, config.activation)
    }

    /// # Shapes
    /// - `x` and the result: `[…, width]`
    #[must_use]
    pub fn forward<const D: usize>(&self, x: Tensor<D>) -> Tensor<D> {
        self.down.forward(self.gate_up.gated(x, self.activation))
    }

    /// The same, added to `onto`.
    ///
    /// # Shapes
    /// - `x`, `onto` and the result: `[…, width]`
    #[must_use]
    pub fn forward_onto<const D: usize>(&self, x: Tensor<D>, onto: Tensor<D>) -> Tensor<D> {
        self.down.forward_onto(self.gate_up.gated(x, self.activation), onto)
    }
}
