//! How rotary frequencies are stretched for longer contexts than the model was first trained for.

use super::check::{bad, positive};
use crate::error::Error;
use serde::{Deserialize, Serialize};

/// Largest factor, and largest context in tokens. Source: guess; far above what any model has.
const MOST: f64 = 1e9;

/// How rotary frequencies are stretched.
#[derive(Debug, Clone, PartialEq)]
pub enum RopeScaling {
    /// Not at all.
    None,
    /// All by the same factor (Chen et al. 2023, "Extending context window … via positional interpolation").
    Linear {
        /// Frequencies are divided by this.
        factor: f64,
    },
    /// By a larger base for sequences longer than the original context ("dynamic NTK").
    Dynamic {
        /// How much longer they may be.
        factor: f64,
        /// The context of the original training, in tokens.
        original: usize,
    },
    /// Low ones by a factor, high ones not at all, those between in part (Peng et al. 2023, YaRN).
    Yarn {
        /// Low frequencies are divided by this.
        factor: f64,
        /// The context of the original training, in tokens.
        original: f64,
        /// Channels that turn more often than this in the original context are left alone.
        fast: f64,
        /// Channels that turn less often than this are divided by the whole factor.
        slow: f64,
        /// Queries and keys are multiplied by this.
        attention: f64,
        /// True if the passage begins and ends at whole channels.
        truncate: bool,
    },
    /// Each by a factor of its own, of which there are two sets (Ding et al. 2024, LongRoPE): Phi-3.
    LongRope {
        /// Up to the original context, one per pair of channels.
        short: Vec<f64>,
        /// For longer sequences.
        long: Vec<f64>,
        /// The context of the original training, in tokens.
        original: usize,
        /// The longest sequence, in tokens.
        longest: usize,
        /// Queries and keys are multiplied by this.
        attention: f64,
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
    /// Each by a factor of its own, as GGUF files hold what another rule made.
    Factors(Vec<f64>),
}

impl RopeScaling {
    /// The longest sequence in tokens, where one that is longer than [`RopeScaling::bound`] turns in another way.
    pub(crate) fn longest(&self) -> Option<usize> {
        match self {
            Self::Dynamic { factor, original } => Some((*original as f64 * factor) as usize),
            Self::LongRope { longest, .. } => Some(*longest),
            _ => None,
        }
    }

    /// Up to how many tokens the length of a sequence makes no difference.
    pub(crate) const fn bound(&self) -> Option<usize> {
        match self {
            Self::Dynamic { original, .. } | Self::LongRope { original, .. } => Some(*original),
            _ => None,
        }
    }

    /// One factor per pair of channels, where there are any.
    pub(super) fn check(&self, pairs: usize) -> Result<(), Error> {
        let lists: &[&Vec<f64>] = match self {
            Self::LongRope { short, long, .. } => &[short, long],
            Self::Factors(factors) => &[factors],
            _ => &[],
        };
        for list in lists {
            if list.len() != pairs {
                return Err(bad(format!(
                    "{} rotary factors where {pairs} pairs of channels turn",
                    list.len()
                )));
            }
            list.iter().try_for_each(|factor| positive("a rotary factor", *factor, MOST).map(drop))?;
        }
        Ok(())
    }
}

/// YaRN's temperature: what queries and keys are multiplied by.
pub(crate) fn yarn_attention(factor: f64, scale: f64) -> f64 {
    if factor <= 1.0 { 1.0 } else { 0.1 * scale * factor.ln() + 1.0 }
}

/// LongRoPE's: from how many times longer the sequences became.
pub(crate) fn long_attention(factor: f64, original: f64) -> f64 {
    if factor <= 1.0 || original <= 1.0 { 1.0 } else { (1.0 + factor.ln() / original.ln()).sqrt() }
}

/// `rope_scaling` (older files) or `rope_parameters` (newer ones).
#[derive(Debug, Clone, Default, Deserialize, Serialize)]
pub(super) struct RawRope {
    pub rope_type: Option<String>,
    /// What `rope_type` was called before; some files have both.
    #[serde(rename = "type")]
    pub older_type: Option<String>,
    pub rope_theta: Option<f64>,
    pub partial_rotary_factor: Option<f64>,
    factor: Option<f64>,
    low_freq_factor: Option<f64>,
    high_freq_factor: Option<f64>,
    original_max_position_embeddings: Option<f64>,
    beta_fast: Option<f64>,
    beta_slow: Option<f64>,
    attention_factor: Option<f64>,
    mscale: Option<f64>,
    mscale_all_dim: Option<f64>,
    truncate: Option<bool>,
    short_factor: Option<Vec<f64>>,
    long_factor: Option<Vec<f64>>,
}

/// What beside the scaling decides it.
pub(super) struct Around {
    /// `max_position_embeddings`.
    pub context: usize,
    /// `original_max_position_embeddings`, where it is not beside the other parameters.
    pub original: Option<f64>,
    /// True if "yarn" means LongRoPE, as in the first files of Phi-3.
    pub phi3: bool,
}

impl RawRope {
    /// Defaults are those of transformers.
    pub fn scaling(&self, around: &Around) -> Result<RopeScaling, Error> {
        let kind = self.rope_type.as_deref().or(self.older_type.as_deref());
        match kind {
            None | Some("default") => Ok(RopeScaling::None),
            Some("su" | "longrope") => self.long(around),
            Some("yarn") if around.phi3 => self.long(around),
            Some("linear") => Ok(RopeScaling::Linear { factor: self.factor()? }),
            Some("dynamic") => {
                Ok(RopeScaling::Dynamic { factor: self.factor()?.max(1.0), original: around.context })
            }
            Some("yarn") => self.yarn(around),
            Some("llama3") => self.llama3(around),
            Some(other) => Err(bad(format!(
                "rope_type {other:?} is not supported; \"default\", \"linear\", \"dynamic\", \"yarn\", \
                 \"longrope\" and \"llama3\" are"
            ))),
        }
    }

