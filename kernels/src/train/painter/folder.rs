//! A painter on disk, in diffusers' layout.

use std::fs;
use std::ops::Range;
use std::path::{Path, PathBuf};

use burn::tensor::Device;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::model::{Learner, spacing};
use super::scene::SIDE;
use super::trainer::Settings;
use crate::diffusion::folder::Folder;
use crate::diffusion::{Denoiser, TextEncoder};
use crate::llm::Layers;
use crate::train::files::{file_error, to_safetensors, write_file};
use crate::train::{Length, TrainError};
use crate::weights::{ByteRange, Files};

/// What the CPU through libtorch is called.
pub const TORCH: &str = "CPU through libtorch";
const TOKENIZER: &str = "tokenizer/tokenizer.json";
const RECORD: &str = "training.json";
const DENOISER: &str = "transformer/diffusion_pytorch_model.safetensors";
const ENCODER: &str = "text_encoder/model.safetensors";
const FILES: [&str; 8] = [
    "model_index.json",
    "scheduler/scheduler_config.json",
    "transformer/config.json",
    DENOISER,
    "text_encoder/config.json",
    ENCODER,
    TOKENIZER,
    RECORD,
];

/// How a painter came to be: `training.json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// What repeats this run on the same kind of device.
    pub command: String,
    /// Numbers the scenes and the first weights.
    pub seed: u32,
    /// What computed.
    pub device: String,
    /// Numbers in the model.
    pub parameters: u64,
    /// Pictures in a step.
    pub batch: usize,
    /// Steps so far.
    pub steps: u32,
    /// Pictures learned from, each once.
    pub pictures_seen: u64,
    /// Seconds so far.
    pub seconds: f64,
    /// Mean loss of the last steps: squared error of the velocity.
    pub train_loss: f64,
    /// Loss of the averaged weights on pictures whose captions were never learned from.
    pub held_out_loss: Option<f64>,
    /// The run that this one went on from.
    pub before: Option<Box<Record>>,
}

impl Record {
    /// The record of a run that begins.
    #[must_use]
    pub fn new(settings: &Settings, device: &str, parameters: u64, before: Option<Self>) -> Self {
        let from = if before.is_some() { " --from BEFORE" } else { "" };
        let length = match settings.length {
            Length::Steps(steps) => format!("--steps {steps}"),
            Length::Minutes(minutes) => format!("--minutes {minutes}"),
        };
        let command = format!(
            "train-painter run{from} --device {} --seed {} --batch {} --rate {} {length}",
            chosen(device),
            settings.seed,
            settings.batch,
            settings.rate
        );
        Self {
            command,
            seed: settings.seed,
            device: device.to_owned(),
            parameters,
            batch: settings.batch,
            steps: 0,
            pictures_seen: 0,
            seconds: 0.0,
            train_loss: f64::NAN,
            held_out_loss: None,
            before: before.map(Box::new),
        }
    }

    /// More scenes than the runs before this one can have drawn, so that it begins with new ones.
    #[must_use]
    pub fn scenes_reserved(&self) -> u64 {
        // One in sixteen at most is held out.
        self.before
            .as_ref()
            .map_or(0, |before| before.scenes_reserved() + before.pictures_seen * 9 / 8 + 1000)
    }

    pub(super) fn progress(&mut self, steps: u32, pictures: u64, seconds: f64, loss: f64) {
        (self.steps, self.pictures_seen, self.seconds, self.train_loss) = (steps, pictures, seconds, loss);
    }

    pub(super) fn measured(&mut self, held_out: f64, steps: u32) {
        (self.held_out_loss, self.steps) = (Some(held_out), steps);
    }
}

/// What `--device` was.
fn chosen(adapter: &str) -> &'static str {
    match adapter {
        "CPU" => "cpu",
        TORCH => "torch",
        _ => "gpu",
    }
}

/// Files below a folder.
pub(super) struct Disk(pub PathBuf);

impl Disk {
    pub fn range(&self, range: &ByteRange) -> Result<Vec<u8>, String> {
        self.bytes(&range.file, range.range.clone())
    }

    fn bytes(&self, name: &str, range: Range<u64>) -> Result<Vec<u8>, String> {
        let all = fs::read(self.0.join(name)).map_err(|error| format!("{name}: {error}"))?;
        let part = all.get(range.start as usize..range.end as usize);
        part.map(<[u8]>::to_vec).ok_or_else(|| format!("{name} ends before byte {}", range.end))
    }
}

impl Files for Disk {
    async fn length(&self, name: &str) -> Result<u64, String> {
        fs::metadata(self.0.join(name)).map(|file| file.len()).map_err(|error| format!("{name}: {error}"))
    }

    async fn read(&self, name: &str, range: Range<u64>) -> Result<Vec<u8>, String> {
        self.bytes(name, range)
    }
}

