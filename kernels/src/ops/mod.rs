//! What a model computes, one operation per folder: a plain reference, CPU kernels over slices, and WGSL.

pub mod attention;
pub mod gpu;
pub mod matmul;
pub mod pick;
pub mod rms_norm;
pub mod rope;
