//! A picture model in diffusers' layout: a folder with `model_index.json`, and a folder for each part.

use crate::diffusion::autoencoder::{self, CLASSES};
use crate::diffusion::json::{self, Class};
use crate::diffusion::schedule::Prediction;
use crate::diffusion::text_encoder::MODEL_TYPES;
use crate::diffusion::{Spacing, denoiser, sizes, text_encoder};
use crate::error::Error;
use crate::limits;
use crate::llm::Layers;
use crate::model_id::ModelId;
use crate::quant::Format;
use crate::weights::{ByteRange, Files, Header, headers, whole};
use serde::Deserialize;
use std::collections::BTreeMap;

/// Pipelines of diffusers that are known here.
const PIPELINES: [&str; 2] = ["PRXPipeline", PIXEL];
/// The one whose denoiser says the clean picture.
const PIXEL: &str = "PRXPixelPipeline";

/// The shape of a part, of whichever kind.
#[derive(Debug, Clone, PartialEq)]
pub enum Shape {
    /// Noise to pictures.
    Denoiser(denoiser::Config),
    /// Text to rows.
    TextEncoder(text_encoder::Config),
    /// Latents to pixels.
    Autoencoder(autoencoder::Config),
}

/// One part without its weights.
#[derive(Debug, Clone, PartialEq)]
pub struct Part {
    /// Its shape.
    pub shape: Shape,
    /// Where its tensors lie.
    pub header: Header,
    /// `config.json`, which names it.
    pub description: Vec<u8>,
    /// The bytes of the headers of its files, one after the other.
    pub head: Vec<u8>,
}

impl Part {
    /// What lies in `folder` (which ends with a slash, unless it is empty); none if its `config.json` is not that of a part
    /// of a picture model.
    ///
    /// # Errors
    /// [`Error::Source`] if a file cannot be read, and whatever is wrong with them.
    pub async fn open(files: &impl Files, folder: &str) -> Result<Option<Self>, Error> {
        let description = whole(files, &format!("{folder}config.json"), limits::CONFIG_BYTES).await?;
        let Some((shape, stem)) = Shape::of(&description)? else { return Ok(None) };
        let (head, header) = headers(files, folder, stem).await?;
        Ok(Some(Self { shape, header, description, head }))
    }
}

impl Shape {
    /// Of a `config.json`, and what the files of weights beside it are called.
    fn of(description: &[u8]) -> Result<Option<(Self, &'static str)>, Error> {
        const DIFFUSERS: &str = "diffusion_pytorch_model";
        let class = Class::of(description)?;
        let shape = match (class.class.as_deref(), class.model_type.as_deref()) {
            (Some(denoiser::CLASS), _) => {
                (Self::Denoiser(denoiser::Config::from_json(description)?), DIFFUSERS)
            }
            (Some(_), _) => (Self::Autoencoder(autoencoder::Config::from_json(description)?), DIFFUSERS),
            (None, Some(kind)) if MODEL_TYPES.contains(&kind) => {
                (Self::TextEncoder(text_encoder::Config::from_json(description)?), "model")
            }
            _ => return Ok(None),
        };
        Ok(Some(shape))
    }
}

/// All parts of a picture model, without their weights.
#[derive(Debug, Clone, PartialEq)]
pub struct Folder {
    /// Text to rows.
    pub text_encoder: (text_encoder::Config, Part),
    /// Noise to pictures.
    pub denoiser: (denoiser::Config, Part),
    /// Latents to pixels; none where the denoiser paints pixels.
    pub autoencoder: Option<(autoencoder::Config, Part)>,
    /// Noise levels.
    pub spacing: Spacing,
    /// What the denoiser says.
    pub prediction: Prediction,
    /// What the first noise is multiplied with.
    pub noise_scale: f32,
    /// Pixels on a side that the model was trained for.
    pub base: Option<usize>,
}

