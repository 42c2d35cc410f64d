//! The formula, in f64.

/// # Shapes
/// - `x` and the result: `[rows, width]`; `weight`: `[width]`
#[must_use]
pub fn rms_norm(x: &[f32], weight: &[f32], offset: f32, epsilon: f32) -> Vec<f64> {
    let width = weight.len();
    let row = |x: &[f32]| {
        let mean = x.iter().map(|&x| f64::from(x).powi(2)).sum::<f64>() / width as f64;
        let scale = 1.0 / (mean + f64::from(epsilon)).sqrt();
        let scaled = |(&x, &w): (&f32, &f32)| f64::from(x) * scale * (f64::from(w) + f64::from(offset));
        x.iter().zip(weight).map(scaled).collect::<Vec<_>>()
    };
    x.chunks_exact(width).flat_map(row).collect()
}
