//! An embedding whose gradient is a product.

use burn::tensor::{Device, Int, Tensor};

/// The rows of `weight` that `ids` name, as a product with one-hot rows: the gradient of a look-up is added row by row in
/// a serial loop on the GPU, that of a product is a product.
///
/// # Shapes
/// - `weight`: `[vocabulary, width]`
/// - `ids`: `[batch, rows]`
/// - result: `[batch, rows, width]`
pub(super) fn rows(weight: Tensor<2>, ids: Tensor<2, Int>, device: &Device) -> Tensor<3> {
    let ([batch, rows], [vocabulary, width]) = (ids.dims(), weight.dims());
    let every = Tensor::<1, Int>::arange(0..vocabulary as i64, device).reshape([1, vocabulary]);
    let one_hot = ids.reshape([batch * rows, 1]).equal(every).float();
    one_hot.matmul(weight).reshape([batch, rows, width])
}
