//! `config.json`, in the older and in the newer style of the Hugging Face hub. Defaults are those of transformers.

use super::check::{bad, even_share, positive, within};
use super::scaling::{Around, RawRope};
use super::{Activation, Bias, Config, Experts, Family, RopeScaling, Window};
use crate::error::Error;
use crate::limits;
use serde::{Deserialize, Deserializer};

impl Config {
    /// Reads and checks a `config.json`.
    ///
    /// # Errors
    /// [`Error::Architecture`] for a family that is not known here, [`Error::Config`] for everything else that is
    /// missing, out of bounds, contradictory or not supported.
    pub fn from_json(json: &[u8]) -> Result<Self, Error> {
        if json.len() > limits::CONFIG_BYTES {
            return Err(bad(format!("{} bytes, {} at most", json.len(), limits::CONFIG_BYTES)));
        }
        // The family first: another one's file may well lack fields that are required here.
        let named: Named = serde_json::from_slice(json).map_err(|e| bad(e.to_string()))?;
        let architecture = named.architectures.iter().flatten().next();
        let family = Family::of_hub(architecture.map(String::as_str), named.model_type.as_deref())?;
        let raw: Raw = serde_json::from_slice(json).map_err(|e| bad(e.to_string()))?;
        raw.config(family)?.checked()
    }
}

/// What says which family a file describes.
#[derive(Deserialize)]
struct Named {
    architectures: Option<Vec<String>>,
    model_type: Option<String>,
}

/// The fields as the hub writes them. A field that is null is as good as absent.
#[derive(Deserialize)]
struct Raw {
    hidden_size: usize,
    intermediate_size: usize,
    num_hidden_layers: usize,
    num_attention_heads: usize,
    num_key_value_heads: Option<usize>,
    head_dim: Option<usize>,
    vocab_size: usize,
    max_position_embeddings: Option<usize>,
    original_max_position_embeddings: Option<f64>,
    rms_norm_eps: Option<f64>,
    hidden_act: Option<String>,
    /// Gemma's own name, which outweighs the other.
    hidden_activation: Option<String>,
    rope_theta: Option<f64>,
    rope_local_base_freq: Option<f64>,
    partial_rotary_factor: Option<f64>,
    rope_scaling: Option<RawRope>,
    #[serde(default, deserialize_with = "rope_parameters")]
    rope_parameters: Option<Ropes>,
    tie_word_embeddings: Option<bool>,
    attention_bias: Option<bool>,
    qkv_bias: Option<bool>,
    mlp_bias: Option<bool>,
    bos_token_id: Option<OneOrMany>,
    eos_token_id: Option<OneOrMany>,
    sliding_window: Option<usize>,
    use_sliding_window: Option<bool>,
    max_window_layers: Option<usize>,
    sliding_window_pattern: Option<usize>,
    layer_types: Option<Vec<String>>,
    use_bidirectional_attention: Option<bool>,
    query_pre_attn_scalar: Option<f64>,
    attn_logit_softcapping: Option<f64>,
    final_logit_softcapping: Option<f64>,
    num_experts: Option<usize>,
    num_local_experts: Option<usize>,
    num_experts_per_tok: Option<usize>,
    moe_intermediate_size: Option<usize>,
    shared_expert_intermediate_size: Option<usize>,
    norm_topk_prob: Option<bool>,
    decoder_sparse_step: Option<usize>,
    mlp_only_layers: Option<Vec<usize>>,
}

/// Gemma 3 has two sets of parameters, all others one.
enum Ropes {
    One(Box<RawRope>),
    Two { global: Box<RawRope>, local: Box<RawRope> },
}

fn rope_parameters<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Ropes>, D::Error> {
    let Some(value) = Option::<serde_json::Value>::deserialize(from)? else {
        return Ok(None);
    };
    let read = |value: &serde_json::Value| {
        serde_json::from_value::<Option<RawRope>>(value.clone())
            .map(|rope| Box::new(rope.unwrap_or_default()))
            .map_err(serde::de::Error::custom)
    };
    Ok(Some(match (value.get("full_attention"), value.get("sliding_attention")) {
        (None, None) => Ropes::One(read(&value)?),
        (global, local) => {
            let none = serde_json::Value::Null;
            Ropes::Two { global: read(global.unwrap_or(&none))?, local: read(local.unwrap_or(&none))? }
        }
    }))
}

