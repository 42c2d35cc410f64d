//! What a compute worker holds of a picture model: some of its parts, and what the pictures at work need in every step.

use crate::device::{Kind, Opened};
use crate::diffusion::autoencoder::{Autoencoder, Half};
use crate::diffusion::denoiser::{self, Denoiser, Modulations, Positions, Text};
use crate::diffusion::folder::Folder;
use crate::diffusion::painting::{from_bytes, latent_shape, to_bytes};
use crate::diffusion::probe::Pace;
use crate::diffusion::{Schedule, TextEncoder, pixels, sizes};
use crate::error::{Error, StepError};
use crate::limits;
use crate::llm::{Layers, read_back};
use crate::weights::ByteRange;
use burn::tensor::{Tensor, TensorData};
use std::collections::BTreeMap;

/// A part of a picture model, or some of its layers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Piece {
    /// Layers of the text encoder.
    Encoder(Layers),
    /// Blocks of the denoiser.
    Denoiser(Layers),
    /// Latents to pixels.
    Decoder,
}

/// What all steps of one picture have in common; bytes of texts are rows × text width little-endian f32, as
/// [`Painter::encode`] makes them.
#[derive(Debug, Clone, Copy)]
pub struct Sitting<'a> {
    /// Blocks to run.
    pub layers: Layers,
    /// Height and width of the picture in pixels.
    pub size: [usize; 2],
    /// Steps in all.
    pub steps: usize,
    /// What to paint.
    pub with: Option<&'a [u8]>,
    /// What not to paint.
    pub without: Option<&'a [u8]>,
    /// The table of [`Modulations::to_bytes`], where the blocks here cannot compute it.
    pub modulations: Option<&'a [u8]>,
}

/// Which of the two texts a step is computed with: they may run on two peers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// What to paint.
    With,
    /// What not to paint.
    Without,
}

pub(super) struct Session {
    pub layers: Layers,
    /// Channels, height and width of the latent.
    shape: [usize; 3],
    texts: [Option<Text>; 2],
    modulations: Modulations,
    pub positions: Positions,
}

impl Session {
    /// Rows and columns of tokens.
    pub fn grid(&self, config: &denoiser::Config) -> [usize; 2] {
        [self.shape[1] / config.patch, self.shape[2] / config.patch]
    }
}

/// One branch of one step of a session.
pub(super) struct Moment<'a> {
    pub session: &'a Session,
    pub text: &'a Text,
    pub modulations: Modulations,
}

/// Runs the parts of a picture model for sessions, which `K` names. Everything that goes in may come from a hostile peer.
pub struct Painter<K> {
    pub(super) opened: Opened,
    folder: Folder,
    encoder: TextEncoder,
    pub(super) denoiser: Denoiser,
    autoencoder: Option<Autoencoder>,
    sessions: BTreeMap<K, Session>,
}

impl<K: Ord + Clone> Painter<K> {
    /// A painter without any weights yet; `tabled` as in [`Denoiser::tabled`].
    #[must_use]
    pub fn new(opened: Opened, folder: Folder, tabled: bool) -> Self {
        Self {
            encoder: TextEncoder::empty(&folder.text_encoder.0),
            denoiser: Denoiser::empty(&folder.denoiser.0).tabled(tabled),
            autoencoder: folder.autoencoder.as_ref().map(|(config, _)| Autoencoder::empty(config)),
            opened,
            folder,
            sessions: BTreeMap::new(),
        }
    }

    /// The model.
    #[must_use]
    pub const fn folder(&self) -> &Folder {
        &self.folder
    }

    /// True if this can run.
    #[must_use]
    pub fn holds(&self, piece: Piece) -> bool {
        match piece {
            Piece::Encoder(layers) => self.encoder.holds(layers),
            Piece::Denoiser(layers) => self.denoiser.holds(layers),
            Piece::Decoder => self.autoencoder.as_ref().is_none_or(|model| model.holds(Half::Decoder)),
        }
    }

