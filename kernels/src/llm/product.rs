//! A product with a weight matrix: the one type behind which every matrix of a model lies.

use crate::error::Error;
use crate::llm::Config;
use crate::llm::adapter::Addition;
use crate::ops::Tier;
use crate::ops::matmul::{Filling, Matrix};
use crate::ops::swiglu::{Activation, gated};
use crate::quant::Format;
use crate::weights::Rows;
use burn::module::{Module, Param};
use burn::nn::{Initializer, Linear, LinearConfig};
use burn::tensor::{Device, Tensor, TensorData};

/// Standard deviation of random weights (Radford et al. 2019).
pub(crate) const SPREAD: f64 = 0.02;

/// `y = x·Wᵀ + b`, and what adapters add. To be trained it is one of burn's own layers; to be used it stays in the blocks of
/// its file.
#[derive(Module, Debug)]
pub struct Product {
    /// Its weight is `[input, output]`.
    dense: Option<Linear>,
    #[module(skip)]
    matrix: Option<Matrix>,
    /// In this order, after the bias and after what the product is added to.
    #[module(skip)]
    added: Vec<Addition>,
}

impl Product {
    /// A product with random weights and without bias.
    #[must_use]
    pub fn random(input: usize, output: usize, std: f64, device: &Device) -> Self {
        let initializer = Initializer::Normal { mean: 0.0, std };
        let dense =
            LinearConfig::new(input, output).with_bias(false).with_initializer(initializer).init(device);
        Self { dense: Some(dense), matrix: None, added: Vec::new() }
    }

    /// The same product with a bias, which is zero at first; only of a product to be trained.
    #[must_use]
    pub fn biased(mut self) -> Self {
        if let Some(dense) = &mut self.dense {
            let weight = dense.weight.val();
            dense.bias = Some(Initializer::Zeros.init([weight.dims()[1]], &weight.device()));
        }
        self
    }

    /// A product that is used, not trained.
    #[must_use]
    pub const fn new(matrix: Matrix) -> Self {
        Self { dense: None, matrix: Some(matrix), added: Vec::new() }
    }

    /// From now on this is added to it, and nothing else.
    pub(super) fn adapt(&mut self, added: Vec<Addition>) {
        self.added = added;
    }

    /// Its blocks, if it is not one to be trained.
    #[must_use]
    pub const fn matrix(&self) -> Option<&Matrix> {
        self.matrix.as_ref()
    }

    /// # Shapes
    /// - `x`: `[…, input]`
    /// - result: `[…, output]`
    #[must_use]
    pub fn forward<const D: usize>(&self, x: Tensor<D>) -> Tensor<D> {
        self.run(x, None)
    }

    /// The product, added to `onto`.
    ///
    /// # Shapes
    /// - `x`: `[…, input]`
    /// - `onto` and the result: `[…, output]`
    #[must_use]
    pub fn forward_onto<const D: usize>(&self, x: Tensor<D>, onto: Tensor<D>) -> Tensor<D> {
        self.run(x, Some(onto))
    }

    fn run<const D: usize>(&self, x: Tensor<D>, onto: Option<Tensor<D>>) -> Tensor<D> {
        if self.added.is_empty() {
            return self.unchanged(x, onto);
        }
        let unchanged = self.unchanged(x.clone(), onto);
        self.added.iter().fold(unchanged, |sum, addition| addition.add(x.clone(), sum))
    }

    /// Without what is added.
    fn unchanged<const D: usize>(&self, x: Tensor<D>, onto: Option<Tensor<D>>) -> Tensor<D> {
        match (&self.matrix, &self.dense) {
            (Some(matrix), _) => matrix.product(x, onto),
            (None, Some(dense)) => match onto {
                Some(onto) => dense.forward(x) + onto,
                None => dense.forward(x),
            },
            (None, None) => unreachable!("a product is made with one of the two"),
        }
    }

    /// `activation(gate) ∘ up` of a product that makes gate and up.
    ///
    /// # Shapes
    /// - `x`: `[…, input]`
    /// - result: `[…, output / 2]`
    #[must_use]
    pub fn gated<const D: usize>(&self, x: Tensor<D>, activation: Activation) -> Tensor<D> {
        match &self.matrix {
            Some(matrix) if self.added.is_empty() => matrix.gated(x, activation),
            _ => gated(self.forward(x), activation),
        }
    }

