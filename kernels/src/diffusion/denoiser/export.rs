//! From a denoiser back to the tensors of a checkpoint.

use super::names::{self, BlockNames};
use super::{Block, Denoiser, Embedder};
use crate::error::Error;
use crate::llm::Exported;
use crate::llm::export::Export;
use crate::llm::names::ProductNames;

impl Denoiser {
    /// Everything in memory under diffusers' names: what [`Denoiser::load`] reads back.
    ///
    /// # Errors
    /// [`Error::Device`] if the device cannot be read.
    pub async fn export(&self) -> Result<Vec<Exported>, Error> {
        let config = self.config();
        let mut export = Export::default();
        for (names, product) in names::patch_in(config).into_iter().zip(&self.patch_in) {
            export.product(names, product).await?;
        }
        if let Some(text_in) = &self.text_in {
            export.product(names::text_in(config), text_in).await?;
        }
        if let Some(time_in) = &self.time_in {
            embedder(&mut export, names::time_in(config), time_in).await?;
        }
        if let (Some(names), Some(resolution_in)) = (names::resolution_in(config), &self.resolution_in) {
            embedder(&mut export, names, resolution_in).await?;
        }
        for (layer, block) in self.blocks.iter().enumerate() {
            if let Some(block) = block {
                self::block(&mut export, BlockNames::new(config, layer), block).await?;
            }
        }
        if let Some(modulation) = &self.last_modulation {
            export.product(names::last_modulation(config), modulation).await?;
        }
        if let Some(last) = &self.last {
            export.product(names::last(config), last).await?;
        }
        Ok(export.all)
    }
}

async fn embedder(export: &mut Export, names: [ProductNames; 2], embedder: &Embedder) -> Result<(), Error> {
    let [first, second] = names;
    export.product(first, &embedder.first).await?;
    export.product(second, &embedder.second).await
}

async fn block(export: &mut Export, names: BlockNames, block: &Block) -> Result<(), Error> {
    if let Some(modulation) = &block.modulation {
        export.product(names.modulation, modulation).await?;
    }
    export.product(names.qkv, &block.qkv).await?;
    export.norm(names.query_norm, &block.query_norm).await?;
    export.norm(names.key_norm, &block.key_norm).await?;
    export.product(names.text_kv, &block.text_kv).await?;
    export.norm(names.text_key_norm, &block.text_key_norm).await?;
    export.product(names.output, &block.output).await?;
    export.product(names.gate_up, &block.feed.gate_up).await?;
    export.product(names.down, &block.feed.down).await
}
