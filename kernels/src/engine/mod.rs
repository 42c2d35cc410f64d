//! What a compute worker holds: a device, some of a model's layers, and the caches of the sessions that run on them.

mod probe;
mod step;

pub use probe::Pace;
pub use step::{Draw, Input, Step, StepOut};

use crate::device::{Kind, Opened};
use crate::error::{Error, StepError};
use crate::limits;
use crate::llm::{Cache, Config, Layers, Model, Sampling, Scratch, ranges, read_back};
use crate::ops::Tier;
use crate::ops::pick::gpu::{CANDIDATES, Picked, pick};
use crate::weights::{ByteRange, Header};
use burn::tensor::{Int, Tensor, TensorData};
use std::collections::BTreeMap;

/// Runs the steps of sessions, which `K` names (whatever the caller tells them apart by).
///
/// The same session gives the same bits whether its layers run here or are split among several engines of the same
/// kind, and however its rows are cut into passes.
#[derive(Debug)]
pub struct Engine<K> {
    opened: Opened,
    header: Header,
    model: Model,
    sessions: BTreeMap<K, Cache>,
    /// For draws, used again and again.
    scratch: Scratch,
}

impl<K: Ord + Clone> Engine<K> {
    /// An engine without any layers yet.
    #[must_use]
    pub fn new(opened: Opened, config: &Config, header: Header) -> Self {
        let model = Model::empty(config, &opened.device);
        Self { opened, header, model, sessions: BTreeMap::new(), scratch: Scratch::default() }
    }

    /// What computes.
    #[must_use]
    pub const fn kind(&self) -> Kind {
        self.opened.kind
    }

    /// The model's shape.
    #[must_use]
    pub const fn config(&self) -> &Config {
        self.model.config()
    }

    /// True if `layers` can run.
    #[must_use]
    pub fn holds(&self, layers: Layers) -> bool {
        self.model.holds(layers)
    }

    /// Where the bytes of `layers` lie in the checkpoint; what is in memory already is included.
    ///
    /// # Errors
    /// See [`ranges`].
    pub fn ranges(&self, layers: Layers) -> Result<Vec<ByteRange>, Error> {
        ranges(self.config(), &self.header, layers)
    }

    /// Loads those of `layers` that are not in memory yet, one tensor at a time. See [`Model::load`].
    ///
    /// # Errors
    /// See [`Model::load`].
    pub async fn load<S>(&mut self, layers: Layers, source: S) -> Result<(), Error>
    where
        S: AsyncFnMut(&ByteRange) -> Result<Vec<u8>, String>,
    {
        self.model.load(layers, &self.header, &self.opened.device, source).await
    }

    /// Frees `layers`, and the sessions that ran on any of them.
    pub fn unload(&mut self, layers: Layers) {
        self.sessions.retain(|_, cache| {
            let ran = cache.layers();
            ran.end <= layers.start || layers.end <= ran.start
        });
        self.model.unload(layers);
    }

    /// Frees a session's caches; no harm if there are none.
    pub fn forget(&mut self, session: &K) {
        self.sessions.remove(session);
    }

    /// Sessions that have caches here.
    #[must_use]
    pub fn sessions(&self) -> usize {
        self.sessions.len()
    }

    /// Runs one pass of one session. Everything in `step` may come from a hostile peer.
    ///
    /// # Errors
    /// [`Error::Step`] and [`Error::Sampling`] leave the session as it was; after [`Error::Device`] it is forgotten.
    pub async fn run(&mut self, step: Step<'_, K>) -> Result<StepOut, Error> {
        let sampling = step.draw.map(|draw| Sampling::from_bytes(draw.settings)).transpose()?;
        let recent = step.draw.map_or(&[][..], |draw| draw.recent);
        self.check(&step)?;
        let input = self.input(&step)?;
        let (layers, end) = (step.layers, step.position + step.rows(self.config()));
        let cache = self.sessions.entry(step.session.clone()).or_insert_with(|| Cache::new(layers));
        let output = self.model.forward(layers, input, Some(cache));
        let finished = match sampling {
            _ if layers.end < self.config().layers => read_back(output).await.map(|hidden| to_bytes(&hidden)),
            Some(sampling) => self.next_token(output, &sampling, end, recent).await,
            None => Ok(StepOut::Nothing),
        };
        if finished.is_err() {
            self.forget(&step.session);
        }
        finished
    }

