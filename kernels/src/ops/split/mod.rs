//! Rows cut into equal parts, as the queries, keys and values of one product.

use crate::ops::{Tier, floats, on_cpu};
use burn::tensor::Tensor;

/// The parts of every row, each by itself.
///
/// On the CPU whole runs are copied: burn would come by every number on its own.
///
/// # Shapes
/// - `x`: `[batch, rows, N · width]`
/// - results: `[batch, rows, width]`
///
/// # Panics
/// If rows cannot be cut so.
#[must_use]
pub fn parts<const N: usize>(x: Tensor<3>) -> [Tensor<3>; N] {
    let [batch, rows, all] = x.dims();
    assert!(all.is_multiple_of(N), "rows of {all} numbers in {N} parts");
    let width = all / N;
    if let Tier::Cpu = Tier::of(&x.device()) {
        let x = floats(x);
        return std::array::from_fn(|part| {
            let mut values = Vec::with_capacity(batch * rows * width);
            for row in x.chunks_exact(all.max(1)) {
                values.extend_from_slice(&row[part * width..][..width]);
            }
            on_cpu(values, [batch, rows, width])
        });
    }
    std::array::from_fn(|part| x.clone().narrow(2, part * width, width))
}
