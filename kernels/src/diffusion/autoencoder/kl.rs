//! AutoencoderKL (Rombach et al. 2022) in the form of Flux: convolutions, and one attention in the middle.

use super::conv::{Conv, ConvSpec, GroupNorm, NormSpec, enlarged};
use super::{Network, Spec};
use crate::diffusion::json::{self, Bound};
use crate::error::Error;
use crate::limits;
use crate::llm::Product;
use crate::llm::names::{Needed, ProductNames};
use crate::llm::reader::Reader;
use crate::ops::attention::full::{Shape, attend};
use crate::weights::ByteRange;
use burn::module::Module;
use burn::tensor::Tensor;
use serde::Deserialize;

/// What diffusers calls it.
pub(crate) const CLASS: &str = "AutoencoderKL";

/// The shape of an AutoencoderKL (diffusers' `autoencoder_kl.py`, `vae.py`).
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    /// Channels of a picture.
    pub channels: usize,
    /// Channels of a latent.
    pub latent_channels: usize,
    /// Channels of each level, the finest first; each is half as wide as the one before.
    pub levels: Vec<usize>,
    /// Residual blocks of each level of the encoder; the decoder has one more.
    pub blocks: usize,
    /// Groups of the norms.
    pub groups: usize,
    /// Attention in the middle.
    pub attention: bool,
    /// Products before and behind the latent.
    pub quant: [bool; 2],
    /// What a latent is multiplied with for the denoiser.
    pub scale: f64,
    /// What is taken away before that.
    pub shift: f64,
}

#[derive(Deserialize)]
#[serde(default)]
struct Raw {
    in_channels: usize,
    out_channels: usize,
    latent_channels: usize,
    block_out_channels: Vec<usize>,
    down_block_types: Option<Vec<String>>,
    up_block_types: Option<Vec<String>>,
    layers_per_block: usize,
    act_fn: String,
    norm_num_groups: usize,
    mid_block_add_attention: bool,
    use_quant_conv: bool,
    use_post_quant_conv: bool,
    scaling_factor: f64,
    shift_factor: Option<f64>,
}

impl Default for Raw {
    /// What the class takes where the file says nothing.
    fn default() -> Self {
        Self {
            in_channels: 3,
            out_channels: 3,
            latent_channels: 4,
            block_out_channels: vec![64],
            down_block_types: None,
            up_block_types: None,
            layers_per_block: 1,
            act_fn: "silu".into(),
            norm_num_groups: 32,
            mid_block_add_attention: true,
            use_quant_conv: true,
            use_post_quant_conv: true,
            scaling_factor: 0.18215,
            shift_factor: None,
        }
    }
}

impl Config {
    /// Reads `vae/config.json`.
    ///
    /// # Errors
    /// [`Error::Config`] or [`Error::Architecture`] if it cannot be read, is of another class, or asks for the impossible.
    pub fn from_json(json: &[u8]) -> Result<Self, Error> {
        let raw: Raw = json::read(json, &[CLASS])?;
        raw.check()?;
        Ok(Self {
            channels: raw.in_channels,
            latent_channels: raw.latent_channels,
            levels: raw.block_out_channels,
            blocks: raw.layers_per_block,
            groups: raw.norm_num_groups,
            attention: raw.mid_block_add_attention,
            quant: [raw.use_quant_conv, raw.use_post_quant_conv],
            scale: raw.scaling_factor,
            shift: raw.shift_factor.unwrap_or(0.0),
        })
    }

    pub(super) fn encoder(&self) -> Vec<Spec> {
        let mut specs = Specs::new("encoder", self.groups);
        let mut width = self.levels[0];
        specs.conv("conv_in", self.channels, width);
        for (level, &channels) in self.levels.iter().enumerate() {
            for block in 0..self.blocks {
                specs.resnet(&format!("down_blocks.{level}.resnets.{block}"), width, channels);
                width = channels;
            }
            if level + 1 < self.levels.len() {
                specs.down(&format!("down_blocks.{level}.downsamplers.0.conv"), width);
            }
        }
        specs.middle(width, self.attention);
        specs.norm("conv_norm_out", width);
        specs.conv("conv_out", width, 2 * self.latent_channels);
        if self.quant[0] {
            specs.quant("quant_conv", 2 * self.latent_channels);
        }
        specs.all
    }

    pub(super) fn decoder(&self) -> Vec<Spec> {
        let mut specs = Specs::new("decoder", self.groups);
        if self.quant[1] {
            specs.quant("post_quant_conv", self.latent_channels);
        }
        let mut width = self.levels[self.levels.len() - 1];
        specs.conv("conv_in", self.latent_channels, width);
        specs.middle(width, self.attention);
        for (level, &channels) in self.levels.iter().rev().enumerate() {
            for block in 0..=self.blocks {
                specs.resnet(&format!("up_blocks.{level}.resnets.{block}"), width, channels);
                width = channels;
            }
            if level + 1 < self.levels.len() {
                specs.up(&format!("up_blocks.{level}.upsamplers.0.conv"), width);
            }
        }
        specs.norm("conv_norm_out", width);
        specs.conv("conv_out", width, self.channels);
        specs.all
    }
}

