//! A checkpoint as one GGUF file: shape, vocabulary and weights. Source of the format: `docs/gguf.md` of the ggml project;
//! [`weights::gguf`](crate::weights::gguf) reads it.

use std::collections::BTreeMap;
use std::path::Path;

use safetensors::SafeTensors;
use serde::Deserialize;

use super::checkpoint::Checkpoint;
use super::files::write_file;
use super::{BEGIN_ID, END_ID, TrainError};
use crate::llm::Config;
use crate::quant::{Format, dequantise, quantise};

/// Where tensors begin, in bytes.
const ALIGNMENT: usize = 32;
/// `LLAMA_FTYPE_MOSTLY_Q8_0`.
const MOSTLY_Q8_0: u32 = 7;
/// What a token is: an ordinary one, or one that only the model's frame uses.
const NORMAL: i32 = 1;
const CONTROL: i32 = 3;

impl Checkpoint {
    /// The model as a GGUF file. Matrices become Q8_0, vectors stay in 32 bits.
    ///
    /// # Errors
    /// [`TrainError::Kernels`] or [`TrainError::Settings`] if the checkpoint is damaged, or its rows are not whole blocks.
    pub fn to_gguf(&self) -> Result<Vec<u8>, TrainError> {
        let config = Config::from_json(self.config.as_bytes())?;
        let tensors = self.tensors(&config)?;
        let metadata = Metadata::of(&config, &self.tokenizer)?;
        let mut out = b"GGUF".to_vec();
        out.extend(3_u32.to_le_bytes());
        out.extend((tensors.len() as u64).to_le_bytes());
        out.extend(metadata.pairs.to_le_bytes());
        out.extend(metadata.bytes);
        let mut offset = 0;
        for tensor in &tensors {
            tensor.list(offset, &mut out);
            offset += tensor.bytes.len().next_multiple_of(ALIGNMENT);
        }
        for tensor in tensors {
            out.resize(out.len().next_multiple_of(ALIGNMENT), 0);
            out.extend(tensor.bytes);
        }
        Ok(out)
    }

    /// Writes [`Checkpoint::to_gguf`].
    ///
    /// # Errors
    /// As that, and [`TrainError::File`].
    pub fn write_gguf(&self, file: &Path) -> Result<(), TrainError> {
        write_file(file, &self.to_gguf()?)
    }

    fn tensors(&self, config: &Config) -> Result<Vec<Tensor>, TrainError> {
        let damaged = |error: safetensors::SafeTensorError| TrainError::Settings(error.to_string());
        let file = SafeTensors::deserialize(&self.weights).map_err(damaged)?;
        let mut tensors = Vec::new();
        for (name, view) in file.tensors() {
            let mut values = vec![0.0; view.shape().iter().product()];
            dequantise(Format::F16, view.data(), &mut values).map_err(refused)?;
            tensors.push(Tensor::new(&name, view.shape(), values, config)?);
        }
        tensors.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(tensors)
    }
}

struct Tensor {
    name: String,
    shape: Vec<usize>,
    /// The number that the format has in the file (`enum ggml_type`).
    kind: u32,
    bytes: Vec<u8>,
}

impl Tensor {
    fn new(hub: &str, shape: &[usize], values: Vec<f32>, config: &Config) -> Result<Self, TrainError> {
        let name = own_name(hub).ok_or_else(|| TrainError::Settings(format!("{hub} has no name in GGUF")))?;
        let values = match name.rsplit('.').nth(1) {
            Some("attn_q") => paired(&values, config.heads, shape[0]),
            Some("attn_k") => paired(&values, config.kv_heads, shape[0]),
            _ => values,
        };
        let (format, kind) = if shape.len() > 1 { (Format::Q8_0, 8) } else { (Format::F32, 0) };
        let row = shape.last().copied().unwrap_or(1);
        format.row_bytes(row).map_err(refused)?;
        let bytes = quantise(format, &values).map_err(refused)?;
        Ok(Self { name, shape: shape.to_vec(), kind, bytes })
    }

    /// Its line in the table of tensors.
    fn list(&self, offset: usize, out: &mut Vec<u8>) {
        text(&self.name, out);
        out.extend((self.shape.len() as u32).to_le_bytes());
        // The fastest dimension comes first.
        self.shape.iter().rev().for_each(|size| out.extend((*size as u64).to_le_bytes()));
        out.extend(self.kind.to_le_bytes());
        out.extend((offset as u64).to_le_bytes());
    }
}

