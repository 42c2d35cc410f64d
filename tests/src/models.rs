//! Models for tests that are no models: what is read of them is enough to be judged by.

use crate::program::story_checkpoint;
use anyhow::{Context, Result};
use serde_json::{Map, Value, json};
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

/// Layers, channels and feed-forward channels of [`too_large`]: 3.2 GB in half precision, beyond what any tab lends.
const LARGE: (u64, u64, u64) = (8, 4096, 11_008);

/// The files of a model that is larger than a browser's engine can hold, made in `folder`. Its weights are a hole: a
/// file of their length that takes no room on the disk.
///
/// # Errors
/// If a file cannot be written.
pub fn too_large(folder: &Path) -> Result<Vec<PathBuf>> {
    fs::create_dir_all(folder)?;
    let (layers, width, ff) = LARGE;
    let story = story_checkpoint();
    let mut config: Value = serde_json::from_slice(&fs::read(story.join("config.json"))?)?;
    let fields = config.as_object_mut().context("a configuration is an object")?;
    let changed =
        [("num_hidden_layers", layers), ("hidden_size", width), ("intermediate_size", ff), ("head_dim", 128)];
    let heads = [("num_attention_heads", width / 128), ("num_key_value_heads", width / 128)];
    fields.extend(changed.into_iter().chain(heads).map(|(name, value)| (name.to_owned(), json!(value))));
    let vocabulary = fields["vocab_size"].as_u64().context("it has a vocabulary")?;
    fs::write(folder.join("config.json"), config.to_string())?;
    fs::copy(story.join("tokenizer.json"), folder.join("tokenizer.json"))?;
    hole(&folder.join("model.safetensors"), &tensors(vocabulary))?;
    Ok(["config.json", "tokenizer.json", "model.safetensors"].map(|name| folder.join(name)).to_vec())
}

/// Names and shapes, as checkpoints of the Llama family have them.
fn tensors(vocabulary: u64) -> Vec<(String, Vec<u64>)> {
    let (layers, width, ff) = LARGE;
    let mut all = vec![
        ("model.embed_tokens.weight".to_owned(), vec![vocabulary, width]),
        ("model.norm.weight".to_owned(), vec![width]),
    ];
    for layer in 0..layers {
        let mut add = |name: &str, shape: &[u64]| {
            all.push((format!("model.layers.{layer}.{name}.weight"), shape.to_vec()))
        };
        for name in ["q_proj", "k_proj", "v_proj", "o_proj"] {
            add(&format!("self_attn.{name}"), &[width, width]);
        }
        add("mlp.gate_proj", &[ff, width]);
        add("mlp.up_proj", &[ff, width]);
        add("mlp.down_proj", &[width, ff]);
        add("input_layernorm", &[width]);
        add("post_attention_layernorm", &[width]);
    }
    all
}

/// A safetensors file in half precision without a byte of weights.
fn hole(path: &Path, tensors: &[(String, Vec<u64>)]) -> Result<()> {
    let (mut header, mut end) = (Map::new(), 0);
    for (name, shape) in tensors {
        let start = end;
        end += 2 * shape.iter().product::<u64>();
        header.insert(name.clone(), json!({ "dtype": "F16", "shape": shape, "data_offsets": [start, end] }));
    }
    let header = Value::Object(header).to_string();
    let mut file = fs::File::create(path)?;
    file.write_all(&(header.len() as u64).to_le_bytes())?;
    file.write_all(header.as_bytes())?;
    file.set_len(8 + header.len() as u64 + end)?;
    Ok(())
}
