//! Language models of the Llama family: one model code for every device, for inference and for training.

mod attention;
mod block;
mod cache;
mod config;
mod export;
mod layers;
mod load;
mod model;
mod names;
mod rope;
mod sampling;

pub use attention::Attention;
pub use block::{Block, FeedForward};
pub use cache::Cache;
pub use config::{Config, RopeScaling};
pub use export::Exported;
pub(crate) use export::read_back;
pub use layers::Layers;
pub use load::ranges;
pub use model::Model;
pub use names::{Needed, needed};
pub use rope::Rope;
pub use sampling::{Drawn, Recent, Sampling, Scratch, Stopping, Stops};
