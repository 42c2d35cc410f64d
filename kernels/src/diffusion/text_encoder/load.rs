//! From the bytes of a checkpoint to an encoder, tensor by tensor.

use super::{Block, Config, TextEncoder, ids};
use crate::error::Error;
use crate::limits;
use crate::llm::names::{Needed, ProductNames};
use crate::llm::reader::Reader;
use crate::llm::{Activation, FeedForward, Layers};
use crate::weights::{ByteRange, Header};
use burn::tensor::{Device, Tensor, TensorData};

/// What the tensors' names begin with, in files of the encoder alone, of an encoder model and of the whole model.
const PREFIXES: [&str; 3] = ["", "encoder.", "model.encoder."];
/// Gemma stores what is added to 1.
pub(super) const NORM_OFFSET: f32 = 1.0;

impl TextEncoder {
    /// Where the bytes of `layers` lie in the checkpoint, in the order in which [`TextEncoder::load`] asks for them. An
    /// embedding that is too large to be held is not among them.
    ///
    /// # Errors
    /// [`Error::Layers`], or [`Error::Tensor`] and [`Error::Shape`] if the checkpoint does not fit the configuration.
    pub fn ranges(config: &Config, header: &Header, layers: Layers) -> Result<Vec<ByteRange>, Error> {
        if !layers.fit(config.layers) {
            return Err(Error::Layers(layers, config.layers));
        }
        let prefix = prefix(header);
        let mut needed: Vec<Needed> = Vec::new();
        if layers.start == 0 && holds_embedding(config) {
            needed.push(embedding(config, prefix));
        }
        for layer in layers.range() {
            needed.extend(Names::new(config, prefix, layer).into_all());
        }
        if layers.end == config.layers {
            needed.push(norm(config, prefix));
        }
        needed.iter().map(|needed| header.range(&needed.name, &needed.shape)).collect()
    }

    /// Adds those of `layers` that are not in memory yet, with their ends. `source` as in
    /// [`Model::load`](crate::llm::Model::load).
    ///
    /// # Errors
    /// As [`TextEncoder::ranges`]; [`Error::Tensor`] if `source` fails or answers with too little. Layers that were complete
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
        Self::ranges(&self.config, header, layers)?;
        let (config, prefix) = (&self.config.clone(), prefix(header));
        let mut reader = Reader { header, device, source, exact: self.exact };
        if layers.start == 0 && self.embedding.is_none() && holds_embedding(config) {
            self.embedding = Some(reader.embedding(&embedding(config, prefix)).await?);
        }
        for layer in layers.range() {
            if self.blocks[layer].is_none() {
                let names = Names::new(config, prefix, layer);
                self.blocks[layer] = Some(block(&mut reader, config, layer, &names).await?);
            }
        }
        if layers.end == config.layers && self.norm.is_none() {
            self.norm = Some(reader.norm(&norm(config, prefix), NORM_OFFSET, config.norm_eps).await?);
        }
        Ok(())
    }

    /// Hidden states of token ids: from the embedding in memory, or from its rows in the checkpoint.
    ///
    /// # Shapes
    /// - result: `[1, tokens, width]`
    ///
    /// # Errors
    /// [`Error::Picture`] if there are no ids, too many, or one that is not in the vocabulary; [`Error::Tensor`] if `source`
    /// fails.
    pub async fn embed<S>(
        &self,
        tokens: &[u32],
        header: &Header,
        device: &Device,
        mut source: S,
    ) -> Result<Tensor<3>, Error>
    where
        S: AsyncFnMut(&ByteRange) -> Result<Vec<u8>, String>,
    {
        let config = &self.config;
        if tokens.is_empty() || tokens.len() > config.context {
            let (count, most) = (tokens.len(), config.context);
            return Err(Error::Picture(format!(
                "a text of {count} tokens; between 1 and {most} are supported"
            )));
        }
        if let Some(id) = tokens.iter().find(|id| **id as usize >= config.vocabulary) {
            let vocabulary = config.vocabulary;
            return Err(Error::Picture(format!(
                "token {id} is not in the vocabulary of {vocabulary}: the tokenizer belongs to another model"
            )));
        }
        if let Some(found) = self.lookup(ids(tokens, device)) {
            return Ok(found);
        }
        let needed = embedding(config, prefix(header));
        let mut values = Vec::with_capacity(tokens.len() * config.width);
        for id in tokens {
            let range = header.row(&needed.name, [config.vocabulary, config.width], *id as usize)?;
            let failed = |reason| Error::Tensor { tensor: needed.name.clone(), reason };
            values.extend(range.to_f32(&source(&range).await.map_err(failed)?)?);
        }
        let rows = TensorData::new(values, [1, tokens.len(), config.width]);
        Ok(Tensor::from_data(rows, device) * self.embedding_scale())
    }
}

