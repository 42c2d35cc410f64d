//! From an encoder back to the tensors of a checkpoint.

use super::load::{NORM_OFFSET, Names, embedding, norm};
use super::{Block, TextEncoder};
use crate::error::Error;
use crate::llm::Exported;
use crate::llm::export::Export;

impl TextEncoder {
    /// Everything in memory under transformers' names: what [`TextEncoder::load`] reads back.
    ///
    /// # Errors
    /// [`Error::Device`] if the device cannot be read.
    pub async fn export(&self) -> Result<Vec<Exported>, Error> {
        let mut export = Export { all: Vec::new(), offset: NORM_OFFSET };
        if let Some(rows) = self.embedding.as_ref().and_then(|embedding| embedding.rows()) {
            export.tensor(embedding(&self.config, ""), rows).await?;
        }
        for (layer, block) in self.blocks.iter().enumerate() {
            if let Some(block) = block {
                self::block(&mut export, Names::new(&self.config, "", layer), block).await?;
            }
        }
        if let Some(last) = &self.norm {
            export.norm(norm(&self.config, ""), last).await?;
        }
        Ok(export.all)
    }
}

async fn block(export: &mut Export, names: Names, block: &Block) -> Result<(), Error> {
    export.product(names.qkv, &block.qkv).await?;
    export.product(names.output, &block.output).await?;
    export.product(names.gate_up, &block.feed.gate_up).await?;
    export.product(names.down, &block.feed.down).await?;
    let norms = [&block.attention_norm, &block.attention_post, &block.feed_norm, &block.feed_post];
    for (needed, norm) in names.norms.into_iter().zip(norms) {
        export.norm(needed, norm).await?;
    }
    Ok(())
}
