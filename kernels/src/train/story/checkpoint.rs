//! Checkpoints in Hugging Face's layout: `config.json`, `tokenizer.json`, `model.safetensors`, and how they came to be.

use std::fs;
use std::path::Path;

use burn::module::Module;
use burn::tensor::Device;
use serde::{Deserialize, Serialize};

use super::TrainError;
use super::files::{file_error, to_safetensors, write_file};
use super::schedule::Length;
use super::trainer::Settings;
use crate::llm::{Config, Layers, Model};
use crate::weights::{ByteRange, Header};

/// The files of a trained model.
#[derive(Debug, Clone)]
pub struct Checkpoint {
    /// `config.json`
    pub config: String,
    /// `tokenizer.json`
    pub tokenizer: String,
    /// `model.safetensors`, half precision.
    pub weights: Vec<u8>,
    /// `training.json`
    pub record: Option<Record>,
}

/// How a checkpoint came to be: `training.json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// What repeats this run on the same kind of device.
    pub command: String,
    /// Numbers the stories and the first weights.
    pub seed: u32,
    /// What computed.
    pub device: String,
    /// Numbers in the model.
    pub parameters: u64,
    /// Rows in a step.
    pub batch: usize,
    /// Tokens in a row.
    pub row_tokens: usize,
    /// Steps so far.
    pub steps: u32,
    /// Tokens learned from, each once.
    pub tokens_seen: u64,
    /// Seconds so far, start-up included.
    pub seconds: f64,
    /// Mean loss of the last steps, nats per token.
    pub train_loss: f64,
    /// Loss on stories that were never learned from, nats per token.
    pub held_out_loss: Option<f64>,
    /// The run that this one went on from.
    pub before: Option<Box<Record>>,
}

impl Record {
    /// The record of a run that begins.
    #[must_use]
    pub fn new(settings: &Settings, device: &str, model: &Model, before: Option<Record>) -> Self {
        let mut record = Self {
            command: String::new(),
            seed: settings.seed,
            device: device.to_owned(),
            parameters: model.num_params() as u64,
            batch: settings.batch,
            row_tokens: settings.tokens,
            steps: 0,
            tokens_seen: 0,
            seconds: 0.0,
            train_loss: f64::NAN,
            held_out_loss: None,
            before: before.map(Box::new),
        };
        let planned = match settings.length {
            Length::Steps(steps) => format!("--steps {steps}"),
            Length::Minutes(minutes) => format!("--minutes {minutes}"),
        };
        record.command = record.command_with(settings, &planned);
        record
    }

    /// One line about what begins.
    #[must_use]
    pub fn title(&self) -> String {
        format!("{} parameters on {}: {}", self.parameters, self.device, self.command)
    }

    /// More stories than this run and those before it can have used, so that a later run begins with new ones.
    #[must_use]
    pub fn stories_reserved(&self) -> u64 {
        /// Tokens of the shortest imaginable story.
        const SHORTEST: u64 = 32;
        self.before.as_ref().map_or(0, |before| before.stories_reserved() + before.tokens_seen / SHORTEST + 1)
    }

    pub(super) fn progress(&mut self, steps: u32, tokens: u64, seconds: f64, loss: f64) {
        (self.steps, self.tokens_seen, self.seconds, self.train_loss) = (steps, tokens, seconds, loss);
    }

    /// `planned` are the steps that the schedule was made for: with them the run can be repeated.
    pub(super) fn measured(&mut self, held_out: f64, planned: Option<u32>) {
        self.held_out_loss = Some(held_out);
        if let (Some(steps), Some(at)) = (planned, self.command.find("--minutes")) {
            self.command.truncate(at);
            self.command.push_str(&format!("--steps {steps}"));
        }
    }

    fn command_with(&self, settings: &Settings, length: &str) -> String {
        let device = if self.device == "CPU" { "cpu" } else { "gpu" };
        let from = if self.before.is_some() { " --from BEFORE" } else { "" };
        format!(
            "cargo run -p kernels --features train --bin train-story -- run{from} --device {device} --threads {} \
             --seed {} --batch {} --tokens {} --rate {} {length}",
            settings.threads, self.seed, self.batch, self.row_tokens, settings.rate
        )
    }
}

impl Checkpoint {
    /// The files of this model.
    ///
    /// # Errors
    /// [`TrainError::Kernels`] if the device cannot be read, [`TrainError::Settings`] if the format refuses.
    pub async fn of(model: &Model, tokenizer: &str, record: Option<&Record>) -> Result<Self, TrainError> {
        let weights = to_safetensors(&model.export().await?)?;
        let config = model.config().to_json().replace("\"float32\"", "\"float16\"");
        Ok(Self { config, tokenizer: tokenizer.to_owned(), weights, record: record.cloned() })
    }

