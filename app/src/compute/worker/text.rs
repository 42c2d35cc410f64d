//! Text to tokens and back, a stream per answer.

use crate::compute::Report;
use crate::sampling::Sampling;
use coordinator::JobId;
use kernels::tokenizer::{Detokenizer, Tokenizer};
use std::collections::BTreeMap;

/// The tokenizer, and where each answer's text has got to.
pub struct Texts {
    tokenizer: Tokenizer,
    streams: BTreeMap<JobId, Detokenizer>,
}

impl Texts {
    pub const fn new(tokenizer: Tokenizer) -> Self {
        Self { tokenizer, streams: BTreeMap::new() }
    }

    /// A prompt's token ids, or what is wrong with it in plain words.
    pub fn encode(&self, text: &str, sampling: Sampling) -> Result<Vec<u32>, String> {
        to_kernels(sampling).check().map_err(|error| error.to_string())?;
        if text.trim().is_empty() {
            return Err("The prompt is empty: write how the story begins.".into());
        }
        self.tokenizer.encode(text, true).map_err(|error| error.to_string())
    }

    /// More text of an answer. What cannot be decoded is left out: the tokens come from peers.
    pub fn decode(&mut self, job: JobId, prompt: &[u32], from: u32, tokens: &[u32], last: bool) -> Report {
        if from == 0 || !self.streams.contains_key(&job) {
            self.streams.insert(job, Detokenizer::after(prompt));
        }
        let mut text = String::new();
        if let Some(stream) = self.streams.get_mut(&job) {
            let pieces = tokens.iter().map(|token| stream.push(&self.tokenizer, *token));
            text.extend(pieces.filter_map(Result::ok));
            if last {
                text.extend(stream.finish(&self.tokenizer).ok());
                self.streams.remove(&job);
            }
        }
        Report::Text { job, restart: from == 0, text, last }
    }
}

/// The settings as the engine takes them.
pub fn to_kernels(settings: Sampling) -> kernels::llm::Sampling {
    let Sampling { temperature, top_p, seed } = settings;
    kernels::llm::Sampling { temperature, top_p, seed, ..kernels::llm::Sampling::greedy() }
}
