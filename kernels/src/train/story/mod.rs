//! The story writer that the app ships: a small language model, and the grammar of little stories that it learns from.
//!
//! ```text
//!  seed ─► grammar ─► vocabulary (once) ─► data (a thread) ─► trainer (burn's autodiff, any device) ─► checkpoint
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
mod trainer;
mod vocabulary;

pub use adherence::{Adherence, Prompt, Words, judge, prompts};
pub use checkpoint::{Checkpoint, Record};
pub use data::{Encoder, Rows, Stream};
pub use grammar::{Grammar, GrammarError};
pub use sample::{Saved, Writer, Written};
pub use trainer::{Settings, Trainer, held_out_loss, learn_tokenizer, run, story_config};
pub use vocabulary::{BEGIN, BEGIN_ID, END, END_ID, learn};

use super::{Split, TrainError, files, one_hot, schedule};
