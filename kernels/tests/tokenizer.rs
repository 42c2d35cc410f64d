//! Tokenizers against golden encodings, from both kinds of file, and text as it streams.

use kernels::tokenizer::{Detokenizer, GgufVocabulary, Tokenizer, TokenizerConfig};
use kernels::weights::gguf::{Gguf, Parsed};
use std::path::PathBuf;

/// A file of the shared test data; where it is absent, the tests say so and pass.
fn shared(path: &str) -> Option<Vec<u8>> {
    let full = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../shared/data").join(path);
    let bytes = std::fs::read(full).ok();
    if bytes.is_none() {
        println!("skipped: shared test data {path} is not here");
    }
    bytes
}

const TEXTS: [&str; 10] = [
    "Once upon a time",
    " a blank first",
    "two  blanks and a\nnew line\n\n",
    "Grüße, naïve café — “quoted”",
    "日本語のテキスト",
    "👩‍👩‍👧‍👦 family, 🦙 llama, é combining",
    "don't can't 3.14 x^2",
    "",
    "   ",
    "\u{0}\u{7f}\u{feff}\t\r\n",
];

fn hub(name: &str, bos: Option<u32>) -> Option<Tokenizer> {
    Some(Tokenizer::from_json(&shared(&format!("{name}/tokenizer.json"))?, bos).unwrap())
}

fn from_gguf(path: &str) -> Option<Tokenizer> {
    let file = shared(path)?;
    let Parsed::Whole(gguf) = Gguf::parse(&file, file.len() as u64).unwrap() else {
        panic!("{path} is cut off")
    };
    Some(Tokenizer::from_gguf(&gguf.metadata.vocabulary().unwrap()).unwrap())
}

/// The same vocabularies in both forms, with the names of their golden encodings.
fn with_goldens() -> Vec<(&'static str, &'static str, Tokenizer)> {
    let both = [("llama-2", "llama-spm"), ("gpt-2", "gpt-2"), ("qwen2", "qwen2")];
    let forms = both.into_iter().flat_map(|(folder, golden)| {
        let json = hub(&format!("tokenizers/{folder}"), None);
        let gguf = from_gguf(&format!("tokenizers/ggml-vocab-{golden}.gguf"));
        [("tokenizer.json", golden, json), ("GGUF", golden, gguf)]
    });
    forms.filter_map(|(form, golden, tokenizer)| Some((form, golden, tokenizer?))).collect()
}

fn all() -> Vec<(String, Tokenizer)> {
    let stories = [
        ("stories260K".to_owned(), hub("stories260K/hf", Some(1))),
        ("stories260K GGUF".to_owned(), from_gguf("stories260K/stories260K-q8_0.gguf")),
    ];
    let stories = stories.into_iter().filter_map(|(name, tokenizer)| Some((name, tokenizer?)));
    let goldens =
        with_goldens().into_iter().map(|(form, name, tokenizer)| (format!("{name} {form}"), tokenizer));
    stories.chain(goldens).collect()
}

/// llama.cpp's own cases: each text, and its ids.
fn cases(golden: &str) -> Vec<(String, Vec<u32>)> {
    let read =
        |ending| String::from_utf8(shared(&format!("tokenizers/ggml-vocab-{golden}.gguf.{ending}"))?).ok();
    let (Some(texts), Some(ids)) = (read("inp"), read("out")) else { return Vec::new() };
    let texts: Vec<&str> = texts.split("\n__ggml_vocab_test__\n").collect();
    let ids = ids.lines().map(|line| line.split_whitespace().map(|id| id.parse().unwrap()).collect());
    let cases: Vec<_> = texts.into_iter().map(str::to_owned).zip(ids).collect();
    assert_eq!(cases.len(), 46, "{golden}");
    cases
}

#[test]
fn encodings_are_the_golden_ones() {
    for (form, golden, tokenizer) in with_goldens() {
        for (text, expected) in cases(golden) {
            assert_eq!(tokenizer.encode(&text, false).unwrap(), expected, "{golden}, {form}: {text:?}");
        }
    }
}

