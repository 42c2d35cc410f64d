//! A row of layers, one after the other: what a half of an autoencoder is.

use super::conv::{Conv, ConvSpec, GroupNorm, NormSpec};
use super::dc::{Downward, DownwardSpec, Ends, EndsSpec, Plain, PlainSpec, Residual, ResidualSpec};
use super::dc::{Upward, UpwardSpec, Vit, VitSpec};
use super::kl::{self, Attention, AttentionSpec, Resnet, ResnetSpec};
use crate::error::Error;
use crate::llm::names::Needed;
use crate::llm::reader::Reader;
use crate::weights::ByteRange;
use burn::module::Module;
use burn::tensor::Tensor;

/// What a layer is called, and its shape.
#[derive(Debug, Clone)]
pub(crate) enum Spec {
    Conv(ConvSpec),
    /// A norm in so many groups, then `silu`.
    Norm(NormSpec, usize),
    Resnet(ResnetSpec),
    Attention(AttentionSpec),
    Up(ConvSpec),
    Plain(PlainSpec),
    Ends(EndsSpec),
    Residual(ResidualSpec),
    Vit(VitSpec),
    Downward(DownwardSpec),
    Upward(UpwardSpec),
}

/// One layer.
#[derive(Module, Debug)]
#[allow(clippy::large_enum_variant, reason = "there are a few dozen, and burn's modules know no boxes")]
pub enum Layer {
    /// A convolution.
    Conv(Conv),
    /// A norm, then `silu`.
    Norm(GroupNorm),
    /// A residual block of AutoencoderKL.
    Resnet(Resnet),
    /// Attention among all pixels.
    Attention(Attention),
    /// Twice as high and wide, then a convolution.
    Up(Conv),
    /// A norm over channels, then an activation.
    Plain(Plain),
    /// A convolution beside a shortcut, at either end of AutoencoderDC's latent.
    Ends(Ends),
    /// A residual block of AutoencoderDC.
    Residual(Residual),
    /// An EfficientViT block.
    Vit(Vit),
    /// Half as high and wide.
    Downward(Downward),
    /// Twice as high and wide.
    Upward(Upward),
}

impl Spec {
    pub fn needed(&self) -> Vec<Needed> {
        match self {
            Self::Conv(spec) | Self::Up(spec) => spec.needed(),
            Self::Norm(spec, _) => spec.needed().into(),
            Self::Resnet(spec) => spec.needed(),
            Self::Attention(spec) => spec.needed(),
            Self::Plain(spec) => spec.norm.needed().into(),
            Self::Ends(spec) => spec.conv.needed(),
            Self::Residual(spec) => spec.needed(),
            Self::Vit(spec) => spec.needed(),
            Self::Downward(spec) => spec.conv.needed(),
            Self::Upward(spec) => spec.conv.needed(),
        }
    }

    async fn load<S>(&self, reader: &mut Reader<'_, S>) -> Result<Layer, Error>
    where
        S: AsyncFnMut(&ByteRange) -> Result<Vec<u8>, String>,
    {
        Ok(match self {
            Self::Conv(spec) => Layer::Conv(spec.load(reader).await?),
            Self::Norm(spec, groups) => Layer::Norm(GroupNorm::new(spec.load(reader).await?, *groups)),
            Self::Resnet(spec) => Layer::Resnet(spec.load(reader).await?),
            Self::Attention(spec) => Layer::Attention(spec.load(reader).await?),
            Self::Up(spec) => Layer::Up(spec.load(reader).await?),
            Self::Plain(spec) => Layer::Plain(spec.load(reader).await?),
            Self::Ends(spec) => Layer::Ends(spec.load(reader).await?),
            Self::Residual(spec) => Layer::Residual(spec.load(reader).await?),
            Self::Vit(spec) => Layer::Vit(spec.load(reader).await?),
            Self::Downward(spec) => Layer::Downward(spec.load(reader).await?),
            Self::Upward(spec) => Layer::Upward(spec.load(reader).await?),
        })
    }
}

/// Layers in a row.
#[derive(Module, Debug)]
pub struct Network {
    /// In the order in which they run.
    pub layers: Vec<Layer>,
}

impl Network {
    pub(super) async fn load<S>(specs: &[Spec], reader: &mut Reader<'_, S>) -> Result<Self, Error>
    where
        S: AsyncFnMut(&ByteRange) -> Result<Vec<u8>, String>,
    {
        let mut layers = Vec::with_capacity(specs.len());
        for spec in specs {
            layers.push(spec.load(reader).await?);
        }
        Ok(Self { layers })
    }

    /// # Shapes
    /// - `x` and the result: `[batch, channels, height, width]`
    #[must_use]
    pub fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        self.layers.iter().fold(x, |x, layer| layer.forward(x))
    }
}

impl Layer {
    /// # Shapes
    /// - `x` and the result: `[batch, channels, height, width]`
    #[must_use]
    pub fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        match self {
            Self::Conv(conv) => conv.forward(x),
            Self::Norm(norm) => norm.activated(x),
            Self::Resnet(resnet) => resnet.forward(x),
            Self::Attention(attention) => attention.forward(x),
            Self::Up(conv) => kl::up(conv, x),
            Self::Plain(plain) => plain.forward(x),
            Self::Ends(ends) => ends.forward(x),
            Self::Residual(residual) => residual.forward(x),
            Self::Vit(vit) => vit.forward(x),
            Self::Downward(down) => down.forward(x),
            Self::Upward(up) => up.forward(x),
        }
    }
}
