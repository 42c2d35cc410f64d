//! What a model computes, one operation per folder: a plain reference, CPU kernels over slices, and WGSL.
//!
//! CPU kernels give a row the same bits whatever other rows are computed with it, and on every instruction set: sums
//! have a fixed order, nothing is fused, and exponentials are our own (see [`math`]). So a stage that was lost and is
//! rebuilt, on another machine and from one long prompt, writes the same text.

pub mod attention;
pub mod gated_sum;
pub mod gpu;
pub mod layer_norm;
pub mod math;
pub mod matmul;
pub mod pick;
pub mod rms_norm;
pub mod rope;
pub mod split;
pub mod swiglu;
pub mod threads;
mod tier;
pub mod turn;
mod wide;

pub use tier::Tier;
pub(crate) use tier::{floats, on_cpu, rows, wide as widened};
