//! The formula, in f64.

/// # Shapes
/// - `x` and the result: `[rows, width]`; `shift`, `scale`: `[width]`
#[must_use]
pub fn modulated(x: &[f32], shift: &[f32], scale: &[f32], epsilon: f32) -> Vec<f64> {
    let width = shift.len();
    let row = |x: &[f32]| {
        let mean = x.iter().map(|&x| f64::from(x)).sum::<f64>() / width as f64;
        let variance = x.iter().map(|&x| (f64::from(x) - mean).powi(2)).sum::<f64>() / width as f64;
        let root = (variance + f64::from(epsilon)).sqrt();
        let each = x.iter().zip(shift).zip(scale);
        each.map(|((&x, &shift), &scale)| {
            (f64::from(x) - mean) / root * (1.0 + f64::from(scale)) + f64::from(shift)
        })
        .collect::<Vec<_>>()
    };
    x.chunks_exact(width).flat_map(row).collect()
}
