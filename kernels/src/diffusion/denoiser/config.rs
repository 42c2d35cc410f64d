//! The shape of a PRX denoiser, from its `config.json`.

use crate::diffusion::json::{self, Bound};
use crate::error::Error;
use crate::limits;
use serde::Deserialize;
use serde_json::{Value, json};

/// What diffusers calls it.
pub(crate) const CLASS: &str = "PRXTransformer2DModel";

/// The shape of a PRX denoiser (Photoroom; diffusers' `transformer_prx.py`).
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    /// Channels of what it denoises: 16 in Flux's latents, 3 for pixels.
    pub channels: usize,
    /// A token is a square of so many latent pixels on a side.
    pub patch: usize,
    /// Channels of the text encoder's rows.
    pub text_width: usize,
    /// Channels of a hidden state.
    pub width: usize,
    /// Channels of the feed-forward layer.
    pub ff_width: usize,
    /// Attention heads.
    pub heads: usize,
    /// Blocks.
    pub depth: usize,
    /// Channels of a head that turn with the row, and with the column.
    pub axes: [usize; 2],
    /// Base of the rotary frequencies.
    pub theta: f64,
    /// What times between 0 and 1 are multiplied with.
    pub time_factor: f64,
    /// Longest period of the embeddings of time and resolution.
    pub time_period: f64,
    /// Patches go through so few channels on their way in (the pixel form).
    pub bottleneck: Option<usize>,
    /// Height and width condition the model (the pixel form).
    pub resolution: bool,
}

#[derive(Deserialize)]
#[serde(default)]
struct Raw {
    in_channels: usize,
    patch_size: usize,
    context_in_dim: usize,
    hidden_size: usize,
    mlp_ratio: f64,
    num_heads: usize,
    depth: usize,
    axes_dim: Option<Vec<usize>>,
    theta: f64,
    time_factor: f64,
    time_max_period: f64,
    bottleneck_size: Option<usize>,
    resolution_embeds: Option<bool>,
}

impl Default for Raw {
    /// What the class takes where the file says nothing.
    fn default() -> Self {
        Self {
            in_channels: 16,
            patch_size: 2,
            context_in_dim: 2304,
            hidden_size: 1792,
            mlp_ratio: 3.5,
            num_heads: 28,
            depth: 16,
            axes_dim: None,
            theta: 10_000.0,
            time_factor: 1000.0,
            time_max_period: 10_000.0,
            bottleneck_size: None,
            resolution_embeds: None,
        }
    }
}

impl Config {
    /// Reads `transformer/config.json`.
    ///
    /// # Errors
    /// [`Error::Config`] or [`Error::Architecture`] if it cannot be read, is of another class, or asks for the impossible.
    pub fn from_json(json: &[u8]) -> Result<Self, Error> {
        let raw: Raw = json::read(json, &[CLASS])?;
        let axes = raw.axes_dim.unwrap_or_else(|| vec![32, 32]);
        let [rows, columns] = *axes.as_slice() else {
            return Err(Error::Config(format!(
                "axes_dim has {} entries; rows and columns are 2",
                axes.len()
            )));
        };
        let config = Self {
            channels: raw.in_channels,
            patch: raw.patch_size,
            text_width: raw.context_in_dim,
            width: raw.hidden_size,
            // Python's int() cuts off.
            ff_width: (raw.hidden_size as f64 * raw.mlp_ratio) as usize,
            heads: raw.num_heads,
            depth: raw.depth,
            axes: [rows, columns],
            theta: raw.theta,
            time_factor: raw.time_factor,
            time_period: raw.time_max_period,
            bottleneck: raw.bottleneck_size,
            resolution: raw.resolution_embeds.unwrap_or(false),
        };
        config.check()?;
        Ok(config)
    }

    /// The file that [`Config::from_json`] reads.
    #[must_use]
    pub fn to_json(&self) -> Value {
        json!({
            "_class_name": CLASS,
            "in_channels": self.channels,
            "patch_size": self.patch,
            "context_in_dim": self.text_width,
            "hidden_size": self.width,
            "mlp_ratio": self.ff_width as f64 / self.width as f64,
            "num_heads": self.heads,
            "depth": self.depth,
            "axes_dim": self.axes,
            "theta": self.theta,
            "time_factor": self.time_factor,
            "time_max_period": self.time_period,
            "bottleneck_size": self.bottleneck,
            "resolution_embeds": self.resolution,
        })
    }

    /// Numbers of one token's patch.
    #[must_use]
    pub const fn patch_numbers(&self) -> usize {
        self.channels * self.patch * self.patch
    }

    /// Channels of a head.
    #[must_use]
    pub const fn head_dim(&self) -> usize {
        self.width / self.heads
    }

    fn check(&self) -> Result<(), Error> {
        let bounds = [
            Bound("in_channels", self.channels, limits::LATENT_CHANNELS),
            Bound("patch_size", self.patch, limits::PATCH),
            Bound("context_in_dim", self.text_width, limits::WIDTH),
            Bound("hidden_size", self.width, limits::WIDTH),
            Bound("hidden_size · mlp_ratio", self.ff_width, limits::WIDTH),
            Bound("num_heads", self.heads, limits::HEADS),
            Bound("depth", self.depth, limits::LAYERS),
            Bound("bottleneck_size", self.bottleneck.unwrap_or(1), limits::WIDTH),
        ];
        json::check(&bounds)?;
        json::check(&[Bound("in_channels · patch_size²", self.patch_numbers(), limits::WIDTH)])?;
        let bad = |what: String| Err(Error::Config(what));
        if !self.width.is_multiple_of(self.heads) {
            return bad(format!("hidden_size {} is no multiple of num_heads {}", self.width, self.heads));
        }
        let [rows, columns] = self.axes;
        let fits = rows.checked_add(columns) == Some(self.head_dim());
        if !fits || !rows.is_multiple_of(2) || !columns.is_multiple_of(2) {
            let dim = self.head_dim();
            return bad(format!("axes_dim {:?} have to be even and add up to a head's {dim}", self.axes));
        }
        let positive = |x: f64| x.is_finite() && x > 0.0;
        if !(positive(self.theta) && positive(self.time_factor) && positive(self.time_period)) {
            return bad("theta, time_factor and time_max_period have to be positive numbers".into());
        }
        Ok(())
    }
}
