//! Layer normalisation (Ba et al. 2016) without weights of its own, scaled and shifted by what conditions the model
//! (adaptive layer norm, Peebles and Xie 2022): `(x − mean) / √(variance + ε) · (1 + scale) + shift`.

pub mod cpu;
pub mod gpu;
pub mod reference;

use crate::ops::{Tier, floats, on_cpu, rows};
use burn::tensor::Tensor;

/// The norm over the last dimension, scaled and shifted.
///
/// # Shapes
/// - `x` and the result: `[batch, rows, width]`
/// - `shift`, `scale`: `[batch, 1, width]`, or `[1, 1, width]` for all
#[must_use]
pub fn modulated(x: Tensor<3>, shift: Tensor<3>, scale: Tensor<3>, epsilon: f64) -> Tensor<3> {
    let shape @ [_, _, width] = x.dims();
    let one = shift.dims()[0] == 1 && scale.dims()[0] == 1;
    match Tier::of(&x.device()) {
        Tier::Cpu if one => {
            let mut x = floats(x);
            cpu::modulate(&mut x, &floats(shift), &floats(scale), epsilon as f32);
            on_cpu(x, shape)
        }
        Tier::Gpu(gpu) if one && width.is_multiple_of(4) => {
            let vector = |x: Tensor<3>| x.reshape([width]);
            gpu::modulate(&gpu, rows(x), vector(shift), vector(scale), epsilon as f32).reshape(shape)
        }
        _ => {
            let centred = x.clone() - x.mean_dim(2);
            let root = (centred.clone().square().mean_dim(2) + epsilon).sqrt();
            centred / root * (scale + 1.0) + shift
        }
    }
}