/// A painter that was written.
pub struct Saved {
    /// Its parts, without weights.
    pub folder: Folder,
    /// `tokenizer.json`
    pub tokenizer: String,
    /// How it came to be.
    pub record: Option<Record>,
    pub(super) files: Disk,
}

impl Saved {
    /// Opens a folder; `training.json` may be missing.
    ///
    /// # Errors
    /// [`TrainError::File`] and [`TrainError::Kernels`] name what cannot be read.
    pub async fn open(path: &Path) -> Result<Self, TrainError> {
        let text = |name: &str| {
            let path = path.join(name);
            fs::read_to_string(&path).map_err(|error| file_error(&path, &error))
        };
        let files = Disk(path.to_owned());
        Ok(Self {
            folder: Folder::open(&files).await?,
            tokenizer: text(TOKENIZER)?,
            record: text(RECORD).ok().and_then(|json| serde_json::from_str(&json).ok()),
            files,
        })
    }

    /// The whole model on a device, with its tokenizer and record.
    ///
    /// # Errors
    /// [`TrainError::Kernels`] if the files do not fit together.
    pub async fn learner(self, device: &Device) -> Result<(Learner, String, Option<Record>), TrainError> {
        let Self { folder, tokenizer, record, files } = self;
        let (encoder_config, encoder_part) = &folder.text_encoder;
        let (denoiser_config, denoiser_part) = &folder.denoiser;
        let mut encoder = TextEncoder::empty(encoder_config);
        let source = async |range: &ByteRange| files.range(range);
        encoder.load(Layers::new(0, encoder_config.layers), &encoder_part.header, device, source).await?;
        let mut denoiser = Denoiser::empty(denoiser_config);
        denoiser.load(Layers::new(0, denoiser_config.depth), &denoiser_part.header, device, source).await?;
        Ok((Learner::new(encoder, denoiser, device), tokenizer, record))
    }

    /// Copies every file of it into another folder.
    ///
    /// # Errors
    /// [`TrainError::File`] names what cannot be read or written.
    pub fn copy(&self, to: &Path) -> Result<(), TrainError> {
        for name in FILES {
            let (from, to) = (self.files.0.join(name), to.join(name));
            let folder = to.parent().unwrap_or(&to);
            fs::create_dir_all(folder).map_err(|error| file_error(folder, &error))?;
            write_file(&to, &fs::read(&from).map_err(|error| file_error(&from, &error))?)?;
        }
        Ok(())
    }

    /// Writes a model into a folder, each file whole or not at all.
    ///
    /// # Errors
    /// [`TrainError::File`] names what cannot be written; [`TrainError::Kernels`] if the device cannot be read.
    pub async fn write(
        path: &Path,
        model: &Learner,
        tokenizer: &str,
        record: &Record,
    ) -> Result<(), TrainError> {
        for part in ["scheduler", "transformer", "text_encoder", "tokenizer"] {
            let folder = path.join(part);
            fs::create_dir_all(&folder).map_err(|error| file_error(&folder, &error))?;
        }
        let json = |name: &str, value: &Value| {
            let text = serde_json::to_string_pretty(value).unwrap_or_default();
            write_file(&path.join(name), format!("{text}\n").as_bytes())
        };
        let denoiser = to_safetensors(&model.denoiser.export().await?)?;
        write_file(&path.join(DENOISER), &denoiser)?;
        json("transformer/config.json", &model.denoiser.config().to_json())?;
        let encoder = to_safetensors(&model.encoder.export().await?)?;
        write_file(&path.join(ENCODER), &encoder)?;
        json("text_encoder/config.json", &model.encoder.config().to_json())?;
        json("scheduler/scheduler_config.json", &scheduler())?;
        json("model_index.json", &index())?;
        write_file(&path.join(TOKENIZER), format!("{}\n", tokenizer.trim_end()).as_bytes())?;
        json(RECORD, &serde_json::to_value(record).unwrap_or_default())
    }
}

fn index() -> Value {
    json!({
        "_class_name": "PRXPixelPipeline",
        "default_sample_size": SIDE,
        // Noise as large as the picture's own numbers.
        "noise_scale": 1.0,
        "scheduler": ["diffusers", "FlowMatchEulerDiscreteScheduler"],
        "text_encoder": ["transformers", "T5GemmaEncoder"],
        "tokenizer": ["transformers", "PreTrainedTokenizerFast"],
        "transformer": ["diffusers", "PRXTransformer2DModel"],
    })
}

fn scheduler() -> Value {
    let spacing = spacing();
    json!({
        "_class_name": "FlowMatchEulerDiscreteScheduler",
        "num_train_timesteps": spacing.train_steps,
        "shift": spacing.shift,
        "use_dynamic_shifting": false,
    })
}
