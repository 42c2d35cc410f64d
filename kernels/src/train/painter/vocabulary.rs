//! The painter's vocabulary: the words of captions, in lower case; every other word is one and the same unknown one.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::scene::Scene;
use crate::train::TrainError;

/// What stands in place of tokens where a text is shorter than others.
pub const PAD_ID: u32 = 0;
/// What stands before every text, and alone in place of none.
pub const BEGIN_ID: u32 = 1;
/// Every word that no caption has.
const UNKNOWN_ID: u32 = 2;
const SPECIAL: [&str; 3] = ["<pad>", "<bos>", "<unk>"];
/// Captions that words are taken from.
const CAPTIONS: u64 = 30_000;
/// Words of fewer captions are not learned: made-up ones among them.
const LEAST: usize = 20;

/// The text of a `tokenizer.json`; the same for the same scenes.
///
/// # Errors
/// [`TrainError::Vocabulary`] if it cannot be written.
pub fn learn(scene_seed: impl Fn(u64) -> u64) -> Result<String, TrainError> {
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    for index in 0..CAPTIONS {
        let caption = Scene::new(scene_seed(index)).caption.to_lowercase();
        for word in caption.split(' ').map(|word| word.trim_end_matches(',')) {
            *counts.entry(word.to_owned()).or_default() += 1;
        }
    }
    let words = counts.into_iter().filter(|(_, count)| *count >= LEAST).map(|(word, _)| word);
    let all = SPECIAL.into_iter().map(String::from).chain([",".to_owned()]).chain(words);
    let ids: Map<String, Value> = all.enumerate().map(|(id, word)| (word, json!(id))).collect();
    let written = serde_json::to_string_pretty(&file(ids));
    written.map_err(|error| TrainError::Vocabulary(error.to_string()))
}

fn file(ids: Map<String, Value>) -> Value {
    let special = |id: usize| {
        json!({"id": id, "content": SPECIAL[id], "single_word": false, "lstrip": false, "rstrip": false,
            "normalized": false, "special": true})
    };
    let begin = SPECIAL[BEGIN_ID as usize];
    let first = json!({"SpecialToken": {"id": begin, "type_id": 0}});
    let text = |id: &str, part: usize| json!({"Sequence": {"id": id, "type_id": part}});
    json!({
        "version": "1.0",
        "truncation": null,
        "padding": null,
        "added_tokens": (0..SPECIAL.len()).map(special).collect::<Vec<_>>(),
        "normalizer": {"type": "Lowercase"},
        "pre_tokenizer": {"type": "BertPreTokenizer"},
        "post_processor": {
            "type": "TemplateProcessing",
            "single": [first, text("A", 0)],
            "pair": [first, text("A", 0), text("B", 1)],
            "special_tokens": {begin: {"id": begin, "ids": [BEGIN_ID], "tokens": [begin]}},
        },
        "decoder": null,
        "model": {"type": "WordLevel", "vocab": ids, "unk_token": SPECIAL[UNKNOWN_ID as usize]},
    })
}
