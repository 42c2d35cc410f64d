//! A product with a weight matrix: the one type behind which every matrix of a model lies.

use crate::error::Error;
use crate::llm::Config;
use crate::weights::Rows;
use burn::module::{Module, Param};
use burn::nn::{Initializer, Linear, LinearConfig};
use burn::tensor::{Device, Tensor, TensorData};

/// Standard deviation of random weights (Radford et al. 2019).
pub(super) const SPREAD: f64 = 0.02;

/// `y = x·Wᵀ + b`.
#[derive(Module, Debug)]
pub struct Product {
    /// Its weight is `[input, output]`.
    dense: Linear,
}

impl Product {
    /// A product with random weights and without bias.
    #[must_use]
    pub fn random(input: usize, output: usize, std: f64, device: &Device) -> Self {
        let initializer = Initializer::Normal { mean: 0.0, std };
        Self { dense: LinearConfig::new(input, output).with_bias(false).with_initializer(initializer).init(device) }
    }

    /// # Shapes
    /// - `x`: `[…, input]`
    /// - result: `[…, output]`
    #[must_use]
    pub fn forward<const D: usize>(&self, x: Tensor<D>) -> Tensor<D> {
        self.dense.forward(x)
    }

    /// The weights as a checkpoint holds them.
    ///
    /// # Shapes
    /// - result: `[output, input]`
    #[must_use]
    pub fn rows(&self) -> Tensor<2> {
        self.dense.weight.val().transpose()
    }

    /// The bias, `[output]`.
    #[must_use]
    pub fn bias(&self) -> Option<Tensor<1>> {
        self.dense.bias.as_ref().map(Param::val)
    }
}

/// Products that add to the residual start smaller, so that its size does not depend on depth (Radford et al. 2019).
pub(super) fn residual_spread(config: &Config) -> f64 {
    SPREAD / (2.0 * config.layers as f64).sqrt()
}

/// Puts a product together from rows as they arrive: those of one matrix in pieces, or of several beside one another.
///
/// `[output, input]` in the file becomes `[input, output]` here, in memory too: as a mere view of the former a token
/// took three times as long on the CPU.
pub(super) struct Builder {
    input: usize,
    output: usize,
    weight: Vec<f32>,
    filled: usize,
}

impl Builder {
    pub fn new(input: usize, output: usize) -> Self {
        Self { input, output, weight: vec![0.0; input * output], filled: 0 }
    }

    /// Adds the next rows.
    ///
    /// # Errors
    /// In words, if they are not whole blocks, of another width, or too many.
    pub fn push(&mut self, rows: &Rows) -> Result<(), String> {
        if rows.cols != self.input || self.filled + rows.rows > self.output {
            return Err(format!("{} rows of {} do not fit a product of {} with {}", rows.rows, rows.cols, self.input, self.output));
        }
        turn(&rows.to_f32()?, self.input, &mut self.weight[self.filled..], self.output);
        self.filled += rows.rows;
        Ok(())
    }

    /// The product, on `device`.
    pub fn finish(self, bias: Option<Vec<f32>>, device: &Device) -> Product {
        debug_assert_eq!(self.filled, self.output, "every row has to arrive");
        let weight = param(place(TensorData::new(self.weight, [self.input, self.output]), device));
        let bias = bias.map(|bias| param(place(TensorData::new(bias, [self.output]), device)));
        Product { dense: Linear { weight, bias } }
    }
}

/// Weights stay for long: told so, the GPU's allocator gives them memory of their own size.
pub(super) fn place<const D: usize>(data: TensorData, device: &Device) -> Tensor<D> {
    device.memory_persistent_allocations(data, |data| Tensor::from_data(data, device))
}

pub(super) fn param<const D: usize>(value: Tensor<D>) -> Param<Tensor<D>> {
    // Not `initialized`: on an autodiff device what was loaded can be trained on.
    Param::from_tensor(value)
}

/// The numbers of a tensor, or what is wrong with its bytes.
pub(super) fn values(tensor: &str, rows: &Rows) -> Result<Vec<f32>, Error> {
    rows.to_f32().map_err(|reason| Error::Tensor { tensor: tensor.into(), reason })
}

/// Writes rows of `width` numbers as columns of a matrix whose rows are `pitch` apart.
fn turn(rows: &[f32], width: usize, columns: &mut [f32], pitch: usize) {
    // As many rows at a time as fit a cache line of the other matrix, so that no line is fetched more than once.
    const TILE: usize = 16;
    for (tile, rows) in rows.chunks(TILE * width).enumerate() {
        for column in 0..width {
            for (row, value) in rows[column..].iter().step_by(width).enumerate() {
                columns[column * pitch + tile * TILE + row] = *value;
            }
        }
    }
}
