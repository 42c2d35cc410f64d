//! From a GGUF file's metadata to a model's shape. Keys: `docs/gguf.md` of the ggml project; what the files leave out
//! follows its loader (`llama-model.cpp`).

use super::Gguf;
use super::names::Heads;
use crate::error::Error;
use crate::limits;
use crate::llm::config::{even_share, long_attention, positive, within, yarn_attention};
use crate::llm::{Activation, Bias, Config, Experts, Family, RopeScaling, Window};

impl Gguf {
    /// The model's shape. `factors` are the values of [`Gguf::factors`], in that order.
    ///
    /// # Errors
    /// [`Error::Architecture`], or [`Error::Config`] for what is missing, out of bounds or contradictory.
    pub fn config(&self, factors: &[Vec<f32>]) -> Result<Config, Error> {
        let family = self.family()?;
        let (heads, kv_heads) = self.heads()?;
        let width = self.size_of("embedding_length", limits::WIDTH)?;
        let head_dim = match self.own_number("attention.key_length") {
            Some(channels) => within("attention.key_length", channels, limits::HEADS)?,
            None => within("attention.key_length", width / heads, limits::HEADS)?,
        };
        let trained = self.size_of("context_length", usize::MAX)?;
        let rope_scaling = self.scaling(trained, factors)?;
        let context = rope_scaling.bound().map_or(trained, |bound| bound.clamp(1, trained));
        let eps = self.own_float("attention.layer_norm_rms_epsilon").unwrap_or(1e-6);
        let config = Config {
            family,
            width,
            ff_width: self.ff_width(family)?,
            layers: self.layers()?,
            heads,
            kv_heads,
            head_dim,
            vocabulary: self.vocabulary()?,
            context: context.min(limits::CONTEXT),
            norm_eps: positive("attention.layer_norm_rms_epsilon", eps, 1.0)?,
            rope_theta: self.theta("rope.freq_base", if family == Family::Gemma3 { 1e6 } else { 1e4 })?,
            rope_scaling,
            rotary_dim: self.rotary_dim(head_dim),
            tied: !self.tensors.contains_key("output.weight"),
            bos: self.id("bos_token_id"),
            eos: self.eos(),
            attention_bias: self.attention_bias(),
            mlp_bias: false,
            head_norms: matches!(family, Family::Gemma3 | Family::Qwen3 | Family::Qwen3Moe),
            window: self.window(family)?,
            experts: self.experts(family)?,
            ..Config::default()
        };
        self.gemma(config)?.checked()
    }

    /// Query heads and key-value heads.
    pub(super) fn heads(&self) -> Result<Heads, Error> {
        let heads = self.size_of("attention.head_count", limits::HEADS)?;
        let kv_heads = self.own_number("attention.head_count_kv").unwrap_or(heads);
        Ok((heads, even_share("attention.head_count_kv", heads, kv_heads)?))
    }

    /// `name` behind the architecture and a dot.
    fn own(&self, name: &str) -> String {
        format!("{}.{name}", self.metadata.text("general.architecture").unwrap_or_default())
    }

    fn own_number(&self, name: &str) -> Option<usize> {
        self.metadata.number(&self.own(name)).and_then(|number| usize::try_from(number).ok())
    }

    fn own_float(&self, name: &str) -> Option<f64> {
        self.metadata.float(&self.own(name))
    }

    fn size_of(&self, name: &str, most: usize) -> Result<usize, Error> {
        match self.own_number(name) {
            Some(number) => within(&self.own(name), number, most),
            None => Err(Error::Config(format!("{} is missing in the file's metadata", self.own(name)))),
        }
    }

    fn layers(&self) -> Result<usize, Error> {
        self.size_of("block_count", limits::LAYERS)
    }

    /// Some files of experts say nothing about the layers that none of them has.
    fn ff_width(&self, family: Family) -> Result<usize, Error> {
        match family {
            Family::Qwen2Moe | Family::Qwen3Moe
                if self.own_number("feed_forward_length").unwrap_or(0) == 0 =>
            {
                self.size_of("expert_feed_forward_length", limits::WIDTH)
            }
            _ => self.size_of("feed_forward_length", limits::WIDTH),
        }
    }

    /// Rows of the embedding: some files pad it beyond their list of tokens.
    fn vocabulary(&self) -> Result<usize, Error> {
        match self.tensors.get("token_embd.weight").map(|tensor| tensor.shape.as_slice()) {
            Some([rows, _]) => within(
                "the number of rows of token_embd.weight",
                usize::try_from(*rows).unwrap_or(usize::MAX),
                limits::VOCABULARY,
            ),
            _ => Err(Error::Config("the file holds no token_embd.weight: it is a vocabulary only".into())),
        }
    }

    fn theta(&self, name: &str, default: f64) -> Result<f64, Error> {
        positive(&self.own(name), self.own_float(name).unwrap_or(default), 1e12)
    }

    fn rotary_dim(&self, head_dim: usize) -> Option<usize> {
        self.own_number("rope.dimension_count").filter(|channels| *channels != head_dim)
    }

    fn id(&self, name: &str) -> Option<u32> {
        let id = self.metadata.number(&format!("tokenizer.ggml.{name}"))?;
        u32::try_from(id).ok()
    }

    /// The end of a text, and that of a turn in a conversation.
    fn eos(&self) -> Vec<u32> {
        let mut ids: Vec<u32> = ["eos_token_id", "eot_token_id", "eom_token_id"]
            .iter()
            .filter_map(|name| self.id(name))
            .collect();
        ids.sort_unstable();
        ids.dedup();
        ids
    }

