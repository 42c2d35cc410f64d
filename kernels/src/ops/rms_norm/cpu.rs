//! Over slices.

use crate::ops::math::dot;
use crate::ops::threads::each_of;
use crate::ops::wide::wide;

/// Outputs that are worth handing to another thread: some microseconds' work.
const WORTH: usize = 16 << 10;

/// Normalises each row. `offset` is 0, or 1 for models that store `w − 1` (Gemma).
///
/// # Shapes
/// - `x`, `out`: `[rows, width]`; `weight`: `[width]`, at least one
///
/// # Panics
/// If the slices have other lengths.
pub fn rms_norm(x: &[f32], weight: &[f32], offset: f32, epsilon: f32, out: &mut [f32]) {
    let width = weight.len();
    assert!(width > 0 && x.len().is_multiple_of(width), "{} numbers are not rows of {width}", x.len());
    assert_eq!(x.len(), out.len());
    each_of(out, width, WORTH.div_ceil(width), |first, out| {
        let rows = x[first * width..].chunks_exact(width).zip(out.chunks_exact_mut(width));
        wide(|| {
            for (x, out) in rows {
                let scale = 1.0 / (dot(x, x) / width as f32 + epsilon).sqrt();
                for ((out, x), weight) in out.iter_mut().zip(x).zip(weight) {
                    *out = x * scale * (weight + offset);
                }
            }
        });
    });
}
