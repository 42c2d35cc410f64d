//! Where the tokens of a picture lie: rotary positions in two directions.

use super::Config;
use crate::ops::turn::turned;
use burn::tensor::{Device, Tensor, TensorData};
use std::ops::Range;

/// How far each token's heads turn, made once per size of picture and shared by all blocks.
///
/// Neighbouring channels `2j`, `2j + 1` turn together: `a' = a·cos − b·sin`, `b' = a·sin + b·cos`. The first pairs turn with
/// the row, the others with the column.
#[derive(Debug, Clone)]
pub struct Positions {
    /// `[1, tokens, 1, pairs, 1]`
    cos: Tensor<5>,
    /// `[1, tokens, 1, pairs, 2]`: −sin, sin.
    sin: Tensor<5>,
}

impl Positions {
    /// Of a grid of `rows` × `columns` tokens, row by row.
    #[must_use]
    pub fn new(config: &Config, [rows, columns]: [usize; 2], device: &Device) -> Self {
        let frequencies = |axis: usize| -> Vec<f64> {
            let channels = config.axes[axis];
            (0..channels / 2).map(|j| config.theta.powf(-((2 * j) as f64) / channels as f64)).collect()
        };
        let (by_row, by_column) = (frequencies(0), frequencies(1));
        let (mut cos, mut sin) = (Vec::new(), Vec::new());
        for token in 0..rows * columns {
            let (row, column) = ((token / columns) as f64, (token % columns) as f64);
            let angles =
                by_row.iter().map(|omega| row * omega).chain(by_column.iter().map(|omega| column * omega));
            for angle in angles {
                cos.push(angle.cos() as f32);
                sin.extend([-angle.sin() as f32, angle.sin() as f32]);
            }
        }
        let (tokens, pairs) = (rows * columns, by_row.len() + by_column.len());
        let on = |values: Vec<f32>, each: usize| {
            Tensor::from_data(TensorData::new(values, [1, tokens, 1, pairs, each]), device)
        };
        Self { cos: on(cos, 1), sin: on(sin, 2) }
    }

    /// Turns every head by its token's angles.
    ///
    /// # Shapes
    /// - `x` and the result: `[batch, tokens, heads, head_dim]`
    #[must_use]
    pub fn turn(&self, x: Tensor<4>) -> Tensor<4> {
        turned(x, self.cos.clone(), self.sin.clone())
    }

    /// Those of some rows of a grid with so many columns.
    pub(in crate::diffusion) fn rows(&self, rows: Range<usize>, columns: usize) -> Self {
        let (from, count) = (rows.start * columns, rows.len() * columns);
        Self { cos: self.cos.clone().narrow(1, from, count), sin: self.sin.clone().narrow(1, from, count) }
    }

    /// Tokens of the grid.
    #[must_use]
    pub fn tokens(&self) -> usize {
        self.cos.dims()[1]
    }
}
