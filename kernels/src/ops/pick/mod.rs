//! The best-scored tokens of a row of scores.

pub mod gpu;
