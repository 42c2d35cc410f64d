//! The formula, in f64, from angles instead of tables.

/// # Shapes
/// - `x` and the result: `[rows, heads, head_dim]`
/// - `angles`: `[rows, turned / 2]` in radians; channels from `turned` on stay as they are
#[must_use]
pub fn rope(x: &[f32], heads: usize, head_dim: usize, turned: usize, angles: &[f64]) -> Vec<f64> {
    let half = turned / 2;
    let mut out: Vec<f64> = x.iter().map(|&x| f64::from(x)).collect();
    for (number, head) in out.chunks_exact_mut(head_dim).enumerate() {
        for i in 0..half {
            let (sin, cos) = angles[number / heads * half + i].sin_cos();
            let (a, b) = (head[i], head[i + half]);
            (head[i], head[i + half]) = (a * cos - b * sin, b * cos + a * sin);
        }
    }
    out
}
