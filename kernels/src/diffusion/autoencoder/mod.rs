//! Autoencoders: a latent becomes a picture, and the other way round.

mod conv;
pub mod dc;
pub mod kl;
mod network;
mod tiles;

pub use conv::{Conv, GroupNorm};
pub(crate) use network::Spec;
pub use network::{Layer, Network};
pub use tiles::{Canvas, Tile, tiles};

use crate::diffusion::json;
use crate::error::Error;
use crate::llm::reader::Reader;
use crate::weights::{ByteRange, Header};
use burn::module::Module;
use burn::tensor::{Device, Tensor};

/// Levels of an autoencoder. Source: the deepest published one has 7 (64 pixels to one).
const LEVELS: usize = 8;

/// Classes of diffusers that are known here.
pub(crate) const CLASSES: [&str; 2] = [kl::CLASS, dc::CLASS];

/// The shape of an autoencoder, of whichever class.
#[derive(Debug, Clone, PartialEq)]
pub enum Config {
    /// AutoencoderKL.
    Kl(kl::Config),
    /// AutoencoderDC.
    Dc(dc::Config),
}

impl Config {
    /// Reads `vae/config.json`.
    ///
    /// # Errors
    /// [`Error::Config`] or [`Error::Architecture`] if it cannot be read, is of another class, or asks for the impossible.
    pub fn from_json(json: &[u8]) -> Result<Self, Error> {
        let found = json::Class::of(json)?.class.unwrap_or_default();
        match found.as_str() {
            kl::CLASS => kl::Config::from_json(json).map(Self::Kl),
            dc::CLASS => dc::Config::from_json(json).map(Self::Dc),
            _ => Err(Error::Architecture { found, known: &CLASSES }),
        }
    }

    /// True if the blocks of its decoder are numbered from the largest to the smallest.
    #[must_use]
    pub(super) const fn counts_down(&self) -> bool {
        matches!(self, Self::Dc(_))
    }

    /// Channels of a picture.
    #[must_use]
    pub const fn channels(&self) -> usize {
        match self {
            Self::Kl(config) => config.channels,
            Self::Dc(config) => config.channels,
        }
    }

    /// Channels of a latent.
    #[must_use]
    pub const fn latent_channels(&self) -> usize {
        match self {
            Self::Kl(config) => config.latent_channels,
            Self::Dc(config) => config.latent_channels,
        }
    }

    /// A pixel of the latent is so many pixels of the picture on a side.
    #[must_use]
    pub const fn factor(&self) -> usize {
        let levels = match self {
            Self::Kl(config) => config.levels.len(),
            Self::Dc(config) => config.decoder.levels.len(),
        };
        1 << (levels - 1)
    }

    /// What the denoiser's numbers become before they are decoded.
    pub fn unscale(&self, latent: &mut [f32]) {
        let (scale, shift) = match self {
            Self::Kl(config) => (config.scale as f32, config.shift as f32),
            Self::Dc(config) => (config.scale as f32, 0.0),
        };
        latent.iter_mut().for_each(|x| *x = *x / scale + shift);
    }

    fn half(&self, half: Half) -> Vec<Spec> {
        match (self, half) {
            (Self::Kl(config), Half::Encoder) => config.encoder(),
            (Self::Kl(config), Half::Decoder) => config.decoder(),
            (Self::Dc(config), Half::Encoder) => config.encoder(),
            (Self::Dc(config), Half::Decoder) => config.decoder(),
        }
    }
}

/// # Errors
/// [`Error::Config`] unless a latent can be divided by it.
fn check_scale(scale: f64, shift: f64) -> Result<(), Error> {
    if scale.is_finite() && scale != 0.0 && shift.is_finite() {
        return Ok(());
    }
    Err(Error::Config(format!(
        "scaling_factor {scale}, shift_factor {shift}: numbers are needed, the first not 0"
    )))
}

/// What turns pictures into latents, or latents into pictures.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Half {
    /// Pictures to latents.
    Encoder,
    /// Latents to pictures.
    Decoder,
}

/// An autoencoder, of which either half may be absent.
#[derive(Module, Debug)]
pub struct Autoencoder {
    encoder: Option<Network>,
    decoder: Option<Network>,
    #[module(skip)]
    config: Config,
}

impl Autoencoder {
    /// An autoencoder without any weights yet.
    #[must_use]
    pub fn empty(config: &Config) -> Self {
        Self { encoder: None, decoder: None, config: config.clone() }
    }

    /// Its shape.
    #[must_use]
    pub const fn config(&self) -> &Config {
        &self.config
    }

    /// True if this half is in memory.
    #[must_use]
    pub const fn holds(&self, half: Half) -> bool {
        match half {
            Half::Encoder => self.encoder.is_some(),
            Half::Decoder => self.decoder.is_some(),
        }
    }

    /// Where the bytes of one half lie in the checkpoint, in the order in which [`Autoencoder::load`] asks for them.
    ///
    /// # Errors
    /// [`Error::Tensor`] and [`Error::Shape`] if the checkpoint does not fit the configuration.
    pub fn ranges(config: &Config, header: &Header, half: Half) -> Result<Vec<ByteRange>, Error> {
        let needed = config.half(half).into_iter().flat_map(|spec| spec.needed());
        needed.map(|needed| header.range(&needed.name, &needed.shape)).collect()
    }

    /// Adds one half, if it is not in memory yet. `source` as in [`Model::load`](crate::llm::Model::load).
    ///
    /// # Errors
    /// As [`Autoencoder::ranges`]; [`Error::Tensor`] if `source` fails or answers with too little.
    pub async fn load<S>(
        &mut self,
        half: Half,
        header: &Header,
        device: &Device,
        source: S,
    ) -> Result<(), Error>
    where
        S: AsyncFnMut(&ByteRange) -> Result<Vec<u8>, String>,
    {
        if self.holds(half) {
            return Ok(());
        }
        Self::ranges(&self.config, header, half)?;
        let mut reader = Reader { header, device, source, exact: true };
        let network = Network::load(&self.config.half(half), &mut reader).await?;
        match half {
            Half::Encoder => self.encoder = Some(network),
            Half::Decoder => self.decoder = Some(network),
        }
        Ok(())
    }

    /// Drops one half.
    pub fn unload(&mut self, half: Half) {
        match half {
            Half::Encoder => self.encoder = None,
            Half::Decoder => self.decoder = None,
        }
    }

    /// A picture, from −1 to 1 as a rule.
    ///
    /// # Shapes
    /// - `latent`: `[batch, latent_channels, height, width]`, as [`Config::unscale`] leaves it
    /// - result: `[batch, channels, height · factor, width · factor]`
    ///
    /// # Panics
    /// If the decoder is not in memory.
    #[must_use]
    pub fn decode(&self, latent: Tensor<4>) -> Tensor<4> {
        self.decoder.as_ref().expect("the decoder is loaded").forward(latent)
    }

    /// A latent: of AutoencoderKL the mean of its distribution.
    ///
    /// # Shapes
    /// - `picture`: `[batch, channels, height, width]`, both multiples of the factor
    /// - result: `[batch, latent_channels, height / factor, width / factor]`
    ///
    /// # Panics
    /// If the encoder is not in memory.
    #[must_use]
    pub fn encode(&self, picture: Tensor<4>) -> Tensor<4> {
        let encoder = self.encoder.as_ref().expect("the encoder is loaded");
        match &self.config {
            Config::Kl(config) => kl::mean(encoder, picture, config.latent_channels),
            Config::Dc(_) => encoder.forward(picture),
        }
    }
}
