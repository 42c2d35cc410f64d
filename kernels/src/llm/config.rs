//! `config.json` of the Llama family, in the older and in the newer style of the Hugging Face hub.

use crate::error::Error;
use crate::limits;
use serde::{Deserialize, Serialize};

const KNOWN: &[&str] = &["LlamaForCausalLM"];

/// The shape of one model. Every field is within [`limits`] and fits the others.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    /// Channels of a hidden state.
    pub width: usize,
    /// Channels inside the feed-forward layer.
    pub ff_width: usize,
    /// Transformer layers.
    pub layers: usize,
    /// Query heads.
    pub heads: usize,
    /// Key and value heads; divides `heads`.
    pub kv_heads: usize,
    /// Channels of one head; even.
    pub head_dim: usize,
    /// Entries of the vocabulary.
    pub vocabulary: usize,
    /// Longest sequence in tokens, [`limits::CONTEXT`] at most.
    pub context: usize,
    /// Added to the mean square in RMSNorm.
    pub norm_eps: f64,
    /// Base of the rotary frequencies.
    pub rope_theta: f64,
    /// How the frequencies are stretched for longer contexts.
    pub rope_scaling: RopeScaling,
    /// True if the head is the embedding, transposed.
    pub tied: bool,
    /// The id that starts a text.
    pub bos: Option<u32>,
    /// The ids that end a text.
    pub eos: Vec<u32>,
}

/// How rotary frequencies are stretched.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum RopeScaling {
    /// Not at all.
    None,
    /// All by the same factor (Chen et al. 2023, "Extending context window … via positional interpolation").
    Linear {
        /// Frequencies are divided by this.
        factor: f64,
    },
    /// Low ones only, with a smooth passage: Llama 3.1.
    Llama3 {
        /// Low frequencies are divided by this.
        factor: f64,
        /// Wavelengths above `original / low` are divided by `factor`.
        low: f64,
        /// Wavelengths below `original / high` are left alone.
        high: f64,
        /// The context of the original training, in tokens.
        original: f64,
    },
}

impl Config {
    /// Reads and checks a `config.json`.
    ///
    /// # Errors
    /// [`Error::Architecture`] for a family other than Llama, [`Error::Config`] for everything else that is
    /// missing, out of bounds, contradictory or not supported.
    pub fn from_json(json: &[u8]) -> Result<Self, Error> {
        if json.len() > limits::CONFIG_BYTES {
            return Err(bad(format!("{} bytes, {} at most", json.len(), limits::CONFIG_BYTES)));
        }
        // The family first: another one's file may well lack fields that are required here.
        let family: Family = serde_json::from_slice(json).map_err(|e| bad(e.to_string()))?;
        family.check()?;
        let raw: Raw = serde_json::from_slice(json).map_err(|e| bad(e.to_string()))?;
        raw.check()
    }

    /// A `config.json` that [`Config::from_json`] and Hugging Face's transformers read back.
    #[must_use]
    pub fn to_json(&self) -> String {
        let mut value = serde_json::json!({
            "architectures": KNOWN, "model_type": "llama", "hidden_act": "silu",
            "hidden_size": self.width, "intermediate_size": self.ff_width, "num_hidden_layers": self.layers,
            "num_attention_heads": self.heads, "num_key_value_heads": self.kv_heads, "head_dim": self.head_dim,
            "vocab_size": self.vocabulary, "max_position_embeddings": self.context,
            "rms_norm_eps": self.norm_eps, "rope_theta": self.rope_theta, "tie_word_embeddings": self.tied,
            "bos_token_id": self.bos, "eos_token_id": self.eos, "torch_dtype": "float32",
        });
        value["rope_scaling"] = match self.rope_scaling {
            RopeScaling::None => serde_json::Value::Null,
            RopeScaling::Linear { factor } => serde_json::json!({ "rope_type": "linear", "factor": factor }),
            RopeScaling::Llama3 { factor, low, high, original } => serde_json::json!({
                "rope_type": "llama3", "factor": factor, "low_freq_factor": low, "high_freq_factor": high,
                "original_max_position_embeddings": original,
            }),
        };
        format!("{value:#}\n")
    }