impl Raw {
    fn check(&self) -> Result<(), Error> {
        let bounds = [
            Bound("in_channels", self.in_channels, limits::LATENT_CHANNELS),
            Bound("latent_channels", self.latent_channels, limits::LATENT_CHANNELS),
            Bound("number of block_out_channels", self.block_out_channels.len(), super::LEVELS),
            Bound("layers_per_block", self.layers_per_block, limits::CONVOLUTIONS),
            Bound("norm_num_groups", self.norm_num_groups, limits::WIDTH),
        ];
        json::check(&bounds)?;
        let bad = |what: String| Err(Error::Config(what));
        for &channels in &self.block_out_channels {
            json::check(&[Bound("block_out_channels", channels, limits::WIDTH)])?;
            if !channels.is_multiple_of(self.norm_num_groups) {
                let groups = self.norm_num_groups;
                return bad(format!("{channels} channels are not whole groups for norm_num_groups {groups}"));
            }
        }
        if self.in_channels != self.out_channels {
            return bad(format!("in_channels {} but out_channels {}", self.in_channels, self.out_channels));
        }
        let kinds =
            [(&self.down_block_types, "DownEncoderBlock2D"), (&self.up_block_types, "UpDecoderBlock2D")];
        for (found, known) in kinds {
            if let Some(other) = found.iter().flatten().find(|kind| *kind != known) {
                return bad(format!("a block of type {other}; {known} is supported"));
            }
        }
        if self.act_fn != "silu" {
            return bad(format!("act_fn {:?}; \"silu\" is supported", self.act_fn));
        }
        super::check_scale(self.scaling_factor, self.shift_factor.unwrap_or(0.0))
    }
}

/// Layers in their order, as they are listed.
struct Specs {
    half: &'static str,
    groups: usize,
    all: Vec<Spec>,
}

impl Specs {
    const fn new(half: &'static str, groups: usize) -> Self {
        Self { half, groups, all: Vec::new() }
    }

    fn of(&self, part: &str) -> String {
        format!("{}.{part}", self.half)
    }

    fn conv(&mut self, part: &str, input: usize, output: usize) {
        self.all.push(Spec::Conv(ConvSpec::new(self.of(part), input, output, 3)));
    }

    fn quant(&mut self, name: &str, channels: usize) {
        self.all.push(Spec::Conv(ConvSpec::new(name.into(), channels, channels, 1)));
    }

    fn norm(&mut self, part: &str, channels: usize) {
        self.all.push(Spec::Norm(NormSpec { name: self.of(part), channels }, self.groups));
    }

    fn resnet(&mut self, part: &str, input: usize, output: usize) {
        self.all.push(Spec::Resnet(ResnetSpec::new(&self.of(part), input, output, self.groups)));
    }

    fn up(&mut self, part: &str, channels: usize) {
        self.all.push(Spec::Up(ConvSpec::new(self.of(part), channels, channels, 3)));
    }

    /// Zeros only to the right and below.
    fn down(&mut self, part: &str, channels: usize) {
        let conv = ConvSpec::new(self.of(part), channels, channels, 3);
        self.all.push(Spec::Conv(ConvSpec { stride: 2, padding: (0, 1), ..conv }));
    }

    fn middle(&mut self, channels: usize, attention: bool) {
        self.resnet("mid_block.resnets.0", channels, channels);
        if attention {
            let name = self.of("mid_block.attentions.0");
            self.all.push(Spec::Attention(AttentionSpec { name, channels, groups: self.groups }));
        }
        self.resnet("mid_block.resnets.1", channels, channels);
    }
}

/// What a residual block is called, and its shape.
#[derive(Debug, Clone)]
pub(crate) struct ResnetSpec {
    norms: [NormSpec; 2],
    convs: [ConvSpec; 2],
    shortcut: Option<ConvSpec>,
    groups: usize,
}

impl ResnetSpec {
    fn new(name: &str, input: usize, output: usize, groups: usize) -> Self {
        let of = |part: &str| format!("{name}.{part}");
        let norm = |part: &str, channels| NormSpec { name: of(part), channels };
        let shortcut = ConvSpec::new(of("conv_shortcut"), input, output, 1);
        Self {
            norms: [norm("norm1", input), norm("norm2", output)],
            convs: [
                ConvSpec::new(of("conv1"), input, output, 3),
                ConvSpec::new(of("conv2"), output, output, 3),
            ],
            shortcut: (input != output).then_some(shortcut),
            groups,
        }
    }