#[derive(Deserialize, Clone)]
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

impl Raw {
    fn config(self, family: Family) -> Result<Config, Error> {
        let heads = within("num_attention_heads", self.num_attention_heads, limits::HEADS)?;
        let width = within("hidden_size", self.hidden_size, limits::WIDTH)?;
        let trained = within("max_position_embeddings", self.context(family), usize::MAX)?;
        let rope_scaling = self.rope_scaling(family, trained)?;
        let context = rope_scaling.bound().map_or(trained, |bound| bound.clamp(1, trained));
        let config = Config {
            family,
            width,
            ff_width: within("intermediate_size", self.intermediate_size, limits::WIDTH)?,
            layers: within("num_hidden_layers", self.num_hidden_layers, limits::LAYERS)?,
            heads,
            kv_heads: self.kv_heads(family, heads)?,
            head_dim: self.head_dim(family)?,
            vocabulary: within("vocab_size", self.vocab_size, limits::VOCABULARY)?,
            context: context.min(limits::CONTEXT),
            norm_eps: positive("rms_norm_eps", self.rms_norm_eps.unwrap_or(self.default_eps(family)), 1.0)?,
            rope_theta: self.rope_theta(family)?,
            rope_scaling,
            rotary_dim: self.rotary_dim(family)?,
            tied: self.tie_word_embeddings.unwrap_or(family.is_gemma()),
            bos: self.bos_token_id.clone().and_then(|ids| ids.list().first().copied()),
            eos: self.eos_token_id.clone().map(OneOrMany::list).unwrap_or_default(),
            activation: self.activation(family)?,
            attention_bias: self.attention_bias(family),
            mlp_bias: self.mlp_bias.unwrap_or(false),
            window: self.window(family)?,
            experts: self.experts(family)?,
            ..Config::default()
        };
        self.gemma(family, config)
    }

    fn context(&self, family: Family) -> usize {
        let default = match family {
            Family::Llama => 2048,
            Family::Phi3 => 4096,
            Family::Gemma2 => 8192,
            Family::Qwen2 | Family::Qwen2Moe | Family::Qwen3 | Family::Qwen3Moe => 32_768,
            Family::Mistral | Family::Mixtral | Family::Gemma3 => 131_072,
        };
        self.max_position_embeddings.unwrap_or(default)
    }

    const fn default_eps(&self, family: Family) -> f64 {
        match family {
            Family::Mixtral | Family::Phi3 => 1e-5,
            _ => 1e-6,
        }
    }

    /// What only Gemma has, and what it shares with Qwen3.
    fn gemma(&self, family: Family, config: Config) -> Result<Config, Error> {
        if self.use_bidirectional_attention == Some(true) {
            return Err(bad("use_bidirectional_attention is not supported: such a model writes no text"));
        }
        let head_norms = matches!(family, Family::Gemma3 | Family::Qwen3 | Family::Qwen3Moe);
        if !family.is_gemma() {
            return Ok(Config { head_norms, ..config });
        }
        let cap = |name: &str, value: Option<f64>| value.map(|cap| positive(name, cap, 1e9)).transpose();
        // Transformers reads and ignores the caps of Gemma 3's scores.
        let score_cap = self.attn_logit_softcapping.filter(|_| family == Family::Gemma2);
        let scalar = self.query_pre_attn_scalar.unwrap_or(256.0);
        Ok(Config {
            head_norms,
            post_norms: true,
            norm_offset: 1.0,
            embedding_scale: (config.width as f64).sqrt() as f32,
            query_scalar: Some(positive("query_pre_attn_scalar", scalar, 1e9)?),
            score_cap: cap("attn_logit_softcapping", score_cap)?,
            logit_cap: cap("final_logit_softcapping", self.final_logit_softcapping)?,
            ..config
        })
    }

