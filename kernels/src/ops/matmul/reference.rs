//! The product as one would write it on paper. Slow; tests compare with it.

use crate::quant::{Format, QuantError, dequantise};

/// `x · Wᵀ` in f64, with the weights dequantised and `x` as it is.
///
/// # Shapes
/// - `weights`: `[rows, cols]` in `format`, as in the files
/// - `x`: `[n, cols]`; the result: `[n, rows]`
///
/// # Errors
/// If the bytes do not hold that matrix.
pub fn matmul(format: Format, cols: usize, weights: &[u8], x: &[f32]) -> Result<Vec<f64>, QuantError> {
    let row_bytes = format.row_bytes(cols)?;
    let rows = weights.len() / row_bytes;
    let mut matrix = vec![0.0; rows * cols];
    dequantise(format, weights, &mut matrix)?;
    let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(&a, &b)| f64::from(a) * f64::from(b)).sum();
    Ok(x.chunks_exact(cols).flat_map(|x| matrix.chunks_exact(cols).map(move |row| dot(x, row))).collect())
}
