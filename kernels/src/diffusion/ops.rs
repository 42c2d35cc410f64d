//! Small operations that several parts need.

use crate::ops::{Tier, floats, math, on_cpu};
use burn::tensor::Tensor;
use burn::tensor::activation;

/// `x / (1 + e⁻ˣ)`; on the CPU with exponentials that are the same on every machine.
///
/// # Shapes
/// - `x` and the result: any
#[must_use]
pub(super) fn silu<const D: usize>(x: Tensor<D>) -> Tensor<D> {
    match Tier::of(&x.device()) {
        Tier::Cpu => {
            let shape = x.dims();
            let mut x = floats(x);
            x.iter_mut().for_each(|x| *x = math::silu(*x));
            on_cpu(x, shape)
        }
        _ => activation::silu(x),
    }
}
