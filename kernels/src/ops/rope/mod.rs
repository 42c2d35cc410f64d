//! Rotary position embedding (Su et al. 2021, RoFormer).

pub mod gpu;
