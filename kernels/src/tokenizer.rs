//! Text to token ids and back, from a Hugging Face `tokenizer.json`.

use crate::error::Error;
use crate::limits;
use std::fmt;

/// A model's tokenizer.
pub struct Tokenizer {
    inner: tokenizers::Tokenizer,
    bos: Option<u32>,
}

/// Text from a stream of ids, a piece at a time.
///
/// An id may be half a character or a blank that belongs to the word before; what is given out is always whole, and
/// all pieces together are what decoding everything at once gives.
#[derive(Debug, Clone, Default)]
pub struct Detokenizer {
    /// The last ids: context that was given out already, then those that were not.
    ids: Vec<u32>,
    given: usize,
}

/// Ids without a whole character among them after which they are given out as they are. Source: a character has four
/// bytes at most, a family emoji seven characters; beyond that it is noise.
const HELD_BACK: usize = 32;
/// What decoding gives for bytes that are no character.
const BROKEN: char = '\u{FFFD}';

impl Tokenizer {
    /// Reads a `tokenizer.json`. `bos` is the id that starts a text, from the model's configuration.
    ///
    /// # Errors
    /// [`Error::Tokenizer`] if the file is too large or not a tokenizer.
    pub fn from_json(json: &[u8], bos: Option<u32>) -> Result<Self, Error> {
        if json.len() > limits::TOKENIZER_BYTES {
            let reason =
                format!("tokenizer.json has {} bytes, {} at most", json.len(), limits::TOKENIZER_BYTES);
            return Err(Error::Tokenizer(reason));
        }
        let mut inner = tokenizers::Tokenizer::from_bytes(json)
            .map_err(|e| Error::Tokenizer(format!("tokenizer.json is not readable: {e}")))?;
        // Both are about training batches; here they would silently change a prompt.
        inner.with_padding(None);
        inner.with_truncation(None).map_err(|e| Error::Tokenizer(e.to_string()))?;
        Ok(Self { inner, bos })
    }

    /// Ids in the vocabulary, added ones included.
    #[must_use]
    pub fn vocabulary(&self) -> usize {
        self.inner.get_vocab_size(true)
    }

    /// The ids of `text`. With `start` they begin with the id that starts a text, exactly once, if there is one.
    ///
    /// # Errors
    /// [`Error::Tokenizer`] if the text is too long or cannot be encoded.
    pub fn encode(&self, text: &str, start: bool) -> Result<Vec<u32>, Error> {
        if text.len() > limits::TEXT_BYTES {
            let reason = format!("a text of {} bytes, {} at most", text.len(), limits::TEXT_BYTES);
            return Err(Error::Tokenizer(reason));
        }
        // Some files add the first id by themselves and some do not, so that it is added here.
        let encoding = self.inner.encode_fast(text, false).map_err(|e| Error::Tokenizer(e.to_string()))?;
        let first = self.bos.filter(|_| start);
        Ok(first.into_iter().chain(encoding.get_ids().iter().copied()).collect())
    }

    /// The text of `ids`, without ids that stand for no text.
    ///
    /// # Errors
    /// [`Error::Tokenizer`] if they cannot be decoded.
    pub fn decode(&self, ids: &[u32]) -> Result<String, Error> {
        self.inner.decode(ids, true).map_err(|e| Error::Tokenizer(e.to_string()))
    }
}

impl fmt::Debug for Tokenizer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Tokenizer({} ids)", self.vocabulary())
    }
}

impl Detokenizer {
    /// For what follows `prompt`: whether a first blank is kept depends on what stands before it.
    #[must_use]
    pub fn after(prompt: &[u32]) -> Self {
        // All of it, once: a part might begin inside a character, which would then never look whole.
        Self { ids: prompt.to_vec(), given: prompt.len() }
    }

    /// Takes the next id and gives the text that is now whole, often none.
    ///
    /// # Errors
    /// As [`Tokenizer::decode`].
    pub fn push(&mut self, tokenizer: &Tokenizer, id: u32) -> Result<String, Error> {
        self.ids.push(id);
        self.take(tokenizer, self.ids.len() - self.given >= HELD_BACK)
    }

    /// What is left at the end of a text, broken characters included.
    ///
    /// # Errors
    /// As [`Tokenizer::decode`].
    pub fn finish(&mut self, tokenizer: &Tokenizer) -> Result<String, Error> {
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
