//! Rotary positions of neighbouring channels (Su et al. 2021): each pair `a`, `b` of a head turns by an angle of its token,
//! `a' = a·cos − b·sin`, `b' = a·sin + b·cos`.

pub mod cpu;
pub mod reference;

use crate::ops::{Tier, floats, on_cpu};
use burn::tensor::Tensor;

/// Turns every head by its token's angles.
///
/// # Shapes
/// - `x` and the result: `[batch, tokens, heads, 2 · pairs]`
/// - `cos`: `[1, tokens, 1, pairs, 1]`
/// - `sin`: `[1, tokens, 1, pairs, 2]`: −sin, sin
#[must_use]
pub fn turned(x: Tensor<4>, cos: Tensor<5>, sin: Tensor<5>) -> Tensor<4> {
    let shape @ [batch, tokens, heads, head_dim] = x.dims();
    if let Tier::Cpu = Tier::of(&x.device()) {
        let mut x = floats(x);
        cpu::turn(&mut x, [heads, head_dim], &floats(cos), &floats(sin));
        return on_cpu(x, shape);
    }
    let pairs = x.reshape([batch, tokens, heads, head_dim / 2, 2]);
    (pairs.clone() * cos + pairs.flip([4]) * sin).reshape(shape)
}
