//! The shape of a model: one implementation serves all families, and this is where they differ.

mod check;
mod family;
mod json;
mod scaling;
mod write;

pub(crate) use check::{even_share, positive, within};
pub use family::Family;
pub use scaling::RopeScaling;
pub(crate) use scaling::{long_attention, yarn_attention};

use crate::limits;
use crate::ops::swiglu::Activation;

/// The shape of one model. Every field is within [`limits`] and fits the others.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    /// What the tensors are called, and which of them there are.
    pub family: Family,
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
    /// Longest sequence in tokens, [`limits::CONTEXT`] at most, for which nothing but its positions decides how far
    /// they turn. See [`Config::longest`].
    pub context: usize,
    /// Added to the mean square in RMSNorm.
    pub norm_eps: f64,
    /// Base of the rotary frequencies.
    pub rope_theta: f64,
    /// How the frequencies are stretched for longer contexts.
    pub rope_scaling: RopeScaling,
    /// Channels of a head that turn with the position, the first ones; all if none. Even.
    pub rotary_dim: Option<usize>,
    /// True if the head is the embedding, transposed.
    pub tied: bool,
    /// The id that starts a text.
    pub bos: Option<u32>,
    /// The ids that end a text.
    pub eos: Vec<u32>,
    /// Of the feed-forward layers.
    pub activation: Activation,
    /// Which products of attention have biases.
    pub attention_bias: Bias,
    /// True if the feed-forward products have biases.
    pub mlp_bias: bool,
    /// True if every query and key head is normalised before it turns.
    pub head_norms: bool,
    /// True if what attention and feed-forward layer add is normalised too.
    pub post_norms: bool,
    /// Added to the norms' weights as the file has them: Gemma stores how far they are from 1.
    pub norm_offset: f32,
    /// What embeddings are multiplied by.
    pub embedding_scale: f32,
    /// Scores are divided by its root; by that of `head_dim` if none.
    pub query_scalar: Option<f64>,
    /// Scores become `cap·tanh(score / cap)`.
    pub score_cap: Option<f64>,
    /// So do the logits.
    pub logit_cap: Option<f64>,
    /// How far some layers look back.
    pub window: Option<Window>,
    /// What replaces some feed-forward layers.
    pub experts: Option<Experts>,
}

/// A sliding window: a row sees itself and the `rows − 1` before it.
#[derive(Debug, Clone, PartialEq)]
pub struct Window {
    /// Rows that a row sees.
    pub rows: usize,
    /// The layers that have it, by number; all others see everything.
    pub layers: Vec<bool>,
    /// The base of those layers' rotary frequencies, which are not stretched then.
    pub rope_theta: Option<f64>,
}

/// A mixture of experts (Shazeer et al. 2017): a router picks a few of many feed-forward layers for every row.
#[derive(Debug, Clone, PartialEq)]
pub struct Experts {
    /// How many there are.
    pub count: usize,
    /// How many a row uses.
    pub used: usize,
    /// Channels inside one.
    pub width: usize,
    /// True if the weights of those that are used are made to sum to 1.
    pub normalised: bool,
    /// Channels inside one more that every row uses, behind a gate of its own.
    pub shared: Option<usize>,
    /// The layers that have them, by number; all others have one feed-forward layer.
    pub layers: Vec<bool>,
}

/// Which products of attention have biases.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Bias {
    /// None.
    #[default]
    None,
    /// Queries, keys and values.
    Qkv,
    /// Those and the output.
    All,
}

/// A Llama without any size: a base for struct updates.
impl Default for Config {
    fn default() -> Self {
        Self {
            family: Family::Llama,
            width: 0,
            ff_width: 0,
            layers: 0,
            heads: 0,
            kv_heads: 0,
            head_dim: 0,
            vocabulary: 0,
            context: 0,
            norm_eps: 1e-6,
            rope_theta: 10_000.0,
            rope_scaling: RopeScaling::None,
            rotary_dim: None,
            tied: false,
            bos: None,
            eos: Vec::new(),
            activation: Activation::Silu,
            attention_bias: Bias::None,
            mlp_bias: false,
            head_norms: false,
            post_norms: false,
            norm_offset: 0.0,
            embedding_scale: 1.0,
            query_scalar: None,
            score_cap: None,
            logit_cap: None,
            window: None,
            experts: None,
        }
    }
}

impl Config {
    /// Bytes of one row of hidden states on the wire: little-endian f32.
    #[must_use]
    pub const fn row_bytes(&self) -> usize {
        self.width * 4
    }

    /// Channels of a head that turn.
    #[must_use]
    pub fn rotary_channels(&self) -> usize {
        self.rotary_dim.unwrap_or(self.head_dim)
    }

    /// What scores are multiplied by.
    #[must_use]
    pub fn score_scale(&self) -> f64 {
        self.query_scalar.unwrap_or(self.head_dim as f64).powf(-0.5)
    }

    /// True if `layer` looks back through the sliding window only.
    #[must_use]
    pub fn is_local(&self, layer: usize) -> bool {
        self.window.as_ref().is_some_and(|window| window.layers.get(layer) == Some(&true))
    }

    /// The experts of `layer`, if it has any.
    #[must_use]
    pub fn experts_of(&self, layer: usize) -> Option<&Experts> {
        self.experts.as_ref().filter(|experts| experts.layers.get(layer) == Some(&true))
    }

    /// Longest sequence in tokens if its length is known before its first token is computed; more than
    /// [`Config::context`] where the length decides how far every position turns (dynamic scaling and LongRoPE).
    #[must_use]
    pub fn longest(&self) -> usize {
        self.rope_scaling
            .longest()
            .map_or(self.context, |tokens| tokens.min(limits::CONTEXT).max(self.context))
    }
}
