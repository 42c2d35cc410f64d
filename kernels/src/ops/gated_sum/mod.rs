//! What a branch adds to a residual stream, as far as its gate is open (adaptive layer norm zero, Peebles and Xie 2022):
//! `x + y ∘ gate`.

pub mod cpu;
pub mod reference;

use crate::ops::{Tier, floats, on_cpu};
use burn::tensor::Tensor;

/// `x + y ∘ gate`.
///
/// # Shapes
/// - `x`, `y` and the result: `[batch, rows, width]`
/// - `gate`: `[batch, 1, width]`, or `[1, 1, width]` for all
#[must_use]
pub fn gated_sum(x: Tensor<3>, y: Tensor<3>, gate: Tensor<3>) -> Tensor<3> {
    let shape = x.dims();
    match Tier::of(&x.device()) {
        Tier::Cpu if gate.dims()[0] == 1 => {
            let mut x = floats(x);
            cpu::gated_sum(&mut x, &floats(y), &floats(gate));
            on_cpu(x, shape)
        }
        _ => x + y * gate,
    }
}
