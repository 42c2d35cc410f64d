//! What a denoiser is told beside the picture: the time (and resolution), and the text.

use super::{Config, names::SINUSOIDS};
use crate::diffusion::ops::silu;
use crate::error::Error;
use crate::llm::{Layers, Product, read_back};
use burn::module::Module;
use burn::tensor::{Device, Tensor, TensorData};

/// `out(silu(in(x)))`.
#[derive(Module, Debug)]
pub struct Embedder {
    /// Sinusoids in.
    pub first: Product,
    /// The vector out.
    pub second: Product,
}

impl Embedder {
    /// # Shapes
    /// - `x`: `[1, count, 256]`
    /// - result: `[1, count, width]`
    #[must_use]
    pub fn forward(&self, x: Tensor<3>) -> Tensor<3> {
        self.second.forward(silu(self.first.forward(x)))
    }
}

/// Cosines, then sines of `scale · value` at periods from 1 to `period`, in f32 as diffusers computes them: at high
/// frequencies the rounding of an angle is seen.
fn sinusoids(value: f32, channels: usize, scale: f32, period: f64) -> Vec<f32> {
    let half = channels / 2;
    let angle = |k: usize| {
        let exponent = -(period.ln() as f32) * k as f32 / half as f32;
        f64::from(scale * (value * f64::from(exponent).exp() as f32))
    };
    (0..half).map(|k| angle(k).cos() as f32).chain((0..half).map(|k| angle(k).sin() as f32)).collect()
}

/// # Shapes
/// - result: `[1, times, 256]`
pub(super) fn of_times(config: &Config, times: &[f32], device: &Device) -> Tensor<3> {
    let scale = config.time_factor as f32;
    let values: Vec<f32> =
        times.iter().flat_map(|time| sinusoids(*time, SINUSOIDS, scale, config.time_period)).collect();
    Tensor::from_data(TensorData::new(values, [1, times.len(), SINUSOIDS]), device)
}

/// # Shapes
/// - result: `[1, 1, 256]`
pub(super) fn of_resolution(config: &Config, [height, width]: [usize; 2], device: &Device) -> Tensor<3> {
    let of = |size: usize| sinusoids(size as f32, SINUSOIDS / 2, 1.0, config.time_period);
    Tensor::from_data(TensorData::new([of(height), of(width)].concat(), [1, 1, SINUSOIDS]), device)
}

/// What all modulations are made of.
///
/// # Shapes
/// - result: `[1, times, width]`
pub(super) fn vector(
    config: &Config,
    time_in: &Embedder,
    resolution_in: Option<&Embedder>,
    times: &[f32],
    size: [usize; 2],
    device: &Device,
) -> Tensor<3> {
    let time = time_in.forward(of_times(config, times, device));
    let resolution = resolution_in.map(|into| into.forward(of_resolution(config, size, device)));
    silu(resolution.into_iter().fold(time, |sum, part| sum + part))
}

/// # Shapes
/// - result: `[times, 1, numbers]`
pub(super) fn rows(product: &Product, vector: &Tensor<3>) -> Tensor<3> {
    let all = product.forward(vector.clone());
    let [_, times, numbers] = all.dims();
    all.reshape([times, 1, numbers])
}

/// Shift, scale and gate of every block, for one time or many: all that time and resolution do to a denoiser. For a fixed
/// schedule they are a table, and a quarter of the weights are not needed any more.
#[derive(Debug, Clone)]
pub struct Modulations {
    layers: Layers,
    /// `[times, 1, 6 · width]` of each block: shift, scale and gate of attention, then of the feed-forward layer.
    pub(super) blocks: Vec<Tensor<3>>,
    /// `[times, 1, 2 · width]`: shift and scale before the last product; only with the last block.
    pub(super) last: Option<Tensor<3>>,
}

impl Modulations {
    pub(super) const fn new(layers: Layers, blocks: Vec<Tensor<3>>, last: Option<Tensor<3>>) -> Self {
        Self { layers, blocks, last }
    }