    /// Where the bytes of a piece lie; what is in memory already is included.
    ///
    /// # Errors
    /// [`Error::Layers`], [`Error::Tensor`], [`Error::Shape`]
    pub fn ranges(&self, piece: Piece) -> Result<Vec<ByteRange>, Error> {
        match piece {
            Piece::Encoder(layers) => {
                let (config, part) = &self.folder.text_encoder;
                TextEncoder::ranges(config, &part.header, layers)
            }
            Piece::Denoiser(layers) => {
                let (config, part) = &self.folder.denoiser;
                denoiser::ranges(config, &part.header, layers, self.denoiser.is_tabled())
            }
            Piece::Decoder => match &self.folder.autoencoder {
                Some((config, part)) => Autoencoder::ranges(config, &part.header, Half::Decoder),
                None => Ok(Vec::new()),
            },
        }
    }

    /// Loads a piece, if it is not in memory yet. `source` as in [`Model::load`](crate::llm::Model::load).
    ///
    /// # Errors
    /// As [`Painter::ranges`]; [`Error::Tensor`] if `source` fails.
    pub async fn load<S>(&mut self, piece: Piece, source: S) -> Result<(), Error>
    where
        S: AsyncFnMut(&ByteRange) -> Result<Vec<u8>, String>,
    {
        let device = &self.opened.device;
        match piece {
            Piece::Encoder(layers) => {
                let header = &self.folder.text_encoder.1.header;
                self.encoder.load(layers, header, device, source).await
            }
            Piece::Denoiser(layers) => {
                let header = &self.folder.denoiser.1.header;
                self.denoiser.load(layers, header, device, source).await
            }
            Piece::Decoder => match (&mut self.autoencoder, &self.folder.autoencoder) {
                (Some(model), Some((_, part))) => {
                    model.load(Half::Decoder, &part.header, device, source).await
                }
                _ => Ok(()),
            },
        }
    }

    /// Drops a piece.
    pub fn unload(&mut self, piece: Piece) {
        match piece {
            Piece::Encoder(layers) => self.encoder.unload(layers),
            Piece::Denoiser(layers) => self.denoiser.unload(layers),
            Piece::Decoder => self.autoencoder.iter_mut().for_each(|model| model.unload(Half::Decoder)),
        }
    }

    /// Where it computes.
    #[must_use]
    pub const fn kind(&self) -> Kind {
        self.opened.kind
    }

    /// How fast this device is with the model: see [`Pace`].
    ///
    /// # Errors
    /// [`Error::Device`] if the device fails.
    pub async fn probe(&self) -> Result<Pace, Error> {
        super::probe::probe(&self.folder, &self.opened.device).await
    }

    /// The rows of a text, by all layers of the encoder. `source` is asked for rows of an embedding that is too large to be held.
    ///
    /// # Errors
    /// [`StepError::NotLoaded`]; [`Error::Picture`] for no tokens, too many or unknown ones; [`Error::Device`].
    pub async fn encode<S>(&self, tokens: &[u32], source: S) -> Result<Vec<u8>, Error>
    where
        S: AsyncFnMut(&ByteRange) -> Result<Vec<u8>, String>,
    {
        let all = Layers::new(0, self.encoder.config().layers);
        if !self.encoder.holds(all) {
            return Err(StepError::NotLoaded(all).into());
        }
        let header = &self.folder.text_encoder.1.header;
        let x = self.encoder.embed(tokens, header, &self.opened.device, source).await?;
        finite(self.encoder.forward(all, x, None)).await
    }

    /// What [`Sitting::modulations`] takes, where blocks do not compute it themselves: from weights that `source` is asked for one after
    /// the other and that are not kept.
    ///
    /// # Errors
    /// [`Error::Picture`] for impossible sizes or steps; [`Error::Tensor`] if `source` fails; [`Error::Device`].
    pub async fn tabulate<S>(
        &self,
        layers: Layers,
        size: [usize; 2],
        steps: usize,
        source: S,
    ) -> Result<Vec<u8>, Error>
    where
        S: AsyncFnMut(&ByteRange) -> Result<Vec<u8>, String>,
    {
        let [_, height, width] = latent_shape(&self.folder, size)?;
        let times = Schedule::new(&self.folder.spacing, steps)?.times();
        let (config, part) = &self.folder.denoiser;
        let (device, latent) = (&self.opened.device, [height, width]);
        let table =
            denoiser::tabulate((config, &part.header), layers, &times, latent, device, source).await?;
        table.to_bytes().await
    }

