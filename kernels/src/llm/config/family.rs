//! The families of models that are known here, and what the file formats call them.

use crate::error::Error;

/// A family: what a `config.json` does not say about a model.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Family {
    /// Llama 1 to 3, TinyLlama, SmolLM2 (Touvron et al. 2023).
    #[default]
    Llama,
    /// Llama with a sliding window (Jiang et al. 2023).
    Mistral,
    /// Mistral with a mixture of experts (Jiang et al. 2024).
    Mixtral,
    /// Llama with biases on queries, keys and values (Qwen2, Qwen2.5).
    Qwen2,
    /// Qwen2 with many small experts and a shared one.
    Qwen2Moe,
    /// Qwen2 without biases, with norms on queries and keys.
    Qwen3,
    /// Qwen3 with many small experts.
    Qwen3Moe,
    /// Norms before and after, alternating windows, capped scores (Gemma Team 2024).
    Gemma2,
    /// Five windows to one global layer, norms on queries and keys (Gemma Team 2025).
    Gemma3,
    /// Fused products and two sets of rotary factors (Abdin et al. 2024).
    Phi3,
}

/// Family, architecture and `model_type` of the hub.
const HUB: [(Family, &str, &str); 10] = [
    (Family::Llama, "LlamaForCausalLM", "llama"),
    (Family::Mistral, "MistralForCausalLM", "mistral"),
    (Family::Mixtral, "MixtralForCausalLM", "mixtral"),
    (Family::Qwen2, "Qwen2ForCausalLM", "qwen2"),
    (Family::Qwen2Moe, "Qwen2MoeForCausalLM", "qwen2_moe"),
    (Family::Qwen3, "Qwen3ForCausalLM", "qwen3"),
    (Family::Qwen3Moe, "Qwen3MoeForCausalLM", "qwen3_moe"),
    (Family::Gemma2, "Gemma2ForCausalLM", "gemma2"),
    (Family::Gemma3, "Gemma3ForCausalLM", "gemma3_text"),
    (Family::Phi3, "Phi3ForCausalLM", "phi3"),
];

impl Family {
    /// Architectures of the hub that are known here.
    pub(super) const HUB: &[&str] =
        &[HUB[0].1, HUB[1].1, HUB[2].1, HUB[3].1, HUB[4].1, HUB[5].1, HUB[6].1, HUB[7].1, HUB[8].1, HUB[9].1];
    /// Architectures of GGUF files that are known here.
    pub(crate) const GGUF: &[&str] =
        &["llama", "qwen2", "qwen2moe", "qwen3", "qwen3moe", "gemma2", "gemma3", "phi3"];

    /// From a configuration of the hub: the first architecture decides, and `model_type` where there is none.
    pub(super) fn of_hub(architecture: Option<&str>, model_type: Option<&str>) -> Result<Self, Error> {
        let named = |row: &&(Self, &str, &str)| match architecture {
            Some(name) => row.1 == name,
            None => Some(row.2) == model_type,
        };
        let found = HUB.iter().find(named).map(|row| row.0);
        found.ok_or_else(|| {
            let found = architecture.or(model_type).unwrap_or_default().to_owned();
            Error::Architecture { found, known: Self::HUB }
        })
    }

    /// From `general.architecture` of a GGUF file, where Llama, Mistral and Mixtral are one.
    pub(crate) fn of_gguf(name: &str, experts: bool) -> Option<Self> {
        Some(match name {
            "llama" if experts => Self::Mixtral,
            "llama" => Self::Llama,
            "qwen2" => Self::Qwen2,
            "qwen2moe" => Self::Qwen2Moe,
            "qwen3" => Self::Qwen3,
            "qwen3moe" => Self::Qwen3Moe,
            "gemma2" => Self::Gemma2,
            "gemma3" => Self::Gemma3,
            "phi3" => Self::Phi3,
            _ => return None,
        })
    }

    /// What `config.json` calls it: architecture and `model_type`.
    pub(super) fn hub_names(self) -> (&'static str, &'static str) {
        let row = HUB.iter().find(|row| row.0 == self);
        row.map_or((HUB[0].1, HUB[0].2), |row| (row.1, row.2))
    }

    /// True if its GGUF files hold query and key rows in pairs that turn together.
    pub(crate) const fn pairs_in_gguf(self) -> bool {
        matches!(self, Self::Llama | Self::Mistral | Self::Mixtral)
    }

    /// True for Gemma 2 and 3: norms with 1 + w before and after, and a scaled embedding.
    pub(crate) const fn is_gemma(self) -> bool {
        matches!(self, Self::Gemma2 | Self::Gemma3)
    }
}
