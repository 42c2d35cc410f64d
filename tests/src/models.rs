//! Models for tests: of no weights at all, to be judged by what is read of them, and of random ones.

use crate::peer::LIMIT;
use crate::program::{Program, story_checkpoint};
use anyhow::{Context, Result};
use coordinator::swarm::Content;
use serde_json::{Map, Value, json};
use std::fs;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

/// What a model of the Llama family is made of: heads have 64 channels, twice as many are asked with as are kept.
#[derive(Clone, Copy, Debug)]
pub struct Shape {
    /// Transformer layers.
    pub layers: u64,
    /// Channels.
    pub width: u64,
    /// Channels of the feed-forward networks.
    pub ff: u64,
}

/// [`too_large`]: 3.0 GB in half precision, beyond what any tab lends.
const TOO_LARGE: Shape = Shape { layers: 8, width: 4096, ff: 11_008 };
/// 64 MB, in layers of 6 MB.
pub const LARGE: Shape = Shape { layers: 10, width: 512, ff: 1536 };
/// 17 MB, in layers of 2 MB.
pub const SMALL: Shape = Shape { layers: 8, width: 256, ff: 1024 };
/// Channels of a head.
const HEAD: u64 = 64;

/// The files of a model that is larger than a browser's engine can hold, made in `folder`. Its weights are a hole: a
/// file of their length that takes no room on the disk.
///
/// # Errors
/// If a file cannot be written.
pub fn too_large(folder: &Path) -> Result<Vec<PathBuf>> {
    let vocabulary = describe(folder, TOO_LARGE)?;
    let path = folder.join("model.safetensors");
    let (file, bytes) = begin(&path, &tensors(TOO_LARGE, vocabulary))?;
    file.set_len(file.metadata()?.len() + bytes)?;
    Ok(["config.json", "tokenizer.json", "model.safetensors"].map(|name| folder.join(name)).to_vec())
}

/// A model of random weights in half precision, the same each time, made in `folder` with the story model's tokenizer. What it
/// writes makes no sense, and depends on every one of them.
///
/// # Errors
/// If a file cannot be written.
pub fn random(folder: &Path, shape: Shape) -> Result<()> {
    let vocabulary = describe(folder, shape)?;
    fill(&folder.join("model.safetensors"), &tensors(shape, vocabulary))
}

/// The two files of an adapter of rank 4 for the story model, as PEFT saves them, made in `folder`: random, the same each time. What
/// the model writes with it makes no sense, and depends on every number of it.
///
/// # Errors
/// If a file cannot be written.
pub fn adapter(folder: &Path) -> Result<[PathBuf; 2]> {
    const RANK: u64 = 4;
    fs::create_dir_all(folder)?;
    let config: Value = serde_json::from_slice(&fs::read(story_checkpoint().join("config.json"))?)?;
    let number = |field: &str| config[field].as_u64().with_context(|| format!("{field} is a number"));
    let (layers, width, ff) =
        (number("num_hidden_layers")?, number("hidden_size")?, number("intermediate_size")?);
    let kept = number("num_key_value_heads")? * number("head_dim")?;
    let mut tensors = Vec::new();
    for layer in 0..layers {
        for (module, rows, columns) in [
            ("self_attn.q_proj", width, width),
            ("self_attn.v_proj", kept, width),
            ("mlp.down_proj", width, ff),
        ] {
            let name = |which| format!("base_model.model.model.layers.{layer}.{module}.lora_{which}.weight");
            tensors.push((name("A"), vec![RANK, columns]));
            tensors.push((name("B"), vec![rows, RANK]));
        }
    }
    let files = ["adapter_config.json", "adapter_model.safetensors"].map(|name| folder.join(name));
    // Numbers are small, see `fill`: together with this they move weights by about as much as these are.
    let settings = json!({
        "peft_type": "LORA", "r": RANK, "lora_alpha": 512 * RANK, "base_model_name_or_path": "manyhands/story",
        "target_modules": ["q_proj", "v_proj", "down_proj"],
    });
    fs::write(&files[0], settings.to_string())?;
    fill(&files[1], &tensors)?;
    Ok(files)
}