    /// True if sessions need a table of modulations.
    #[must_use]
    pub const fn needs_table(&self) -> bool {
        self.denoiser.is_tabled()
    }

    /// Prepares a session: keys and values of its texts, and what time says to each block at every step.
    ///
    /// # Errors
    /// [`StepError::NotLoaded`] and [`StepError::Sessions`]; [`Error::Picture`] for impossible sizes, steps or texts, or if a
    /// table of modulations is needed.
    pub fn open(&mut self, session: K, sitting: &Sitting<'_>) -> Result<(), Error> {
        let (layers, device) = (sitting.layers, &self.opened.device);
        if !self.denoiser.holds(layers) {
            return Err(StepError::NotLoaded(layers).into());
        }
        if self.sessions.len() >= limits::SESSIONS && !self.sessions.contains_key(&session) {
            return Err(StepError::Sessions.into());
        }
        let shape @ [_, height, width] = latent_shape(&self.folder, sitting.size)?;
        let times = Schedule::new(&self.folder.spacing, sitting.steps)?.times();
        let config = self.denoiser.config();
        let modulations = match sitting.modulations {
            Some(bytes) => Modulations::from_bytes(config, layers, times.len(), bytes, device)?,
            None if self.denoiser.modulates(layers) => {
                self.denoiser.modulations(layers, &times, [height, width], device)
            }
            None => return Err(Error::Picture(format!("blocks {layers} need a table of modulations here"))),
        };
        let text = |bytes: Option<&[u8]>| bytes.map(|bytes| self.text(layers, bytes)).transpose();
        let texts = [text(sitting.with)?, text(sitting.without)?];
        let grid = [height / config.patch, width / config.patch];
        let positions = Positions::new(config, grid, device);
        self.sessions.insert(session, Session { layers, shape, texts, modulations, positions });
        Ok(())
    }

    fn text(&self, layers: Layers, bytes: &[u8]) -> Result<Text, Error> {
        let width = self.denoiser.config().text_width;
        let tokens = bytes.len() / (4 * width);
        if tokens == 0 || tokens > limits::PROMPT_TOKENS {
            let most = limits::PROMPT_TOKENS;
            return Err(Error::Picture(format!(
                "a text of {tokens} rows; between 1 and {most} are supported"
            )));
        }
        let rows = TensorData::new(from_bytes(bytes, tokens * width)?, [1, tokens, width]);
        Ok(self.denoiser.text(layers, Tensor::from_data(rows, &self.opened.device), None))
    }

    /// What a session computes modulations to, for peers that hold blocks without what computes them.
    ///
    /// # Errors
    /// [`Error::Picture`] if there is no such session; [`Error::Device`].
    pub async fn modulations(&self, session: &K) -> Result<Vec<u8>, Error> {
        self.session(session)?.modulations.to_bytes().await
    }

    /// Frees what a session holds; no harm if there is none.
    pub fn forget(&mut self, session: &K) {
        self.sessions.remove(session);
    }

    /// Runs a session's blocks for one step. The first blocks take a latent (channels × height × width little-endian f32), the
    /// last make what the denoiser says of it; in between there are tokens × width hidden states.
    ///
    /// # Errors
    /// [`Error::Picture`] if there is no such session, step or text, or the input has another size; [`StepError::NotFinite`];
    /// [`Error::Device`], also if something comes out that is no number.
    pub async fn denoise(
        &self,
        session: &K,
        step: usize,
        side: Side,
        input: &[u8],
    ) -> Result<Vec<u8>, Error> {
        let (x, at) = (self.enter(session, input)?, self.moment(session, step, side)?);
        let Session { layers, positions, .. } = at.session;
        let out = self.denoiser.forward(*layers, x, at.text, &at.modulations, positions);
        if layers.end < self.denoiser.config().depth {
            return finite(out).await;
        }
        finite(self.leave(at.session, out)).await
    }

