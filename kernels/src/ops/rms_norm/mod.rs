//! Root mean square normalisation (Zhang and Sennrich 2019): `x / √(mean(x²) + ε) · (w + offset)`.

pub mod cpu;
pub mod gpu;
pub mod reference;
