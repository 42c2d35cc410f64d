//! Checks that both file formats share. Messages name the field as the file does.

use crate::error::Error;
use crate::limits;
use crate::llm::Config;

pub(crate) fn bad(reason: impl Into<String>) -> Error {
    Error::Config(reason.into())
}

pub(crate) fn within(name: &str, value: usize, max: usize) -> Result<usize, Error> {
    if (1..=max).contains(&value) {
        return Ok(value);
    }
    Err(bad(format!("{name} is {value}; between 1 and {max} is supported")))
}

pub(crate) fn positive(name: &str, value: f64, max: f64) -> Result<f64, Error> {
    if value > 0.0 && value <= max {
        return Ok(value);
    }
    Err(bad(format!("{name} is {value}; above 0 and at most {max} is supported")))
}

/// Key-value heads, which query heads have to share evenly.
pub(crate) fn even_share(name: &str, heads: usize, kv_heads: usize) -> Result<usize, Error> {
    let kv_heads = within(name, kv_heads, heads)?;
    if !heads.is_multiple_of(kv_heads) {
        return Err(bad(format!("{heads} attention heads cannot share {kv_heads} key-value heads evenly")));
    }
    Ok(kv_heads)
}

impl Config {
    /// What has to be true whatever file it came from.
    pub(crate) fn checked(self) -> Result<Self, Error> {
        if !self.head_dim.is_multiple_of(2) {
            return Err(bad(format!("head_dim {} is odd, rotary embedding needs pairs", self.head_dim)));
        }
        within("num_attention_heads × head_dim", self.heads.saturating_mul(self.head_dim), limits::WIDTH)?;
        let rotary = within("the number of rotary channels", self.rotary_channels(), self.head_dim)?;
        if !rotary.is_multiple_of(2) {
            return Err(bad(format!("{rotary} channels of a head turn, rotary embedding needs pairs")));
        }
        self.rope_scaling.check(rotary / 2)?;
        self.check_ids()?;
        if let Some(experts) = &self.experts {
            within("the number of experts", experts.count, limits::EXPERTS)?;
            within("the number of experts that a row uses", experts.used, experts.count)?;
            within("moe_intermediate_size", experts.width, limits::WIDTH)?;
            within("shared_expert_intermediate_size", experts.shared.unwrap_or(1), limits::WIDTH)?;
        }
        Ok(self)
    }

    fn check_ids(&self) -> Result<(), Error> {
        if self.eos.len() > limits::END_TOKENS {
            return Err(bad(format!("{} eos ids, {} at most", self.eos.len(), limits::END_TOKENS)));
        }
        match self.eos.iter().chain(&self.bos).find(|id| **id as usize >= self.vocabulary) {
            Some(id) => {
                Err(bad(format!("bos or eos id {id} is not in the vocabulary of {}", self.vocabulary)))
            }
            None => Ok(()),
        }
    }
}