    fn attention_bias(&self) -> Bias {
        let has = |name: &str| self.tensors.contains_key(name);
        match has("blk.0.attn_q.bias") || has("blk.0.attn_qkv.bias") {
            true if has("blk.0.attn_output.bias") => Bias::All,
            true => Bias::Qkv,
            false => Bias::None,
        }
    }

    fn gemma(&self, config: Config) -> Result<Config, Error> {
        if !config.family.is_gemma() {
            return Ok(config);
        }
        let cap =
            |name: &str| self.own_float(name).map(|cap| positive(&self.own(name), cap, 1e9)).transpose();
        let score_cap = match config.family {
            Family::Gemma2 => cap("attn_logit_softcapping")?,
            _ => None,
        };
        // The 27 B models are the ones whose scores are not scaled by the width of a head, and nothing says so.
        let largest = match config.family {
            Family::Gemma2 => config.layers == 46,
            _ => config.layers == 62,
        };
        let scalar = if largest { config.width / config.heads } else { config.head_dim };
        Ok(Config {
            activation: Activation::GeluTanh,
            post_norms: true,
            // Whoever made the file added the 1 already.
            norm_offset: 0.0,
            embedding_scale: (config.width as f64).sqrt() as f32,
            query_scalar: Some(scalar as f64),
            score_cap,
            logit_cap: cap("final_logit_softcapping")?,
            ..config
        })
    }

    fn window(&self, family: Family) -> Result<Option<Window>, Error> {
        let asked = match family {
            Family::Gemma2 | Family::Gemma3 => self.own_number("attention.sliding_window").or(Some(4096)),
            Family::Phi3 => self.own_number("attention.sliding_window"),
            _ => None,
        };
        let layers = self.layers()?;
        let trained = self.size_of("context_length", usize::MAX)?;
        let Some(rows) = asked.filter(|rows| *rows > 0 && (family != Family::Phi3 || *rows < trained)) else {
            return Ok(None);
        };
        let pattern = match family {
            Family::Gemma2 => 2,
            Family::Gemma3 => 6,
            _ => layers + 1,
        };
        let layers = (1..=layers).map(|layer| !layer.is_multiple_of(pattern)).collect();
        let rope_theta =
            (family == Family::Gemma3).then(|| self.theta("rope.freq_base_swa", 1e4)).transpose()?;
        Ok(Some(Window { rows, layers, rope_theta }))
    }

    fn experts(&self, family: Family) -> Result<Option<Experts>, Error> {
        if !matches!(family, Family::Mixtral | Family::Qwen2Moe | Family::Qwen3Moe) {
            return Ok(None);
        }
        let width = match family {
            Family::Mixtral => self.ff_width(family)?,
            _ => self.size_of("expert_feed_forward_length", limits::WIDTH)?,
        };
        let shared = match family {
            Family::Qwen2Moe => Some(self.size_of("expert_shared_feed_forward_length", limits::WIDTH)?),
            _ => None,
        };
        // A layer has experts if it has a router.
        let sparse = |layer| self.tensors.contains_key(&format!("blk.{layer}.ffn_gate_inp.weight"));
        Ok(Some(Experts {
            count: self.size_of("expert_count", limits::EXPERTS)?,
            used: self.size_of("expert_used_count", limits::EXPERTS)?,
            width,
            normalised: family != Family::Qwen2Moe,
            shared,
            layers: (0..self.layers()?).map(sparse).collect(),
        }))
    }

    fn scaling(&self, context: usize, factors: &[Vec<f32>]) -> Result<RopeScaling, Error> {
        let original = self.own_number("rope.scaling.original_context_length").unwrap_or(context).max(1);
        let factor = self.own_float("rope.scaling.factor").or(self.own_float("rope.scale_linear"));
        let attention = self.own_float("rope.scaling.attn_factor");
        let wide = |list: &Vec<f32>| list.iter().map(|factor| f64::from(*factor)).collect::<Vec<f64>>();
        match factors {
            [one] => return Ok(RopeScaling::Factors(wide(one))),
            [short, long] => {
                let longer = context as f64 / original as f64;
                let attention = attention.unwrap_or_else(|| long_attention(longer, original as f64));
                let attention = positive(&self.own("rope.scaling.attn_factor"), attention, 1e9)?;
                let (short, long) = (wide(short), wide(long));
                return Ok(RopeScaling::LongRope { short, long, original, longest: context, attention });
            }
            _ => {}
        }
        let factor = factor.filter(|factor| *factor != 0.0 && *factor != 1.0);
        match (self.metadata.text(&self.own("rope.scaling.type")), factor) {
            (Some("yarn"), Some(factor)) => {
                let factor = positive(&self.own("rope.scaling.factor"), factor, 1e9)?;
                let attention = attention.unwrap_or(1.0) * yarn_attention(factor, 1.0);
                let attention = positive(&self.own("rope.scaling.attn_factor"), attention, 1e9)?;
                let original = original as f64;
                Ok(RopeScaling::Yarn { factor, original, fast: 32.0, slow: 1.0, attention, truncate: true })
            }
            (Some("linear") | None, Some(factor)) => {
                Ok(RopeScaling::Linear { factor: positive(&self.own("rope.scaling.factor"), factor, 1e9)? })
            }
            (None | Some("none" | "linear" | "yarn" | "longrope"), _) => Ok(RopeScaling::None),
            (Some(other), _) => Err(Error::Config(format!("rope.scaling.type {other:?} is not supported"))),
        }
    }
}
