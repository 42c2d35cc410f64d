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
    names::needed(config, layers)
        .iter()
        .map(|needed| header.range(&needed.name, &needed.shape))
        .collect()
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
        let mut loader = Loader {
            header,
            device,
            source,
        };
        let last = layers.end == config.layers;
        if self.embedding.is_none() && (layers.start == 0 || (last && config.tied)) {
            self.embedding = Some(Embedding {
                weight: param(loader.matrix(&[names::embedding(&config)]).await?),
            });
        }
        for layer in layers.range() {
            if self.blocks[layer].is_none() {
                self.blocks[layer] = Some(loader.block(&config, layer).await?);
            }
        }
        if last && self.norm.is_none() {
            if !config.tied {
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
        Ok(RmsNorm {
            gamma,
            epsilon: config.norm_eps,
        })
    }

    async fn product(&mut self, parts: &[Needed]) -> Result<Linear, Error> {
        // `[output, input]` in the file, `[input, output]` here: a view, nothing is copied.
        let weight = self.matrix(parts).await?.transpose();
        Ok(Linear {
            weight: param(weight),
            bias: None,
        })
    }

    /// Matrices below one another, `[sum of outputs, input]`.
    async fn matrix(&mut self, parts: &[Needed]) -> Result<Tensor<2>, Error> {
        let mut values = Vec::new();
        for needed in parts {
            let part = self.values(needed).await?;
            if values.is_empty() {
                values = part;
            } else {
                values.extend(part);
            }
        }
        let width = parts[0].shape[1];
        let rows = values.len() / width;
        Ok(self.place(TensorData::new(values, [rows, width])))
    }

    /// Weights stay for long: told so, the GPU's allocator gives them memory of their own size.
    fn place<const D: usize>(&self, data: TensorData) -> Tensor<D> {
        // Not through `self`, whose source need not be shared between threads.
        let device = self.device;
        device.memory_persistent_allocations(data, |data| Tensor::from_data(data, device))
    }

    async fn values(&mut self, needed: &Needed) -> Result<Vec<f32>, Error> {
        let range = self.header.range(&needed.name, &needed.shape)?;
        let failed = |reason| Error::Tensor {
            tensor: needed.name.clone(),
            reason,
        };
        let bytes = (self.source)(&range).await.map_err(failed)?;
        range.to_f32(&bytes)
    }
}

fn param<const D: usize>(value: Tensor<D>) -> Param<Tensor<D>> {
    // Not `initialized`: on an autodiff device what was loaded can be trained on.
    Param::from_tensor(value)
}
