//! Just enough of a GGUF reader to hand a test file's vocabulary to the tokenizer.
//! Source: the GGUF specification, version 3.

use kernels::tokenizer::GgufVocabulary;
use std::collections::BTreeMap;

/// A metadata value, of the types that a vocabulary uses; others are skipped.
enum Value {
    Number(u64),
    Float(f32),
    Text(String),
    List(Vec<Value>),
}

struct Reader<'a>(&'a [u8]);

impl Reader<'_> {
    fn bytes(&mut self, count: usize) -> &[u8] {
        let (head, rest) = self.0.split_at(count);
        self.0 = rest;
        head
    }

    fn number(&mut self, bytes: usize) -> u64 {
        self.bytes(bytes).iter().rev().fold(0, |sum, byte| sum << 8 | u64::from(*byte))
    }

    fn text(&mut self) -> String {
        let length = self.number(8) as usize;
        String::from_utf8(self.bytes(length).to_vec()).expect("GGUF text is UTF-8")
    }

    fn value(&mut self, kind: u64) -> Value {
        match kind {
            0 | 1 | 7 => Value::Number(self.number(1)),
            2 | 3 => Value::Number(self.number(2)),
            4 | 5 => Value::Number(self.number(4)),
            6 => Value::Float(f32::from_bits(self.number(4) as u32)),
            8 => Value::Text(self.text()),
            9 => {
                let (kind, count) = (self.number(4), self.number(8));
                Value::List((0..count).map(|_| self.value(kind)).collect())
            }
            _ => Value::Number(self.number(8)),
        }
    }
}

/// The metadata of a file by key.
fn metadata(file: &[u8]) -> BTreeMap<String, Value> {
    let mut reader = Reader(file);
    assert_eq!(reader.bytes(4), b"GGUF");
    let (_version, _tensors, count) = (reader.number(4), reader.number(8), reader.number(8));
    let entry = |_| {
        let key = reader.text();
        let kind = reader.number(4);
        (key, reader.value(kind))
    };
    (0..count).map(entry).collect()
}

/// The vocabulary of a file.
pub fn vocabulary(file: &[u8]) -> GgufVocabulary {
    let mut metadata = metadata(file);
    let mut take = |key: &str| metadata.remove(&format!("tokenizer.ggml.{key}"));
    let texts = |value| list(value).into_iter().map(|text| string(Some(text))).collect();
    let vocabulary = GgufVocabulary {
        model: string(take("model")),
        pre: string(take("pre")),
        name: String::new(),
        tokens: texts(take("tokens")),
        scores: list(take("scores")).into_iter().map(float).collect(),
        kinds: list(take("token_type"))
            .into_iter()
            .filter_map(|kind| id(Some(kind)))
            .map(|kind| kind as i32)
            .collect(),
        merges: texts(take("merges")),
        bos: id(take("bos_token_id")),
        eos: id(take("eos_token_id")),
        turn_ends: id(take("eot_token_id")).into_iter().collect(),
        unknown: id(take("unknown_token_id")),
        add_bos: id(take("add_bos_token")).map(|yes| yes != 0),
        add_space_prefix: id(take("add_space_prefix")).map(|yes| yes != 0),
    };
    GgufVocabulary { name: string(metadata.remove("general.name")), ..vocabulary }
}

fn list(value: Option<Value>) -> Vec<Value> {
    match value {
        Some(Value::List(values)) => values,
        _ => Vec::new(),
    }
}

fn string(value: Option<Value>) -> String {
    match value {
        Some(Value::Text(text)) => text,
        _ => String::new(),
    }
}

fn id(value: Option<Value>) -> Option<u32> {
    match value {
        Some(Value::Number(number)) => Some(number as u32),
        _ => None,
    }
}

fn float(value: Value) -> f32 {
    match value {
        Value::Float(float) => float,
        _ => f32::NAN,
    }
}
