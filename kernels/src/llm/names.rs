//! What Hugging Face calls the tensors of a Llama checkpoint, and their shapes there.

use crate::llm::{Config, Layers};

/// A tensor that a range of layers needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Needed {
    /// Its name in the checkpoint.
    pub name: String,
    /// Its shape there: matrices are `[output, input]`.
    pub shape: Vec<usize>,
}

/// Everything that `layers` and the ends that belong to them need, in the order in which it is loaded.
///
/// A tied head is the embedding once more, in the layout of a product; a range with both ends names it twice.
#[must_use]
pub fn needed(config: &Config, layers: Layers) -> Vec<Needed> {
    let mut all = Vec::new();
    if layers.start == 0 {
        all.push(embedding(config));
    }
    for layer in layers.range() {
        all.extend(BlockNames::new(config, layer).into_all());
    }
    if layers.end == config.layers {
        all.push(head(config));
        all.push(norm(config));
    }
    all
}

impl Config {
    /// Bytes of memory that `layers` and the ends that belong to them take.
    #[must_use]
    pub fn memory_bytes(&self, layers: Layers) -> u64 {
        let numbers = |needed: Needed| needed.shape.iter().map(|size| *size as u64).product::<u64>();
        needed(self, layers).into_iter().map(|needed| numbers(needed) * size_of::<f32>() as u64).sum()
    }
}

/// The tensors of one layer; those of one array are held as one product.
pub(super) struct BlockNames {
    pub attention_norm: Needed,
    pub qkv: [Needed; 3],
    pub output: [Needed; 1],
    pub ff_norm: Needed,
    pub gate_up: [Needed; 2],
    pub down: [Needed; 1],
}

impl BlockNames {
    pub fn new(config: &Config, layer: usize) -> Self {
        let named = |part: &str, shape: Vec<usize>| Needed {
            name: format!("model.layers.{layer}.{part}.weight"),
            shape,
        };
        let (width, ff_width) = (config.width, config.ff_width);
        let (queries, keys) = (config.heads * config.head_dim, config.kv_heads * config.head_dim);
        Self {
            attention_norm: named("input_layernorm", vec![width]),
            qkv: [
                named("self_attn.q_proj", vec![queries, width]),
                named("self_attn.k_proj", vec![keys, width]),
                named("self_attn.v_proj", vec![keys, width]),
            ],
            output: [named("self_attn.o_proj", vec![width, queries])],
            ff_norm: named("post_attention_layernorm", vec![width]),
            gate_up: [
                named("mlp.gate_proj", vec![ff_width, width]),
                named("mlp.up_proj", vec![ff_width, width]),
            ],
            down: [named("mlp.down_proj", vec![width, ff_width])],
        }
    }

    fn into_all(self) -> Vec<Needed> {
        let mut all = vec![self.attention_norm];
        all.extend(self.qkv);
        all.extend(self.output);
        all.push(self.ff_norm);
        all.extend(self.gate_up);
        all.extend(self.down);
        all
    }
}

pub(super) fn embedding(config: &Config) -> Needed {
    Needed { name: "model.embed_tokens.weight".into(), shape: vec![config.vocabulary, config.width] }
}

pub(super) fn norm(config: &Config) -> Needed {
    Needed { name: "model.norm.weight".into(), shape: vec![config.width] }
}

pub(super) fn head(config: &Config) -> Needed {
    if config.tied {
        return embedding(config);
    }
    Needed { name: "lm_head.weight".into(), shape: vec![config.vocabulary, config.width] }
}