#[derive(Deserialize)]
struct Index {
    #[serde(default)]
    default_sample_size: Option<usize>,
    #[serde(default)]
    noise_scale: Option<f32>,
    #[serde(flatten)]
    parts: BTreeMap<String, serde_json::Value>,
}

impl Index {
    /// True if the model has a part of this name: `[library, class]`, and not nulls.
    fn has(&self, part: &str) -> bool {
        self.parts.get(part).and_then(|entry| entry.get(1)).is_some_and(serde_json::Value::is_string)
    }
}

impl Folder {
    /// Bytes in memory of what computes modulations: those that a table saves.
    ///
    /// # Errors
    /// [`Error::Tensor`] and [`Error::Shape`] if the checkpoint does not fit its configuration.
    pub fn modulation_bytes(&self) -> Result<u64, Error> {
        let (config, part) = &self.denoiser;
        let bytes = |tabled| {
            let all = denoiser::ranges(config, &part.header, Layers::new(0, config.depth), tabled)?;
            Ok::<u64, Error>(all.iter().map(ByteRange::kept_bytes).sum())
        };
        Ok(bytes(false)?.saturating_sub(bytes(true)?))
    }

    /// Reads `model_index.json` and what describes each part.
    ///
    /// # Errors
    /// [`Error::Source`] if a part is missing, [`Error::Architecture`] if one is of an unknown class, [`Error::Config`] if one
    /// asks for the impossible or they do not fit one another.
    pub async fn open(files: &impl Files) -> Result<Self, Error> {
        let bytes = whole(files, "model_index.json", limits::CONFIG_BYTES).await?;
        let class = Class::of(&bytes)?.class.unwrap_or_default();
        let index: Index = json::read(&bytes, &PIPELINES)?;
        for part in ["transformer", "text_encoder", "scheduler"] {
            if !index.has(part) {
                return Err(Error::Config(format!(
                    "model_index.json lists no {part}: it is no complete model"
                )));
            }
        }
        let scheduler = whole(files, "scheduler/scheduler_config.json", limits::CONFIG_BYTES).await;
        let pixels = class == PIXEL;
        let folder = Self {
            denoiser: {
                let part = part(files, "transformer").await?;
                match part.shape.clone() {
                    Shape::Denoiser(config) => (config, part),
                    _ => return Err(unknown("transformer", &[denoiser::CLASS])),
                }
            },
            text_encoder: {
                let part = part(files, "text_encoder").await?;
                match part.shape.clone() {
                    Shape::TextEncoder(config) => (config, part),
                    _ => return Err(unknown("text_encoder", &MODEL_TYPES)),
                }
            },
            autoencoder: match index.has("vae") {
                false => None,
                true => {
                    let part = part(files, "vae").await?;
                    match part.shape.clone() {
                        Shape::Autoencoder(config) => Some((config, part)),
                        _ => return Err(unknown("vae", &CLASSES)),
                    }
                }
            },
            spacing: Spacing::from_json(&scheduler.map_err(|error| missing("scheduler", error))?)?,
            prediction: if pixels { Prediction::Clean } else { Prediction::Velocity },
            noise_scale: index.noise_scale.unwrap_or(if pixels { 2.0 } else { 1.0 }),
            base: index.default_sample_size,
        };
        folder.check()?;
        Ok(folder)
    }

    /// A token is a square of so many pixels of the picture on a side: sizes have to be multiples of it.
    #[must_use]
    pub fn unit(&self) -> usize {
        let factor = self.autoencoder.as_ref().map_or(1, |(config, _)| config.factor());
        factor * self.denoiser.0.patch
    }

    /// Pixels on a side that it paints best.
    #[must_use]
    pub fn side(&self) -> usize {
        // As diffusers' pipelines take it where the file does not say.
        self.base.unwrap_or(512)
    }

