//! Convolutions and what goes with them.

use crate::diffusion::ops::silu;
use crate::error::Error;
use crate::llm::names::Needed;
use crate::llm::reader::Reader;
use crate::weights::ByteRange;
use burn::module::{Module, Param};
use burn::tensor::Tensor;
use burn::tensor::module::conv2d;
use burn::tensor::ops::ConvOptions;

/// A convolution in two dimensions.
#[derive(Module, Debug)]
pub struct Conv {
    /// `[output, input / groups, side, side]`
    pub weight: Param<Tensor<4>>,
    /// `[output]`
    pub bias: Option<Param<Tensor<1>>>,
    #[module(skip)]
    spec: ConvSpec,
}

/// What a convolution is called, and its shape.
#[derive(Debug, Clone)]
pub(crate) struct ConvSpec {
    pub name: String,
    pub input: usize,
    pub output: usize,
    /// Of the square that it sees, odd.
    pub side: usize,
    pub groups: usize,
    pub stride: usize,
    pub bias: bool,
    /// Pixels of zeros before and behind; as many as leave the size alone, if not said otherwise.
    pub padding: (usize, usize),
}

impl ConvSpec {
    /// With a bias, of a picture that keeps its size.
    pub fn new(name: String, input: usize, output: usize, side: usize) -> Self {
        let padding = (side / 2, side / 2);
        Self { name, input, output, side, groups: 1, stride: 1, bias: true, padding }
    }

    pub fn needed(&self) -> Vec<Needed> {
        let weight = Needed {
            name: format!("{}.weight", self.name),
            shape: vec![self.output, self.input / self.groups, self.side, self.side],
        };
        let bias = Needed { name: format!("{}.bias", self.name), shape: vec![self.output] };
        std::iter::once(weight).chain(self.bias.then_some(bias)).collect()
    }

    pub async fn load<S>(&self, reader: &mut Reader<'_, S>) -> Result<Conv, Error>
    where
        S: AsyncFnMut(&ByteRange) -> Result<Vec<u8>, String>,
    {
        let needed = self.needed();
        let weight = reader.tensor(&needed[0]).await?;
        let bias = match needed.get(1) {
            Some(bias) => Some(reader.tensor(bias).await?),
            None => None,
        };
        Ok(Conv { weight, bias, spec: self.clone() })
    }
}

impl Conv {
    /// # Shapes
    /// - `x`: `[batch, input, height, width]`
    /// - result: `[batch, output, height / stride, width / stride]`
    #[must_use]
    pub fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        let ConvSpec { stride, padding: (before, behind), groups, .. } = self.spec;
        let x = match before == behind {
            true => x,
            false => x.pad((before, behind, before, behind), 0.0),
        };
        let padding = if before == behind { before } else { 0 };
        let options = ConvOptions::new([stride, stride], [padding, padding], [1, 1], groups);
        conv2d(x, self.weight.val(), self.bias.as_ref().map(Param::val), options)
    }
}

/// Group normalisation (Wu and He 2018).
#[derive(Module, Debug)]
pub struct GroupNorm {
    /// `[channels]`
    pub gamma: Param<Tensor<1>>,
    /// `[channels]`
    pub beta: Param<Tensor<1>>,
    groups: usize,
}

/// What a norm is called, and its channels.
#[derive(Debug, Clone)]
pub(crate) struct NormSpec {
    pub name: String,
    pub channels: usize,
}

impl NormSpec {
    pub fn needed(&self) -> [Needed; 2] {
        let of = |part: &str| Needed { name: format!("{}.{part}", self.name), shape: vec![self.channels] };
        [of("weight"), of("bias")]
    }

    /// Weights and biases.
    pub async fn load<S>(&self, reader: &mut Reader<'_, S>) -> Result<[Param<Tensor<1>>; 2], Error>
    where
        S: AsyncFnMut(&ByteRange) -> Result<Vec<u8>, String>,
    {
        let [weight, bias] = self.needed();
        Ok([reader.tensor(&weight).await?, reader.tensor(&bias).await?])
    }
}

impl GroupNorm {
    const EPSILON: f64 = 1e-6;

