//! What can go wrong, with its cause and its cure.

use crate::llm::Layers;
use crate::quant::Format;
use crate::weights::manifest::{Hash, ManifestError};

/// Every way in which this crate says no.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum Error {
    /// `config.json` cannot be read or asks for what does not exist. Cure: the model's own, complete file.
    #[error("config.json: {0}")]
    Config(String),
    /// The configuration names a model family that this crate does not know.
    #[error("the model names the architecture {found:?}; known here: {}", .known.join(", "))]
    Architecture {
        /// What the file says.
        found: String,
        /// What would have worked.
        known: &'static [&'static str],
    },
    /// The head of a safetensors or GGUF file is damaged. Cure: download it again.
    #[error(
        "header of the weights, at byte {offset}: {reason}; the file is damaged or of another format, download it again"
    )]
    Header {
        /// Where in the file.
        offset: u64,
        /// What is wrong there.
        reason: String,
    },
    /// A file of the model cannot be read.
    #[error("{0}")]
    Source(String),
    /// One tensor cannot be used.
    #[error("tensor {tensor}: {reason}")]
    Tensor {
        /// Its name in the file.
        tensor: String,
        /// Cause and cure.
        reason: String,
    },
    /// The weights do not fit the configuration.
    #[error(
        "tensor {tensor} has shape {found:?} where config.json asks for {expected:?}: \
         the two files belong to different models"
    )]
    Shape {
        /// Its name in the file.
        tensor: String,
        /// What the configuration asks for.
        expected: Vec<u64>,
        /// What the file holds.
        found: Vec<u64>,
    },
    /// A range of layers that the model does not have.
    #[error("layers {0} do not exist: the model has {1}")]
    Layers(Layers, usize),
    /// `tokenizer.json` cannot be read or used.
    #[error("tokenizer: {0}")]
    Tokenizer(String),
    /// A chat template cannot be read, or refuses the conversation. Cure: what it says, or another template.
    #[error("chat template: {0}")]
    Chat(String),
    /// An adapter cannot be read, asks for what does not exist here, or belongs to another model. Cure: what it says.
    #[error("adapter: {0}")]
    Adapter(String),
    /// Weights cannot be turned into such blocks on loading.
    #[error("{0:?} is no format to quantise to on loading; Q8_0 and Q4_0 are")]
    Quantise(Format),
    /// Experts are read when they are needed, and not even one is allowed in memory. Cure: allow that much.
    #[error(
        "an expert takes {needed} bytes, but all of them together may take {budget}: allow {needed} at least"
    )]
    ExpertBudget {
        /// Bytes of the largest expert.
        needed: u64,
        /// Bytes that experts may take.
        budget: u64,
    },
    /// Sampling settings out of their ranges.
    #[error("sampling settings: {0}")]
    Sampling(String),
    /// What was asked for cannot be painted: sizes, steps, guidance, a text. Cure: what it says.
    #[error("picture: {0}")]
    Picture(String),
    /// There is no manifest of the model, or it cannot be used.
    #[error(transparent)]
    Manifest(#[from] ManifestError),
    /// One step of a session cannot be run; the session is untouched, unless that is said of the reason.
    #[error(transparent)]
    Step(#[from] StepError),
    /// The device failed. Cure: open it again, or fall back to the CPU.
    #[error("compute device: {0}")]
    Device(String),
}

/// Why a step was refused. All of it may come from a hostile peer.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum StepError {
    /// Some of the layers are not in memory here.
    #[error("layers {0} are not loaded here")]
    NotLoaded(Layers),
    /// The step does not continue what the caches of this session hold.
    #[error("position {found} does not continue the session, which is at {expected}")]
    Position {
        /// Rows that the caches hold.
        expected: usize,
        /// Where the step starts.
        found: usize,
    },
    /// No row, or more than [`limits::PASS_ROWS`](crate::limits::PASS_ROWS).
    #[error("a pass of {0} rows; between 1 and {max} are allowed", max = crate::limits::PASS_ROWS)]
    Rows(usize),
    /// The sequence would grow beyond the model's context.
    #[error("the sequence would have {0} tokens, the context holds {1}")]
    Context(usize, usize),
    /// A token id beyond the vocabulary.
    #[error("token {0} is not in the vocabulary of {1}")]
    Token(u32, usize),
    /// Hidden states that are not whole rows.
    #[error("{0} bytes of hidden states are not whole rows of {1} bytes")]
    HiddenSize(usize, usize),
    /// Hidden states with an infinity or a NaN.
    #[error("hidden state {0} is not a finite number")]
    NotFinite(usize),
    /// Token ids for a stage in the middle, or hidden states for the first.
    #[error("layers {layers} take {takes}")]
    Kind {
        /// What was to run.
        layers: Layers,
        /// What it takes.
        takes: &'static str,
    },
    /// Sampling asked of a stage that does not hold the head.
    #[error("layers {0} do not end with the head, so that they cannot sample")]
    Headless(Layers),
    /// The scores after the last row are no numbers: hidden states that were fed, or weights, are too large. The session
    /// is forgotten.
    #[error("the scores of the next token are not numbers: what was fed, or the weights, are damaged")]
    Scores,
    /// An adapter of the sequence, or its part for these layers, is not in memory.
    #[error("adapter {0} is not loaded here for layers {1}")]
    NoAdapter(Hash, Layers),
    /// Too many adapters for one sequence.
    #[error("{0} adapters at once; {max} at most", max = crate::limits::ADAPTERS_AT_ONCE)]
    Adapters(usize),
    /// A weight of an adapter that is no number, or is too large.
    #[error("an adapter cannot be added {0} times; between -{max} and {max} are possible", max = crate::limits::ADAPTER_WEIGHT)]
    AdapterWeight(f32),
    /// Other adapters than the session began with. Cure: begin another session.
    #[error("the session began with other adapters, what it has computed so far came from those")]
    OtherAdapters,
    /// The caches of all sessions have no room. Cure: forget one, shorten the prompt, or store caches as f16.
    #[error("{needed} more tokens do not fit the memory for caches, {fit} would")]
    Memory {
        /// Tokens of the step.
        needed: usize,
        /// Tokens that would fit.
        fit: usize,
    },
    /// Too many sessions have caches. Cure: forget one.
    #[error("{max} sessions are open, forget one first", max = crate::limits::SESSIONS)]
    Sessions,
}