/// The name in GGUF of a tensor of the Llama architecture.
fn own_name(hub: &str) -> Option<String> {
    let plain = match hub {
        "model.embed_tokens.weight" => Some("token_embd.weight"),
        "model.norm.weight" => Some("output_norm.weight"),
        "lm_head.weight" => Some("output.weight"),
        _ => None,
    };
    if let Some(name) = plain {
        return Some(name.to_owned());
    }
    let (layer, part) = hub.strip_prefix("model.layers.")?.strip_suffix(".weight")?.split_once('.')?;
    let part = match part {
        "input_layernorm" => "attn_norm",
        "self_attn.q_proj" => "attn_q",
        "self_attn.k_proj" => "attn_k",
        "self_attn.v_proj" => "attn_v",
        "self_attn.o_proj" => "attn_output",
        "post_attention_layernorm" => "ffn_norm",
        "mlp.gate_proj" => "ffn_gate",
        "mlp.up_proj" => "ffn_up",
        "mlp.down_proj" => "ffn_down",
        _ => return None,
    };
    Some(format!("blk.{layer}.{part}.weight"))
}

/// Rows `(head, half, channel)` become `(head, channel, half)`: files of the Llama architecture have the two channels
/// that turn together side by side.
fn paired(values: &[f32], heads: usize, rows: usize) -> Vec<f32> {
    let (row, pairs) = (values.len() / rows, rows / heads / 2);
    let mut ordered = Vec::with_capacity(values.len());
    for head in 0..heads {
        for channel in 0..pairs {
            for half in 0..2 {
                let from = (head * 2 * pairs + half * pairs + channel) * row;
                ordered.extend_from_slice(&values[from..from + row]);
            }
        }
    }
    ordered
}

/// Pairs of keys and values, as they lie in the file.
#[derive(Default)]
struct Metadata {
    pairs: u64,
    bytes: Vec<u8>,
}

/// What of a `tokenizer.json` a GGUF file repeats.
#[derive(Deserialize)]
struct TokenizerJson {
    model: BytePairs,
}

#[derive(Deserialize)]
struct BytePairs {
    vocab: BTreeMap<String, u32>,
    merges: Vec<(String, String)>,
}

impl Metadata {
    fn of(config: &Config, tokenizer: &str) -> Result<Self, TrainError> {
        let mut metadata = Self::default();
        metadata.text("general.architecture", "llama");
        metadata.text("general.name", "story");
        metadata.number("general.file_type", MOSTLY_Q8_0);
        metadata.number("general.quantization_version", 2);
        metadata.shape(config);
        metadata.vocabulary(tokenizer)?;
        Ok(metadata)
    }

    fn shape(&mut self, config: &Config) {
        for (key, size) in [
            ("block_count", config.layers),
            ("context_length", config.context),
            ("embedding_length", config.width),
            ("feed_forward_length", config.ff_width),
            ("attention.head_count", config.heads),
            ("attention.head_count_kv", config.kv_heads),
            ("attention.key_length", config.head_dim),
            ("attention.value_length", config.head_dim),
            ("rope.dimension_count", config.head_dim),
            ("vocab_size", config.vocabulary),
        ] {
            self.number(&format!("llama.{key}"), size as u32);
        }
        self.float("llama.attention.layer_norm_rms_epsilon", config.norm_eps as f32);
        self.float("llama.rope.freq_base", config.rope_theta as f32);
    }

    fn vocabulary(&mut self, tokenizer: &str) -> Result<(), TrainError> {
        let read: Result<TokenizerJson, _> = serde_json::from_str(tokenizer);
        let BytePairs { vocab, merges } =
            read.map_err(|error| TrainError::Vocabulary(format!("tokenizer.json: {error}")))?.model;
        let mut tokens: Vec<(String, u32)> = vocab.into_iter().collect();
        tokens.sort_by_key(|(_, id)| *id);
        if tokens.iter().zip(0..).any(|((_, id), at)| *id != at) {
            return Err(TrainError::Vocabulary("tokenizer.json leaves out ids".into()));
        }
        let kinds =
            tokens.iter().map(|(_, id)| if [BEGIN_ID, END_ID].contains(id) { CONTROL } else { NORMAL });
        self.text("tokenizer.ggml.model", "gpt2");
        self.text("tokenizer.ggml.pre", "gpt-2");
        self.integers("tokenizer.ggml.token_type", &kinds.collect::<Vec<_>>());
        self.texts("tokenizer.ggml.tokens", tokens.iter().map(|(text, _)| text.clone()));
        self.texts("tokenizer.ggml.merges", merges.iter().map(|(left, right)| format!("{left} {right}")));
        self.number("tokenizer.ggml.bos_token_id", BEGIN_ID);
        self.number("tokenizer.ggml.eos_token_id", END_ID);
        self.pair("tokenizer.ggml.add_bos_token", 7, &[1]);
        Ok(())
    }

    fn number(&mut self, key: &str, value: u32) {
        self.pair(key, 4, &value.to_le_bytes());
    }

