//! Streaming for decoders that cannot be said id by id (WordPiece, for one): what decoding with the new id gives
//! beyond what it gave without it.

use super::Tokenizer;
use crate::error::Error;

/// See the module.
#[derive(Debug, Clone, Default)]
pub(super) struct Difference {
    /// The last ids: context that was given out already, then those that were not.
    ids: Vec<u32>,
    given: usize,
}

/// Ids without a whole character among them after which they are given out as they are. Source: a character has four
/// bytes at most, a family emoji seven characters; beyond that it is noise.
const HELD_BACK: usize = 32;
/// What decoding gives for bytes that are no character.
const BROKEN: char = '\u{FFFD}';

impl Difference {
    pub(super) fn after(prompt: Vec<u32>) -> Self {
        // All of it, once: a part might begin inside a character, which would then never look whole.
        Self { given: prompt.len(), ids: prompt }
    }

    pub(super) fn push(&mut self, tokenizer: &Tokenizer, id: u32) -> Result<String, Error> {
        self.ids.push(id);
        self.take(tokenizer, self.ids.len() - self.given >= HELD_BACK)
    }

    pub(super) fn finish(&mut self, tokenizer: &Tokenizer) -> Result<String, Error> {
        self.take(tokenizer, true)
    }
    fn take(&mut self, tokenizer: &Tokenizer, broken_too: bool) -> Result<String, Error> {
        let before = self.context(tokenizer)?;
        let all = tokenizer.decode(&self.ids)?;
        if all.ends_with(BROKEN) && !broken_too {
            return Ok(String::new());
        }
        let text = all.strip_prefix(&before).map_or_else(|| after_common(&before, &all), str::to_owned);
        if all.ends_with(BROKEN) {
            // Noise is no context: next to it whole characters would look broken too.
            self.ids.clear();
        } else if !text.is_empty() {
            // What was just given becomes the context, and only that is kept.
            self.ids.drain(..self.given);
        } else {
            return Ok(text);
        }
        self.given = self.ids.len();
        Ok(text)
    }

    /// The text that was given out already. A prompt may end inside a character: then it is part of the answer.
    fn context(&mut self, tokenizer: &Tokenizer) -> Result<String, Error> {
        let least = self.given.saturating_sub(HELD_BACK);
        loop {
            let text = tokenizer.decode(&self.ids[..self.given])?;
            if self.given == least || !text.ends_with(BROKEN) {
                return Ok(text);
            }
            self.given -= 1;
        }
    }
}

fn after_common(before: &str, all: &str) -> String {
    let same = before.chars().zip(all.chars()).take_while(|(a, b)| a == b).map(|(a, _)| a.len_utf8()).sum();
    all[same..].to_owned()
}
