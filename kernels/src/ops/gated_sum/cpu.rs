//! Over slices, in place.

use crate::ops::threads::each_of;
use crate::ops::wide::wide;

/// Numbers that are worth handing to another thread: some microseconds' work.
const WORTH: usize = 16 << 10;

/// Adds `y ∘ gate` to `x`.
///
/// # Shapes
/// - `x`, `y`: `[rows, width]`; `gate`: `[width]`, at least one
///
/// # Panics
/// If the slices have other lengths.
pub fn gated_sum(x: &mut [f32], y: &[f32], gate: &[f32]) {
    let width = gate.len();
    assert!(width > 0 && x.len().is_multiple_of(width), "{} numbers are not rows of {width}", x.len());
    assert_eq!(x.len(), y.len());
    each_of(x, width, WORTH.div_ceil(width), |first, x| {
        let y = &y[first * width..][..x.len()];
        wide(|| rows(x, y, gate));
    });
}

#[inline(always)]
fn rows(x: &mut [f32], y: &[f32], gate: &[f32]) {
    for (x, y) in x.chunks_exact_mut(gate.len()).zip(y.chunks_exact(gate.len())) {
        for ((x, y), gate) in x.iter_mut().zip(y).zip(gate) {
            *x += y * gate;
        }
    }
}