    fn float(&mut self, key: &str, value: f32) {
        self.pair(key, 6, &value.to_le_bytes());
    }

    fn text(&mut self, key: &str, value: &str) {
        let mut bytes = Vec::new();
        text(value, &mut bytes);
        self.pair(key, 8, &bytes);
    }

    fn integers(&mut self, key: &str, values: &[i32]) {
        let mut bytes = list_head(5, values.len());
        values.iter().for_each(|value| bytes.extend(value.to_le_bytes()));
        self.pair(key, 9, &bytes);
    }

    fn texts(&mut self, key: &str, values: impl ExactSizeIterator<Item = String>) {
        let mut bytes = list_head(8, values.len());
        values.for_each(|value| text(&value, &mut bytes));
        self.pair(key, 9, &bytes);
    }

    /// `kind` is the number of the value's type in the format.
    fn pair(&mut self, key: &str, kind: u32, value: &[u8]) {
        self.pairs += 1;
        text(key, &mut self.bytes);
        self.bytes.extend(kind.to_le_bytes());
        self.bytes.extend(value);
    }
}

fn list_head(kind: u32, count: usize) -> Vec<u8> {
    let mut bytes = kind.to_le_bytes().to_vec();
    bytes.extend((count as u64).to_le_bytes());
    bytes
}

fn text(text: &str, out: &mut Vec<u8>) {
    out.extend((text.len() as u64).to_le_bytes());
    out.extend(text.as_bytes());
}

fn refused(error: crate::quant::QuantError) -> TrainError {
    TrainError::Settings(error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::llm::{Layers, Model};
    use crate::tokenizer::Tokenizer;
    use crate::train::story::{learn, story_config};
    use crate::weights::ByteRange;
    use crate::weights::gguf::{Gguf, Parsed};
    use burn::tensor::Device;
    use futures::executor::block_on;

    fn whole(bytes: &[u8]) -> Gguf {
        match Gguf::parse(bytes, bytes.len() as u64).expect("a header") {
            Parsed::Whole(gguf) => *gguf,
            Parsed::More(least) => panic!("{least} bytes of {} are not there", bytes.len()),
        }
    }

    #[test]
    fn what_was_packed_is_the_same_model() {
        let device = Device::flex();
        device.seed(7);
        let texts = ["Once upon a time, a small fox.", "\"Who are you?\" asked Mia.\n\nNobody knew it's 3."];
        let json = learn(290, texts.iter().map(|text| (*text).to_owned())).expect("a vocabulary");
        let tokenizer = Tokenizer::from_json(json.as_bytes(), Some(BEGIN_ID)).expect("a tokenizer");
        let config = Config {
            width: 64,
            ff_width: 96,
            layers: 2,
            heads: 4,
            kv_heads: 2,
            head_dim: 16,
            vocabulary: tokenizer.vocabulary(),
            // The file has it in 32 bits.
            norm_eps: f64::from(1e-5_f32),
            ..story_config()
        };
        let model = Model::init(&config, &device);
        let checkpoint = block_on(Checkpoint::of(&model, &json, None)).expect("a checkpoint");

        let bytes = checkpoint.to_gguf().expect("a file");
        let gguf = whole(&bytes);
        assert_eq!(gguf.config(&[]).expect("a shape"), config, "the same shape");
        let read =
            Tokenizer::from_gguf(&gguf.metadata.vocabulary().expect("a vocabulary")).expect("a tokenizer");
        for text in texts.iter().copied().chain(["Grüße, 你好 🦊  \n", "it's  12,5 <|end|>"]) {
            assert_eq!(read.encode(text, true).ok(), tokenizer.encode(text, true).ok(), "{text:?}");
        }

        let mut packed = Model::empty(&config, &device);
        let all = Layers::new(0, config.layers);
        let source = async |range: &ByteRange| {
            Ok(bytes[range.range.start as usize..range.range.end as usize].to_vec())
        };
        block_on(packed.load(all, &gguf.header("story.gguf").expect("tensors"), &device, source))
            .expect("loads");
        let (before, after) =
            (block_on(model.export()).expect("f32"), block_on(packed.export()).expect("q8_0"));
        for (a, b) in before.iter().zip(&after) {
            assert_eq!((&a.name, &a.shape), (&b.name, &b.shape));
            let largest = a.values.iter().fold(0.0_f32, |most, value| most.max(value.abs()));
            for (x, y) in a.values.iter().zip(&b.values) {
                // Half a step of 127, and the rounding of the scale and of the checkpoint to 11 bits.
                assert!(
                    (x - y).abs() <= 0.5 * largest / 127.0 + largest / 512.0,
                    "{}: {x} became {y}",
                    a.name
                );
            }
        }
    }
}
