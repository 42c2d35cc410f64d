//! Picture models: what turns text into rows, noise into a latent, and a latent into pixels.
//!
//! ```text
//!  tokens ─► TextEncoder ─► rows ─► Denoiser::text ─┐
//!  Spacing ─► Schedule ─► times ─► Denoiser::modulations
//!                                                   ▼
//!  seed ─► noise ─► latent ─► Denoiser::forward ─► guide ─► Schedule::advance ─► latent ─► … ─► Autoencoder ─► pixels
//! ```

pub mod autoencoder;
mod bands;
pub mod denoiser;
mod evaluate;
pub mod folder;
mod json;
mod noise;
mod ops;
mod painter;
mod painting;
mod pixels;
mod probe;
mod prompt;
pub mod schedule;
pub mod sizes;
pub mod text_encoder;

pub use autoencoder::Autoencoder;
pub use bands::{Band, Context};
pub use denoiser::Denoiser;
pub use evaluate::{Evaluation, evaluate};
pub use noise::noise;
pub use painter::{Painter, Piece, Side, Sitting};
pub use painting::{Order, Painting};
pub use pixels::Rgb;
pub use probe::Pace;
pub use prompt::clean;
pub use schedule::{Schedule, Spacing, guide};
pub use text_encoder::TextEncoder;
