//! Back to a `config.json`.

use super::{Config, RopeScaling};
use serde_json::{Value, json};

impl Config {
    /// A `config.json` that [`Config::from_json`] and Hugging Face's transformers read back: for a Llama, which is what
    /// is trained here. What other families have beside that is not written.
    #[must_use]
    pub fn to_json(&self) -> String {
        let (architecture, model_type) = self.family.hub_names();
        let mut value = json!({
            "architectures": [architecture], "model_type": model_type, "hidden_act": "silu",
            "hidden_size": self.width, "intermediate_size": self.ff_width, "num_hidden_layers": self.layers,
            "num_attention_heads": self.heads, "num_key_value_heads": self.kv_heads, "head_dim": self.head_dim,
            "vocab_size": self.vocabulary, "max_position_embeddings": self.context,
            "rms_norm_eps": self.norm_eps, "rope_theta": self.rope_theta, "tie_word_embeddings": self.tied,
            "bos_token_id": self.bos, "eos_token_id": self.eos, "torch_dtype": "float32",
        });
        value["rope_scaling"] = match &self.rope_scaling {
            RopeScaling::Linear { factor } => json!({ "rope_type": "linear", "factor": factor }),
            RopeScaling::Llama3 { factor, low, high, original } => json!({
                "rope_type": "llama3", "factor": factor, "low_freq_factor": low, "high_freq_factor": high,
                "original_max_position_embeddings": original,
            }),
            _ => Value::Null,
        };
        format!("{value:#}\n")
    }
}