    /// Bytes of one row of hidden states on the wire: little-endian f32.
    #[must_use]
    pub const fn row_bytes(&self) -> usize {
        self.width * 4
    }
}

/// What says which family a file describes.
#[derive(Deserialize)]
struct Family {
    architectures: Option<Vec<String>>,
    model_type: Option<String>,
}

impl Family {
    fn check(&self) -> Result<(), Error> {
        let named = self.architectures.iter().flatten().next();
        let known = match (named, &self.model_type) {
            (Some(name), _) => KNOWN.contains(&name.as_str()),
            (None, Some(kind)) => kind == "llama",
            (None, None) => false,
        };
        if known {
            return Ok(());
        }
        let found = named.or(self.model_type.as_ref()).cloned().unwrap_or_default();
        Err(Error::Architecture { found, known: KNOWN })
    }
}

/// The fields as the hub writes them. Defaults are those of transformers.
#[derive(Deserialize)]
struct Raw {
    hidden_size: usize,
    intermediate_size: usize,
    num_hidden_layers: usize,
    num_attention_heads: usize,
    num_key_value_heads: Option<usize>,
    head_dim: Option<usize>,
    vocab_size: usize,
    #[serde(default = "default_context")]
    max_position_embeddings: usize,
    #[serde(default = "default_eps")]
    rms_norm_eps: f64,
    hidden_act: Option<String>,
    rope_theta: Option<f64>,
    rope_scaling: Option<RawRope>,
    rope_parameters: Option<RawRope>,
    #[serde(default)]
    tie_word_embeddings: bool,
    #[serde(default)]
    attention_bias: bool,
    #[serde(default)]
    mlp_bias: bool,
    bos_token_id: Option<OneOrMany>,
    eos_token_id: Option<OneOrMany>,
}

/// `rope_scaling` (older files) or `rope_parameters` (newer ones).
#[derive(Deserialize)]
struct RawRope {
    #[serde(alias = "type")]
    rope_type: Option<String>,
    rope_theta: Option<f64>,
    factor: Option<f64>,
    low_freq_factor: Option<f64>,
    high_freq_factor: Option<f64>,
    original_max_position_embeddings: Option<f64>,
}

#[derive(Deserialize, Serialize, Clone)]
#[serde(untagged)]
enum OneOrMany {
    One(u32),
    Many(Vec<u32>),
}

impl OneOrMany {
    fn list(self) -> Vec<u32> {
        match self {
            Self::One(id) => vec![id],
            Self::Many(ids) => ids,
        }
    }
}

fn default_context() -> usize {
    2048
}

fn default_eps() -> f64 {
    1e-6
}

fn bad(reason: impl Into<String>) -> Error {
    Error::Config(reason.into())
}

fn within(name: &str, value: usize, max: usize) -> Result<usize, Error> {
    if (1..=max).contains(&value) {
        return Ok(value);
    }
    Err(bad(format!("{name} is {value}; between 1 and {max} is supported")))
}

fn positive(name: &str, value: f64, max: f64) -> Result<f64, Error> {
    if value > 0.0 && value <= max {
        return Ok(value);
    }
    Err(bad(format!("{name} is {value}; above 0 and at most {max} is supported")))
}

impl Raw {
    fn check(self) -> Result<Config, Error> {
        self.check_features()?;
        let heads = within("num_attention_heads", self.num_attention_heads, limits::HEADS)?;
        let width = within("hidden_size", self.hidden_size, limits::WIDTH)?;
        let config = Config {
            width,
            ff_width: within("intermediate_size", self.intermediate_size, limits::WIDTH)?,
            layers: within("num_hidden_layers", self.num_hidden_layers, limits::LAYERS)?,
            heads,
            kv_heads: self.kv_heads()?,
            head_dim: self.head_dim()?,
            vocabulary: within("vocab_size", self.vocab_size, limits::VOCABULARY)?,
            context: within("max_position_embeddings", self.max_position_embeddings, usize::MAX)?
                .min(limits::CONTEXT),
            norm_eps: positive("rms_norm_eps", self.rms_norm_eps, 1.0)?,
            rope_theta: self.rope_theta()?,
            rope_scaling: self.rope_scaling()?,
            tied: self.tie_word_embeddings,
            bos: self.bos_token_id.clone().and_then(|ids| ids.list().first().copied()),
            eos: self.eos_token_id.map(OneOrMany::list).unwrap_or_default(),
        };
        check_ids(&config)?;
        Ok(config)
    }

