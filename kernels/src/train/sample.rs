//! Stories from a checkpoint, written by the ordinary engine: to judge what was learned.

use super::checkpoint::Checkpoint;
use super::{BEGIN_ID, TrainError};
use crate::device::Opened;
use crate::engine::{Draw, Engine, Input, Step, StepOut};
use crate::limits;
use crate::llm::{Config, Layers, Sampling};
use crate::tokenizer::Tokenizer;
use crate::weights::ByteRange;

/// A loaded story writer.
pub struct Writer {
    engine: Engine<u64>,
    tokenizer: Tokenizer,
}

impl Writer {
    /// Loads a checkpoint.
    ///
    /// # Errors
    /// [`TrainError::Kernels`] if its files do not fit together.
    pub async fn open(checkpoint: &Checkpoint, opened: Opened) -> Result<Self, TrainError> {
        let config = Config::from_json(checkpoint.config.as_bytes())?;
        let tokenizer = Tokenizer::from_json(checkpoint.tokenizer.as_bytes(), Some(BEGIN_ID))?;
        let mut engine = Engine::new(opened, &config, checkpoint.header()?);
        let all = Layers::new(0, config.layers);
        engine.load(all, async |range: &ByteRange| checkpoint.bytes(range)).await?;
        Ok(Self { engine, tokenizer })
    }

    /// Goes on from the prompt to the end of the story or of the context. The prompt is part of the result.
    ///
    /// # Errors
    /// [`TrainError::Kernels`] if the prompt is too long or the device fails.
    pub async fn write(&mut self, prompt: &str, sampling: Sampling) -> Result<String, TrainError> {
        let settings = sampling.to_bytes()?;
        let mut ids = self.tokenizer.encode(prompt, true)?;
        let (layers, session) = (Layers::new(0, self.engine.config().layers), sampling.seed);
        let mut position = 0;
        while ids.len() < self.engine.config().context {
            let input = Input::Tokens(&ids[position..]);
            let recent = &ids[ids.len().saturating_sub(limits::RECENT)..];
            let draw = Some(Draw { settings: &settings, recent });
            let step = Step { session, layers, position, input, draw };
            position = ids.len();
            match self.engine.run(step).await? {
                StepOut::Token { token, end: false, .. } => ids.push(token),
                _ => break,
            }
        }
        self.engine.forget(&session);
        Ok(self.tokenizer.decode(&ids)?)
    }
}
