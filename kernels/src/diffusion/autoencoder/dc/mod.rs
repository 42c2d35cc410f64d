//! AutoencoderDC (Chen et al. 2024, deep compression): pixels move into channels and back, with linear attention in the
//! coarse levels.

mod layers;

pub use layers::{ChannelNorm, Downward, Ends, Plain, Residual, Upward, Vit};
pub(crate) use layers::{DownwardSpec, EndsSpec, PlainSpec, ResidualSpec, UpwardSpec, VitSpec};

use super::Spec;
use super::conv::{ConvSpec, NormSpec};
use crate::diffusion::json::{self, Bound};
use crate::error::Error;
use crate::limits;
use serde::Deserialize;

/// What diffusers calls it.
pub(crate) const CLASS: &str = "AutoencoderDC";

/// The shape of an AutoencoderDC (diffusers' `autoencoder_dc.py`).
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    /// Channels of a picture.
    pub channels: usize,
    /// Channels of a latent.
    pub latent_channels: usize,
    /// Channels of a head of its linear attention.
    pub head_dim: usize,
    /// Pictures to latents.
    pub encoder: HalfConfig,
    /// Latents to pictures.
    pub decoder: HalfConfig,
    /// What a latent is multiplied with for the denoiser.
    pub scale: f64,
}

/// One half of it.
#[derive(Debug, Clone, PartialEq)]
pub struct HalfConfig {
    /// Levels, the finest first; each is half as wide as the one before.
    pub levels: Vec<Level>,
    /// Pixels move into channels and back; otherwise a convolution skips them, or repeats them.
    pub shuffle: bool,
    /// A shortcut beside the convolution at the latent.
    pub shortcut: bool,
    /// After the last norm of the decoder.
    pub last: Activation,
}

/// One level.
#[derive(Debug, Clone, PartialEq)]
pub struct Level {
    /// Channels.
    pub channels: usize,
    /// Blocks.
    pub blocks: usize,
    /// EfficientViT blocks with convolutions of these sides beside the plain queries, keys and values; otherwise residual
    /// blocks.
    pub attention: Option<Vec<usize>>,
    /// In the residual blocks.
    pub activation: Activation,
}

/// What a number goes through.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Default)]
#[serde(rename_all = "lowercase")]
pub enum Activation {
    /// `x / (1 + e⁻ˣ)`
    #[default]
    Silu,
    /// `max(x, 0)`
    Relu,
}

/// One for all levels, or one for each.
#[derive(Debug, Clone, Deserialize)]
#[serde(untagged)]
enum PerLevel {
    One(String),
    Each(Vec<String>),
}

impl PerLevel {
    fn of(&self, level: usize) -> &str {
        match self {
            Self::One(all) => all,
            Self::Each(each) => each.get(level).map_or("", String::as_str),
        }
    }
}

#[derive(Deserialize)]
#[serde(default)]
struct Raw {
    in_channels: usize,
    latent_channels: usize,
    attention_head_dim: usize,
    encoder_block_types: PerLevel,
    decoder_block_types: PerLevel,
    encoder_block_out_channels: Vec<usize>,
    decoder_block_out_channels: Vec<usize>,
    encoder_layers_per_block: Vec<usize>,
    decoder_layers_per_block: Vec<usize>,
    encoder_qkv_multiscales: Vec<Vec<usize>>,
    decoder_qkv_multiscales: Vec<Vec<usize>>,
    upsample_block_type: String,
    downsample_block_type: String,
    decoder_norm_types: PerLevel,
    decoder_act_fns: PerLevel,
    encoder_out_shortcut: bool,
    decoder_in_shortcut: bool,
    decoder_conv_act_fn: String,
    scaling_factor: f64,
}

