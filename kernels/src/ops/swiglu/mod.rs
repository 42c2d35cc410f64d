//! Gated linear units (Shazeer 2020): `act(gate) · up`.

pub mod cpu;
pub mod reference;

use crate::ops::{Tier, floats, on_cpu, widened};
use burn::tensor::Tensor;
use burn::tensor::activation::{gelu_approximate, silu};

/// What the gate goes through.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Activation {
    /// `x / (1 + e⁻ˣ)`: SwiGLU.
    #[default]
    Silu,
    /// The approximation of GELU by tanh: GeGLU as in Gemma.
    GeluTanh,
}

/// `activation(gate) ∘ up`. On WebGPU products do this themselves, see [`matmul`](crate::ops::matmul).
///
/// # Shapes
/// - `gate_up`: `[…, 2 · width]`, gate then up
/// - result: `[…, width]`
#[must_use]
pub fn gated<const D: usize>(gate_up: Tensor<D>, activation: Activation) -> Tensor<D> {
    let shape = gate_up.dims();
    let half = shape[D - 1] / 2;
    if let Tier::Cpu = Tier::of(&gate_up.device()) {
        let gate_up = floats(gate_up);
        let mut out = vec![0.0; gate_up.len() / 2];
        cpu::swiglu(activation, &gate_up, half, &mut out);
        return on_cpu(out, widened(shape, half));
    }
    let gate = gate_up.clone().narrow(D - 1, 0, half);
    let gate = match activation {
        Activation::Silu => silu(gate),
        Activation::GeluTanh => gelu_approximate(gate),
    };
    gate * gate_up.narrow(D - 1, half, half)
}
