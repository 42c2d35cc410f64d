//! Choosing among scores.

pub mod cpu;
pub mod reference;
