//! What AutoencoderDC is made of.

use super::Activation;
use crate::diffusion::autoencoder::conv::{
    Conv, ConvSpec, NormSpec, averaged, enlarged, repeated, shuffled, unshuffled,
};
use crate::diffusion::ops::silu;
use crate::error::Error;
use crate::llm::names::{Needed, ProductNames};
use crate::llm::reader::Reader;
use crate::llm::{Product, RmsNorm};
use crate::weights::ByteRange;
use burn::module::{Module, Param};
use burn::tensor::Tensor;
use burn::tensor::activation::relu;

impl Activation {
    fn apply(self, x: Tensor<4>) -> Tensor<4> {
        match self {
            Self::Silu => silu(x),
            Self::Relu => relu(x),
        }
    }
}

/// Under the root of all norms here.
const EPSILON: f64 = 1e-5;

/// RMSNorm over the channels of each pixel, with a bias.
#[derive(Module, Debug)]
pub struct ChannelNorm {
    norm: RmsNorm,
    beta: Param<Tensor<1>>,
}

impl ChannelNorm {
    fn new([gamma, beta]: [Param<Tensor<1>>; 2]) -> Self {
        Self { norm: RmsNorm::new(gamma, EPSILON), beta }
    }

    /// # Shapes
    /// - `x` and the result: `[batch, channels, height, width]`
    fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        let channels = x.dims()[1];
        let normed = self.norm.forward(x.permute([0, 2, 3, 1])).permute([0, 3, 1, 2]);
        normed + self.beta.val().reshape([1, channels, 1, 1])
    }
}

/// What a norm is called, and what comes after it.
#[derive(Debug, Clone)]
pub(crate) struct PlainSpec {
    pub norm: NormSpec,
    pub activation: Activation,
}

impl PlainSpec {
    pub async fn load<S>(&self, reader: &mut Reader<'_, S>) -> Result<Plain, Error>
    where
        S: AsyncFnMut(&ByteRange) -> Result<Vec<u8>, String>,
    {
        let norm = ChannelNorm::new(self.norm.load(reader).await?);
        Ok(Plain { norm, activation: self.activation })
    }
}

/// A norm, then an activation.
#[derive(Module, Debug)]
pub struct Plain {
    norm: ChannelNorm,
    #[module(skip)]
    activation: Activation,
}

impl Plain {
    pub(in crate::diffusion::autoencoder) fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        self.activation.apply(self.norm.forward(x))
    }
}

/// What the convolution at the latent is called.
#[derive(Debug, Clone)]
pub(crate) struct EndsSpec {
    pub conv: ConvSpec,
    pub shortcut: bool,
}

impl EndsSpec {
    pub async fn load<S>(&self, reader: &mut Reader<'_, S>) -> Result<Ends, Error>
    where
        S: AsyncFnMut(&ByteRange) -> Result<Vec<u8>, String>,
    {
        Ok(Ends { conv: self.conv.load(reader).await?, shortcut: self.shortcut })
    }
}

/// A convolution, beside which channels are repeated or averaged.
#[derive(Module, Debug)]
pub struct Ends {
    conv: Conv,
    shortcut: bool,
}

impl Ends {
    pub(in crate::diffusion::autoencoder) fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        let out = self.conv.forward(x.clone());
        if !self.shortcut {
            return out;
        }
        let (input, output) = (x.dims()[1], out.dims()[1]);
        out + if output >= input { repeated(x, output / input) } else { averaged(x, input / output) }
    }
}

/// What a residual block is called.
#[derive(Debug, Clone)]
pub(crate) struct ResidualSpec {
    first: ConvSpec,
    second: ConvSpec,
    norm: NormSpec,
    activation: Activation,
}

impl ResidualSpec {
    pub fn new(name: &str, channels: usize, activation: Activation) -> Self {
        let conv = |part: &str| ConvSpec::new(format!("{name}.{part}"), channels, channels, 3);
        Self {
            first: conv("conv1"),
            second: ConvSpec { bias: false, ..conv("conv2") },
            norm: NormSpec { name: format!("{name}.norm"), channels },
            activation,
        }
    }

    pub fn needed(&self) -> Vec<Needed> {
        let convs = [&self.first, &self.second].into_iter().flat_map(ConvSpec::needed);
        convs.chain(self.norm.needed()).collect()
    }

    pub async fn load<S>(&self, reader: &mut Reader<'_, S>) -> Result<Residual, Error>
    where
        S: AsyncFnMut(&ByteRange) -> Result<Vec<u8>, String>,
    {
        let (first, second) = (self.first.load(reader).await?, self.second.load(reader).await?);
        let norm = ChannelNorm::new(self.norm.load(reader).await?);
        Ok(Residual { first, second, norm, activation: self.activation })
    }
}

/// `x + norm(conv(activation(conv(x))))`.
#[derive(Module, Debug)]
pub struct Residual {
    first: Conv,
    second: Conv,
    norm: ChannelNorm,
    #[module(skip)]
    activation: Activation,
}

impl Residual {
    pub(in crate::diffusion::autoencoder) fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        let h = self.activation.apply(self.first.forward(x.clone()));
        x + self.norm.forward(self.second.forward(h))
    }
}