    fn activation(&self, family: Family) -> Result<Activation, Error> {
        match self.hidden_activation.as_ref().or(self.hidden_act.as_ref()).map(String::as_str) {
            None if family.is_gemma() => Ok(Activation::GeluTanh),
            // Gemma's files name the exact GELU beside the one that is meant; transformers overrides it.
            Some("gelu") if family.is_gemma() => Ok(Activation::GeluTanh),
            None | Some("silu" | "swish") => Ok(Activation::Silu),
            Some("gelu_pytorch_tanh" | "gelu_new" | "gelu_fast") => Ok(Activation::GeluTanh),
            Some(act) => Err(bad(format!(
                "hidden_act {act:?} is not supported, only \"silu\" and \"gelu_pytorch_tanh\" are"
            ))),
        }
    }

    fn attention_bias(&self, family: Family) -> Bias {
        match family {
            Family::Qwen2 => Bias::Qkv,
            Family::Qwen2Moe if self.qkv_bias.unwrap_or(true) => Bias::Qkv,
            Family::Qwen2Moe | Family::Mistral | Family::Mixtral | Family::Phi3 => Bias::None,
            _ if self.attention_bias.unwrap_or(false) => Bias::All,
            _ => Bias::None,
        }
    }

    fn kv_heads(&self, family: Family, heads: usize) -> Result<usize, Error> {
        let default = match family {
            Family::Mistral | Family::Mixtral => 8,
            Family::Qwen3Moe | Family::Gemma2 | Family::Gemma3 => 4,
            _ => heads,
        };
        even_share("num_key_value_heads", heads, self.num_key_value_heads.unwrap_or(default))
    }

    fn head_dim(&self, family: Family) -> Result<usize, Error> {
        let (width, heads) = (self.hidden_size, self.num_attention_heads);
        let default = match family {
            Family::Gemma2 | Family::Gemma3 => Some(256),
            Family::Qwen3 => Some(128),
            _ => None,
        };
        let given = self.head_dim.or(default);
        if given.is_none() && !width.is_multiple_of(heads) {
            return Err(bad(format!("hidden_size {width} cannot be divided among {heads} heads")));
        }
        within("head_dim", given.unwrap_or(width / heads), limits::HEADS)
    }

    /// The parameters of layers that see everything.
    fn rope(&self) -> Option<&RawRope> {
        match &self.rope_parameters {
            Some(Ropes::One(rope)) | Some(Ropes::Two { global: rope, .. }) => Some(rope),
            None => self.rope_scaling.as_ref(),
        }
    }

    /// Old files have it at the top, new ones inside `rope_parameters`.
    fn rope_theta(&self, family: Family) -> Result<f64, Error> {
        let default = match family {
            Family::Gemma3 | Family::Mixtral => 1e6,
            _ => 1e4,
        };
        let inner = self.rope().and_then(|rope| rope.rope_theta);
        positive("rope_theta", inner.or(self.rope_theta).unwrap_or(default), 1e12)
    }

    fn rope_scaling(&self, family: Family, context: usize) -> Result<RopeScaling, Error> {
        let phi3 = family == Family::Phi3;
        let default = phi3.then_some(4096.0);
        let original = self.original_max_position_embeddings.or(default);
        let around = Around { context, original, phi3 };
        self.rope().map_or(Ok(RopeScaling::None), |rope| rope.scaling(&around))
    }

    fn rotary_dim(&self, family: Family) -> Result<Option<usize>, Error> {
        let inner = self.rope().and_then(|rope| rope.partial_rotary_factor);
        let Some(part) = inner.or(self.partial_rotary_factor).filter(|part| *part != 1.0) else {
            return Ok(None);
        };
        let part = positive("partial_rotary_factor", part, 1.0)?;
        Ok(Some((self.head_dim(family)? as f64 * part) as usize))
    }

