//! What an adapter adds to one product.

use super::Change;
use crate::error::Error;
use crate::llm::product::{Builder, Product};
use crate::llm::reader::Reader;
use crate::quant::Format;
use crate::weights::{ByteRange, Rows};
use burn::tensor::{Device, Tensor};
use std::sync::Arc;

/// Ranks are filled up with zeros to multiples of this. Source: the floats that a GPU reads at once.
const STEP: usize = 4;

/// `B·A`, with the adapter's own scale in `A`.
///
/// Where several matrices are one product, their `A` lie below one another and their `B` on a diagonal, with zeros beside
/// them: two products more, whatever the adapter changes.
///
/// ```text
///          ┌ A of queries ┐        ┌ B of queries      0      ┐
///  x ─►    │              │ ─►     │      0            0      │ (keys are not changed)
///          └ A of values  ┘        └      0       B of values ┘
/// ```
#[derive(Debug)]
pub(in crate::llm) struct LowRank {
    down: Product,
    up: Product,
}

/// That, and how much of it.
#[derive(Debug, Clone)]
pub(in crate::llm) struct Addition {
    pub pair: Arc<LowRank>,
    pub weight: f32,
}

impl Addition {
    /// `onto + weight · B·(A·x)`
    ///
    /// # Shapes
    /// - `x`: `[…, input]`
    /// - `onto` and the result: `[…, output]`
    pub fn add<const D: usize>(&self, x: Tensor<D>, onto: Tensor<D>) -> Tensor<D> {
        let low = self.pair.down.forward(x);
        let low = if self.weight == 1.0 { low } else { low * self.weight };
        self.pair.up.forward_onto(low, onto)
    }
}

impl<S: AsyncFnMut(&ByteRange) -> Result<Vec<u8>, String>> Reader<'_, S> {
    /// What an adapter does to a product.
    ///
    /// # Errors
    /// [`Error::Tensor`] if the source fails or answers with too little.
    pub(super) async fn low_rank(&mut self, change: &Change) -> Result<LowRank, Error> {
        let rank = change.parts.iter().map(|part| part.rank).sum::<usize>().next_multiple_of(STEP);
        let mut down = Vec::with_capacity(rank * change.input);
        let mut up = vec![0.0; change.output * rank];
        let mut first = 0;
        for part in &change.parts {
            let [a, b] = part.tensors(change.input);
            down.extend(self.values(&a).await?.into_iter().map(|value| value * part.scale));
            let rows = up.chunks_exact_mut(rank).skip(part.first);
            for (row, values) in rows.zip(self.values(&b).await?.chunks_exact(part.rank)) {
                row[first..first + part.rank].copy_from_slice(values);
            }
            first += part.rank;
        }
        down.resize(rank * change.input, 0.0);
        let failed = |reason| {
            let tensor = change.parts.iter().map(|part| part.module.as_str()).collect::<Vec<_>>().join(", ");
            Error::Tensor { tensor, reason }
        };
        Ok(LowRank {
            down: matrix(change.input, &down, self.device).map_err(failed)?,
            up: matrix(rank, &up, self.device).map_err(failed)?,
        })
    }
}

/// A product with these floats.
///
/// # Shapes
/// - `values`: `[output, input]`
fn matrix(input: usize, values: &[f32], device: &Device) -> Result<Product, String> {
    let rows = values.len() / input;
    let bytes = values.iter().flat_map(|value| value.to_le_bytes()).collect();
    let mut builder = Builder::new(input, &[(Format::F32, rows)], device);
    builder.push(&Rows { format: Format::F32, rows, cols: input, bytes })?;
    builder.finish(None, false, device)
}
