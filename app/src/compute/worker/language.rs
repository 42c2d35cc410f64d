//! What a model's files say of its language: the tokenizer, and how it is talked to.

use crate::compute::files::Files;
use kernels::chat::Template;
use kernels::tokenizer::{Tokenizer, TokenizerConfig};
use kernels::weights::gguf::Metadata;

/// Both.
pub struct Language {
    pub tokenizer: Tokenizer,
    /// How a conversation is written; None for a model that was not trained on any, or why its template is of no use.
    pub template: Result<Option<Template>, String>,
}

impl Language {
    /// From a GGUF file's own metadata.
    pub fn of_gguf(metadata: Option<&Metadata>) -> Result<Self, String> {
        let metadata = metadata.ok_or("a GGUF file without metadata")?;
        let vocabulary = metadata.vocabulary();
        let tokenizer = vocabulary.and_then(|vocabulary| Tokenizer::from_gguf(&vocabulary));
        let tokenizer = tokenizer.map_err(|error| error.to_string())?;
        Ok(Self { tokenizer, template: template_of_gguf(metadata).map_err(|error| error.to_string()) })
    }

    /// From a folder's `tokenizer.json`, and what is beside it.
    pub async fn of_folder(json: &[u8], bos: Option<u32>, files: &impl Files) -> Result<Self, String> {
        let tokenizer = Tokenizer::from_json(json, bos).map_err(|error| error.to_string())?;
        let config = files.whole("tokenizer_config.json").await.ok();
        let config = config.and_then(|json| TokenizerConfig::from_json(&json).ok());
        let jinja = files.whole("chat_template.jinja").await.ok();
        let jinja = jinja.and_then(|bytes| String::from_utf8(bytes).ok());
        let described = config.clone().unwrap_or_default();
        let template = Template::of(&described, jinja.as_deref(), false).map_err(|error| error.to_string());
        let tokenizer = match &config {
            Some(config) => tokenizer.with_config(config),
            None => tokenizer,
        };
        Ok(Self { tokenizer, template })
    }
}

fn template_of_gguf(metadata: &Metadata) -> Result<Option<Template>, kernels::Error> {
    let Some(source) = metadata.text("tokenizer.chat_template") else { return Ok(None) };
    let mark = |name: &str| {
        let id = metadata.number(&format!("tokenizer.ggml.{name}_id"))?;
        let text = metadata.list("tokenizer.ggml.tokens")?.texts()?.nth(id.try_into().ok()?)?;
        Some(String::from_utf8_lossy(text).into_owned())
    };
    let marks = ["bos_token", "eos_token"].map(|name| (name, mark(name).unwrap_or_default()));
    Template::new(source, &marks.each_ref().map(|(name, text)| (*name, text.as_str()))).map(Some)
}