/// What an EfficientViT block is called, and its shape.
#[derive(Debug, Clone)]
pub(crate) struct VitSpec {
    pub name: String,
    pub channels: usize,
    pub head_dim: usize,
    pub sides: Vec<usize>,
}

impl VitSpec {
    fn of(&self, part: &str) -> String {
        format!("{}.{part}", self.name)
    }

    fn products(&self) -> [ProductNames; 2] {
        let (of, width) = (|part: &str| (self.of(part), self.channels), self.channels);
        let qkv = [of("attn.to_q"), of("attn.to_k"), of("attn.to_v")];
        let scales = 1 + self.sides.len();
        [ProductNames::new(qkv, width, false), ProductNames::new([of("attn.to_out")], width * scales, false)]
    }

    /// Of each scale: a convolution for each channel by itself, then one among the channels of a head.
    fn scales(&self) -> Vec<[ConvSpec; 2]> {
        let width = 3 * self.channels;
        let scale = |(number, side): (usize, &usize)| {
            let conv = |part: &str, side, groups| ConvSpec {
                groups,
                bias: false,
                ..ConvSpec::new(
                    self.of(&format!("attn.to_qkv_multiscale.{number}.{part}")),
                    width,
                    width,
                    side,
                )
            };
            [conv("proj_in", *side, width), conv("proj_out", 1, 3 * self.channels / self.head_dim)]
        };
        self.sides.iter().enumerate().map(scale).collect()
    }

    /// Wider, then for each channel by itself, then back.
    fn feed(&self) -> [ConvSpec; 3] {
        const WIDER: usize = 4;
        let (narrow, wide) = (self.channels, WIDER * self.channels);
        let inverted = ConvSpec::new(self.of("conv_out.conv_inverted"), narrow, 2 * wide, 1);
        let depth = ConvSpec::new(self.of("conv_out.conv_depth"), 2 * wide, 2 * wide, 3);
        let point = ConvSpec::new(self.of("conv_out.conv_point"), wide, narrow, 1);
        [inverted, ConvSpec { groups: 2 * wide, ..depth }, ConvSpec { bias: false, ..point }]
    }

    fn norms(&self) -> [NormSpec; 2] {
        ["attn.norm_out", "conv_out.norm"]
            .map(|part| NormSpec { name: self.of(part), channels: self.channels })
    }

    pub fn needed(&self) -> Vec<Needed> {
        let products = self.products().into_iter().flat_map(ProductNames::into_all);
        let convs = self.scales().into_iter().flatten().chain(self.feed());
        let convs = convs.flat_map(|conv| conv.needed());
        products.chain(convs).chain(self.norms().iter().flat_map(NormSpec::needed)).collect()
    }

    pub async fn load<S>(&self, reader: &mut Reader<'_, S>) -> Result<Vit, Error>
    where
        S: AsyncFnMut(&ByteRange) -> Result<Vec<u8>, String>,
    {
        let [qkv, output] = self.products();
        let (qkv, output) = (reader.product(&qkv).await?, reader.product(&output).await?);
        let (mut across, mut within) = (Vec::new(), Vec::new());
        for [first, second] in self.scales() {
            across.push(first.load(reader).await?);
            within.push(second.load(reader).await?);
        }
        let [inverted, depth, point] = self.feed();
        let [norm, feed_norm] = self.norms();
        Ok(Vit {
            qkv,
            across,
            within,
            output,
            norm: ChannelNorm::new(norm.load(reader).await?),
            inverted: inverted.load(reader).await?,
            depth: depth.load(reader).await?,
            point: point.load(reader).await?,
            feed_norm: ChannelNorm::new(feed_norm.load(reader).await?),
            head_dim: self.head_dim,
        })
    }
}

/// Linear attention at several scales, then a gated convolution (Cai et al. 2023, EfficientViT).
#[derive(Module, Debug)]
pub struct Vit {
    /// `3 · channels` outputs.
    qkv: Product,
    /// Each channel by itself, at every scale.
    across: Vec<Conv>,
    /// The channels of a head, at every scale.
    within: Vec<Conv>,
    output: Product,
    norm: ChannelNorm,
    inverted: Conv,
    depth: Conv,
    point: Conv,
    feed_norm: ChannelNorm,
    head_dim: usize,
}

impl Vit {
    pub(in crate::diffusion::autoencoder) fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        let x = x.clone() + self.attention(x);
        let h = self.depth.forward(silu(self.inverted.forward(x.clone())));
        let half = h.dims()[1] / 2;
        let gated = h.clone().narrow(1, 0, half) * silu(h.narrow(1, half, half));
        x + self.feed_norm.forward(self.point.forward(gated))
    }

