//! `y = x · Wᵀ`, where `W` stays in the blocks of its file.

pub mod cpu;
pub mod gpu;
pub mod reference;
mod weight;

pub use weight::{Filling, Matrix};