/// Random numbers in half precision, and norms of 1.
fn fill(path: &Path, tensors: &[(String, Vec<u64>)]) -> Result<()> {
    let (file, _) = begin(path, tensors)?;
    let (mut file, mut state) = (BufWriter::new(file), 0u64);
    for (_, sizes) in tensors {
        for _ in 0..sizes.iter().product::<u64>() {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            // Norms are 1; everything else has a random sign and mantissa, and a size from 2⁻⁹ to 2⁻⁵.
            let bits = (state >> 40) as u16;
            let half = if sizes.len() == 1 { 0x3c00 } else { (bits & 0x83ff) | (6 + (bits >> 10 & 3)) << 10 };
            file.write_all(&half.to_le_bytes())?;
        }
    }
    Ok(file.flush()?)
}

/// Writes what lies beside the weights; returns the size of the vocabulary.
fn describe(folder: &Path, shape: Shape) -> Result<u64> {
    fs::create_dir_all(folder)?;
    let story = story_checkpoint();
    let mut config: Value = serde_json::from_slice(&fs::read(story.join("config.json"))?)?;
    let fields = config.as_object_mut().context("a configuration is an object")?;
    let Shape { layers, width, ff } = shape;
    let changed = [
        ("num_hidden_layers", layers),
        ("hidden_size", width),
        ("intermediate_size", ff),
        ("head_dim", HEAD),
    ];
    let heads = [("num_attention_heads", width / HEAD), ("num_key_value_heads", width / HEAD / 2)];
    fields.extend(changed.into_iter().chain(heads).map(|(name, value)| (name.to_owned(), json!(value))));
    let vocabulary = fields["vocab_size"].as_u64().context("it has a vocabulary")?;
    fs::write(folder.join("config.json"), config.to_string())?;
    fs::copy(story.join("tokenizer.json"), folder.join("tokenizer.json"))?;
    Ok(vocabulary)
}

/// Names and shapes, as checkpoints of the Llama family have them.
fn tensors(Shape { layers, width, ff }: Shape, vocabulary: u64) -> Vec<(String, Vec<u64>)> {
    let mut all = vec![
        ("model.embed_tokens.weight".to_owned(), vec![vocabulary, width]),
        ("model.norm.weight".to_owned(), vec![width]),
    ];
    for layer in 0..layers {
        let mut add = |name: &str, shape: &[u64]| {
            all.push((format!("model.layers.{layer}.{name}.weight"), shape.to_vec()))
        };
        add("self_attn.q_proj", &[width, width]);
        add("self_attn.k_proj", &[width / 2, width]);
        add("self_attn.v_proj", &[width / 2, width]);
        add("self_attn.o_proj", &[width, width]);
        add("mlp.gate_proj", &[ff, width]);
        add("mlp.up_proj", &[ff, width]);
        add("mlp.down_proj", &[width, ff]);
        add("input_layernorm", &[width]);
        add("post_attention_layernorm", &[width]);
    }
    all
}

/// The header of a safetensors file in half precision, and how many bytes of weights have to follow.
fn begin(path: &Path, tensors: &[(String, Vec<u64>)]) -> Result<(fs::File, u64)> {
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
    Ok((file, end))
}

/// A model with its manifest, and room for stores; gone when the test is over.
pub struct Model {
    folder: PathBuf,
    /// What the manifest calls it.
    pub content: String,
    /// Bytes of its weights.
    pub bytes: u64,
}

impl Model {
    /// Makes one of random weights.
    ///
    /// # Errors
    /// If a file cannot be written, or no manifest is made.
    pub fn make(name: &str, shape: Shape) -> Result<Self> {
        let folder = std::env::temp_dir().join(format!("manyhands-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&folder);
        let model = folder.join("model");
        random(&model, shape)?;
        let path = model.to_string_lossy();
        let mut made = Program::start("manyhands", &["manifest", &path, "--name", name, "--licence", "MIT"])?;
        let content = made.line(LIMIT, |line| line.starts_with("content:"))?;
        let bytes = fs::metadata(model.join("model.safetensors"))?.len();
        Ok(Self { folder, content, bytes })
    }

    /// Where its files are.
    #[must_use]
    pub fn path(&self) -> PathBuf {
        self.folder.join("model")
    }

    /// Where a peer may keep blocks.
    #[must_use]
    pub fn store(&self, name: &str) -> String {
        self.folder.join(name).to_string_lossy().into_owned()
    }

    /// Its content.
    ///
    /// # Errors
    /// If it was given another name.
    pub fn id(&self) -> Result<Content> {
        let id = app::compute::source::content(&self.content).map_err(anyhow::Error::msg)?;
        Ok(Content(id.context("it is a content")?))
    }
}

impl Drop for Model {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.folder);
    }
}
