//! What a `tokenizer_config.json` adds to a tokenizer: special texts, and how a conversation is written.

use crate::error::Error;
use crate::limits;
use serde_json::Value;

/// The parts of a `tokenizer_config.json` that matter for writing text.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TokenizerConfig {
    /// `bos_token`: starts a text.
    pub bos: Option<String>,
    /// `eos_token`: ends a text.
    pub eos: Option<String>,
    /// `unk_token` and `pad_token`, by those names.
    pub others: Vec<(String, String)>,
    /// `add_bos_token`; None where the file does not say.
    pub add_bos: Option<bool>,
    /// `chat_template`: names and Jinja sources. A single one is named `default`.
    pub templates: Vec<(String, String)>,
}

impl TokenizerConfig {
    /// Reads the file.
    ///
    /// # Errors
    /// [`Error::Tokenizer`] if it is too large or not JSON. Fields of unknown forms are left out.
    pub fn from_json(json: &[u8]) -> Result<Self, Error> {
        if json.len() > limits::TOKENIZER_BYTES {
            let reason = format!(
                "tokenizer_config.json has {} bytes, {} at most",
                json.len(),
                limits::TOKENIZER_BYTES
            );
            return Err(Error::Tokenizer(reason));
        }
        let file: Value = serde_json::from_slice(json)
            .map_err(|error| super::reason("tokenizer_config.json is not readable", error))?;
        let others = ["unk_token", "pad_token"].into_iter();
        Ok(Self {
            bos: text(&file["bos_token"]),
            eos: text(&file["eos_token"]),
            others: others.filter_map(|name| Some((name.to_owned(), text(&file[name])?))).collect(),
            add_bos: file["add_bos_token"].as_bool(),
            templates: templates(&file["chat_template"]),
        })
    }
}

/// A special text is a string, or an object that describes one.
fn text(value: &Value) -> Option<String> {
    value.as_str().or_else(|| value["content"].as_str()).map(str::to_owned)
}

fn templates(value: &Value) -> Vec<(String, String)> {
    if let Some(source) = value.as_str() {
        return vec![("default".to_owned(), source.to_owned())];
    }
    let named = value.as_array().map_or(&[][..], Vec::as_slice).iter();
    named.filter_map(|entry| Some((text(&entry["name"])?, text(&entry["template"])?))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_forms_of_every_field_are_read() {
        let plain =
            br#"{"bos_token": "<s>", "eos_token": "</s>", "add_bos_token": true, "chat_template": "x"}"#;
        let config = TokenizerConfig::from_json(plain).unwrap();
        assert_eq!((config.bos.as_deref(), config.eos.as_deref()), (Some("<s>"), Some("</s>")));
        assert_eq!(config.templates, [("default".to_owned(), "x".to_owned())]);
        assert_eq!(config.add_bos, Some(true));
        let objects = br#"{"bos_token": {"content": "<s>"}, "eos_token": null, "pad_token": "<p>",
            "chat_template": [{"name": "default", "template": "x"}, {"name": "tool_use", "template": "y"}, 3]}"#;
        let config = TokenizerConfig::from_json(objects).unwrap();
        assert_eq!((config.bos.as_deref(), config.eos), (Some("<s>"), None));
        assert_eq!(config.others, [("pad_token".to_owned(), "<p>".to_owned())]);
        assert_eq!(config.templates[1], ("tool_use".to_owned(), "y".to_owned()));
        assert!(TokenizerConfig::from_json(b"{").is_err());
        assert_eq!(TokenizerConfig::from_json(b"[1]").unwrap(), TokenizerConfig::default());
    }
}
