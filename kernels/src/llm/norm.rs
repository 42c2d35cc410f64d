//! RMSNorm (Zhang & Sennrich 2019).

use crate::ops::rms_norm::rms_norm;
use burn::module::{Module, Param};
use burn::nn::Initializer;
use burn::tensor::{Device, Tensor};

/// `x / √(mean(x²) + ε) ∘ γ` over the last dimension.
#[derive(Module, Debug)]
pub struct RmsNorm {
    /// What every channel is multiplied by: for Gemma 1 + what the file holds.
    pub gamma: Param<Tensor<1>>,
    epsilon: f64,
}

impl RmsNorm {
    /// What is added under the root.
    #[must_use]
    pub const fn epsilon(&self) -> f64 {
        self.epsilon
    }

    /// From its weights, `[width]`.
    #[must_use]
    pub const fn new(gamma: Param<Tensor<1>>, epsilon: f64) -> Self {
        Self { gamma, epsilon }
    }

    /// All ones, to be trained.
    #[must_use]
    pub fn init(width: usize, epsilon: f64, device: &Device) -> Self {
        Self::new(Initializer::Ones.init([width], device), epsilon)
    }

    /// # Shapes
    /// - `x` and the result: `[…, width]`
    #[must_use]
    pub fn forward<const D: usize>(&self, x: Tensor<D>) -> Tensor<D> {
        rms_norm(x, self.gamma.val(), self.epsilon)
    }
}
