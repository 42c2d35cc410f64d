//! The painter that the app ships: a small PRX in pixels, and all that it takes to make and to judge it.
//!
//! ```text
//!  seed ─► scene ─► picture, caption ─► vocabulary (once) ─► data (a thread) ─► trainer (burn's autodiff) ─► folder
//!                       │                                                                                    │
//!                       └────────────► detector ─► score ◄─ pictures ◄─ easel (the product's own sampler) ◄──┘
//! ```

mod captions;
mod curve;
mod data;
mod detector;
mod draw;
mod easel;
mod folder;
mod labels;
mod model;
mod render;
mod scene;
mod score;
mod shapes;
mod sheet;
#[cfg(test)]
mod tests;
mod trainer;
mod vocabulary;

pub use curve::curve;
pub use data::{Batch, Stream, is_held_out, scenes};
pub use detector::{Finding, Found, find};
pub use draw::Draw;
pub use easel::{Easel, Wish};
pub use folder::{Record, Saved, TORCH};
pub use model::{Learner, Losses, denoiser_config, encoder_config, spacing};
pub use render::Picture;
pub use scene::{Background, Colour, Kind, Object, Pattern, Place, Relation, SIDE, Scene, Size};
pub use score::{Score, Tally, judge};
pub use sheet::sheet;
pub use trainer::{Settings, Trainer, run};