impl Default for Raw {
    /// What the class takes where the file says nothing.
    fn default() -> Self {
        let widths = || vec![128, 256, 512, 512, 1024, 1024];
        let one = |text: &str| PerLevel::One(text.into());
        let scales = || vec![vec![], vec![], vec![], vec![5], vec![5], vec![5]];
        Self {
            in_channels: 3,
            latent_channels: 32,
            attention_head_dim: 32,
            encoder_block_types: one("ResBlock"),
            decoder_block_types: one("ResBlock"),
            encoder_block_out_channels: widths(),
            decoder_block_out_channels: widths(),
            encoder_layers_per_block: vec![2, 2, 2, 3, 3, 3],
            decoder_layers_per_block: vec![3; 6],
            encoder_qkv_multiscales: scales(),
            decoder_qkv_multiscales: scales(),
            upsample_block_type: "pixel_shuffle".into(),
            downsample_block_type: "pixel_unshuffle".into(),
            decoder_norm_types: one("rms_norm"),
            decoder_act_fns: one("silu"),
            encoder_out_shortcut: true,
            decoder_in_shortcut: true,
            decoder_conv_act_fn: "relu".into(),
            scaling_factor: 1.0,
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
        let bounds = [
            Bound("in_channels", raw.in_channels, limits::LATENT_CHANNELS),
            Bound("latent_channels", raw.latent_channels, limits::LATENT_CHANNELS),
            Bound("attention_head_dim", raw.attention_head_dim, limits::HEADS),
        ];
        json::check(&bounds)?;
        super::check_scale(raw.scaling_factor, 0.0)?;
        let config = Self {
            channels: raw.in_channels,
            latent_channels: raw.latent_channels,
            head_dim: raw.attention_head_dim,
            encoder: raw.encoder()?,
            decoder: raw.decoder()?,
            scale: raw.scaling_factor,
        };
        config.check()?;
        Ok(config)
    }

    fn check(&self) -> Result<(), Error> {
        let bad = |what: String| Err(Error::Config(what));
        for half in [&self.encoder, &self.decoder] {
            if half.levels.len() != self.encoder.levels.len() {
                return bad("encoder and decoder have different numbers of levels".into());
            }
            for level in &half.levels {
                if level.attention.is_some() && !level.channels.is_multiple_of(self.head_dim) {
                    let (channels, dim) = (level.channels, self.head_dim);
                    return bad(format!("{channels} channels are not whole heads of {dim}"));
                }
            }
            let coarsest = half.levels.last().map_or(0, |level| level.channels);
            if half.shortcut && !coarsest.is_multiple_of(self.latent_channels) {
                return bad(format!(
                    "{coarsest} channels cannot become {} by a shortcut",
                    self.latent_channels
                ));
            }
            for pair in half.levels.windows(2) {
                let (fine, coarse) = (pair[0].channels, pair[1].channels);
                // What moves between pixels and channels has to come out even, in both directions.
                if !(4 * fine).is_multiple_of(coarse) || !coarse.is_multiple_of(4) {
                    return bad(format!("levels of {fine} and {coarse} channels cannot follow one another"));
                }
            }
        }
        Ok(())
    }

    pub(super) fn encoder(&self) -> Vec<Spec> {
        let (half, levels) = (&self.encoder, &self.encoder.levels);
        let mut all = Vec::new();
        let widest = &levels[0];
        if widest.blocks > 0 {
            let conv = ConvSpec::new("encoder.conv_in".into(), self.channels, widest.channels, 3);
            all.push(Spec::Conv(conv));
        } else {
            let into = levels.get(1).unwrap_or(widest).channels;
            all.push(Spec::Downward(DownwardSpec::new(
                "encoder.conv_in",
                self.channels,
                into,
                half.shuffle,
                false,
            )));
        }
        for (number, level) in levels.iter().enumerate() {
            let name = |block: usize| format!("encoder.down_blocks.{number}.{block}");
            all.extend((0..level.blocks).map(|block| self.block(&name(block), level)));
            if let Some(next) = levels.get(number + 1).filter(|_| level.blocks > 0) {
                let name = name(level.blocks);
                all.push(Spec::Downward(DownwardSpec::new(
                    &name,
                    level.channels,
                    next.channels,
                    half.shuffle,
                    true,
                )));
            }
        }
        let coarsest = levels[levels.len() - 1].channels;
        let conv = ConvSpec::new("encoder.conv_out".into(), coarsest, self.latent_channels, 3);
        all.push(Spec::Ends(EndsSpec { conv, shortcut: half.shortcut }));
        all
    }

    pub(super) fn decoder(&self) -> Vec<Spec> {
        let (half, levels) = (&self.decoder, &self.decoder.levels);
        let coarsest = levels[levels.len() - 1].channels;
        let conv = ConvSpec::new("decoder.conv_in".into(), self.latent_channels, coarsest, 3);
        let mut all = vec![Spec::Ends(EndsSpec { conv, shortcut: half.shortcut })];
        for (number, level) in levels.iter().enumerate().rev() {
            let name = |block: usize| format!("decoder.up_blocks.{number}.{block}");
            let next = levels.get(number + 1).filter(|_| level.blocks > 0);
            if let Some(next) = next {
                all.push(Spec::Upward(UpwardSpec::new(
                    &name(0),
                    next.channels,
                    level.channels,
                    half.shuffle,
                    true,
                )));
            }
            let first = usize::from(next.is_some());
            all.extend((0..level.blocks).map(|block| self.block(&name(first + block), level)));
        }
        let widest = &levels[0];
        let last = if widest.blocks > 0 { widest } else { levels.get(1).unwrap_or(widest) };
        let norm = NormSpec { name: "decoder.norm_out".into(), channels: last.channels };
        all.push(Spec::Plain(PlainSpec { norm, activation: half.last }));
        if widest.blocks > 0 {
            let conv = ConvSpec::new("decoder.conv_out".into(), last.channels, self.channels, 3);
            all.push(Spec::Conv(conv));
        } else {
            let up = UpwardSpec::new("decoder.conv_out", last.channels, self.channels, half.shuffle, false);
            all.push(Spec::Upward(up));
        }
        all
    }

    fn block(&self, name: &str, level: &Level) -> Spec {
        match &level.attention {
            None => Spec::Residual(ResidualSpec::new(name, level.channels, level.activation)),
            Some(sides) => Spec::Vit(VitSpec {
                name: name.into(),
                channels: level.channels,
                head_dim: self.head_dim,
                sides: sides.clone(),
            }),
        }
    }
}

impl Raw {
    fn encoder(&self) -> Result<HalfConfig, Error> {
        let shuffle = kind(&self.downsample_block_type, "downsample_block_type", "pixel_unshuffle", "conv")?;
        let widths = &self.encoder_block_out_channels;
        let levels = levels(
            widths,
            &self.encoder_layers_per_block,
            &self.encoder_block_types,
            &self.encoder_qkv_multiscales,
            |_| Ok(Activation::Silu),
        )?;
        Ok(HalfConfig { levels, shuffle, shortcut: self.encoder_out_shortcut, last: Activation::Silu })
    }