    fn attention(&self, x: Tensor<4>) -> Tensor<4> {
        let [batch, _, height, width] = x.dims();
        let qkv = self.qkv.forward(x.permute([0, 2, 3, 1])).permute([0, 3, 1, 2]);
        let mut scales = vec![qkv.clone()];
        let convs = self.across.iter().zip(&self.within);
        scales.extend(convs.map(|(across, within)| within.forward(across.forward(qkv.clone()))));
        let all = Tensor::cat(scales, 1);
        // A group of channels holds a query, a key and a value, whichever scale it is of.
        let (groups, pixels) = (all.dims()[1] / (3 * self.head_dim), height * width);
        let all: Tensor<4> = all.reshape([batch, groups, 3 * self.head_dim, pixels]);
        let part = |number: usize| all.clone().narrow(2, number * self.head_dim, self.head_dim);
        let mixed = linear_attention(relu(part(0)), relu(part(1)), part(2));
        let mixed: Tensor<4> = mixed.reshape([batch, groups * self.head_dim, height, width]);
        let out = self.output.forward(mixed.permute([0, 2, 3, 1])).permute([0, 3, 1, 2]);
        self.norm.forward(out)
    }
}

/// `V·(Kᵀ·Q) / Σ Kᵀ·Q`, which nothing the size of all pairs of pixels is needed for.
///
/// # Shapes
/// - all: `[batch, groups, head_dim, pixels]`
fn linear_attention(queries: Tensor<4>, keys: Tensor<4>, values: Tensor<4>) -> Tensor<4> {
    const LEAST: f64 = 1e-15;
    let whole = keys.clone().sum_dim(3).swap_dims(2, 3).matmul(queries.clone());
    values.matmul(keys.swap_dims(2, 3)).matmul(queries) / (whole + LEAST)
}

/// What a step to a coarser level is called.
#[derive(Debug, Clone)]
pub(crate) struct DownwardSpec {
    pub conv: ConvSpec,
    shuffle: bool,
    shortcut: bool,
}

impl DownwardSpec {
    pub fn new(name: &str, input: usize, output: usize, shuffle: bool, shortcut: bool) -> Self {
        let conv = |output| ConvSpec::new(format!("{name}.conv"), input, output, 3);
        let conv = if shuffle { conv(output / 4) } else { ConvSpec { stride: 2, ..conv(output) } };
        Self { conv, shuffle, shortcut }
    }

    pub async fn load<S>(&self, reader: &mut Reader<'_, S>) -> Result<Downward, Error>
    where
        S: AsyncFnMut(&ByteRange) -> Result<Vec<u8>, String>,
    {
        let conv = self.conv.load(reader).await?;
        Ok(Downward { conv, shuffle: self.shuffle, shortcut: self.shortcut })
    }
}

/// Half as high and wide.
#[derive(Module, Debug)]
pub struct Downward {
    conv: Conv,
    shuffle: bool,
    shortcut: bool,
}

impl Downward {
    pub(in crate::diffusion::autoencoder) fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        let out = self.conv.forward(x.clone());
        let out = if self.shuffle { unshuffled(out) } else { out };
        if !self.shortcut {
            return out;
        }
        let pixels = unshuffled(x);
        let group = pixels.dims()[1] / out.dims()[1];
        out + averaged(pixels, group)
    }
}

/// What a step to a finer level is called.
#[derive(Debug, Clone)]
pub(crate) struct UpwardSpec {
    pub conv: ConvSpec,
    shuffle: bool,
    shortcut: bool,
}

impl UpwardSpec {
    pub fn new(name: &str, input: usize, output: usize, shuffle: bool, shortcut: bool) -> Self {
        let output = if shuffle { 4 * output } else { output };
        Self { conv: ConvSpec::new(format!("{name}.conv"), input, output, 3), shuffle, shortcut }
    }

    pub async fn load<S>(&self, reader: &mut Reader<'_, S>) -> Result<Upward, Error>
    where
        S: AsyncFnMut(&ByteRange) -> Result<Vec<u8>, String>,
    {
        let conv = self.conv.load(reader).await?;
        Ok(Upward { conv, shuffle: self.shuffle, shortcut: self.shortcut })
    }
}

/// Twice as high and wide.
#[derive(Module, Debug)]
pub struct Upward {
    conv: Conv,
    shuffle: bool,
    shortcut: bool,
}

impl Upward {
    pub(in crate::diffusion::autoencoder) fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        let out = match self.shuffle {
            true => shuffled(self.conv.forward(x.clone())),
            false => self.conv.forward(enlarged(x.clone(), 2)),
        };
        if !self.shortcut {
            return out;
        }
        let times = 4 * out.dims()[1] / x.dims()[1];
        out + shuffled(repeated(x, times))
    }
}
