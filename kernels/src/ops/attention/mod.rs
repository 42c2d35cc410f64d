//! Scaled dot-product attention over a cache of keys and values.

pub mod gpu;