fn prefix(header: &Header) -> &'static str {
    let holds = |prefix: &&str| header.has(&format!("{prefix}norm.weight"));
    PREFIXES.into_iter().find(holds).unwrap_or_default()
}

fn holds_embedding(config: &Config) -> bool {
    let numbers = config.vocabulary as u64 * config.width as u64;
    numbers * 4 <= limits::EMBEDDING_BYTES
}

pub(super) fn embedding(config: &Config, prefix: &str) -> Needed {
    Needed { name: format!("{prefix}embed_tokens.weight"), shape: vec![config.vocabulary, config.width] }
}

pub(super) fn norm(config: &Config, prefix: &str) -> Needed {
    Needed { name: format!("{prefix}norm.weight"), shape: vec![config.width] }
}

/// The tensors of one layer.
pub(super) struct Names {
    pub qkv: ProductNames,
    pub output: ProductNames,
    pub gate_up: ProductNames,
    pub down: ProductNames,
    pub norms: [Needed; 4],
}

impl Names {
    pub fn new(config: &Config, prefix: &str, layer: usize) -> Self {
        let of = |part: &str| format!("{prefix}layers.{layer}.{part}");
        let (width, ff, bias) = (config.width, config.ff_width, config.attention_bias);
        let (queries, keys) = (config.heads * config.head_dim, config.kv_heads * config.head_dim);
        let norm = |part: &str| Needed { name: of(&format!("{part}_layernorm.weight")), shape: vec![width] };
        let parts = [
            (of("self_attn.q_proj"), queries),
            (of("self_attn.k_proj"), keys),
            (of("self_attn.v_proj"), keys),
        ];
        let gate_up = [(of("mlp.gate_proj"), ff), (of("mlp.up_proj"), ff)];
        Self {
            qkv: ProductNames::new(parts, width, bias),
            output: ProductNames::new([(of("self_attn.o_proj"), width)], queries, bias),
            gate_up: ProductNames::new(gate_up, width, false),
            down: ProductNames::new([(of("mlp.down_proj"), width)], ff, false),
            norms: ["pre_self_attn", "post_self_attn", "pre_feedforward", "post_feedforward"].map(norm),
        }
    }

    fn into_all(self) -> Vec<Needed> {
        let products = [self.qkv, self.output, self.gate_up, self.down];
        products.into_iter().flat_map(ProductNames::into_all).chain(self.norms).collect()
    }
}

async fn block<S>(
    reader: &mut Reader<'_, S>,
    config: &Config,
    layer: usize,
    names: &Names,
) -> Result<Block, Error>
where
    S: AsyncFnMut(&ByteRange) -> Result<Vec<u8>, String>,
{
    let products = [reader.product(&names.qkv).await?, reader.product(&names.output).await?];
    let (gate_up, down) = (reader.product(&names.gate_up).await?, reader.product(&names.down).await?);
    let mut norms = Vec::new();
    for needed in &names.norms {
        norms.push(reader.norm(needed, NORM_OFFSET, config.norm_eps).await?);
    }
    let Ok(norms) = norms.try_into() else { unreachable!("as many norms as names") };
    Ok(Block::new(config, layer, products, FeedForward::new(gate_up, down, Activation::GeluTanh), norms))
}
