//! What a GGUF file says of its tokenizer.

use super::Metadata;
use crate::error::Error;
use crate::tokenizer::GgufVocabulary;

impl Metadata {
    /// The keys `tokenizer.ggml.*`.
    ///
    /// # Errors
    /// [`Error::Tokenizer`] if there is no vocabulary, or a token is not text.
    pub fn vocabulary(&self) -> Result<GgufVocabulary, Error> {
        let key = |name: &str| format!("tokenizer.ggml.{name}");
        let id = |name: &str| self.number(&key(name)).and_then(|id| u32::try_from(id).ok());
        let text = |name: &str| self.text(&key(name)).unwrap_or_default().to_owned();
        let integers =
            |name: &str| self.list(&key(name)).and_then(|list| list.integers()).unwrap_or_default();
        let floats = |name: &str| self.list(&key(name)).and_then(|list| list.floats()).unwrap_or_default();
        let tokens = self.texts(&key("tokens"))?;
        if tokens.is_empty() {
            let why = "the GGUF file holds no vocabulary (tokenizer.ggml.tokens): use a complete file";
            return Err(Error::Tokenizer(why.into()));
        }
        let architecture = || self.text("general.architecture");
        Ok(GgufVocabulary {
            model: text("model"),
            pre: text("pre"),
            name: self.text("general.name").or_else(architecture).unwrap_or_default().to_owned(),
            tokens,
            scores: floats("scores").into_iter().map(|score| score as f32).collect(),
            kinds: integers("token_type").into_iter().map(|kind| i32::try_from(kind).unwrap_or(1)).collect(),
            merges: self.texts(&key("merges"))?,
            bos: id("bos_token_id"),
            eos: id("eos_token_id"),
            turn_ends: ["eot_token_id", "eom_token_id"].into_iter().filter_map(id).collect(),
            unknown: id("unknown_token_id"),
            add_bos: self.flag(&key("add_bos_token")),
            add_space_prefix: self.flag(&key("add_space_prefix")),
        })
    }

    /// A list of texts; empty if there is none.
    fn texts(&self, key: &str) -> Result<Vec<String>, Error> {
        let Some(texts) = self.list(key).and_then(|list| list.texts()) else { return Ok(Vec::new()) };
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec());
        let read = texts.map(text).collect::<Result<_, _>>();
        read.map_err(|error| Error::Tokenizer(format!("{key} of the GGUF file: {error}")))
    }
}
