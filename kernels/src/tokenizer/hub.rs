//! A tokenizer from a Hugging Face `tokenizer.json`.

use super::pieces::{Pieces, Spelling};
use super::{Encoder, Tokenizer, reason};
use crate::error::Error;
use crate::limits;
use serde_json::Value;

/// How a file's decoder writes, as far as it can be said id by id.
struct Writing {
    spelling: Spelling,
    strip_first_blank: bool,
}

/// # Errors
/// See [`Tokenizer::from_json`].
pub(super) fn read(json: &[u8], bos: Option<u32>) -> Result<Tokenizer, Error> {
    if json.len() > limits::TOKENIZER_BYTES {
        let reason = format!("tokenizer.json has {} bytes, {} at most", json.len(), limits::TOKENIZER_BYTES);
        return Err(Error::Tokenizer(reason));
    }
    let mut inner = tokenizers::Tokenizer::from_bytes(json)
        .map_err(|error| reason("tokenizer.json is not readable", error))?;
    // Both are about training batches; here they would silently change a prompt.
    inner.with_padding(None);
    inner.with_truncation(None).map_err(|error| reason("truncation", error))?;
    let pieces = writing(&inner).map(|writing| pieces(&inner, &writing)).transpose()?;
    let start_is_a_guess = inner.get_post_processor().is_none();
    let start = if start_is_a_guess { bos.into_iter().collect() } else { start(&inner)? };
    Ok(Tokenizer {
        encoder: Encoder::Hub(Box::new(inner)),
        pieces,
        start,
        start_is_a_guess,
        ends: Vec::new(),
    })
}

/// What the file puts before a text, seen from what it puts before one.
fn start(inner: &tokenizers::Tokenizer) -> Result<Vec<u32>, Error> {
    let any = inner.encode("a", true).map_err(|error| reason("tokenizer.json cannot encode", error))?;
    let special = any.get_special_tokens_mask().iter().zip(any.get_ids());
    Ok(special.take_while(|(special, _)| **special == 1).map(|(_, id)| *id).collect())
}

fn writing(inner: &tokenizers::Tokenizer) -> Option<Writing> {
    let decoder = serde_json::to_value(inner.get_decoder()?).ok()?;
    let steps = match decoder["decoders"].as_array() {
        Some(steps) => steps.clone(),
        None => vec![decoder],
    };
    if steps.iter().any(|step| step["type"] == "ByteLevel") {
        return Some(Writing { spelling: Spelling::ByteLevel, strip_first_blank: false });
    }
    if !steps.iter().all(known_step) || !steps.iter().any(writes_blanks) {
        return None;
    }
    let strips = |step: &Value| step["type"] == "Strip" || prepends(step);
    Some(Writing { spelling: Spelling::Metaspace, strip_first_blank: steps.iter().any(strips) })
}

fn writes_blanks(step: &Value) -> bool {
    step["type"] == "Metaspace" || step["type"] == "Replace"
}

fn prepends(step: &Value) -> bool {
    step["type"] == "Metaspace" && step["prepend_scheme"] != "never"
}

fn known_step(step: &Value) -> bool {
    match step["type"].as_str() {
        Some("ByteFallback" | "Fuse") => true,
        Some("Metaspace") => step["replacement"] == "▁",
        Some("Replace") => step["pattern"]["String"] == "▁" && step["content"] == " ",
        Some("Strip") => step["content"] == " " && step["start"] == 1 && step["stop"] == 0,
        _ => false,
    }
}

fn pieces(inner: &tokenizers::Tokenizer, writing: &Writing) -> Result<Pieces, Error> {
    let mut pieces = Pieces::new(writing.strip_first_blank);
    let added = inner.get_added_tokens_decoder();
    let most = inner.get_vocab(true).into_values().max();
    if most.is_some_and(|id| id as usize >= limits::VOCABULARY) {
        let reason = format!("tokenizer.json has ids up to {most:?}, below {} at most", limits::VOCABULARY);
        return Err(Error::Tokenizer(reason));
    }
    for id in 0..most.map_or(0, |most| most + 1) {
        match (added.get(&id), inner.id_to_token(id)) {
            (Some(mark), _) if mark.special => pieces.push("", Spelling::Silent)?,
            (Some(mark), _) => pieces.push(&mark.content, added_spelling(writing.spelling))?,
            (None, Some(text)) => pieces.push(&text, writing.spelling)?,
            (None, None) => pieces.push("", Spelling::Silent)?,
        }
    }
    Ok(pieces)
}

/// Added entries are not spelled byte by byte, but SentencePiece's blanks are written in them too.
fn added_spelling(spelling: Spelling) -> Spelling {
    match spelling {
        Spelling::ByteLevel => Spelling::Plain,
        other => other,
    }
}