    /// Height and width that are painted for a picture of this size: one of those that the model was trained with, where
    /// they are known, so that the picture is stretched and cut afterwards.
    #[must_use]
    pub fn painted_size(&self, size: [usize; 2]) -> [usize; 2] {
        self.base.and_then(|base| sizes::nearest(base, size)).unwrap_or(size)
    }

    /// The same model, matrices of floats of which become blocks of `format` while they are loaded; convolutions stay.
    ///
    /// # Errors
    /// As [`Header::quantised`].
    pub fn quantised(mut self, format: Format) -> Result<Self, Error> {
        for part in [&mut self.text_encoder.1, &mut self.denoiser.1] {
            part.header = part.header.clone().quantised(format)?;
        }
        Ok(self)
    }

    /// The name of the model: see [`ModelId::of_header`], of which this is one per part.
    #[must_use]
    pub fn id(&self, tokenizer: &[u8]) -> ModelId {
        let parts = [Some(&self.text_encoder.1), Some(&self.denoiser.1)];
        let parts = parts.into_iter().chain([self.autoencoder.as_ref().map(|(_, part)| part)]);
        let ids = parts
            .flatten()
            .flat_map(|part| ModelId::of_header(&part.description, b"", &part.head, &part.header).0);
        let habits = format!("{:?} {:?} {} {:?}", self.spacing, self.prediction, self.noise_scale, self.base);
        ModelId::of_pictures(&ids.collect::<Vec<_>>(), tokenizer, habits.as_bytes())
    }

    fn check(&self) -> Result<(), Error> {
        let (denoiser, text) = (&self.denoiser.0, &self.text_encoder.0);
        let bad = |what: String| Err(Error::Config(what + ": the folder's parts belong to different models"));
        if denoiser.text_width != text.width {
            return bad(format!(
                "the denoiser takes text of {} channels, the text encoder makes {}",
                denoiser.text_width, text.width
            ));
        }
        let (channels, whose) = match &self.autoencoder {
            Some((config, _)) => (config.latent_channels(), "the autoencoder's latents have"),
            None => (3, "there is no autoencoder, and pixels have"),
        };
        if denoiser.channels != channels {
            return bad(format!("the denoiser paints {} channels, {whose} {channels}", denoiser.channels));
        }
        if !(self.noise_scale.is_finite() && self.noise_scale > 0.0) {
            return Err(Error::Config(format!(
                "noise_scale {}; a positive number is needed",
                self.noise_scale
            )));
        }
        Ok(())
    }
}

/// How the model in this folder is sampled, whatever of it is here: its noise levels and what its denoiser says, or PRX's
/// habits where the folder does not tell.
///
/// # Errors
/// [`Error::Architecture`] and [`Error::Config`] for a scheduler that is not known here.
pub async fn habits(files: &impl Files) -> Result<(Spacing, Prediction), Error> {
    let spacing = match whole(files, "scheduler/scheduler_config.json", limits::CONFIG_BYTES).await {
        Ok(json) => Spacing::from_json(&json)?,
        Err(_) => Spacing::default(),
    };
    let prediction = match whole(files, "model_index.json", limits::CONFIG_BYTES).await {
        Ok(json) if Class::of(&json)?.class.as_deref() == Some(PIXEL) => Prediction::Clean,
        _ => Prediction::Velocity,
    };
    Ok((spacing, prediction))
}

async fn part(files: &impl Files, name: &str) -> Result<Part, Error> {
    let found = Part::open(files, &format!("{name}/")).await.map_err(|error| missing(name, error))?;
    found.ok_or_else(|| unknown(name, &["parts of PRX"]))
}

/// Says which part it is that cannot be read.
fn missing(part: &str, error: Error) -> Error {
    match error {
        Error::Source(why) => {
            Error::Source(format!("{why}: the model's {part} is missing or incomplete; download all of it"))
        }
        other => other,
    }
}

fn unknown(part: &str, known: &'static [&'static str]) -> Error {
    Error::Architecture { found: format!("another class as its {part}"), known }
}
