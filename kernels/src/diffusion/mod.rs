//! Picture models: what turns text into rows, noise into a latent, and a latent into pixels.

pub mod autoencoder;
pub mod denoiser;
mod json;
mod noise;
mod ops;
pub mod schedule;
pub mod sizes;
pub mod text_encoder;

pub use autoencoder::Autoencoder;
pub use denoiser::Denoiser;
pub use noise::noise;
pub use schedule::{Schedule, Spacing, guide};
pub use text_encoder::TextEncoder;
