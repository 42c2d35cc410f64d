//! From the bytes of a checkpoint to a model, tensor by tensor.

use crate::error::Error;
use crate::llm::names::{self, BlockNames, Needed};
use crate::llm::{Attention, Block, Config, FeedForward, Layers, Model};
use crate::weights::{ByteRange, Header};
use burn::module::Param;
use burn::nn::{Embedding, Linear, RmsNorm};
use burn::tensor::{Device, Tensor, TensorData};

/// Where the bytes of `layers` lie in the checkpoint, in the order in which [`Model::load`] asks for them.
///
/// # Errors
/// [`Error::Layers`], or [`Error::Tensor`] and [`Error::Shape`] if the checkpoint does not fit the configuration.
pub fn ranges(config: &Config, header: &Header, layers: Layers) -> Result<Vec<ByteRange>, Error> {
    if !layers.fit(config.layers) {
        return Err(Error::Layers(layers, config.layers));
    }
    names::needed(config, layers).iter().map(|needed| header.range(&needed.name, &needed.shape)).collect()
}

impl Model {
    /// Adds those of `layers` that are not in memory yet, with their ends.
    ///
    /// `source` is asked for one range of bytes at a time, so that never more than one product is on the way. What it
    /// answers is checked for its length only: compare hashes before calling this.
    ///
    /// # Errors
    /// As [`ranges`]; [`Error::Tensor`] if `source` fails or answers with too little. Layers that were complete
    /// by then stay.
    pub async fn load<S>(
        &mut self,
        layers: Layers,
        header: &Header,
        device: &Device,
        source: S,
    ) -> Result<(), Error>
    where
        S: AsyncFnMut(&ByteRange) -> Result<Vec<u8>, String>,
    {
        // Everything is checked before the first byte is asked for.
        ranges(self.config(), header, layers)?;
        let config = self.config().clone();
        let mut loader = Loader { header, device, source };
        if layers.start == 0 && self.embedding.is_none() {
            let weight = param(loader.matrix(&names::embedding(&config)).await?);
            self.embedding = Some(Embedding { weight });
        }
        for layer in layers.range() {
            if self.blocks[layer].is_none() {
                self.blocks[layer] = Some(loader.block(&config, layer).await?);
            }
        }
        if layers.end == config.layers && self.norm.is_none() {
            // Where a tied model is trained, its two ends have to stay one parameter.
            let one = config.tied && device.is_autodiff() && self.embedding.is_some();
            if !one {
                self.head = Some(loader.product(&[names::head(&config)]).await?);
            }
            self.norm = Some(loader.norm(&config, &names::norm(&config)).await?);
        }
        Ok(())
    }
}

struct Loader<'a, S> {
    header: &'a Header,
    device: &'a Device,
    source: S,
}

impl<S: AsyncFnMut(&ByteRange) -> Result<Vec<u8>, String>> Loader<'_, S> {
    async fn block(&mut self, config: &Config, layer: usize) -> Result<Block, Error> {
        let names = BlockNames::new(config, layer);
        Ok(Block {
            attention_norm: self.norm(config, &names.attention_norm).await?,
            attention: Attention::new(
                config,
                self.product(&names.qkv).await?,
                self.product(&names.output).await?,
            ),
            ff_norm: self.norm(config, &names.ff_norm).await?,
            ff: FeedForward {
                gate_up: self.product(&names.gate_up).await?,
                down: self.product(&names.down).await?,
            },
        })
    }

    async fn norm(&mut self, config: &Config, needed: &Needed) -> Result<RmsNorm, Error> {
        let values = self.values(needed).await?;
        let gamma = param(self.place(TensorData::new(values, [config.width])));
        Ok(RmsNorm { gamma, epsilon: config.norm_eps })
    }

    async fn matrix(&mut self, needed: &Needed) -> Result<Tensor<2>, Error> {
        let values = self.values(needed).await?;
        Ok(self.place(TensorData::new(values, [needed.shape[0], needed.shape[1]])))
    }

    /// Matrices beside one another. `[output, input]` in the file become `[input, sum of outputs]` here, in memory
    /// too: as a mere view of the former a token took three times as long on the CPU.
    async fn product(&mut self, parts: &[Needed]) -> Result<Linear, Error> {
        let (input, all) = (parts[0].shape[1], parts.iter().map(|part| part.shape[0]).sum::<usize>());
        let mut weight = vec![0.0; input * all];
        let mut from = 0;
        for needed in parts {
            turn(&self.values(needed).await?, input, &mut weight[from..], all);
            from += needed.shape[0];
        }
        Ok(Linear { weight: param(self.place(TensorData::new(weight, [input, all]))), bias: None })
    }

    /// Weights stay for long: told so, the GPU's allocator gives them memory of their own size.
    fn place<const D: usize>(&self, data: TensorData) -> Tensor<D> {
        // Not through `self`, whose source need not be shared between threads.
        let device = self.device;
        device.memory_persistent_allocations(data, |data| Tensor::from_data(data, device))
    }

    async fn values(&mut self, needed: &Needed) -> Result<Vec<f32>, Error> {
        let range = self.header.range(&needed.name, &needed.shape)?;
        let failed = |reason| Error::Tensor { tensor: needed.name.clone(), reason };
        let bytes = (self.source)(&range).await.map_err(failed)?;
        range.to_f32(&bytes)
    }
}

/// Writes rows of `width` numbers as columns of a matrix whose rows are `pitch` apart.
fn turn(rows: &[f32], width: usize, columns: &mut [f32], pitch: usize) {
    // As many rows at a time as fit a cache line of the other matrix, so that no line is fetched more than once.
    const TILE: usize = 16;
    for (tile, rows) in rows.chunks(TILE * width).enumerate() {
        for column in 0..width {
            for (row, value) in rows[column..].iter().step_by(width).enumerate() {
                columns[column * pitch + tile * TILE + row] = *value;
            }
        }
    }
}

fn param<const D: usize>(value: Tensor<D>) -> Param<Tensor<D>> {
    // Not `initialized`: on an autodiff device what was loaded can be trained on.
    Param::from_tensor(value)
}
