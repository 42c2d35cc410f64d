//! Tensors of a checkpoint as the parts of a model: products, norms, an embedding, plain numbers.

use crate::error::Error;
use crate::limits;
use crate::llm::names::{FeedForwardNames, Needed, ProductNames};
use crate::llm::product::{self, Builder, Product, param, place};
use crate::llm::{Activation, Embedding, FeedForward, RmsNorm};
use crate::ops::Tier;
use crate::ops::matmul::Filling;
use crate::weights::{ByteRange, Header, Rows};
use burn::module::Param;
use burn::tensor::{Device, Tensor, TensorData};

/// Reads what is asked for, one range of bytes at a time.
pub(crate) struct Reader<'a, S> {
    pub header: &'a Header,
    pub device: &'a Device,
    /// Answers a range with its bytes.
    pub source: S,
    /// As in [`Filling::finish`].
    pub exact: bool,
}

impl<S: AsyncFnMut(&ByteRange) -> Result<Vec<u8>, String>> Reader<'_, S> {
    /// A norm whose weights are what the file holds, plus `offset`.
    pub async fn norm(&mut self, needed: &Needed, offset: f32, epsilon: f64) -> Result<RmsNorm, Error> {
        let mut values = self.values(needed).await?;
        values.iter_mut().for_each(|value| *value += offset);
        let gamma = param(place(TensorData::new(values, [needed.shape[0]]), self.device));
        Ok(RmsNorm::new(gamma, epsilon))
    }

    /// A tensor of floats.
    ///
    /// # Shapes
    /// - result: as the file has it, which has `D` dimensions
    pub async fn tensor<const D: usize>(&mut self, needed: &Needed) -> Result<Param<Tensor<D>>, Error> {
        let values = self.values(needed).await?;
        Ok(param(place(TensorData::new(values, needed.shape.clone()), self.device)))
    }

    /// The rows of tokens.
    pub async fn embedding(&mut self, needed: &Needed) -> Result<Embedding, Error> {
        let range = self.header.range(&needed.name, &needed.shape)?;
        let runs = [(range.kept, needed.shape[0])];
        if let Some(mut filling) = Filling::new(&Tier::of(self.device), needed.shape[1], &runs) {
            let failed = |reason| Error::Tensor { tensor: needed.name.clone(), reason };
            for piece in self.pieces(needed)? {
                let rows = self.rows(&piece).await?;
                filling.push(rows.format, rows.rows, &rows.bytes).map_err(failed)?;
            }
            return filling.finish(None, self.exact).map(Embedding::new).map_err(failed);
        }
        let values = self.values(needed).await?;
        let data = TensorData::new(values, [needed.shape[0], needed.shape[1]]);
        Ok(Embedding::dense(place(data, self.device)))
    }

    /// Matrices beside one another.
    pub async fn product(&mut self, names: &ProductNames) -> Result<Product, Error> {
        let runs = |needed: &Needed| {
            self.header.range(&needed.name, &needed.shape).map(|range| (range.kept, needed.shape[0]))
        };
        let runs = names.weights.iter().map(runs).collect::<Result<Vec<_>, _>>()?;
        let mut builder = Builder::new(names.input(), &runs, self.device);
        for needed in &names.weights {
            for piece in self.pieces(needed)? {
                let rows = self.rows(&piece).await?;
                let failed = |reason| Error::Tensor { tensor: needed.name.clone(), reason };
                builder.push(&rows).map_err(failed)?;
            }
        }
        let mut bias = Vec::new();
        for needed in &names.biases {
            bias.extend(self.values(needed).await?);
        }
        let failed = |reason| Error::Tensor { tensor: names.weights[0].name.clone(), reason };
        builder.finish((!bias.is_empty()).then_some(bias), self.exact, self.device).map_err(failed)
    }

    /// A feed-forward layer.
    pub async fn feed_forward(
        &mut self,
        names: &FeedForwardNames,
        activation: Activation,
    ) -> Result<FeedForward, Error> {
        let (gate_up, down) = (self.product(&names.gate_up).await?, self.product(&names.down).await?);
        Ok(FeedForward::new(gate_up, down, activation))
    }

    /// The numbers of a tensor, row by row.
    pub async fn values(&mut self, needed: &Needed) -> Result<Vec<f32>, Error> {
        let mut all = Vec::with_capacity(needed.shape.iter().product());
        for piece in self.pieces(needed)? {
            all.extend(product::values(&needed.name, &self.rows(&piece).await?)?);
        }
        Ok(all)
    }

    fn pieces(&self, needed: &Needed) -> Result<Vec<ByteRange>, Error> {
        Ok(self.header.range(&needed.name, &needed.shape)?.pieces(limits::PIECE_BYTES))
    }

    async fn rows(&mut self, piece: &ByteRange) -> Result<Rows, Error> {
        let failed = |reason| Error::Tensor { tensor: piece.tensor.clone(), reason };
        piece.rows((self.source)(piece).await.map_err(failed)?)
    }
}
