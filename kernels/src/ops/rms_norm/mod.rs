//! Root-mean-square normalisation (Zhang & Sennrich 2019), with the residual additions around it.

pub mod gpu;