#[test]
fn golden_ids_decode_to_their_texts_at_once_and_streamed() {
    for (form, golden, tokenizer) in with_goldens() {
        for (text, ids) in cases(golden) {
            assert_eq!(tokenizer.decode(&ids).unwrap(), text, "{golden}, {form}");
            assert_eq!(streamed(&tokenizer, &[], &ids), text, "{golden}, {form}, streamed");
        }
    }
}

/// Whatever a vocabulary is read from, it is the same one.
#[test]
fn both_forms_agree_on_a_long_text() {
    let Some(text) = shared("text/tinyshakespeare.txt") else { return };
    let text = String::from_utf8(text).unwrap();
    let tokenizers = with_goldens();
    for pair in tokenizers.chunks_exact(2) {
        let [json, gguf] =
            [&pair[0].2, &pair[1].2].map(|tokenizer| tokenizer.encode(&text[..200_000], true).unwrap());
        assert!(json == gguf, "{}: the forms differ", pair[0].1);
        assert_eq!(pair[1].2.decode(&gguf).unwrap(), &text[..200_000], "{}", pair[0].1);
        assert_eq!(pair[0].2.vocabulary(), pair[1].2.vocabulary());
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

/// What a stream gives out; no piece may hold half a character.
fn streamed(tokenizer: &Tokenizer, before: &[u32], after: &[u32]) -> String {
    let mut detokenizer = Detokenizer::after(before);
    let mut streamed = String::new();
    for id in after {
        let piece = detokenizer.push(tokenizer, *id).unwrap();
        assert!(!piece.contains('\u{FFFD}'), "half a character in {piece:?} after {streamed:?}");
        streamed += &piece;
    }
    streamed + &detokenizer.finish(tokenizer).unwrap()
}

/// Whatever the ids are cut into, the pieces are whole characters and make the same text.
#[test]
fn streamed_pieces_make_the_text() {
    for (name, tokenizer) in all() {
        for (text, prompt) in TEXTS.iter().flat_map(|text| [1, 2, 3].map(|prompt| (text, prompt))) {
            let ids = tokenizer.encode(text, true).unwrap();
            let (before, after) = ids.split_at(prompt.min(ids.len()));
            let prefix = tokenizer.decode(before).unwrap();
            // A prompt that ends inside a character makes the rest of it part of the answer.
            let prefix = prefix.trim_end_matches('\u{FFFD}');
            let whole = format!("{prefix}{}", streamed(&tokenizer, before, after));
            assert_eq!(whole, *text, "{name}, after {prompt} ids");
        }
    }
}

#[test]
fn noise_is_given_out_and_characters_around_it_stay_whole() {
    for path in ["stories260K/stories260K-q8_0.gguf", "tokenizers/ggml-vocab-llama-spm.gguf"] {
        let Some(tokenizer) = from_gguf(path) else { return };
        let byte = |value: u8| 3 + u32::from(value);
        let mut detokenizer = Detokenizer::after(&[1]);
        let mut text = String::new();
        for value in [0x80, 0xC3, 0xA9, 0xF0, 0x9F, 0x41, 0xE4, 0xBD] {
            text += &detokenizer.push(&tokenizer, byte(value)).unwrap();
        }
        assert_eq!(text, "\u{FFFD}é\u{FFFD}A", "a stray byte, é, half an emoji, A");
        assert_eq!(detokenizer.finish(&tokenizer).unwrap(), "\u{FFFD}", "what was begun and never ended");
    }
}

#[test]
fn the_first_id_is_added_once_and_only_on_demand() {
    for (name, tokenizer) in all() {
        let [with, without] = [true, false].map(|start| tokenizer.encode("Once", start).unwrap());
        let added = &with[..with.len() - without.len()];
        // GPT-2 and Qwen have such an id, but do not start texts with it.
        let expected: &[u32] = if name.contains("stories") || name.contains("llama") { &[1] } else { &[] };
        assert_eq!(added, expected, "{name}");
        assert_eq!(&with[added.len()..], without, "{name}");
    }
    let Some(tokenizer) = hub("stories260K/hf", None) else { return };
    assert_eq!(tokenizer.encode("<s>", true).unwrap(), [1], "a template has written it already");
}

/// Rows: `tokenizer_config.json`, what a text starts with, why.
#[test]
fn the_configuration_beside_it_decides_about_the_first_id() {
    let rows: [(&[u8], &[u32], &str); 4] = [
        (br#"{"bos_token": "<s>"}"#, &[1], "tokenizer.json says so"),
        (br#"{"bos_token": "<s>", "add_bos_token": false}"#, &[], "switched off"),
        (br#"{"bos_token": {"content": "<s>"}, "add_bos_token": true}"#, &[1], "switched on, and once"),
        (b"{}", &[1], "nothing new"),
    ];
    for (config, start, why) in rows {
        let Some(tokenizer) = hub("tokenizers/llama-2", None) else { return };
        let tokenizer = tokenizer.with_config(&TokenizerConfig::from_json(config).unwrap());
        assert!(tokenizer.encode("", true).unwrap() == start, "{why}");
    }
}

#[test]
fn marks_become_their_ids_and_stand_for_no_text() {
    let ids = [151_644, 872, 198, 13048, 151_645];
    for tokenizer in [hub("tokenizers/qwen2", None), from_gguf("tokenizers/ggml-vocab-qwen2.gguf")] {
        let Some(tokenizer) = tokenizer else { return };
        assert_eq!(tokenizer.encode("<|im_start|>user\nHi<|im_end|>", false).unwrap(), ids);
        assert_eq!(tokenizer.decode(&ids).unwrap(), "user\nHi");
        assert_eq!(tokenizer.id("<|im_end|>"), Some(151_645));
    }
    let Some(tokenizer) = from_gguf("tokenizers/ggml-vocab-qwen2.gguf") else { return };
    assert_eq!(tokenizer.ends(), [151_643, 151_645], "the end of a text and of a turn");
    let Some(tokenizer) = from_gguf("tokenizers/ggml-vocab-llama-spm.gguf") else { return };
    assert_eq!(
        tokenizer.encode("<s>a</s>b", false).unwrap(),
        [1, 263, 2, 289],
        "each run is a text of its own"
    );
}

/// A small vocabulary of SentencePiece's kind: control marks, bytes, then pieces.
fn small() -> GgufVocabulary {
    let marks = ["<unk>", "<s>", "<|user|>"].map(|text| (text.to_owned(), 3));
    let bytes = (0..=255u8).map(|byte| (format!("<0x{byte:02X}>"), 6));
    let pieces = ["▁", "a", "b", "ab", "▁ab", "ba"].map(|text| (text.to_owned(), 1));
    let entries: Vec<(String, i32)> = marks.into_iter().chain(bytes).chain(pieces).collect();
    let (tokens, kinds): (Vec<String>, Vec<i32>) = entries.into_iter().unzip();
    let mut scores = vec![0.0; tokens.len()];
    scores[262..].copy_from_slice(&[-2.0, -3.0, -1.0]);
    GgufVocabulary { model: "llama".into(), tokens, kinds, scores, bos: Some(1), ..GgufVocabulary::default() }
}

#[test]
fn the_best_score_joins_first_and_the_leftmost_of_equals() {
    let ids = |vocabulary: &GgufVocabulary, text| {
        Tokenizer::from_gguf(vocabulary).unwrap().encode(text, false).unwrap()
    };
    let vocabulary = GgufVocabulary { add_space_prefix: Some(false), ..small() };
    assert_eq!(ids(&vocabulary, "aba"), [260, 264], "ba scores better than ab");
    let mut equal = vocabulary.clone();
    equal.scores[264] = -2.0;
    assert_eq!(ids(&equal, "aba"), [262, 260], "the left one of equals");
    assert_eq!(ids(&vocabulary, "é"), [3 + 0xC3, 3 + 0xA9], "bytes where there is no piece");
    assert_eq!(ids(&small(), "ab"), [263], "a blank is put first unless told otherwise");
    let phi = GgufVocabulary { name: "Phi-3 mini".into(), ..vocabulary.clone() };
    assert_eq!(ids(&phi, "<|user|> \n a"), [2, 260], "Phi-3's marks swallow white space");
    assert_eq!(ids(&vocabulary, "<|user|> a"), [2, 259, 260], "others' do not");
}

/// Rows: a change to a good vocabulary, a word that the error has to hold.
#[test]
fn hostile_metadata_is_an_error() {
    type Change = fn(&mut GgufVocabulary);
    let rows: [(Change, &str); 9] = [
        (|v| v.model = "bert".into(), "llama, gpt2"),
        (|v| v.tokens.clear(), "1 to"),
        (|v| v.tokens = vec![String::new(); (1 << 20) + 1], "allowed"),
        (|v| v.scores.truncate(5), "scores"),
        (|v| v.scores[7] = f32::NAN, "not a number"),
        (|v| v.kinds.truncate(5), "token_type"),
        (|v| v.bos = Some(u32::MAX), "special token"),
        (|v| (v.model, v.pre) = ("gpt2".into(), "nobody-knows".into()), "llama-bpe"),
        (|v| (v.model, v.merges) = ("gpt2".into(), vec!["ab".into()]), "no pair"),
    ];
    assert!(Tokenizer::from_gguf(&small()).is_ok());
    for (change, word) in rows {
        let mut vocabulary = small();
        change(&mut vocabulary);
        let error = Tokenizer::from_gguf(&vocabulary).expect_err(word).to_string();
        assert!(error.contains(word), "{word} is not in {error:?}");
    }
}

/// Rows: bytes, why they are no tokenizer.
#[test]
fn hostile_files_are_an_error() {
    let rows: [(&[u8], &str); 5] = [
        (b"", "empty"),
        (b"{}", "no model"),
        (b"\xff\xfe", "not text"),
        (b"{\"model\":{\"type\":\"BPE\"}}", "no vocabulary"),
        (
            br#"{"model": {"type": "BPE", "vocab": {"a": 4294967295}, "merges": []}, "decoder": {"type": "ByteLevel",
                "add_prefix_space": true, "trim_offsets": true, "use_regex": true}}"#,
            "an id that would fill the memory",
        ),
    ];
    for (bytes, why) in rows {
        assert!(Tokenizer::from_json(bytes, None).is_err(), "{why}");
    }
}

/// A decoder that no table of bytes can describe still streams what it decodes.
#[test]
fn other_decoders_stream_too() {
    let json = br###"{"model": {"type": "WordPiece", "unk_token": "?", "continuing_subword_prefix": "##",
        "max_input_chars_per_word": 100, "vocab": {"?": 0, "play": 1, "##ing": 2, "now": 3}},
        "pre_tokenizer": {"type": "Whitespace"}, "decoder": {"type": "WordPiece", "prefix": "##", "cleanup": true}}"###;
    let tokenizer = Tokenizer::from_json(json, None).unwrap();
    let ids = tokenizer.encode("playing now", false).unwrap();
    assert_eq!(ids, [1, 2, 3]);
    assert_eq!(streamed(&tokenizer, &[], &ids), "playing now");
    assert_eq!(tokenizer.vocabulary(), 4);
}

/// Texts that would be slow for a careless method: one long word, blanks only, marks that almost match.
#[test]
fn long_texts_take_no_quadratic_time() {
    for (name, tokenizer) in all() {
        for unit in ["a", " ", "<", "\n", "é"] {
            let text = unit.repeat(300_000);
            let started = std::time::Instant::now();
            let ids = tokenizer.encode(&text, false).unwrap();
            assert_eq!(tokenizer.decode(&ids).unwrap(), text, "{name}, {unit:?}");
            // Quadratic time would be minutes.
            assert!(started.elapsed().as_secs() < 20, "{name}, {unit:?}: {:?}", started.elapsed());
        }
    }
}