    pub(super) fn new([gamma, beta]: [Param<Tensor<1>>; 2], groups: usize) -> Self {
        Self { gamma, beta, groups }
    }

    /// # Shapes
    /// - `x` and the result: `[batch, channels, height, width]`
    #[must_use]
    pub fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        let shape @ [batch, channels, height, width] = x.dims();
        let x: Tensor<4> = x.reshape([batch, self.groups, channels / self.groups * height, width]);
        // First over rows, then over their means: sums stay short, and a GPU has something to do side by side.
        let mean = |x: Tensor<4>| x.mean_dim(3).mean_dim(2);
        let centred = x.clone() - mean(x);
        let root = (mean(centred.clone().square()) + Self::EPSILON).sqrt();
        let by_channel = |x: &Param<Tensor<1>>| -> Tensor<4> { x.val().reshape([1, channels, 1, 1]) };
        (centred / root).reshape(shape) * by_channel(&self.gamma) + by_channel(&self.beta)
    }

    /// The norm, then `silu`.
    ///
    /// # Shapes
    /// As [`GroupNorm::forward`].
    #[must_use]
    pub fn activated(&self, x: Tensor<4>) -> Tensor<4> {
        silu(self.forward(x))
    }
}

/// Every pixel becomes a square of `factor` × `factor`.
///
/// # Shapes
/// - `x`: `[batch, channels, height, width]`
pub(super) fn enlarged(x: Tensor<4>, factor: usize) -> Tensor<4> {
    let [batch, channels, height, width] = x.dims();
    let x: Tensor<6> = x.reshape([batch, channels, height, 1, width, 1]);
    x.expand([batch, channels, height, factor, width, factor]).reshape([
        batch,
        channels,
        height * factor,
        width * factor,
    ])
}

/// Four channels become the pixels of a square of 2 × 2.
///
/// # Shapes
/// - `x`: `[batch, 4 · channels, height, width]`
/// - result: `[batch, channels, 2 · height, 2 · width]`
pub(super) fn shuffled(x: Tensor<4>) -> Tensor<4> {
    let [batch, channels, height, width] = x.dims();
    let x: Tensor<6> = x.reshape([batch, channels / 4, 2, 2, height, width]);
    x.permute([0, 1, 4, 2, 5, 3]).reshape([batch, channels / 4, 2 * height, 2 * width])
}

/// What [`shuffled`] put together.
///
/// # Shapes
/// - `x`: `[batch, channels, 2 · height, 2 · width]`
/// - result: `[batch, 4 · channels, height, width]`
pub(super) fn unshuffled(x: Tensor<4>) -> Tensor<4> {
    let [batch, channels, height, width] = x.dims();
    let x: Tensor<6> = x.reshape([batch, channels, height / 2, 2, width / 2, 2]);
    x.permute([0, 1, 3, 5, 2, 4]).reshape([batch, 4 * channels, height / 2, width / 2])
}

/// Every channel so many times.
///
/// # Shapes
/// - `x`: `[batch, channels, height, width]`
/// - result: `[batch, channels · times, height, width]`
pub(super) fn repeated(x: Tensor<4>, times: usize) -> Tensor<4> {
    let [batch, channels, height, width] = x.dims();
    let x: Tensor<5> = x.reshape([batch, channels, 1, height, width]);
    x.expand([batch, channels, times, height, width]).reshape([batch, channels * times, height, width])
}

/// The means of so many channels beside one another.
///
/// # Shapes
/// - `x`: `[batch, channels · group, height, width]`
/// - result: `[batch, channels, height, width]`
pub(super) fn averaged(x: Tensor<4>, group: usize) -> Tensor<4> {
    let [batch, channels, height, width] = x.dims();
    let x: Tensor<5> = x.reshape([batch, channels / group, group, height, width]);
    x.mean_dim(2).reshape([batch, channels / group, height, width])
}
