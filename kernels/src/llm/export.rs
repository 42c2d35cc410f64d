//! From a model back to the tensors of a checkpoint.

use crate::error::Error;
use crate::llm::names::{self, BlockNames, Needed};
use crate::llm::{Block, Model};
use burn::nn::Linear;
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
        let mut all = Vec::new();
        if let Some(embedding) = &self.embedding {
            all.push(read(names::embedding(config), embedding.weight.val()).await?);
        }
        for (layer, block) in self.blocks.iter().enumerate() {
            if let Some(block) = block {
                all.extend(export_block(BlockNames::new(config, layer), block).await?);
            }
        }
        if let Some(norm) = &self.norm {
            all.push(read(names::norm(config), norm.gamma.val()).await?);
        }
        if let Some(head) = self.head.as_ref().filter(|_| !config.tied) {
            all.extend(export_product([names::head(config)], head).await?);
        }
        Ok(all)
    }
}

async fn export_block(names: BlockNames, block: &Block) -> Result<Vec<Exported>, Error> {
    let mut all = vec![read(names.attention_norm, block.attention_norm.gamma.val()).await?];
    all.extend(export_product(names.qkv, &block.attention.qkv).await?);
    all.extend(export_product(names.output, &block.attention.output).await?);
    all.push(read(names.ff_norm, block.ff_norm.gamma.val()).await?);
    all.extend(export_product(names.gate_up, &block.ff.gate_up).await?);
    all.extend(export_product(names.down, &block.ff.down).await?);
    Ok(all)
}

/// Takes apart what [`Model::load`] puts together.
async fn export_product<const N: usize>(
    names: [Needed; N],
    product: &Linear,
) -> Result<Vec<Exported>, Error> {
    let rows = product.weight.val().transpose();
    let (mut all, mut from) = (Vec::with_capacity(N), 0);
    for needed in names {
        let count = needed.shape[0];
        all.push(read(needed, rows.clone().narrow(0, from, count)).await?);
        from += count;
    }
    Ok(all)
}

async fn read<const D: usize>(needed: Needed, tensor: Tensor<D>) -> Result<Exported, Error> {
    let values = read_back(tensor).await?;
    Ok(Exported { name: needed.name, shape: needed.shape, values })
}

/// The only way of reading a tensor that a browser allows.
pub(crate) async fn read_back<const D: usize>(tensor: Tensor<D>) -> Result<Vec<f32>, Error> {
    let data = tensor.into_data_async().await.map_err(|e| Error::Device(format!("{e:?}")))?;
    data.try_into_vec::<f32>().map_err(|e| Error::Device(format!("{e:?}")))
}
