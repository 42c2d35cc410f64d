//! The formula, in f64.

/// # Shapes
/// - `x`, `y` and the result: `[rows, width]`; `gate`: `[width]`
#[must_use]
pub fn gated_sum(x: &[f32], y: &[f32], gate: &[f32]) -> Vec<f64> {
    let all = x.iter().zip(y).zip(gate.iter().cycle());
    all.map(|((&x, &y), &gate)| f64::from(x) + f64::from(y) * f64::from(gate)).collect()
}
