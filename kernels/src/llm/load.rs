//! From the bytes of a checkpoint to a model, tensor by tensor.

use crate::error::Error;
use crate::llm::experts::SharedExpert;
use crate::llm::names::{self, BlockNames, ExpertsNames, FeedForwardNames, FeedNames, Needed};
use crate::llm::product::Product;
use crate::llm::reader::Reader;
use crate::llm::{Attention, Block, Config, Embedding, Feed, FeedForward, Layers, Mixture, Model, RmsNorm};
use crate::weights::{ByteRange, Header};
use burn::tensor::Device;

/// Where the bytes of `layers` lie in the checkpoint, in the order in which [`Model::load`] asks for them.
///
/// # Errors
/// [`Error::Layers`], or [`Error::Tensor`] and [`Error::Shape`] if the checkpoint does not fit the configuration.
pub fn ranges(config: &Config, header: &Header, layers: Layers) -> Result<Vec<ByteRange>, Error> {
    if !layers.fit(config.layers) {
        return Err(Error::Layers(layers, config.layers));
    }
    names::needed(config, layers).map(|needed| header.range(&needed.name, &needed.shape)).collect()
}

/// The same, without the experts that a router picks from.
///
/// # Errors
/// As [`ranges`].
pub fn resident_ranges(config: &Config, header: &Header, layers: Layers) -> Result<Vec<ByteRange>, Error> {
    if !layers.fit(config.layers) {
        return Err(Error::Layers(layers, config.layers));
    }
    names::resident(config, layers).map(|needed| header.range(&needed.name, &needed.shape)).collect()
}

impl Model {
    /// Adds those of `layers` that are not in memory yet, with their ends.
    ///
    /// Experts that are paged ([`Model::page`]) are not read here.
    ///
    /// `source` is asked for one range of bytes at a time, of [`limits::PIECE_BYTES`](crate::limits::PIECE_BYTES) or one row at most, so that never
    /// more than that is on the way. What it answers is checked for its length only: compare hashes before calling this.
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
        // What is loaded now knows of no adapters yet.
        self.attach(&[]);
        let config = &self.config().clone();
        let paged = self.paging().is_some();
        let mut loader =
            Loader { config, paged, reader: Reader { header, device, source, exact: self.exact } };
        if layers.start == 0 && self.embedding.is_none() {
            // The head of a tied model is the same matrix.
            let held = self.head.as_ref().filter(|_| config.tied).and_then(Product::matrix).cloned();
            self.embedding = Some(match held {
                Some(matrix) => Embedding::new(matrix),
                None => loader.reader.embedding(&names::embedding(config)).await?,
            });
        }
        for layer in layers.range() {
            if self.blocks[layer].is_none() {
                self.blocks[layer] = Some(loader.block(layer).await?);
            }
        }
        if layers.end == config.layers && self.norm.is_none() {
            // Where both ends of a tied model are here, they are one matrix, and in training one parameter.
            let one = config.tied && self.embedding.is_some();
            if !one {
                self.head = Some(loader.reader.product(&names::head(config)).await?);
            }
            self.norm = Some(loader.norm(&names::norm(config)).await?);
        }
        Ok(())
    }
}

struct Loader<'a, S> {
    config: &'a Config,
    /// Experts are read when they are needed.
    paged: bool,
    reader: Reader<'a, S>,
}

impl<S: AsyncFnMut(&ByteRange) -> Result<Vec<u8>, String>> Loader<'_, S> {
    async fn block(&mut self, layer: usize) -> Result<Block, Error> {
        let names = BlockNames::new(self.config, layer);
        Ok(Block {
            attention_norm: self.norm(&names.attention_norm).await?,
            attention: self.attention(layer, &names).await?,
            attention_post: self.optional_norm(names.attention_post.as_ref()).await?,
            ff_norm: self.norm(&names.ff_norm).await?,
            ff: self.feed(layer, &names.ff).await?,
            ff_post: self.optional_norm(names.ff_post.as_ref()).await?,
        })
    }

    async fn attention(&mut self, layer: usize, names: &BlockNames) -> Result<Attention, Error> {
        let products = [self.reader.product(&names.qkv).await?, self.reader.product(&names.output).await?];
        let query_norm = self.optional_norm(names.query_norm.as_ref()).await?;
        let key_norm = self.optional_norm(names.key_norm.as_ref()).await?;
        Ok(Attention::new(self.config, layer, products, [query_norm, key_norm]))
    }

    async fn feed(&mut self, layer: usize, names: &FeedNames) -> Result<Feed, Error> {
        match names {
            FeedNames::Dense(names) => self.feed_forward(names).await.map(Feed::Dense),
            FeedNames::Experts(names) => self.experts(layer, names).await.map(Feed::Experts),
        }
    }

    async fn feed_forward(&mut self, names: &FeedForwardNames) -> Result<FeedForward, Error> {
        self.reader.feed_forward(names, self.config.activation).await
    }

    async fn experts(&mut self, layer: usize, names: &ExpertsNames) -> Result<Mixture, Error> {
        let Some(config) = self.config.experts_of(layer) else {
            unreachable!("a layer has names of experts only if it has experts");
        };
        let router = self.reader.product(&names.router).await?;
        let mut experts = Vec::with_capacity(names.experts.len());
        for expert in &names.experts {
            experts.push(match self.paged {
                true => None,
                false => Some(self.feed_forward(expert).await?),
            });
        }
        let shared = match &names.shared {
            Some((expert, gate)) => {
                let expert = self.feed_forward(expert).await?;
                Some(SharedExpert { expert, gate: self.reader.product(gate).await? })
            }
            None => None,
        };
        Ok(Mixture::new(config, router, experts, shared))
    }

    async fn optional_norm(&mut self, needed: Option<&Needed>) -> Result<Option<RmsNorm>, Error> {
        match needed {
            Some(needed) => self.norm(needed).await.map(Some),
            None => Ok(None),
        }
    }

    async fn norm(&mut self, needed: &Needed) -> Result<RmsNorm, Error> {
        self.reader.norm(needed, self.config.norm_offset, self.config.norm_eps).await
    }
}
