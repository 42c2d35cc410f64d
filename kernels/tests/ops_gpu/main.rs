//! WebGPU kernels against plain references over random shapes, and what they cost.
//!
//! Needs a WebGPU adapter; a software one will do (Mesa's lavapipe). Without one the tests say so and pass.

mod attention;
mod common;
mod cost;
mod matmul;
mod norm;
mod pick;
