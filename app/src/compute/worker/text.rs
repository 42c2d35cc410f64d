//! Text to tokens and back, a stream per answer.

use super::language::Language;
use crate::clock;
use crate::compute::{Prompt, Report};
use crate::sampling::Sampling;
use coordinator::JobId;
use kernels::chat::{Conversation, Message, Template};
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

    /// Whether the model's files say how a conversation is written, readable or not.
    pub const fn knows_conversations(&self) -> bool {
        !matches!(self.language.template, Ok(None))
    }

    /// A prompt's token ids, or what is wrong with it in plain words.
    pub fn encode(&self, prompt: &Prompt, sampling: &Sampling) -> Result<Vec<u32>, String> {
        to_kernels(sampling).check().map_err(|error| error.to_string())?;
        Stops::new(sampling.stops.clone()).map_err(|error| error.to_string())?;
        sampling.check_length()?;
        let template = match sampling.chat {
            true => self.language.template.as_ref().map_err(Clone::clone)?.as_ref(),
            false => None,
        };
        let goes_on = template.is_none() && !prompt.before.is_empty();
        if prompt.text.trim().is_empty() && !goes_on {
            return Err("The prompt is empty: write how the story begins.".into());
        }
        let text =
            template.map_or_else(|| Ok(text_so_far(prompt)), |template| conversation(template, prompt))?;
        self.language.tokenizer.encode(&text, true).map_err(|error| error.to_string())
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

/// What a person says to the model after all that was said before, as the model's template writes it.
fn conversation(template: &Template, prompt: &Prompt) -> Result<String, String> {
    let system = Some(prompt.system.trim()).filter(|system| !system.is_empty());
    let before = prompt
        .before
        .iter()
        .flat_map(|turn| [Message::new("user", &turn.prompt), Message::new("assistant", &turn.answer)]);
    let messages = system.map(|system| Message::new("system", system)).into_iter();
    let messages = messages.chain(before).chain([Message::new("user", &prompt.text)]).collect();
    let now = clock::unix_seconds();
    let conversation = Conversation { messages, add_generation_prompt: true, now, ..Conversation::default() };
    template.render(&conversation).map_err(|error| error.to_string())
}

/// A text, and how the person would have it go on.
fn text_so_far(prompt: &Prompt) -> String {
    let before = prompt.before.iter().flat_map(|turn| [turn.prompt.as_str(), turn.answer.as_str()]);
    let before: String = before.collect();
    // Whoever adds a sentence does not think of the blank before it.
    let joined = before.is_empty()
        || prompt.text.is_empty()
        || before.ends_with(char::is_whitespace)
        || prompt.text.starts_with(char::is_whitespace);
    let blank = if joined { "" } else { " " };
    format!("{before}{blank}{}", prompt.text)
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
    let &Sampling { temperature, top_k, top_p, min_p, repetition, presence, frequency, seed, report, .. } =
        settings;
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
        report,
        ..kernels::llm::Sampling::greedy()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compute::Turn;

    fn prompt(system: &str, text: &str) -> Prompt {
        let before = vec![Turn { prompt: "Who are you?".into(), answer: "An owl.".into() }];
        Prompt { system: system.into(), before, text: text.into() }
    }

    #[test]
    fn a_conversation_is_written_as_the_models_template_wants_it() {
        let template = "{% for m in messages %}<{{ m.role }}>{{ m.content }}{% endfor %}{% if add_generation_prompt %}<assistant>{% endif %}";
        let template = Template::new(template, &[]).expect("it is sound");
        let rows = [
            ("Be brief.", "<system>Be brief.<user>Who are you?<assistant>An owl.<user>Why?<assistant>"),
            ("  ", "<user>Who are you?<assistant>An owl.<user>Why?<assistant>"),
        ];
        for (system, want) in rows {
            assert_eq!(conversation(&template, &prompt(system, "Why?")).as_deref(), Ok(want));
        }
    }

    #[test]
    fn a_text_goes_on_where_it_ended() {
        let rows = [
            ("", "Who are you?An owl.", "nothing added"),
            ("It flew.", "Who are you?An owl. It flew.", "a sentence"),
            ("\nIt flew.", "Who are you?An owl.\nIt flew.", "with a blank of its own"),
        ];
        for (text, want, why) in rows {
            assert_eq!(text_so_far(&prompt("ignored", text)), want, "{why}");
        }
        assert_eq!(text_so_far(&Prompt { text: "Once".into(), ..Prompt::default() }), "Once");
    }
}
