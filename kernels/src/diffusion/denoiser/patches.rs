//! Pictures as rows of patches, and back.

use burn::tensor::Tensor;

/// # Shapes
/// - `picture`: `[batch, channels, height, width]`, both multiples of `patch`
/// - result: `[batch, height / patch · width / patch, channels · patch²]`: tokens row by row; within one, channel by channel
#[must_use]
pub fn patches(picture: Tensor<4>, patch: usize) -> Tensor<3> {
    let [batch, channels, height, width] = picture.dims();
    let (rows, columns) = (height / patch, width / patch);
    let cut: Tensor<6> = picture.reshape([batch, channels, rows, patch, columns, patch]);
    cut.permute([0, 2, 4, 1, 3, 5]).reshape([batch, rows * columns, channels * patch * patch])
}

/// What [`patches`] took apart.
///
/// # Shapes
/// - `tokens`: `[batch, rows · columns, channels · patch²]`
/// - result: `[batch, channels, rows · patch, columns · patch]`
#[must_use]
pub fn picture(tokens: Tensor<3>, [rows, columns]: [usize; 2], patch: usize) -> Tensor<4> {
    let [batch, _, numbers] = tokens.dims();
    let channels = numbers / (patch * patch);
    let cut: Tensor<6> = tokens.reshape([batch, rows, columns, channels, patch, patch]);
    cut.permute([0, 3, 1, 4, 2, 5]).reshape([batch, channels, rows * patch, columns * patch])
}
