//! Training of the models that this project ships, on text and pictures that it generates itself. Native only.
//!
//! What is trained is the code that runs in a room, on whichever device burn has gradients for.

mod files;
mod one_hot;
pub mod painter;
mod schedule;
mod split;
pub mod story;

pub use schedule::{Length, Schedule};
pub use split::Split;

use std::path::PathBuf;

/// Why training stopped.
#[derive(Debug, thiserror::Error)]
pub enum TrainError {
    /// A grammar file is not well formed.
    #[error(transparent)]
    Grammar(#[from] story::GrammarError),
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
