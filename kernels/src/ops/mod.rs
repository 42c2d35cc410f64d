//! What a model computes, one operation per folder: a plain reference, CPU kernels over slices, and WGSL.

pub mod matmul;