    fn decoder(&self) -> Result<HalfConfig, Error> {
        let shuffle = kind(&self.upsample_block_type, "upsample_block_type", "pixel_shuffle", "interpolate")?;
        let widths = &self.decoder_block_out_channels;
        for level in 0..widths.len() {
            let norm = self.decoder_norm_types.of(level);
            if norm != "rms_norm" {
                return Err(Error::Config(format!("decoder_norm_types {norm:?}; \"rms_norm\" is supported")));
            }
        }
        let levels = levels(
            widths,
            &self.decoder_layers_per_block,
            &self.decoder_block_types,
            &self.decoder_qkv_multiscales,
            |level| activation(self.decoder_act_fns.of(level)),
        )?;
        let last = activation(&self.decoder_conv_act_fn)?;
        Ok(HalfConfig { levels, shuffle, shortcut: self.decoder_in_shortcut, last })
    }
}

/// True for the first of two kinds of block. Files write the second in upper or lower case.
fn kind(found: &str, field: &str, first: &str, second: &str) -> Result<bool, Error> {
    match found {
        _ if found.eq_ignore_ascii_case(first) => Ok(true),
        _ if found.eq_ignore_ascii_case(second) => Ok(false),
        _ => Err(Error::Config(format!("{field} {found:?}; {first:?} and {second:?} are supported"))),
    }
}

fn activation(name: &str) -> Result<Activation, Error> {
    match name {
        "silu" => Ok(Activation::Silu),
        "relu" => Ok(Activation::Relu),
        _ => Err(Error::Config(format!("an activation {name:?}; \"silu\" and \"relu\" are supported"))),
    }
}

fn levels(
    widths: &[usize],
    blocks: &[usize],
    types: &PerLevel,
    scales: &[Vec<usize>],
    activation: impl Fn(usize) -> Result<Activation, Error>,
) -> Result<Vec<Level>, Error> {
    json::check(&[Bound("number of block_out_channels", widths.len(), super::LEVELS)])?;
    if blocks.len() != widths.len() || scales.len() != widths.len() {
        return Err(Error::Config(format!(
            "{} levels, but layers_per_block and qkv_multiscales of {} and {}",
            widths.len(),
            blocks.len(),
            scales.len()
        )));
    }
    if blocks[1..].contains(&0) {
        return Err(Error::Config(
            "layers_per_block is 0 beyond the first level: no pixels would move".into(),
        ));
    }
    let level = |number: usize| {
        json::check(&[
            Bound("block_out_channels", widths[number], limits::WIDTH),
            Bound("layers_per_block", blocks[number].max(1), limits::CONVOLUTIONS),
        ])?;
        let sides = &scales[number];
        if sides.len() > super::LEVELS || sides.iter().any(|side| side.is_multiple_of(2) || *side > 31) {
            return Err(Error::Config(format!(
                "qkv_multiscales {sides:?}; a few odd ones up to 31 are supported"
            )));
        }
        let attention = match types.of(number) {
            "ResBlock" => None,
            "EfficientViTBlock" => Some(sides.clone()),
            other => {
                let known = "ResBlock and EfficientViTBlock are supported";
                return Err(Error::Config(format!("a block of type {other:?}; {known}")));
            }
        };
        let activation = activation(number)?;
        Ok(Level { channels: widths[number], blocks: blocks[number], attention, activation })
    };
    (0..widths.len()).map(level).collect()
}
