//! The models of Manyhands: their weights, tokenizers and samplers, on WebGPU and on the CPU.
//!
//! This crate is given bytes and gives back bytes. It knows nothing of peers, sockets, pages or files, and never
//! waits for a device in a way that a browser forbids: whatever reads a tensor back is `async`.
//!
//! ```text
//!  bytes ─► weights::Header ─► llm::Model (any subset of layers) ─► engine::Engine ─► hidden states or a token
//!  bytes ─► llm::Config ────────┘                ▲                        ▲
//!  bytes ─► tokenizer::Tokenizer ─► ids ─────────┘     device::open ──────┘
//! ```

pub mod chat;
pub mod device;
pub mod diffusion;
pub mod engine;
mod error;
pub mod limits;
pub mod llm;
mod model_id;
pub mod ops;
pub mod quant;
pub mod random;
pub mod tokenizer;
#[cfg(feature = "train")]
pub mod train;
pub mod weights;

pub use error::{Error, StepError};
pub use model_id::ModelId;
