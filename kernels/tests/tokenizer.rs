//! Tokenizers against golden encodings, and text as it streams.

mod common;

use common::shared;
use kernels::llm::Config;
use kernels::tokenizer::{Detokenizer, Tokenizer};

const TEXTS: [&str; 8] = [
    "Once upon a time",
    " a blank first",
    "two  blanks and a\nnew line\n\n",
    "Grüße, naïve café — “quoted”",
    "日本語のテキスト",
    "👩‍👩‍👧‍👦 family, 🦙 llama, é combining",
    "don't can't 3.14 x^2",
    "",
];

fn stories() -> Option<Tokenizer> {
    let config = Config::from_json(&shared("stories260K/hf/config.json")?).unwrap();
    Some(Tokenizer::from_json(&shared("stories260K/hf/tokenizer.json")?, config.bos).unwrap())
}

fn hub(name: &str, bos: Option<u32>) -> Option<Tokenizer> {
    Some(Tokenizer::from_json(&shared(&format!("tokenizers/{name}/tokenizer.json"))?, bos).unwrap())
}

fn all() -> Vec<(&'static str, Tokenizer)> {
    let named = [
        ("stories260K", stories()),
        ("llama-2", hub("llama-2", Some(1))),
        ("gpt-2", hub("gpt-2", None)),
        ("qwen2", hub("qwen2", None)),
    ];
    named.into_iter().filter_map(|(name, tokenizer)| Some((name, tokenizer?))).collect()
}

/// llama.cpp's own cases: the ids of each text, one line each.
#[test]
fn encodings_are_the_golden_ones() {
    for (name, cases) in [("gpt-2", "gpt-2"), ("qwen2", "qwen2"), ("llama-2", "llama-spm")] {
        let Some(tokenizer) = hub(name, None) else { return };
        let Some(texts) = shared(&format!("tokenizers/ggml-vocab-{cases}.gguf.inp")) else {
            return;
        };
        let Some(ids) = shared(&format!("tokenizers/ggml-vocab-{cases}.gguf.out")) else {
            return;
        };
        let (texts, ids) = (String::from_utf8(texts).unwrap(), String::from_utf8(ids).unwrap());
        let texts: Vec<&str> = texts.split("\n__ggml_vocab_test__\n").collect();
        let mut compared = 0;
        for (text, line) in texts.iter().zip(ids.lines()) {
            let expected: Vec<u32> = line.split_whitespace().map(|id| id.parse().unwrap()).collect();
            assert_eq!(tokenizer.encode(text, false).unwrap(), expected, "{name}: {text:?}");
            compared += 1;
        }
        assert!(compared > 40, "{name}: only {compared} cases were found");
    }
}

#[test]
fn text_survives_the_way_there_and_back() {
    for (name, tokenizer) in all() {
        for text in TEXTS {
            let ids = tokenizer.encode(text, true).unwrap();
            assert_eq!(tokenizer.decode(&ids).unwrap(), text, "{name}");
        }
    }
}

/// Whatever the ids are cut into, the pieces are whole characters and make the same text.
#[test]
fn streamed_pieces_make_the_text() {
    for (name, tokenizer) in all() {
        for (text, prompt) in TEXTS.iter().flat_map(|text| [1, 2, 3].map(|prompt| (text, prompt))) {
            let ids = tokenizer.encode(text, true).unwrap();
            let (before, after) = ids.split_at(prompt.min(ids.len()));
            let mut detokenizer = Detokenizer::after(before);
            let mut streamed = String::new();
            for id in after {
                let piece = detokenizer.push(&tokenizer, *id).unwrap();
                assert!(!piece.contains('\u{FFFD}'), "{name}: half a character in {piece:?} of {text:?}");
                streamed += &piece;
            }
            streamed += &detokenizer.finish(&tokenizer).unwrap();
            let prefix = tokenizer.decode(before).unwrap();
            // A prompt that ends inside a character makes the rest of it part of the answer.
            let prefix = prefix.trim_end_matches('\u{FFFD}');
            assert_eq!(format!("{prefix}{streamed}"), *text, "{name}, after {prompt} ids");
        }
    }
}

#[test]
fn noise_is_given_out_in_the_end() {
    let Some(tokenizer) = stories() else { return };
    // <0x80>, a byte that never starts a character.
    let broken = 3 + 0x80;
    let mut detokenizer = Detokenizer::after(&[1]);
    let text: String = (0..200).map(|_| detokenizer.push(&tokenizer, broken).unwrap()).collect();
    assert!(!text.is_empty(), "200 broken bytes must not be held back for ever");
}

#[test]
fn the_first_id_is_added_once_and_only_on_demand() {
    let Some(tokenizer) = stories() else { return };
    assert_eq!(tokenizer.encode("Once", true).unwrap()[0], 1);
    assert_ne!(tokenizer.encode("Once", true).unwrap()[1], 1);
    assert_ne!(tokenizer.encode("Once", false).unwrap()[0], 1);
}

/// Rows: bytes, why they are no tokenizer.
#[test]
fn hostile_files_are_an_error() {
    let rows: [(&[u8], &str); 4] = [
        (b"", "empty"),
        (b"{}", "no model"),
        (b"\xff\xfe", "not text"),
        (b"{\"model\":{\"type\":\"BPE\"}}", "no vocabulary"),
    ];
    for (bytes, why) in rows {
        assert!(Tokenizer::from_json(bytes, None).is_err(), "{why}");
    }
}
