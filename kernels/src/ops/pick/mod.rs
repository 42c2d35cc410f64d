//! Choosing among scores.

pub mod cpu;
pub mod gpu;
pub mod reference;
