//! Text to tokens and back, a stream per answer.

use super::language::Language;
use crate::clock;
use crate::compute::Report;
use crate::sampling::Sampling;
use coordinator::JobId;
use kernels::chat::{Conversation, Message};
use kernels::llm::Stops;
use kernels::tokenizer::Detokenizer;
use std::collections::BTreeMap;

/// The model's language, and where each answer's text has got to.
pub struct Texts {
    language: Language,
    streams: BTreeMap<JobId, Stream>,
}

/// One answer's text.
struct Stream {
    detokenizer: Detokenizer,
    stops: Stops,
    /// A stop text came: whatever follows is not shown.
    stopped: bool,
}

impl Texts {
    pub const fn new(language: Language) -> Self {
        Self { language, streams: BTreeMap::new() }
    }

    /// A prompt's token ids, or what is wrong with it in plain words.
    pub fn encode(&self, text: &str, sampling: &Sampling) -> Result<Vec<u32>, String> {
        to_kernels(sampling).check().map_err(|error| error.to_string())?;
        Stops::new(sampling.stops.clone()).map_err(|error| error.to_string())?;
        sampling.check_length()?;
        if text.trim().is_empty() {
            return Err("The prompt is empty: write how the story begins.".into());
        }
        let message = if sampling.chat { self.message(text)? } else { None };
        let text = message.as_deref().unwrap_or(text);
        self.language.tokenizer.encode(text, true).map_err(|error| error.to_string())
    }

    /// What a person says to the model, as its template writes it; None if it has none.
    fn message(&self, text: &str) -> Result<Option<String>, String> {
        let Some(template) = self.language.template.as_ref().map_err(Clone::clone)? else { return Ok(None) };
        let conversation = Conversation {
            messages: vec![Message::new("user", text)],
            add_generation_prompt: true,
            now: clock::unix_seconds(),
            ..Conversation::default()
        };
        template.render(&conversation).map(Some).map_err(|error| error.to_string())
    }

    /// More text of an answer. What cannot be decoded is left out: the tokens come from peers.
    pub fn decode(&mut self, job: JobId, begin: Option<Begin>, tokens: &[u32], last: bool) -> Report {
        let restart = begin.is_some();
        if restart || !self.streams.contains_key(&job) {
            self.streams.insert(job, Stream::new(begin.unwrap_or_default()));
        }
        let (mut text, mut stopped) = (String::new(), false);
        if let Some(stream) = self.streams.get_mut(&job) {
            text = stream.push(&self.language, tokens, last);
            stopped = stream.stopped;
            if last {
                self.streams.remove(&job);
            }
        }
        Report::Text { job, restart, text, last, stopped }
    }
}

/// What an answer's text begins with.
#[derive(Default)]
pub struct Begin {
    /// The prompt, on which a first blank depends.
    pub prompt: Vec<u32>,
    /// Texts that end the answer.
    pub stops: Vec<String>,
}

impl Stream {
    /// Stop texts of another peer's job that are out of bounds stop nothing.
    fn new(begin: Begin) -> Self {
        let stops = Stops::new(begin.stops).unwrap_or_default();
        Self { detokenizer: Detokenizer::after(&begin.prompt), stops, stopped: false }
    }

    fn push(&mut self, language: &Language, tokens: &[u32], last: bool) -> String {
        let tokenizer = &language.tokenizer;
        let mut shown = String::new();
        for token in tokens {
            if let Ok(text) = self.detokenizer.push(tokenizer, *token) {
                self.show(&text, &mut shown);
            }
        }
        if last {
            if let Ok(text) = self.detokenizer.finish(tokenizer) {
                self.show(&text, &mut shown);
            }
            if !self.stopped {
                shown.push_str(&self.stops.finish());
            }
        }
        shown
    }

    fn show(&mut self, text: &str, shown: &mut String) {
        if !self.stopped {
            let stopping = self.stops.push(text);
            shown.push_str(&stopping.text);
            self.stopped = stopping.stopped;
        }
    }
}

/// The settings as the engine takes them.
pub fn to_kernels(settings: &Sampling) -> kernels::llm::Sampling {
    let &Sampling { temperature, top_k, top_p, min_p, repetition, presence, frequency, seed, .. } = settings;
    kernels::llm::Sampling {
        temperature,
        top_k,
        top_p,
        min_p,
        repetition,
        presence,
        frequency,
        bias: settings.bias.clone(),
        seed,
        ..kernels::llm::Sampling::greedy()
    }
}
