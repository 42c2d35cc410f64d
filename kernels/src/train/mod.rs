//! Training of the models that this project ships, on text that it generates itself. Native only.
//!
//! ```text
//!  seed ─► grammar ─► vocabulary (once) ─► data (a thread) ─► story (burn's autodiff, any device) ─► checkpoint
//! ```
//!
//! The model that is trained is [`llm::Model`](crate::llm::Model), the same code that runs in a room; the checkpoint
//! is an ordinary one in Hugging Face's layout, and ships as one GGUF file. `cargo run -p kernels --features train --bin train-story -- --help`
//! drives it.

mod adherence;
mod checkpoint;
mod data;
mod gguf;
mod grammar;
mod prose;
mod sample;
mod schedule;
mod story;
mod vocabulary;

pub use adherence::{Adherence, Prompt, Words, judge, prompts};
pub use checkpoint::{Checkpoint, Record};
pub use data::{Encoder, Rows, Split, Stream};
pub use grammar::{Grammar, GrammarError};
pub use sample::{Saved, Writer, Written};
pub use schedule::{Length, Schedule};
pub use story::{Settings, Trainer, held_out_loss, learn_tokenizer, run, story_config};
pub use vocabulary::{BEGIN, BEGIN_ID, END, END_ID, learn};

use std::path::PathBuf;

/// Why training stopped.
#[derive(Debug, thiserror::Error)]
pub enum TrainError {
    /// A grammar file is not well formed.
    #[error(transparent)]
    Grammar(#[from] GrammarError),
    /// The model, its checkpoint or its device.
    #[error(transparent)]
    Kernels(#[from] crate::Error),
    /// The vocabulary could not be learned.
    #[error("vocabulary: {0}")]
    Vocabulary(String),
    /// A file could not be read or written. Cure: another `--out` or `--from`, or more room on the disk.
    #[error("{path}: {reason}")]
    File {
        /// Which file.
        path: PathBuf,
        /// What the system says.
        reason: String,
    },
    /// What was asked for does not go together.
    #[error("{0}")]
    Settings(String),
    /// The loss is not a number any more. Cure: a lower `--rate`.
    #[error("the loss is {loss} after {step} steps; train with a lower --rate")]
    Diverged {
        /// Steps so far.
        step: u32,
        /// The loss.
        loss: f64,
    },
}
