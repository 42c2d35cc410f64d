//! The formula, in f64.

use super::Activation;

/// # Shapes
/// - `gate_up`: `[rows, 2, width]`, gate first; the result: `[rows, width]`
#[must_use]
pub fn swiglu(activation: Activation, gate_up: &[f32], width: usize) -> Vec<f64> {
    let act = |x: f64| match activation {
        Activation::Silu => x / (1.0 + (-x).exp()),
        Activation::GeluTanh => {
            0.5 * x * (1.0 + ((2.0 / std::f64::consts::PI).sqrt() * (x + 0.044_715 * x.powi(3))).tanh())
        }
    };
    let row = |row: &[f32]| (0..width).map(|i| act(f64::from(row[i])) * f64::from(row[width + i])).collect();
    gate_up.chunks_exact(2 * width).flat_map(|both| -> Vec<f64> { row(both) }).collect()
}
