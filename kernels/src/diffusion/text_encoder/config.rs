//! The shape of a T5Gemma encoder, from its `config.json`.

use crate::diffusion::json::{self, Bound};
use crate::error::Error;
use crate::limits;
use serde::Deserialize;
use serde_json::{Value, json};

/// What transformers calls models with such an encoder: the whole, and one half of it.
pub(crate) const MODEL_TYPES: [&str; 2] = ["t5gemma", "t5_gemma_module"];

/// The shape of a T5Gemma encoder (Zhang et al. 2025; transformers' `modeling_t5gemma.py`).
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    /// Entries of the embedding.
    pub vocabulary: usize,
    /// Channels of a hidden state.
    pub width: usize,
    /// Layers.
    pub layers: usize,
    /// Query heads.
    pub heads: usize,
    /// Heads of keys and values.
    pub kv_heads: usize,
    /// Channels of a head.
    pub head_dim: usize,
    /// Channels of the feed-forward layer.
    pub ff_width: usize,
    /// Added under the root of the norms.
    pub norm_eps: f64,
    /// Base of the rotary frequencies.
    pub rope_theta: f64,
    /// What scores are multiplied with.
    pub score_scale: f64,
    /// Scores are bent to `cap·tanh(score/cap)`.
    pub score_cap: Option<f64>,
    /// How far layers with a window look on either side.
    pub window: usize,
    /// Which layers have it.
    pub local: Vec<bool>,
    /// Queries, keys, values and output have biases.
    pub attention_bias: bool,
    /// Tokens of a text at most.
    pub context: usize,
    /// The token that texts begin with.
    pub bos: Option<u32>,
}

#[derive(Deserialize)]
struct Whole {
    encoder: Option<Raw>,
}

#[derive(Deserialize)]
#[serde(default)]
struct Raw {
    vocab_size: usize,
    hidden_size: usize,
    intermediate_size: usize,
    num_hidden_layers: usize,
    num_attention_heads: usize,
    num_key_value_heads: usize,
    head_dim: usize,
    hidden_activation: String,
    max_position_embeddings: usize,
    rms_norm_eps: f64,
    rope_theta: Option<f64>,
    rope_parameters: Option<RopeParameters>,
    attention_bias: bool,
    query_pre_attn_scalar: f64,
    sliding_window: Option<usize>,
    layer_types: Option<Vec<String>>,
    attn_logit_softcapping: Option<f64>,
    bos_token_id: Option<u32>,
}

#[derive(Deserialize)]
struct RopeParameters {
    rope_theta: Option<f64>,
    rope_type: Option<String>,
}

impl Default for Raw {
    /// What the class takes where the file says nothing: the 2B model.
    fn default() -> Self {
        Self {
            vocab_size: 256_000,
            hidden_size: 2304,
            intermediate_size: 9216,
            num_hidden_layers: 26,
            num_attention_heads: 8,
            num_key_value_heads: 4,
            head_dim: 256,
            hidden_activation: GELU.into(),
            max_position_embeddings: 8192,
            rms_norm_eps: 1e-6,
            rope_theta: None,
            rope_parameters: None,
            attention_bias: false,
            query_pre_attn_scalar: 256.0,
            sliding_window: Some(4096),
            layer_types: None,
            attn_logit_softcapping: Some(50.0),
            bos_token_id: Some(2),
        }
    }
}

const GELU: &str = "gelu_pytorch_tanh";

impl Config {
    /// Reads `text_encoder/config.json`: of the encoder alone, or of a model whose encoder it is.
    ///
    /// # Errors
    /// [`Error::Config`] or [`Error::Architecture`] if it cannot be read, is of another model, or asks for the impossible.
    pub fn from_json(json: &[u8]) -> Result<Self, Error> {
        let class = json::Class::of(json)?;
        let found = class.model_type.unwrap_or_default();
        if !MODEL_TYPES.contains(&found.as_str()) {
            return Err(Error::Architecture { found, known: &MODEL_TYPES });
        }
        let whole: Whole = json::parse(json)?;
        let raw = match whole.encoder {
            Some(encoder) => encoder,
            None => json::parse(json)?,
        };
        let bounds = [
            Bound("vocab_size", raw.vocab_size, limits::VOCABULARY),
            Bound("hidden_size", raw.hidden_size, limits::WIDTH),
            Bound("intermediate_size", raw.intermediate_size, limits::WIDTH),
            Bound("num_hidden_layers", raw.num_hidden_layers, limits::LAYERS),
            Bound("num_attention_heads", raw.num_attention_heads, limits::HEADS),
            Bound("num_key_value_heads", raw.num_key_value_heads, limits::HEADS),
            Bound("head_dim", raw.head_dim, limits::HEADS),
        ];
        json::check(&bounds)?;
        raw.check()?;
        Ok(raw.config())
    }

