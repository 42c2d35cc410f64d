//! From a model back to the tensors of a checkpoint.

use crate::error::Error;
use crate::llm::names::{self, BlockNames, FeedForwardNames, FeedNames, Needed, ProductNames};
use crate::llm::{Block, Feed, FeedForward, Model, Product, RmsNorm};
use burn::tensor::Tensor;

/// One tensor as a checkpoint holds it.
#[derive(Debug, Clone, PartialEq)]
pub struct Exported {
    /// Its name there.
    pub name: String,
    /// Its shape there.
    pub shape: Vec<usize>,
    /// Its values, row by row.
    pub values: Vec<f32>,
}

impl Model {
    /// Everything in memory under the names of a Hugging Face checkpoint: what [`Model::load`] reads back.
    ///
    /// # Errors
    /// [`Error::Device`] if the device cannot be read.
    pub async fn export(&self) -> Result<Vec<Exported>, Error> {
        let config = self.config();
        let mut export = Export { all: Vec::new(), offset: config.norm_offset };
        if let Some(embedding) = &self.embedding {
            export.tensor(names::embedding(config), here(embedding.rows())?).await?;
        }
        for (layer, block) in self.blocks.iter().enumerate() {
            if let Some(block) = block {
                export.block(BlockNames::new(config, layer), block).await?;
            }
        }
        if let Some(norm) = &self.norm {
            export.norm(names::norm(config), norm).await?;
        }
        if let Some(head) = self.head.as_ref().filter(|_| !config.tied) {
            export.product(names::head(config), head).await?;
        }
        Ok(export.all)
    }
}

/// Takes a model apart into the tensors of a checkpoint.
#[derive(Debug, Default)]
pub(crate) struct Export {
    pub all: Vec<Exported>,
    /// What was added to the norms' weights.
    pub offset: f32,
}

impl Export {
    async fn block(&mut self, names: BlockNames, block: &Block) -> Result<(), Error> {
        self.norm(names.attention_norm, &block.attention_norm).await?;
        self.product(names.qkv, &block.attention.qkv).await?;
        self.product(names.output, &block.attention.output).await?;
        self.optional_norm(names.query_norm, block.attention.query_norm.as_ref()).await?;
        self.optional_norm(names.key_norm, block.attention.key_norm.as_ref()).await?;
        self.optional_norm(names.attention_post, block.attention_post.as_ref()).await?;
        self.norm(names.ff_norm, &block.ff_norm).await?;
        self.feed(names.ff, &block.ff).await?;
        self.optional_norm(names.ff_post, block.ff_post.as_ref()).await
    }

    async fn feed(&mut self, names: FeedNames, feed: &Feed) -> Result<(), Error> {
        match (names, feed) {
            (FeedNames::Dense(names), Feed::Dense(layer)) => self.feed_forward(names, layer).await,
            (FeedNames::Experts(names), Feed::Experts(mixture)) => {
                self.product(names.router, &mixture.router).await?;
                for (names, expert) in names.experts.into_iter().zip(&mixture.experts) {
                    if let Some(expert) = expert {
                        self.feed_forward(names, expert).await?;
                    }
                }
                if let (Some((names, gate)), Some(shared)) = (names.shared, &mixture.shared) {
                    self.feed_forward(names, &shared.expert).await?;
                    self.product(gate, &shared.gate).await?;
                }
                Ok(())
            }
            _ => unreachable!("a layer is built from its names"),
        }
    }

    async fn feed_forward(&mut self, names: FeedForwardNames, layer: &FeedForward) -> Result<(), Error> {
        self.product(names.gate_up, &layer.gate_up).await?;
        self.product(names.down, &layer.down).await
    }

    async fn optional_norm(&mut self, needed: Option<Needed>, norm: Option<&RmsNorm>) -> Result<(), Error> {
        match (needed, norm) {
            (Some(needed), Some(norm)) => self.norm(needed, norm).await,
            _ => Ok(()),
        }
    }

    pub async fn norm(&mut self, needed: Needed, norm: &RmsNorm) -> Result<(), Error> {
        self.tensor(needed, norm.gamma.val() - self.offset).await
    }

    /// Takes apart what was put together on loading.
    pub async fn product(&mut self, names: ProductNames, product: &Product) -> Result<(), Error> {
        let (rows, mut from) = (here(product.rows())?, 0);
        for needed in names.weights {
            let count = needed.shape[0];
            self.tensor(needed, rows.clone().narrow(0, from, count)).await?;
            from += count;
        }
        let mut from = 0;
        for (needed, bias) in names.biases.into_iter().zip(std::iter::repeat(product.bias())) {
            let count = needed.shape[0];
            if let Some(bias) = bias {
                self.tensor(needed, bias.narrow(0, from, count)).await?;
            }
            from += count;
        }
        Ok(())
    }

    pub async fn tensor<const D: usize>(&mut self, needed: Needed, tensor: Tensor<D>) -> Result<(), Error> {
        let values = read_back(tensor).await?;
        self.all.push(Exported { name: needed.name, shape: needed.shape, values });
        Ok(())
    }
}

/// Blocks on a GPU are not read back: nobody trains them.
fn here(rows: Option<Tensor<2>>) -> Result<Tensor<2>, Error> {
    rows.ok_or_else(|| {
        Error::Device("weights in blocks cannot be exported from a GPU; load them on the CPU".into())
    })
}

/// The only way of reading a tensor that a browser allows.
pub(crate) async fn read_back<const D: usize>(tensor: Tensor<D>) -> Result<Vec<f32>, Error> {
    let data = tensor.into_data_async().await.map_err(|e| Error::Device(format!("{e:?}")))?;
    data.try_into_vec::<f32>().map_err(|e| Error::Device(format!("{e:?}")))
}