    /// Reads the files from a folder; `training.json` may be missing.
    ///
    /// # Errors
    /// [`TrainError::File`] names the one that cannot be read.
    pub fn read(folder: &Path) -> Result<Self, TrainError> {
        let text = |name: &str| {
            let path = folder.join(name);
            fs::read_to_string(&path).map_err(|error| file_error(&path, &error))
        };
        let weights = folder.join("model.safetensors");
        Ok(Self {
            config: text("config.json")?,
            tokenizer: text("tokenizer.json")?,
            weights: fs::read(&weights).map_err(|error| file_error(&weights, &error))?,
            record: text("training.json").ok().and_then(|json| serde_json::from_str(&json).ok()),
        })
    }

    /// Writes the files into a folder, each one whole or not at all.
    ///
    /// # Errors
    /// [`TrainError::File`] names the one that cannot be written.
    pub fn write(&self, folder: &Path) -> Result<(), TrainError> {
        fs::create_dir_all(folder).map_err(|error| file_error(folder, &error))?;
        write_file(&folder.join("model.safetensors"), &self.weights)?;
        write_file(&folder.join("config.json"), self.config.as_bytes())?;
        write_file(&folder.join("tokenizer.json"), self.tokenizer.as_bytes())?;
        let record = serde_json::to_string_pretty(&self.record).unwrap_or_default();
        write_file(&folder.join("training.json"), format!("{record}\n").as_bytes())
    }

    /// The model on this device, the tokenizer, and how they came to be.
    ///
    /// # Errors
    /// [`TrainError::Kernels`] if the files do not fit together.
    pub async fn into_model(self, device: &Device) -> Result<(Model, String, Option<Record>), TrainError> {
        let config = Config::from_json(self.config.as_bytes())?;
        let header = self.header()?;
        let mut model = Model::empty(&config, device);
        model
            .load(Layers::new(0, config.layers), &header, device, async |range: &ByteRange| self.bytes(range))
            .await?;
        Ok((model, self.tokenizer, self.record))
    }

    /// The head of the weights.
    ///
    /// # Errors
    /// [`TrainError::Kernels`] for a damaged file.
    pub fn header(&self) -> Result<Header, TrainError> {
        Ok(Header::parse(&self.weights, self.weights.len() as u64)?)
    }

    /// The bytes of one tensor.
    ///
    /// # Errors
    /// A sentence, if they are not in the file.
    pub fn bytes(&self, range: &ByteRange) -> Result<Vec<u8>, String> {
        let (start, end) = (range.range.start as usize, range.range.end as usize);
        self.weights.get(start..end).map(<[u8]>::to_vec).ok_or_else(|| "the file ends before it".into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::llm::read_back;
    use crate::train::story::story_config;
    use burn::tensor::{Int, Tensor, TensorData};
    use futures::executor::block_on;

    fn logits(model: &Model, device: &Device) -> Vec<f32> {
        let ids = Tensor::<2, Int>::from_data(TensorData::from([[0, 3, 9, 27, 50]]), device);
        let x = model.forward(Layers::new(0, model.config().layers), model.embed(ids), None);
        block_on(read_back(model.logits(x))).expect("logits")
    }

    #[test]
    fn what_was_written_loads_as_the_same_model() {
        let device = Device::flex();
        device.seed(5);
        let shape = Config {
            width: 32,
            ff_width: 48,
            layers: 3,
            vocabulary: 64,
            head_dim: 8,
            heads: 4,
            ..story_config()
        };
        let model = Model::init(&shape, &device);
        let settings = Settings {
            config: shape.clone(),
            seed: 5,
            batch: 1,
            tokens: 8,
            threads: 1,
            rate: 1e-3,
            length: Length::Minutes(1.0),
            checkpoint_minutes: 1.0,
            out: "nowhere".into(),
            from: None,
        };
        let record = Record::new(&settings, "CPU", &model, None);
        let written = block_on(Checkpoint::of(&model, "{}", Some(&record))).expect("a checkpoint");
        let (read, ..) = block_on(written.into_model(&device)).expect("a model");
        assert_eq!(read.config(), &shape, "config.json");
        let (before, after) = (logits(&model, &device), logits(&read, &device));
        let largest = before.iter().fold(0.0_f32, |most, value| most.max(value.abs()));
        for (a, b) in before.iter().zip(&after) {
            // f16 keeps 11 bits of every weight; a few layers add up some of their errors.
            assert!((a - b).abs() < 0.01 * largest, "{a} became {b}");
        }
    }

    #[test]
    fn a_planned_run_is_written_down_as_steps() {
        let json = r#"{"command":"train --rate 1 --minutes 9","seed":1,"device":"CPU","parameters":1,"batch":1,
            "row_tokens":1,"steps":1,"tokens_seen":3200,"seconds":1,"train_loss":1,"held_out_loss":null,"before":null}"#;
        let mut record: Record = serde_json::from_str(json).expect("a record");
        record.measured(1.5, Some(700));
        assert_eq!(record.command, "train --rate 1 --steps 700");
        assert_eq!(record.stories_reserved(), 0, "the first run begins with the first story");
        let next = Record { before: Some(Box::new(record.clone())), ..record };
        assert_eq!(next.stories_reserved(), 101, "a later run begins behind every story of the one before");
    }
}
