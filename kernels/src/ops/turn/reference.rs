//! The formula, in f64.

/// # Shapes
/// - `x` and the result: `[tokens, heads, 2 · pairs]`; `angles`: `[tokens, pairs]`, radians
#[must_use]
pub fn turned(x: &[f32], heads: usize, angles: &[f64], tokens: usize) -> Vec<f64> {
    let pairs = angles.len() / tokens;
    let pair = |(at, pair): (usize, &[f32])| {
        let angle = angles[at / (heads * pairs) * pairs + at % pairs];
        let (a, b) = (f64::from(pair[0]), f64::from(pair[1]));
        [a * angle.cos() - b * angle.sin(), a * angle.sin() + b * angle.cos()]
    };
    x.chunks_exact(2).enumerate().flat_map(pair).collect()
}