    /// The file that [`Config::from_json`] reads, of the encoder alone.
    #[must_use]
    pub fn to_json(&self) -> Value {
        let kind = |local: &bool| if *local { "sliding_attention" } else { "full_attention" };
        json!({
            "architectures": ["T5GemmaEncoder"],
            "model_type": MODEL_TYPES[1],
            "vocab_size": self.vocabulary,
            "hidden_size": self.width,
            "intermediate_size": self.ff_width,
            "num_hidden_layers": self.layers,
            "num_attention_heads": self.heads,
            "num_key_value_heads": self.kv_heads,
            "head_dim": self.head_dim,
            "hidden_activation": GELU,
            "max_position_embeddings": self.context,
            "rms_norm_eps": self.norm_eps,
            "rope_theta": self.rope_theta,
            "attention_bias": self.attention_bias,
            "query_pre_attn_scalar": self.score_scale.powf(-2.0),
            "sliding_window": self.window,
            "layer_types": self.local.iter().map(kind).collect::<Vec<_>>(),
            "attn_logit_softcapping": self.score_cap,
            "bos_token_id": self.bos,
        })
    }
}

impl Raw {
    fn check(&self) -> Result<(), Error> {
        let bad = |what: String| Err(Error::Config(what));
        if !self.num_attention_heads.is_multiple_of(self.num_key_value_heads)
            || !self.head_dim.is_multiple_of(2)
        {
            let (heads, kv_heads) = (self.num_attention_heads, self.num_key_value_heads);
            let dim = self.head_dim;
            return bad(format!("{heads} heads of {dim} channels cannot share {kv_heads} key-value heads"));
        }
        if self.hidden_activation != GELU {
            return bad(format!("hidden_activation {:?}; {GELU:?} is supported", self.hidden_activation));
        }
        let kind = self.rope_parameters.as_ref().and_then(|rope| rope.rope_type.as_deref());
        if let Some(kind) = kind.filter(|kind| *kind != "default") {
            return bad(format!("rope_type {kind:?}; \"default\" is supported"));
        }
        let positive = [self.rms_norm_eps, self.theta(), self.query_pre_attn_scalar];
        let cap = self.attn_logit_softcapping.unwrap_or(1.0);
        if positive.iter().chain([&cap]).any(|x| !x.is_finite() || *x <= 0.0) {
            return bad("rms_norm_eps, rope_theta, query_pre_attn_scalar and attn_logit_softcapping have to be positive numbers".into());
        }
        match &self.layer_types {
            Some(types) if types.len() != self.num_hidden_layers => {
                bad(format!("layer_types has {} entries for {} layers", types.len(), self.num_hidden_layers))
            }
            _ => Ok(()),
        }
    }

    fn theta(&self) -> f64 {
        let newer = self.rope_parameters.as_ref().and_then(|rope| rope.rope_theta);
        newer.or(self.rope_theta).unwrap_or(10_000.0)
    }

    fn config(self) -> Config {
        let local = |layer: usize| match &self.layer_types {
            Some(types) => types[layer] == "sliding_attention",
            None => layer.is_multiple_of(2),
        };
        let window = self.sliding_window.unwrap_or(usize::MAX);
        Config {
            vocabulary: self.vocab_size,
            width: self.hidden_size,
            layers: self.num_hidden_layers,
            heads: self.num_attention_heads,
            kv_heads: self.num_key_value_heads,
            head_dim: self.head_dim,
            ff_width: self.intermediate_size,
            norm_eps: self.rms_norm_eps,
            rope_theta: self.theta(),
            score_scale: self.query_pre_attn_scalar.powf(-0.5),
            score_cap: self.attn_logit_softcapping,
            window,
            local: (0..self.num_hidden_layers).map(local).collect(),
            attention_bias: self.attention_bias,
            context: self.max_position_embeddings.clamp(1, limits::PROMPT_TOKENS),
            bos: self.bos_token_id,
        }
    }
}
