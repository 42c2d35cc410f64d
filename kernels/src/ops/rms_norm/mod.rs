//! Root mean square normalisation (Zhang and Sennrich 2019): `x / √(mean(x²) + ε) · (w + offset)`.

pub mod cpu;
pub mod gpu;
pub mod reference;

use crate::ops::{Tier, floats, on_cpu, rows};
use burn::tensor::Tensor;

/// `x / √(mean(x²) + ε) ∘ γ` over the last dimension.
///
/// # Shapes
/// - `x` and the result: `[…, width]`
/// - `gamma`: `[width]`
#[must_use]
pub fn rms_norm<const D: usize>(x: Tensor<D>, gamma: Tensor<1>, epsilon: f64) -> Tensor<D> {
    let shape = x.dims();
    match Tier::of(&x.device()) {
        Tier::Cpu => {
            let (x, gamma) = (floats(x), floats(gamma));
            let mut out = vec![0.0; x.len()];
            cpu::rms_norm(&x, &gamma, 0.0, epsilon as f32, &mut out);
            on_cpu(out, shape)
        }
        Tier::Gpu(gpu) if shape[D - 1].is_multiple_of(4) => {
            gpu::norm(&gpu, rows(x), gamma, epsilon as f32).reshape(shape)
        }
        _ => {
            let root = (x.clone().square().mean_dim(D - 1) + epsilon).sqrt();
            (x / root) * gamma.unsqueeze()
        }
    }
}
