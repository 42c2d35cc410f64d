//! Text to token ids and back, from a Hugging Face `tokenizer.json` or from a GGUF file's metadata alone.

mod config;
mod difference;
mod gguf;
mod hub;
mod pieces;
mod pre;
mod spm;
mod stream;

pub use config::TokenizerConfig;
pub use gguf::GgufVocabulary;
pub use stream::Detokenizer;

use crate::error::Error;
use crate::limits;
use pieces::Pieces;
use spm::Spm;
use std::fmt;

/// A model's tokenizer.
pub struct Tokenizer {
    encoder: Encoder,
    /// What each id writes; None for files that write in a way of their own.
    pieces: Option<Pieces>,
    /// What a text starts with.
    start: Vec<u32>,
    /// Nothing in the file said whether a text starts with an id.
    start_is_a_guess: bool,
    ends: Vec<u32>,
}

enum Encoder {
    Hub(Box<tokenizers::Tokenizer>),
    Spm(Spm),
}

impl Tokenizer {
    /// Reads a `tokenizer.json`. A text starts as the file says; where it does not say, with `bos`, the id from the
    /// model's configuration.
    ///
    /// # Errors
    /// [`Error::Tokenizer`] if the file is too large or not a tokenizer.
    pub fn from_json(json: &[u8], bos: Option<u32>) -> Result<Self, Error> {
        hub::read(json, bos)
    }

    /// Builds the tokenizer that a GGUF file describes.
    ///
    /// # Errors
    /// [`Error::Tokenizer`] if its lists do not fit together, are too long, or if the model or the way of cutting words is
    /// not known here (the message lists those that are).
    pub fn from_gguf(vocabulary: &GgufVocabulary) -> Result<Self, Error> {
        vocabulary.build()
    }

    /// Takes what a `tokenizer_config.json` says about the start of a text. With that file at hand, nothing has to be
    /// guessed any more: a text starts with an id only if one of both files says so.
    #[must_use]
    pub fn with_config(mut self, config: &TokenizerConfig) -> Self {
        let bos = config.bos.as_deref().and_then(|text| self.id(text));
        match (config.add_bos, bos) {
            (Some(true), Some(bos)) if self.start.is_empty() => self.start.push(bos),
            (Some(false), Some(bos)) if self.start == [bos] => self.start.clear(),
            (None, _) if self.start_is_a_guess => self.start.clear(),
            _ => {}
        }
        self.start_is_a_guess = false;
        self
    }

    /// Ids in the vocabulary, added ones included.
    #[must_use]
    pub fn vocabulary(&self) -> usize {
        match (&self.encoder, &self.pieces) {
            (_, Some(pieces)) => pieces.len(),
            (Encoder::Hub(inner), None) => inner.get_vocab_size(true),
            (Encoder::Spm(_), None) => 0,
        }
    }

    /// The id of a vocabulary entry as it is spelled there, `<|im_end|>` for one.
    #[must_use]
    pub fn id(&self, text: &str) -> Option<u32> {
        match &self.encoder {
            Encoder::Hub(inner) => inner.token_to_id(text),
            Encoder::Spm(spm) => spm.id(text),
        }
    }

    /// Ids that end a text or a turn, as far as a GGUF file tells; none from a `tokenizer.json`, where they stand in the
    /// model's configuration.
    #[must_use]
    pub fn ends(&self) -> &[u32] {
        &self.ends
    }

    /// The ids of `text`. With `start` they begin with what starts a text, exactly once, if there is such a thing.
    /// Marks such as `<|im_end|>` in the text become the ids that they name.
    ///
    /// # Errors
    /// [`Error::Tokenizer`] if the text is too long or cannot be encoded.
    pub fn encode(&self, text: &str, start: bool) -> Result<Vec<u32>, Error> {
        if text.len() > limits::TEXT_BYTES {
            let reason = format!("a text of {} bytes, {} at most", text.len(), limits::TEXT_BYTES);
            return Err(Error::Tokenizer(reason));
        }
        let ids = match &self.encoder {
            Encoder::Spm(spm) => spm.encode(text),
            // Some files add the first id by themselves and some do not, so that it is added here.
            Encoder::Hub(inner) => {
                let encoding = inner.encode_fast(text, false).map_err(|e| reason("cannot encode", e))?;
                encoding.get_ids().to_vec()
            }
        };
        // A chat template has written it already.
        if !start || ids.starts_with(&self.start) {
            return Ok(ids);
        }
        Ok([&self.start[..], &ids].concat())
    }

    /// The text of `ids`, without ids that stand for no text. Bytes that are no character become U+FFFD.
    ///
    /// # Errors
    /// [`Error::Tokenizer`] if they cannot be decoded.
    pub fn decode(&self, ids: &[u32]) -> Result<String, Error> {
        match (&self.pieces, &self.encoder) {
            (Some(pieces), _) => Ok(String::from_utf8_lossy(&pieces.all(ids)).into_owned()),
            (None, Encoder::Hub(inner)) => inner.decode(ids, true).map_err(|e| reason("cannot decode", e)),
            (None, Encoder::Spm(_)) => Ok(String::new()),
        }
    }
}

impl fmt::Debug for Tokenizer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Tokenizer({} ids)", self.vocabulary())
    }
}

/// What went wrong inside `tokenizers`, after what was tried.
fn reason(what: &str, error: impl fmt::Display) -> Error {
    Error::Tokenizer(format!("{what}: {error}"))
}