    pub fn needed(&self) -> Vec<Needed> {
        let norms = self.norms.iter().flat_map(NormSpec::needed);
        norms.chain(self.convs.iter().chain(&self.shortcut).flat_map(ConvSpec::needed)).collect()
    }

    pub async fn load<S>(&self, reader: &mut Reader<'_, S>) -> Result<Resnet, Error>
    where
        S: AsyncFnMut(&ByteRange) -> Result<Vec<u8>, String>,
    {
        let [first, second] = &self.norms;
        let first_norm = GroupNorm::new(first.load(reader).await?, self.groups);
        let second_norm = GroupNorm::new(second.load(reader).await?, self.groups);
        let [first, second] = &self.convs;
        let (first, second) = (first.load(reader).await?, second.load(reader).await?);
        let shortcut = match &self.shortcut {
            Some(shortcut) => Some(shortcut.load(reader).await?),
            None => None,
        };
        Ok(Resnet { first_norm, first, second_norm, second, shortcut })
    }
}

/// `shortcut(x) + conv(silu(norm(conv(silu(norm(x))))))`.
#[derive(Module, Debug)]
pub struct Resnet {
    /// Of the input.
    pub first_norm: GroupNorm,
    /// To the width of the output.
    pub first: Conv,
    /// In between.
    pub second_norm: GroupNorm,
    /// The second convolution.
    pub second: Conv,
    /// Where the width changes.
    pub shortcut: Option<Conv>,
}

impl Resnet {
    /// # Shapes
    /// - `x`: `[batch, input, height, width]`
    /// - result: `[batch, output, height, width]`
    #[must_use]
    pub fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        let h = self.first.forward(self.first_norm.activated(x.clone()));
        let h = self.second.forward(self.second_norm.activated(h));
        match &self.shortcut {
            Some(shortcut) => shortcut.forward(x) + h,
            None => x + h,
        }
    }
}

/// What an attention is called, and its shape.
#[derive(Debug, Clone)]
pub(crate) struct AttentionSpec {
    name: String,
    channels: usize,
    groups: usize,
}

impl AttentionSpec {
    fn norm(&self) -> NormSpec {
        NormSpec { name: format!("{}.group_norm", self.name), channels: self.channels }
    }

    fn products(&self) -> [ProductNames; 2] {
        let (of, width) = (|part: &str| (format!("{}.{part}", self.name), self.channels), self.channels);
        [
            ProductNames::new([of("to_q"), of("to_k"), of("to_v")], width, true),
            ProductNames::new([of("to_out.0")], width, true),
        ]
    }

    pub fn needed(&self) -> Vec<Needed> {
        let products = self.products().into_iter().flat_map(ProductNames::into_all);
        self.norm().needed().into_iter().chain(products).collect()
    }

    pub async fn load<S>(&self, reader: &mut Reader<'_, S>) -> Result<Attention, Error>
    where
        S: AsyncFnMut(&ByteRange) -> Result<Vec<u8>, String>,
    {
        let [qkv, output] = self.products();
        let norm = GroupNorm::new(self.norm().load(reader).await?, self.groups);
        Ok(Attention { norm, qkv: reader.product(&qkv).await?, output: reader.product(&output).await? })
    }
}

/// Attention among all pixels, with a single head.
#[derive(Module, Debug)]
pub struct Attention {
    /// Before it.
    pub norm: GroupNorm,
    /// `3 · channels` outputs.
    pub qkv: Product,
    /// `channels` outputs.
    pub output: Product,
}

impl Attention {
    /// # Shapes
    /// - `x` and the result: `[batch, channels, height, width]`
    #[must_use]
    pub fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        let shape @ [batch, channels, height, width] = x.dims();
        let rows: Tensor<3> = self.norm.forward(x.clone()).reshape([batch, channels, height * width]);
        let qkv = self.qkv.forward(rows.swap_dims(1, 2));
        let part = |number: usize| qkv.clone().narrow(2, number * channels, channels);
        let scale = (channels as f32).powf(-0.5);
        let single = Shape { heads: 1, kv_heads: 1, head_dim: channels, scale, soft_cap: None, window: None };
        let mixed = attend(part(0), part(1), part(2), None, &single);
        x + self.output.forward(mixed).swap_dims(1, 2).reshape(shape)
    }
}

/// Twice as high and wide, then a convolution.
pub(super) fn up(conv: &Conv, x: Tensor<4>) -> Tensor<4> {
    conv.forward(enlarged(x, 2))
}

/// The mean of what an encoder says: its first channels.
pub(super) fn mean(network: &Network, x: Tensor<4>, latent_channels: usize) -> Tensor<4> {
    network.forward(x).narrow(1, 0, latent_channels)
}