    /// What the blocks of a session start from.
    pub(super) fn enter(&self, session: &K, input: &[u8]) -> Result<Tensor<3>, Error> {
        let Session { layers, shape, positions, .. } = self.session(session)?;
        let (config, device, [channels, height, width]) =
            (self.denoiser.config(), &self.opened.device, *shape);
        if layers.start == 0 {
            let values = from_bytes(input, channels * height * width)?;
            let latent = Tensor::from_data(TensorData::new(values, [1, channels, height, width]), device);
            return Ok(denoiser::patches(latent, config.patch));
        }
        let values = from_bytes(input, positions.tokens() * config.width)?;
        Ok(Tensor::from_data(TensorData::new(values, [1, positions.tokens(), config.width]), device))
    }

    /// Rows of whole patches as they lie in the picture.
    pub(super) fn leave(&self, session: &Session, out: Tensor<3>) -> Tensor<4> {
        let (patch, columns) = (self.denoiser.config().patch, session.grid(self.denoiser.config())[1]);
        let rows = out.dims()[1] / columns;
        denoiser::picture(out, [rows, columns], patch)
    }

    pub(super) fn moment(&self, session: &K, step: usize, side: Side) -> Result<Moment<'_>, Error> {
        let session = self.session(session)?;
        let text = match side {
            Side::With => &session.texts[0],
            Side::Without => &session.texts[1],
        };
        let Some(text) = text else {
            return Err(Error::Picture(format!("the session has no text {side:?}")));
        };
        if step >= session.modulations.times() {
            let steps = session.modulations.times();
            return Err(Error::Picture(format!("step {step} of {steps}")));
        }
        Ok(Moment { session, text, modulations: session.modulations.at(step) })
    }

    /// Decodes a latent, or a tile of one: channels × height × width little-endian f32 as the denoiser leaves it, to 3 × height
    /// × width from −1 to 1 as a rule. Without an autoencoder a latent is a picture already.
    ///
    /// # Errors
    /// [`Error::Picture`] for an impossible size, or without a decoder; [`StepError::NotFinite`]; [`Error::Device`].
    pub async fn decode(&self, latent: &[u8], size: [usize; 2]) -> Result<Vec<u8>, Error> {
        sizes::check(size, 1)?;
        let ([height, width], channels) = (size, self.folder.denoiser.0.channels);
        let mut values = from_bytes(latent, channels * height * width)?;
        let Some(autoencoder) = &self.autoencoder else { return Ok(to_bytes(&values)) };
        if !autoencoder.holds(Half::Decoder) {
            return Err(Error::Picture("the decoder is not loaded here".into()));
        }
        sizes::check_tokens(size)?;
        autoencoder.config().unscale(&mut values);
        let data = TensorData::new(values, [1, channels, height, width]);
        finite(autoencoder.decode(Tensor::from_data(data, &self.opened.device))).await
    }

    /// Decodes one of [`Folder::tiles`] of a picture of this size, from its whole latent, to rows of 3 bytes a pixel.
    ///
    /// # Errors
    /// As [`Painter::decode`]; [`Error::Picture`] if there is no such tile.
    pub async fn decode_tile(&self, latent: &[u8], size: [usize; 2], tile: usize) -> Result<Vec<u8>, Error> {
        let [channels, height, width] = latent_shape(&self.folder, size)?;
        let values = from_bytes(latent, channels * height * width)?;
        let tiles = self.folder.tiles(size)?;
        let Some(tile) = tiles.get(tile) else {
            return Err(Error::Picture(format!("tile {tile} of {}", tiles.len())));
        };
        let part = to_bytes(&tile.cut(&values, [height, width]));
        let decoded = self.decode(&part, tile.size()).await?;
        Ok(pixels::to_rgb(&from_bytes(&decoded, decoded.len() / 4)?))
    }

    pub(super) fn session(&self, session: &K) -> Result<&Session, Error> {
        let found = self.sessions.get(session);
        found.ok_or_else(|| Error::Picture("there is no such session: open it first".into()))
    }
}

/// The bytes of what was computed, all of which have to be numbers.
pub(super) async fn finite<const D: usize>(x: Tensor<D>) -> Result<Vec<u8>, Error> {
    let values = read_back(x).await?;
    match values.iter().position(|value| !value.is_finite()) {
        Some(index) => Err(Error::Device(format!(
            "number {index} came out as {}; the weights or the device are broken, another has to compute it",
            values[index]
        ))),
        None => Ok(to_bytes(&values)),
    }
}
