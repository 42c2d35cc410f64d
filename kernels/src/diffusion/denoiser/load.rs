//! From the bytes of a checkpoint to a denoiser, tensor by tensor.

use super::block::EPSILON;
use super::names::{self, BlockNames};
use super::{Block, Config, Denoiser, Embedder, Modulations, condition};
use crate::error::Error;
use crate::llm::names::ProductNames;
use crate::llm::reader::Reader;
use crate::llm::{Activation, FeedForward, Layers};
use crate::weights::{ByteRange, Header};
use burn::tensor::Device;

/// Where the bytes of `layers` lie in the checkpoint, in the order in which [`Denoiser::load`] asks for them.
///
/// `tabled` as in [`Denoiser::tabled`].
///
/// # Errors
/// [`Error::Layers`], or [`Error::Tensor`] and [`Error::Shape`] if the checkpoint does not fit the configuration.
pub fn ranges(
    config: &Config,
    header: &Header,
    layers: Layers,
    tabled: bool,
) -> Result<Vec<ByteRange>, Error> {
    if !layers.fit(config.depth) {
        return Err(Error::Layers(layers, config.depth));
    }
    let needed = names::needed(config, layers, !tabled);
    needed.iter().map(|needed| header.range(&needed.name, &needed.shape)).collect()
}

impl Denoiser {
    /// Adds those of `layers` that are not in memory yet, with their ends. `source` as in
    /// [`Model::load`](crate::llm::Model::load).
    ///
    /// # Errors
    /// As [`ranges`]; [`Error::Tensor`] if `source` fails or answers with too little. Blocks that were complete
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
        ranges(&self.config, header, layers, self.tabled)?;
        let config = &self.config.clone();
        let mut reader = Reader { header, device, source, exact: self.exact };
        if layers.start == 0 && self.patch_in.is_empty() {
            let mut products = Vec::new();
            for names in names::patch_in(config) {
                products.push(reader.product(&names).await?);
            }
            self.patch_in = products;
        }
        if self.text_in.is_none() {
            self.text_in = Some(reader.product(&names::text_in(config)).await?);
        }
        if !self.tabled && self.time_in.is_none() {
            self.time_in = Some(embedder(&mut reader, &names::time_in(config)).await?);
            if let Some(names) = names::resolution_in(config) {
                self.resolution_in = Some(embedder(&mut reader, &names).await?);
            }
        }
        for layer in layers.range() {
            if self.blocks[layer].is_none() {
                let names = BlockNames::new(config, layer);
                self.blocks[layer] = Some(block(&mut reader, config, &names, self.tabled).await?);
            }
        }
        if layers.end == config.depth && self.last.is_none() {
            if !self.tabled {
                self.last_modulation = Some(reader.product(&names::last_modulation(config)).await?);
            }
            self.last = Some(reader.product(&names::last(config)).await?);
        }
        Ok(())
    }
}

/// What [`Denoiser::modulations`] says, from weights that are read one after the other and not kept: a table for a whole schedule
/// takes their place (a quarter of all weights).
///
/// `source` and `size` as in [`Denoiser::load`] and [`Denoiser::modulations`].
///
/// # Errors
/// [`Error::Layers`], or [`Error::Tensor`] and [`Error::Shape`] if the checkpoint does not fit the configuration or `source` fails.
pub async fn tabulate<S>(
    (config, header): (&Config, &Header),
    layers: Layers,
    times: &[f32],
    size: [usize; 2],
    device: &Device,
    source: S,
) -> Result<Modulations, Error>
where
    S: AsyncFnMut(&ByteRange) -> Result<Vec<u8>, String>,
{
    ranges(config, header, layers, false)?;
    let mut reader = Reader { header, device, source, exact: false };
    let time_in = embedder(&mut reader, &names::time_in(config)).await?;
    let resolution_in = match names::resolution_in(config) {
        Some(names) => Some(embedder(&mut reader, &names).await?),
        None => None,
    };
    let vector = condition::vector(config, &time_in, resolution_in.as_ref(), times, size, device);
    let mut blocks = Vec::new();
    for layer in layers.range() {
        let names = BlockNames::new(config, layer);
        blocks.push(condition::rows(&reader.product(&names.modulation).await?, &vector));
    }
    let last = match layers.end == config.depth {
        true => Some(condition::rows(&reader.product(&names::last_modulation(config)).await?, &vector)),
        false => None,
    };
    Ok(Modulations::new(layers, blocks, last))
}

async fn embedder<S>(reader: &mut Reader<'_, S>, names: &[ProductNames; 2]) -> Result<Embedder, Error>
where
    S: AsyncFnMut(&ByteRange) -> Result<Vec<u8>, String>,
{
    let [first, second] = names;
    Ok(Embedder { first: reader.product(first).await?, second: reader.product(second).await? })
}

async fn block<S>(
    reader: &mut Reader<'_, S>,
    config: &Config,
    names: &BlockNames,
    tabled: bool,
) -> Result<Block, Error>
where
    S: AsyncFnMut(&ByteRange) -> Result<Vec<u8>, String>,
{
    Ok(Block {
        modulation: if tabled { None } else { Some(reader.product(&names.modulation).await?) },
        qkv: reader.product(&names.qkv).await?,
        query_norm: reader.norm(&names.query_norm, 0.0, EPSILON).await?,
        key_norm: reader.norm(&names.key_norm, 0.0, EPSILON).await?,
        text_kv: reader.product(&names.text_kv).await?,
        text_key_norm: reader.norm(&names.text_key_norm, 0.0, EPSILON).await?,
        output: reader.product(&names.output).await?,
        feed: FeedForward::new(
            reader.product(&names.gate_up).await?,
            reader.product(&names.down).await?,
            Activation::GeluTanh,
        ),
        heads: config.heads,
    })
}
