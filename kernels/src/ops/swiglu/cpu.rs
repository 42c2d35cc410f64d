//! Over slices.

use super::Activation;
use crate::ops::math::{gelu_tanh, silu};
use crate::ops::threads::each_of;
use crate::ops::wide::wide;

/// Outputs that are worth handing to another thread: some microseconds' work.
const WORTH: usize = 4 << 10;

/// `act(gate) · up`, where one product made gate and up.
///
/// # Shapes
/// - `gate_up`: `[rows, 2, width]`, gate first
/// - `out`: `[rows, width]`
///
/// # Panics
/// If the slices have other lengths.
pub fn swiglu(activation: Activation, gate_up: &[f32], width: usize, out: &mut [f32]) {
    assert!(width > 0 && out.len().is_multiple_of(width), "{} numbers are not rows of {width}", out.len());
    assert_eq!(gate_up.len(), 2 * out.len());
    each_of(out, width, WORTH.div_ceil(width), |first, out| {
        let gate_up = &gate_up[2 * first * width..][..2 * out.len()];
        match activation {
            Activation::Silu => wide(|| each(silu, gate_up, width, out)),
            Activation::GeluTanh => wide(|| each(gelu_tanh, gate_up, width, out)),
        }
    });
}

#[inline(always)]
fn each(act: impl Fn(f32) -> f32, gate_up: &[f32], width: usize, out: &mut [f32]) {
    for (row, out) in gate_up.chunks_exact(2 * width).zip(out.chunks_exact_mut(width)) {
        let (gate, up) = row.split_at(width);
        for ((out, gate), up) in out.iter_mut().zip(gate).zip(up) {
            *out = act(*gate) * up;
        }
    }
}