    async fn next_token(
        &mut self,
        output: Tensor<3>,
        sampling: &Sampling,
        position: usize,
        recent: &[u32],
    ) -> Result<StepOut, Error> {
        let [_, rows, _] = output.dims();
        let scores = self.model.logits(output.narrow(1, rows - 1, 1));
        if let Some(token) = self.pick(&scores, sampling, position as u64).await? {
            return Ok(StepOut::Token { token, end: self.config().eos.contains(&token) });
        }
        let scores = read_back(scores).await?;
        let token = sampling.draw(&scores, position as u64, recent, &mut self.scratch)?.token;
        Ok(StepOut::Token { token, end: self.config().eos.contains(&token) })
    }

    /// The next token, if the device can find the few scores that it depends on: then a vocabulary of them need not be
    /// read back.
    ///
    /// # Shapes
    /// - `scores`: `[1, 1, vocabulary]`
    async fn pick(
        &self,
        scores: &Tensor<3>,
        sampling: &Sampling,
        position: u64,
    ) -> Result<Option<u32>, Error> {
        let [_, _, vocabulary] = scores.dims();
        let (Tier::Gpu(gpu), Some(count)) =
            (Tier::of(&self.opened.device), sampling.best_needed(CANDIDATES.min(vocabulary)))
        else {
            return Ok(None);
        };
        let softness = if sampling.temperature > 0.0 { 1.0 / sampling.temperature } else { 1.0 };
        let scores = scores.clone().reshape([1, vocabulary]);
        let Ok(picks) = pick(&gpu, scores, count, softness) else { return Ok(None) };
        let picked = picks.read().await.map_err(|error| Error::Device(error.to_string()))?;
        let Some(Picked { best, log_sum }) = picked.first() else { return Ok(None) };
        Ok(sampling.draw_best(best, *log_sum, position))
    }

    fn check(&self, step: &Step<'_, K>) -> Result<(), StepError> {
        let config = self.config();
        step.check(config)?;
        if !self.holds(step.layers) {
            return Err(StepError::NotLoaded(step.layers));
        }
        match self.sessions.get(&step.session) {
            Some(cache) if cache.layers() != step.layers => Err(StepError::NotLoaded(step.layers)),
            Some(cache) => step.check_position(cache.rows()),
            None if self.sessions.len() >= limits::SESSIONS => Err(StepError::Sessions),
            None => step.check_position(0),
        }
    }

    /// # Shapes
    /// - result: `[1, rows, width]`
    fn input(&self, step: &Step<'_, K>) -> Result<Tensor<3>, StepError> {
        let device = &self.opened.device;
        match step.input {
            Input::Tokens(tokens) => {
                let ids: Vec<i32> = tokens.iter().map(|id| *id as i32).collect();
                let ids = Tensor::<2, Int>::from_data(TensorData::new(ids, [1, tokens.len()]), device);
                Ok(self.model.embed(ids))
            }
            Input::Hidden(bytes) => {
                let values = from_bytes(bytes)?;
                let shape = [1, step.rows(self.config()), self.config().width];
                Ok(Tensor::from_data(TensorData::new(values, shape), device))
            }
        }
    }
}

fn to_bytes(hidden: &[f32]) -> StepOut {
    StepOut::Hidden(hidden.iter().flat_map(|value| value.to_le_bytes()).collect())
}

fn from_bytes(bytes: &[u8]) -> Result<Vec<f32>, StepError> {
    let values: Vec<f32> = bytes.as_chunks::<4>().0.iter().map(|four| f32::from_le_bytes(*four)).collect();
    match values.iter().position(|value| !value.is_finite()) {
        Some(index) => Err(StepError::NotFinite(index)),
        None => Ok(values),
    }
}
