//! Gated linear units (Shazeer 2020): `act(gate) · up`.

pub mod cpu;
pub mod reference;

/// What the gate goes through.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Activation {
    /// `x / (1 + e⁻ˣ)`: SwiGLU.
    Silu,
    /// The approximation of GELU by tanh: GeGLU as in Gemma.
    GeluTanh,
}
