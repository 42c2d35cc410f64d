//! Picture models in memory, from `tests/data/picture`.
#![allow(dead_code, reason = "each test binary uses its own part of this")]

use crate::common::{Memory, own};
use serde_json::{Value, json};

/// A part of `tests/data/picture`, below `folder`.
pub fn add(files: &mut Memory, name: &str, folder: &str) {
    const STEM: &str = "diffusion_pytorch_model";
    let path = format!("{}/tests/data/picture/{name}", env!("CARGO_MANIFEST_DIR"));
    for entry in std::fs::read_dir(path).unwrap() {
        let file = entry.unwrap().file_name().into_string().unwrap();
        if file.starts_with(STEM) || file == "config.json" {
            files.0.insert(format!("{folder}{file}"), own(&format!("picture/{name}/{file}")));
        }
    }
}

/// A whole model whose parts fit.
pub fn model() -> Memory {
    let mut files = Memory::default();
    add(&mut files, "prx-pixel", "transformer/");
    let encoder = json!({
        "model_type": "t5gemma",
        "encoder": {
            "vocab_size": 16, "hidden_size": 24, "intermediate_size": 8, "num_hidden_layers": 1,
            "num_attention_heads": 2, "num_key_value_heads": 1, "head_dim": 4,
        },
    });
    put(&mut files, "text_encoder/config.json", &encoder);
    // Enough to be found; nothing is read from it.
    let header = b"{\"__metadata__\":{}}";
    let length = (header.len() as u64).to_le_bytes();
    files.0.insert("text_encoder/model.safetensors".into(), [&length[..], header].concat());
    let scheduler = json!({"_class_name": "FlowMatchEulerDiscreteScheduler", "shift": 3.0});
    put(&mut files, "scheduler/scheduler_config.json", &scheduler);
    put(&mut files, "model_index.json", &index("PRXPixelPipeline", Value::Null));
    files
}

/// Its `model_index.json`.
pub fn index(class: &str, vae: Value) -> Value {
    json!({
        "_class_name": class,
        "default_sample_size": 512,
        "transformer": ["diffusers", "PRXTransformer2DModel"],
        "text_encoder": ["transformers", "T5GemmaEncoder"],
        "scheduler": ["diffusers", "FlowMatchEulerDiscreteScheduler"],
        "vae": vae,
    })
}

/// Puts a JSON file.
pub fn put(files: &mut Memory, name: &str, json: &Value) {
    files.0.insert(name.into(), json.to_string().into_bytes());
}