    fn window(&self, family: Family) -> Result<Option<Window>, Error> {
        let layers = within("num_hidden_layers", self.num_hidden_layers, limits::LAYERS)?;
        let default = match family {
            Family::Gemma2 | Family::Gemma3 => Some(4096),
            _ => None,
        };
        let asked = match family {
            Family::Llama => None,
            Family::Qwen2 | Family::Qwen2Moe | Family::Qwen3 | Family::Qwen3Moe => {
                self.sliding_window.filter(|_| self.use_sliding_window == Some(true))
            }
            _ => self.sliding_window.or(default),
        };
        let Some(rows) = asked else { return Ok(None) };
        let local = match &self.layer_types {
            Some(types) if self.has_layer_types(family) => self.listed(types, layers)?,
            _ => (0..layers).map(|layer| self.is_local(family, layer)).collect(),
        };
        let rope_theta = (family == Family::Gemma3).then(|| self.local_theta()).transpose()?;
        let window = Window { rows: within("sliding_window", rows, usize::MAX)?, layers: local, rope_theta };
        Ok(window.layers.contains(&true).then_some(window))
    }

    const fn has_layer_types(&self, family: Family) -> bool {
        matches!(family, Family::Gemma2 | Family::Gemma3 | Family::Qwen2 | Family::Qwen2Moe | Family::Qwen3)
    }

    fn listed(&self, types: &[String], layers: usize) -> Result<Vec<bool>, Error> {
        if types.len() != layers {
            return Err(bad(format!("layer_types lists {} layers of {layers}", types.len())));
        }
        let local = |kind: &String| match kind.as_str() {
            "sliding_attention" => Ok(true),
            "full_attention" => Ok(false),
            other => Err(bad(format!("layer_types names {other:?}, which is not supported"))),
        };
        types.iter().map(local).collect()
    }

    /// Where `layer_types` says nothing.
    fn is_local(&self, family: Family, layer: usize) -> bool {
        let first = self.max_window_layers.unwrap_or(28);
        match family {
            Family::Gemma2 => layer.is_multiple_of(2),
            Family::Gemma3 => !(layer + 1).is_multiple_of(self.sliding_window_pattern.unwrap_or(6).max(1)),
            Family::Qwen2 | Family::Qwen3 => layer >= first,
            Family::Qwen2Moe => layer.is_multiple_of(2) && layer < first,
            _ => true,
        }
    }

    fn local_theta(&self) -> Result<f64, Error> {
        let inner = match &self.rope_parameters {
            Some(Ropes::Two { local, .. }) => local.rope_theta,
            _ => None,
        };
        positive("rope_local_base_freq", inner.or(self.rope_local_base_freq).unwrap_or(1e4), 1e12)
    }

    fn experts(&self, family: Family) -> Result<Option<Experts>, Error> {
        let layers = within("num_hidden_layers", self.num_hidden_layers, limits::LAYERS)?;
        let (count, used, width) = match family {
            Family::Mixtral => (8, 2, self.intermediate_size),
            Family::Qwen2Moe => (60, 4, self.moe_intermediate_size.unwrap_or(1408)),
            Family::Qwen3Moe => (128, 8, self.moe_intermediate_size.unwrap_or(768)),
            _ => return Ok(None),
        };
        let step = within("decoder_sparse_step", self.decoder_sparse_step.unwrap_or(1), usize::MAX)?;
        let dense = self.mlp_only_layers.as_deref().unwrap_or_default();
        let sparse = |layer: usize| {
            family == Family::Mixtral || (!dense.contains(&layer) && (layer + 1).is_multiple_of(step))
        };
        let shared = self.shared_expert_intermediate_size.unwrap_or(5632);
        Ok(Some(Experts {
            count: self.num_local_experts.or(self.num_experts).unwrap_or(count),
            used: self.num_experts_per_tok.unwrap_or(used),
            width,
            normalised: family == Family::Mixtral || self.norm_topk_prob.unwrap_or(false),
            shared: (family == Family::Qwen2Moe).then_some(shared),
            layers: (0..layers).map(sparse).collect(),
        }))
    }
}
