//! Stories from a saved model, written by the ordinary engine: to judge what was learned.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::ops::Range;
use std::path::{Path, PathBuf};

use burn::tensor::Device;

use super::{BEGIN_ID, TrainError};
use crate::device::Opened;
use crate::engine::{Draw, Engine, Input, Step, StepOut};
use crate::limits;
use crate::llm::{Layers, Model, Sampling};
use crate::tokenizer::Tokenizer;
use crate::weights::{ByteRange, Checkpoint, Files};

/// A saved model: a GGUF file, or a folder as Hugging Face lays it out.
pub struct Saved {
    place: Place,
    checkpoint: Checkpoint,
    /// Its tokenizer.
    pub tokenizer: Tokenizer,
}

impl Saved {
    /// Reads everything but the weights.
    ///
    /// # Errors
    /// [`TrainError::Kernels`] if a file is missing or the files do not fit together.
    pub async fn open(path: &Path) -> Result<Self, TrainError> {
        let file = path.is_file().then(|| path.file_name()).flatten().and_then(|name| name.to_str());
        let place = Place(match file {
            Some(_) => path.parent().unwrap_or(Path::new("")).to_owned(),
            None => path.to_owned(),
        });
        let checkpoint = match file {
            Some(name) => Checkpoint::of_gguf(&place, name).await?,
            None => Checkpoint::of_folder(&place).await?,
        };
        let tokenizer = match &checkpoint.metadata {
            Some(metadata) => Tokenizer::from_gguf(&metadata.vocabulary()?)?,
            None => Tokenizer::from_json(&place.whole("tokenizer.json").await?, Some(BEGIN_ID))?,
        };
        Ok(Self { place, checkpoint, tokenizer })
    }

    /// The whole model, to be measured.
    ///
    /// # Errors
    /// [`TrainError::Kernels`] if the weights cannot be read.
    pub async fn model(&self, device: &Device) -> Result<Model, TrainError> {
        let Checkpoint { config, header, .. } = &self.checkpoint;
        let mut model = Model::empty(config, device);
        let all = Layers::new(0, config.layers);
        model.load(all, header, device, async |range: &ByteRange| self.place.bytes(range).await).await?;
        Ok(model)
    }
}

/// The folder that the files lie in.
struct Place(PathBuf);

impl Place {
    async fn bytes(&self, range: &ByteRange) -> Result<Vec<u8>, String> {
        self.read(&range.file, range.range.clone()).await
    }

    async fn whole(&self, name: &str) -> Result<Vec<u8>, TrainError> {
        let read = async { self.read(name, 0..self.length(name).await?).await };
        read.await.map_err(|reason| TrainError::File { path: self.0.join(name), reason })
    }
}

impl Files for Place {
    async fn length(&self, name: &str) -> Result<u64, String> {
        let found = std::fs::metadata(self.0.join(name));
        found.map(|found| found.len()).map_err(|error| format!("{name}: {error}"))
    }

    async fn read(&self, name: &str, range: Range<u64>) -> Result<Vec<u8>, String> {
        let mut bytes = Vec::new();
        let read = File::open(self.0.join(name)).and_then(|mut file| {
            file.seek(SeekFrom::Start(range.start))?;
            file.take(range.end - range.start).read_to_end(&mut bytes)
        });
        read.map_err(|error| format!("{name}: {error}"))?;
        Ok(bytes)
    }
}

/// What a model wrote.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Written {
    /// The prompt and what follows it.
    pub text: String,
    /// The model ended it; otherwise the context was full.
    pub ended: bool,
}

/// A loaded story writer.
pub struct Writer {
    engine: Engine<u64>,
    tokenizer: Tokenizer,
}

impl Writer {
    /// Loads a saved model.
    ///
    /// # Errors
    /// [`TrainError::Kernels`] if its weights cannot be read.
    pub async fn open(saved: Saved, opened: Opened) -> Result<Self, TrainError> {
        let Saved { place, checkpoint: Checkpoint { config, header, .. }, tokenizer } = saved;
        let mut engine = Engine::new(opened, &config, header);
        let all = Layers::new(0, config.layers);
        engine.load(all, async |range: &ByteRange| place.bytes(range).await).await?;
        Ok(Self { engine, tokenizer })
    }

    /// Goes on from the prompt to the end of the story or of the context.
    ///
    /// # Errors
    /// [`TrainError::Kernels`] if the prompt is too long or the device fails.
    pub async fn write(&mut self, prompt: &str, sampling: Sampling) -> Result<Written, TrainError> {
        let settings = sampling.to_bytes()?;
        let mut ids = self.tokenizer.encode(prompt, true)?;
        let (layers, session) = (Layers::new(0, self.engine.config().layers), sampling.seed);
        let (mut position, mut ended) = (0, false);
        while ids.len() < self.engine.config().context && !ended {
            let input = Input::Tokens(&ids[position..]);
            let recent = &ids[ids.len().saturating_sub(limits::RECENT)..];
            let draw = Some(Draw { settings: &settings, recent });
            let step = Step { session, layers, position, input, adapters: &[], draw };
            position = ids.len();
            match self.engine.run(step).await? {
                StepOut::Token { token, end: false, .. } => ids.push(token),
                _ => ended = true,
            }
        }
        self.engine.forget(&session);
        Ok(Written { text: self.tokenizer.decode(&ids)?, ended })
    }
}
