//! Over slices, in place.

use crate::ops::math::sum;
use crate::ops::threads::each_of;
use crate::ops::wide::wide;

/// Numbers that are worth handing to another thread: some microseconds' work.
const WORTH: usize = 4 << 10;

/// Normalises each row, scales and shifts it.
///
/// # Shapes
/// - `x`: `[rows, width]`; `shift`, `scale`: `[width]`, at least one
///
/// # Panics
/// If the slices have other lengths.
pub fn modulate(x: &mut [f32], shift: &[f32], scale: &[f32], epsilon: f32) {
    let width = shift.len();
    assert!(width > 0 && x.len().is_multiple_of(width), "{} numbers are not rows of {width}", x.len());
    assert_eq!(scale.len(), width);
    each_of(x, width, WORTH.div_ceil(width), |_, x| wide(|| rows(x, shift, scale, epsilon)));
}

#[inline(always)]
fn rows(x: &mut [f32], shift: &[f32], scale: &[f32], epsilon: f32) {
    let width = shift.len();
    for x in x.chunks_exact_mut(width) {
        let mean = sum(x, |x| x) / width as f32;
        let variance = sum(x, |x| (x - mean) * (x - mean)) / width as f32;
        let factor = 1.0 / (variance + epsilon).sqrt();
        for ((x, shift), scale) in x.iter_mut().zip(shift).zip(scale) {
            *x = (*x - mean) * factor * (1.0 + scale) + shift;
        }
    }
}