    /// The weights as a checkpoint holds them; None where they lie in blocks on a GPU.
    ///
    /// # Shapes
    /// - result: `[output, input]`
    #[must_use]
    pub fn rows(&self) -> Option<Tensor<2>> {
        match (&self.matrix, &self.dense) {
            (Some(matrix), _) => matrix.dense(),
            (None, dense) => dense.as_ref().map(|dense| dense.weight.val().transpose()),
        }
    }

    /// The bias, `[output]`.
    #[must_use]
    pub fn bias(&self) -> Option<Tensor<1>> {
        let dense = || self.dense.as_ref()?.bias.as_ref().map(Param::val);
        self.matrix.as_ref().and_then(|matrix| matrix.bias().cloned()).or_else(dense)
    }
}

/// Products that add to the residual start smaller, so that its size does not depend on depth (Radford et al. 2019).
pub(super) fn residual_spread(config: &Config) -> f64 {
    SPREAD / (2.0 * config.layers as f64).sqrt()
}

/// Puts a product together from rows as they arrive: those of one matrix in pieces, or of several beside one another.
pub(crate) enum Builder {
    /// For a device with kernels of ours.
    Blocks(Filling),
    /// For burn: `[output, input]` in the file becomes `[input, output]`, in memory too, which its products read faster.
    Dense {
        /// Numbers of a row.
        input: usize,
        /// Rows in all.
        output: usize,
        /// The transposed matrix.
        weight: Vec<f32>,
        /// Rows that have arrived.
        filled: usize,
    },
}

impl Builder {
    /// For rows of `input` weights, in runs of (format, rows).
    pub fn new(input: usize, runs: &[(Format, usize)], device: &Device) -> Self {
        let output = runs.iter().map(|(_, rows)| rows).sum();
        match Filling::new(&Tier::of(device), input, runs) {
            Some(filling) => Self::Blocks(filling),
            None => Self::Dense { input, output, weight: vec![0.0; input * output], filled: 0 },
        }
    }

    /// Adds the next rows.
    ///
    /// # Errors
    /// In words, if they are not whole blocks, of another width, or too many.
    pub fn push(&mut self, rows: &Rows) -> Result<(), String> {
        match self {
            Self::Blocks(filling) => filling.push(rows.format, rows.rows, &rows.bytes),
            Self::Dense { input, output, weight, filled } => {
                if rows.cols != *input || *filled + rows.rows > *output {
                    let (count, cols) = (rows.rows, rows.cols);
                    return Err(format!(
                        "{count} rows of {cols} do not fit a product of {input} with {output}"
                    ));
                }
                turn(&rows.to_f32()?, *input, &mut weight[*filled..], *output);
                *filled += rows.rows;
                Ok(())
            }
        }
    }

    /// The product, on `device`; `exact` as in [`Filling::finish`].
    ///
    /// # Errors
    /// In words, if rows are missing or hold a scale that is no number.
    pub fn finish(self, bias: Option<Vec<f32>>, exact: bool, device: &Device) -> Result<Product, String> {
        let bias = bias.map(|bias| {
            let outputs = bias.len();
            place::<1>(TensorData::new(bias, [outputs]), device)
        });
        match self {
            Self::Blocks(filling) => filling.finish(bias, exact).map(Product::new),
            Self::Dense { output, filled, .. } if filled != output => {
                Err(format!("{filled} of {output} rows arrived"))
            }
            Self::Dense { input, output, weight, .. } => {
                let weight = param(place(TensorData::new(weight, [input, output]), device));
                let dense = Some(Linear { weight, bias: bias.map(param) });
                Ok(Product { dense, matrix: None, added: Vec::new() })
            }
        }
    }
}

/// Weights stay for long: told so, the GPU's allocator gives them memory of their own size.
pub(crate) fn place<const D: usize>(data: TensorData, device: &Device) -> Tensor<D> {
    device.memory_persistent_allocations(data, |data| Tensor::from_data(data, device))
}

pub(crate) fn param<const D: usize>(value: Tensor<D>) -> Param<Tensor<D>> {
    // Not `initialized`: on an autodiff device what was loaded can be trained on.
    Param::from_tensor(value)
}

/// The numbers of a tensor, or what is wrong with its bytes.
pub(crate) fn values(tensor: &str, rows: &Rows) -> Result<Vec<f32>, Error> {
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
