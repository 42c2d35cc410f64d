//! Language models: one model code for every family and device, for inference and for training.

mod attention;
mod block;
mod cache;
pub(crate) mod config;
mod experts;
mod export;
mod feed;
mod layers;
mod load;
mod model;
mod names;
mod norm;
mod ops;
mod product;
mod rope;
mod sampling;
mod stage;

pub use attention::Attention;
pub use block::Block;
pub use cache::Cache;
pub use config::{Activation, Bias, Config, Experts, Family, RopeScaling, Window};
pub use experts::{Mixture, SharedExpert};
pub use export::Exported;
pub(crate) use export::read_back;
pub use feed::{Feed, FeedForward};
pub use layers::Layers;
pub use load::ranges;
pub use model::Model;
pub use names::{Needed, needed};
pub use norm::RmsNorm;
pub use product::Product;
pub use rope::Rope;
pub use sampling::{Drawn, Recent, Sampling, Scratch, Stopping, Stops};
pub use stage::{Stage, StageOut};
