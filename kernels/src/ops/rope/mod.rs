//! Rotary position embedding (Su et al. 2021, RoFormer) in Hugging Face's half-split layout: channel `i` of the first
//! half of a head turns with channel `i` of the second, `a' = a·cos − b·sin`, `b' = b·cos + a·sin`.

pub mod cpu;
pub mod gpu;
pub mod reference;