    fn check_features(&self) -> Result<(), Error> {
        if let Some(act) = self.hidden_act.as_ref().filter(|act| *act != "silu" && *act != "swish") {
            return Err(bad(format!("hidden_act {act:?} is not supported, only \"silu\" is")));
        }
        if self.attention_bias || self.mlp_bias {
            return Err(bad("attention_bias and mlp_bias are not supported"));
        }
        Ok(())
    }

    fn kv_heads(&self) -> Result<usize, Error> {
        let heads = self.num_attention_heads;
        let kv_heads = within("num_key_value_heads", self.num_key_value_heads.unwrap_or(heads), heads)?;
        if !heads.is_multiple_of(kv_heads) {
            return Err(bad(format!(
                "{heads} attention heads cannot share {kv_heads} key-value heads evenly"
            )));
        }
        Ok(kv_heads)
    }

    fn head_dim(&self) -> Result<usize, Error> {
        let (width, heads) = (self.hidden_size, self.num_attention_heads);
        if self.head_dim.is_none() && !width.is_multiple_of(heads) {
            return Err(bad(format!("hidden_size {width} cannot be divided among {heads} heads")));
        }
        let head_dim = within("head_dim", self.head_dim.unwrap_or(width / heads), limits::HEADS)?;
        if !head_dim.is_multiple_of(2) {
            return Err(bad(format!("head_dim {head_dim} is odd, rotary embedding needs pairs")));
        }
        within("num_attention_heads × head_dim", heads * head_dim, limits::WIDTH)?;
        Ok(head_dim)
    }

    /// Old files have it at the top, new ones inside `rope_parameters`.
    fn rope_theta(&self) -> Result<f64, Error> {
        let inner = self.rope_parameters.as_ref().and_then(|rope| rope.rope_theta);
        positive("rope_theta", inner.or(self.rope_theta).unwrap_or(10_000.0), 1e12)
    }

    fn rope_scaling(&self) -> Result<RopeScaling, Error> {
        let Some(rope) = self.rope_parameters.as_ref().or(self.rope_scaling.as_ref()) else {
            return Ok(RopeScaling::None);
        };
        let number = |name: &str, value: Option<f64>| match value {
            Some(value) => positive(name, value, 1e9),
            None => Err(bad(format!("{name} is missing beside rope_type"))),
        };
        match rope.rope_type.as_deref() {
            None | Some("default") => Ok(RopeScaling::None),
            Some("linear") => Ok(RopeScaling::Linear { factor: number("factor", rope.factor)? }),
            Some("llama3") => {
                let low = number("low_freq_factor", rope.low_freq_factor)?;
                let high = number("high_freq_factor", rope.high_freq_factor)?;
                if low >= high {
                    return Err(bad(format!("low_freq_factor {low} is not below high_freq_factor {high}")));
                }
                let original =
                    number("original_max_position_embeddings", rope.original_max_position_embeddings)?;
                Ok(RopeScaling::Llama3 { factor: number("factor", rope.factor)?, low, high, original })
            }
            Some(other) => Err(bad(format!(
                "rope_type {other:?} is not supported, only \"default\", \"linear\" and \"llama3\" are"
            ))),
        }
    }
}

fn check_ids(config: &Config) -> Result<(), Error> {
    if config.eos.len() > limits::END_TOKENS {
        return Err(bad(format!("{} eos ids, {} at most", config.eos.len(), limits::END_TOKENS)));
    }
    match config.eos.iter().chain(&config.bos).find(|id| **id as usize >= config.vocabulary) {
        Some(id) => Err(bad(format!("bos or eos id {id} is not in the vocabulary of {}", config.vocabulary))),
        None => Ok(()),
    }
}
