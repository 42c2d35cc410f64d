//! The rows that token ids become.

use crate::llm::product::{self, Product, SPREAD};
use crate::ops::matmul::Matrix;
use burn::module::{Module, Param};
use burn::nn::Initializer;
use burn::tensor::{Device, Int, Tensor};

/// A row per token. To be trained it is a parameter; to be used it stays in the blocks of its file.
#[derive(Module, Debug)]
pub struct Embedding {
    /// `[vocabulary, width]`
    dense: Option<Param<Tensor<2>>>,
    #[module(skip)]
    matrix: Option<Matrix>,
}

impl Embedding {
    /// Random rows.
    #[must_use]
    pub fn random(vocabulary: usize, width: usize, device: &Device) -> Self {
        let spread = Initializer::Normal { mean: 0.0, std: SPREAD };
        Self { dense: Some(spread.init([vocabulary, width], device)), matrix: None }
    }

    /// Rows that are trained, `[vocabulary, width]`.
    #[must_use]
    pub fn dense(rows: Tensor<2>) -> Self {
        Self { dense: Some(product::param(rows)), matrix: None }
    }

    /// Rows that are used.
    #[must_use]
    pub const fn new(matrix: Matrix) -> Self {
        Self { dense: None, matrix: Some(matrix) }
    }

    /// # Shapes
    /// - `ids`: `[batch, rows]`
    /// - result: `[batch, rows, width]`
    #[must_use]
    pub fn forward(&self, ids: Tensor<2, Int>) -> Tensor<3> {
        match (&self.matrix, &self.dense) {
            (Some(matrix), _) => matrix.lookup(ids),
            (None, Some(rows)) => burn::tensor::module::embedding(rows.val(), ids),
            (None, None) => unreachable!("an embedding is made with one of the two"),
        }
    }

    /// Scores of every token: what a tied head does.
    ///
    /// # Shapes
    /// - `x`: `[batch, rows, width]`
    /// - result: `[batch, rows, vocabulary]`
    #[must_use]
    pub fn scores(&self, x: Tensor<3>) -> Tensor<3> {
        match (&self.matrix, &self.dense) {
            (Some(matrix), _) => Product::new(matrix.clone()).forward(x),
            (None, Some(rows)) => burn::tensor::module::linear(x, rows.val().transpose(), None),
            (None, None) => unreachable!("an embedding is made with one of the two"),
        }
    }

    /// Its blocks, if it is not one to be trained.
    #[must_use]
    pub const fn matrix(&self) -> Option<&Matrix> {
        self.matrix.as_ref()
    }

    /// All rows, `[vocabulary, width]`; None where they lie in blocks on a GPU.
    #[must_use]
    pub fn rows(&self) -> Option<Tensor<2>> {
        match (&self.matrix, &self.dense) {
            (Some(matrix), _) => matrix.dense(),
            (None, dense) => dense.as_ref().map(Param::val),
        }
    }
}