    fn factor(&self) -> Result<f64, Error> {
        number("factor", self.factor)
    }

    fn original(&self, around: &Around) -> Result<f64, Error> {
        let found = around.original.or(self.original_max_position_embeddings);
        positive("original_max_position_embeddings", found.unwrap_or(around.context as f64), MOST)
    }

    fn llama3(&self, around: &Around) -> Result<RopeScaling, Error> {
        let low = number("low_freq_factor", self.low_freq_factor)?;
        let high = number("high_freq_factor", self.high_freq_factor)?;
        if low >= high {
            return Err(bad(format!("low_freq_factor {low} is not below high_freq_factor {high}")));
        }
        Ok(RopeScaling::Llama3 { factor: self.factor()?, low, high, original: self.original(around)? })
    }

    fn yarn(&self, around: &Around) -> Result<RopeScaling, Error> {
        let original = self.original(around)?;
        let factor = match self.factor {
            Some(factor) => positive("factor", factor, MOST)?,
            None => around.context as f64 / original,
        };
        let attention = match (self.attention_factor, self.mscale, self.mscale_all_dim) {
            (Some(attention), ..) => attention,
            (None, Some(one), Some(all)) if one != 0.0 && all != 0.0 => {
                yarn_attention(factor, one) / yarn_attention(factor, all)
            }
            _ => yarn_attention(factor, 1.0),
        };
        Ok(RopeScaling::Yarn {
            factor,
            original,
            fast: positive("beta_fast", self.beta_fast.filter(|beta| *beta != 0.0).unwrap_or(32.0), MOST)?,
            slow: positive("beta_slow", self.beta_slow.filter(|beta| *beta != 0.0).unwrap_or(1.0), MOST)?,
            attention: positive("attention_factor", attention, MOST)?,
            truncate: self.truncate.unwrap_or(true),
        })
    }

    fn long(&self, around: &Around) -> Result<RopeScaling, Error> {
        let original = self.original(around)?;
        let list = |name: &str, list: &Option<Vec<f64>>| {
            list.clone().ok_or_else(|| bad(format!("{name} is missing beside rope_type")))
        };
        let factor = self.factor.unwrap_or(around.context as f64 / original);
        let attention = self.attention_factor.unwrap_or_else(|| long_attention(factor, original));
        Ok(RopeScaling::LongRope {
            short: list("short_factor", &self.short_factor)?,
            long: list("long_factor", &self.long_factor)?,
            original: original as usize,
            longest: around.context,
            attention: positive("attention_factor", attention, MOST)?,
        })
    }
}

fn number(name: &str, value: Option<f64>) -> Result<f64, Error> {
    match value {
        Some(value) => positive(name, value, MOST),
        None => Err(bad(format!("{name} is missing beside rope_type"))),
    }
}