    /// The blocks that they are for.
    #[must_use]
    pub const fn layers(&self) -> Layers {
        self.layers
    }

    /// Times that they are of.
    #[must_use]
    pub fn times(&self) -> usize {
        self.blocks.first().map_or(0, |block| block.dims()[0])
    }

    /// Those of one time.
    ///
    /// # Panics
    /// If there are not as many.
    #[must_use]
    pub fn at(&self, time: usize) -> Self {
        let one = |table: &Tensor<3>| table.clone().narrow(0, time, 1);
        Self {
            layers: self.layers,
            blocks: self.blocks.iter().map(one).collect(),
            last: self.last.as_ref().map(one),
        }
    }

    /// Those of some of the blocks.
    ///
    /// # Panics
    /// If they are not among these.
    #[must_use]
    pub fn of(&self, layers: Layers, depth: usize) -> Self {
        let from = layers.start - self.layers.start;
        let blocks = self.blocks[from..from + layers.range().len()].to_vec();
        Self { layers, blocks, last: self.last.clone().filter(|_| layers.end == depth) }
    }

    /// Little-endian f32, block by block and then the last, each `[times, numbers]`: what another peer takes by
    /// [`Modulations::from_bytes`].
    ///
    /// # Errors
    /// [`Error::Device`]
    pub async fn to_bytes(&self) -> Result<Vec<u8>, Error> {
        let mut bytes = Vec::new();
        for table in self.blocks.iter().chain(&self.last) {
            let values = read_back(table.clone()).await?;
            bytes.extend(values.iter().flat_map(|value| value.to_le_bytes()));
        }
        Ok(bytes)
    }

    /// The table of `layers` for `times` times.
    ///
    /// # Errors
    /// [`Error::Config`] if the bytes are more or fewer than that, or hold what is no finite number.
    pub fn from_bytes(
        config: &Config,
        layers: Layers,
        times: usize,
        bytes: &[u8],
        device: &Device,
    ) -> Result<Self, Error> {
        let sizes = Self::sizes(config, layers);
        let expected = sizes.iter().sum::<usize>().saturating_mul(times).saturating_mul(4);
        if !layers.fit(config.depth) || times == 0 || bytes.len() != expected {
            let found = bytes.len();
            return Err(Error::Config(format!(
                "a table of modulations of {found} bytes; {times} times of blocks {layers} take {expected}"
            )));
        }
        let values: Vec<f32> =
            bytes.as_chunks::<4>().0.iter().map(|four| f32::from_le_bytes(*four)).collect();
        if let Some(index) = values.iter().position(|value| !value.is_finite()) {
            return Err(Error::Config(format!("number {index} of the modulations is not finite")));
        }
        let mut rest = values.as_slice();
        let mut tables = sizes.into_iter().map(|size| {
            let (table, behind) = rest.split_at(size * times);
            rest = behind;
            Tensor::from_data(TensorData::new(table.to_vec(), [times, 1, size]), device)
        });
        let blocks = tables.by_ref().take(layers.range().len()).collect();
        let last = tables.next();
        Ok(Self { layers, blocks, last })
    }

    /// Numbers per time of each block, and of the last layer.
    fn sizes(config: &Config, layers: Layers) -> Vec<usize> {
        let mut sizes = vec![6 * config.width; layers.range().len()];
        if layers.end == config.depth {
            sizes.push(2 * config.width);
        }
        sizes
    }
}

/// Keys and values of a text in every block. The text never changes on its way, so they are made once per prompt.
#[derive(Debug, Clone)]
pub struct Text {
    pub(super) layers: Layers,
    /// `[batch, tokens, width]` each.
    pub(super) blocks: Vec<[Tensor<3>; 2]>,
    /// `[batch, 1, 1, tokens]`, as [`attend`](crate::ops::attention::full::attend) takes it; none where all tokens count.
    pub(super) mask: Option<Tensor<4>>,
}
