//! LoRA adapters (Hu et al. 2021): small matrices beside those of a model, which change what it writes.
//!
//! `y = W·x + Σ weight · scale · B·(A·x)`. `W` stays as it is, in its blocks; nothing is ever merged, so that a model without its
//! adapters gives the bits that it always gave.
//!
//! ```text
//!  adapter_config.json ─► Settings ─┐
//!                                   ├─► Adapter (checked, no weights) ─► Model::load_adapter, some layers ─► attach
//!  adapter_model.safetensors ───────┘
//! ```
//!
//! The files are those of PEFT. What is changed is seen from the tensors: linear layers of any layer, and a head of its own;
//! the configuration has to name them too, and says their ranks and scales. An adapter may say which model it was made for,
//! in a field of ours, `manyhands_base`: PEFT passes over fields that it does not know.

mod held;
mod low_rank;
mod patterns;
mod settings;

pub(super) use held::Adapters;
pub(super) use low_rank::Addition;

use crate::error::Error;
use crate::limits;
use crate::llm::names::{self, BlockNames, Needed, ProductNames};
use crate::llm::{Config, Layers};
use crate::weights::manifest::{Adapts, Hash};
use crate::weights::{ByteRange, Files, Header, read, safetensors, whole};
use settings::Settings;
use std::collections::BTreeSet;
use std::ops::Range;

/// The file of an adapter that says what it is.
pub const CONFIG: &str = "adapter_config.json";
const WEIGHTS: &str = "adapter_model.safetensors";

/// What the file [`CONFIG`] says of an adapter, for people.
///
/// # Errors
/// [`Error::Adapter`] if it is no such file, or asks for what does not exist here.
pub fn told(json: &[u8]) -> Result<Adapts, Error> {
    Ok(Settings::from_json(json)?.told())
}

/// An adapter, and how much of it.
#[derive(Debug, Clone, Copy)]
pub struct Attached {
    /// Which: [`Adapter::id`].
    pub id: Hash,
    /// What it adds is multiplied by this; 1 is what it was trained for, 0 is as if it were not there.
    pub weight: f32,
}

/// To the bit, so that every one is equal to itself, whatever a peer sends.
impl PartialEq for Attached {
    fn eq(&self, other: &Self) -> bool {
        (self.id, self.weight.to_bits()) == (other.id, other.weight.to_bits())
    }
}

/// An adapter without its weights: what it changes, and where its tensors lie. It fits its base model in all shapes.
#[derive(Debug, Clone)]
pub struct Adapter {
    id: Hash,
    header: Header,
    bases: Vec<Hash>,
    config: Config,
    /// For each layer, and for the head after them, what happens to each product, in the order of [`BlockNames::products`].
    layers: Vec<Vec<Option<Change>>>,
}

/// What happens to a product.
#[derive(Debug, Clone)]
struct Change {
    input: usize,
    output: usize,
    parts: Vec<Part>,
}

/// What happens to one of its matrices.
#[derive(Debug, Clone)]
struct Part {
    /// The path of the matrix in the base model.
    module: String,
    /// Where its rows begin in the product, and how many there are.
    first: usize,
    rows: usize,
    rank: usize,
    scale: f32,
}

impl Adapter {
    /// From a folder as PEFT writes it, for a model of shape `config`. All bytes are read once, which gives it its name.
    ///
    /// # Errors
    /// [`Error::Source`] if a file cannot be read; [`Error::Adapter`], [`Error::Header`] or [`Error::Tensor`] if it is damaged, asks
    /// for what does not exist here, or was made for another model.
    pub async fn open(files: &impl Files, config: &Config) -> Result<Self, Error> {
        // Checked first: then there are no more bytes than a model of this shape explains.
        let adapter = Self::known(files, config, Hash::default()).await?;
        let mut hash = blake3::Hasher::new();
        hash.update(&Hash::of(&whole(files, CONFIG, limits::CONFIG_BYTES).await?).0);
        let (length, mut at) = (adapter.header.file_bytes(), 0);
        while at < length {
            let end = length.min(at + limits::BLOCK_BYTES);
            hash.update(&read(files, WEIGHTS, at..end).await?);
            at = end;
        }
        Ok(Self { id: Hash(hash.finalize().into()), ..adapter })
    }

    /// The same, of an adapter whose name is known, for instance the hash of its manifest: only what describes it is read.
    ///
    /// # Errors
    /// As [`Adapter::open`].
    pub async fn known(files: &impl Files, config: &Config, id: Hash) -> Result<Self, Error> {
        let settings = Settings::from_json(&whole(files, CONFIG, limits::CONFIG_BYTES).await?)?;
        let (_, header) = safetensors(files, WEIGHTS).await?;
        let header = Header::join(vec![(WEIGHTS.to_owned(), header)])?;
        let layers = changes(&settings, &header, config)?;
        Ok(Self { id, header, bases: settings.bases, config: config.clone(), layers })
    }

    /// Whether it says which models it was made for; if not, all that is known is that it fits in its shapes.
    #[must_use]
    pub const fn names_base(&self) -> bool {
        !self.bases.is_empty()
    }

    /// All layers of the model that it changes.
    #[must_use]
    pub const fn all_layers(&self) -> Layers {
        Layers::new(0, self.config.layers)
    }

    /// The largest rank of its matrices.
    #[must_use]
    pub fn rank(&self) -> usize {
        let changes = self.layers.iter().flatten().flatten();
        changes.flat_map(|change| &change.parts).map(|part| part.rank).max().unwrap_or(0)
    }

    /// Its name: two adapters with one name are the same to the bit.
    #[must_use]
    pub const fn id(&self) -> Hash {
        self.id
    }

    /// Compares what the adapter says of its base model, if it says so, with what the model at hand is known by: its
    /// [`ModelId`](crate::ModelId), the hash of its manifest.
    ///
    /// # Errors
    /// [`Error::Adapter`] if it names other models.
    pub fn check_base(&self, known_as: &[Hash]) -> Result<(), Error> {
        if self.bases.is_empty() || self.bases.iter().any(|base| known_as.contains(base)) {
            return Ok(());
        }
        let bases: Vec<String> = self.bases.iter().map(Hash::to_string).collect();
        let bases = bases.join(" or ");
        Err(Error::Adapter(format!(
            "it was made for the model {bases}, which is not the one here: open that model"
        )))
    }

    /// Where the bytes for `layers` lie, in the order in which [`Engine::load_adapter`](crate::engine::Engine::load_adapter) asks for
    /// them; what is in memory already is included.
    ///
    /// # Errors
    /// None that [`Adapter::open`] has not found.
    pub fn ranges(&self, layers: Layers) -> Result<Vec<ByteRange>, Error> {
        let parts = self.places(layers).flat_map(|place| self.layers[place].iter().flatten());
        let tensors =
            parts.flat_map(|change| change.parts.iter().flat_map(|part| part.tensors(change.input)));
        tensors.map(|needed| self.header.range(&needed.name, &needed.shape)).collect()
    }

    /// `layers`, and the head if they end with it.
    fn places(&self, layers: Layers) -> Range<usize> {
        places(layers, self.config.layers)
    }
}

/// `layers` of a model of `count`, and, as the layer after the last, the head if they end with it.
fn places(layers: Layers, count: usize) -> Range<usize> {
    let end = if layers.end >= count { count + 1 } else { layers.end };
    layers.start..end
}

impl Part {
    /// `A`, `[rank, input]`, and `B`, `[rows, rank]`.
    fn tensors(&self, input: usize) -> [Needed; 2] {
        let name = |which: &str| format!("{BEFORE}{}{}", self.module, which);
        [
            Needed { name: name(A), shape: vec![self.rank, input] },
            Needed { name: name(B), shape: vec![self.rows, self.rank] },
        ]
    }
}

/// What PEFT puts around a path.
const BEFORE: &str = "base_model.model.";
const A: &str = ".lora_A.weight";
const B: &str = ".lora_B.weight";
/// The base model's own head, which PEFT puts beside an adapter that changes it. It is not trained, and not read here.
const HEAD_COPY: &str = "base_model.model.lm_head.base_layer.weight";

/// The paths of all matrices that have tensors.
fn modules(header: &Header) -> Result<BTreeSet<&str>, Error> {
    let modules = header.tensors().filter(|(tensor, _)| *tensor != HEAD_COPY).map(|(tensor, _)| {
        let path = tensor.strip_prefix(BEFORE);
        let module = path.and_then(|path| path.strip_suffix(A).or_else(|| path.strip_suffix(B)));
        module.ok_or_else(|| {
            Error::Adapter(format!(
                "tensor {tensor} is neither A nor B of a matrix; embeddings, magnitudes, biases and saved modules are not \
                 supported here: let PEFT merge the adapter into its base model"
            ))
        })
    });
    modules.collect()
}

/// What happens to every product of the model.
fn changes(settings: &Settings, header: &Header, config: &Config) -> Result<Vec<Vec<Option<Change>>>, Error> {
    let mut open = modules(header)?;
    if open.is_empty() {
        return Err(Error::Adapter(format!("{WEIGHTS} changes nothing: it is empty")));
    }
    if header.has(HEAD_COPY) {
        // A head of another vocabulary would not fit what comes here.
        fits(header, HEAD_COPY, &[config.vocabulary, config.width])?;
    }
    let mut layers = Vec::with_capacity(config.layers + 1);
    for layer in 0..config.layers {
        let names = BlockNames::new(config, layer);
        let products = names.products().into_iter();
        let changes = products.map(|product| change(settings, header, product, &mut open));
        layers.push(changes.collect::<Result<_, _>>()?);
    }
    // A tied head is the embedding, which nothing may change.
    layers.push(match config.tied {
        true => Vec::new(),
        false => vec![change(settings, header, &names::head(config), &mut open)?],
    });
    match open.first() {
        None => Ok(layers),
        Some(module) => Err(Error::Adapter(format!(
            "it changes {module}, which the model here does not have as a matrix of its own: open the model that it was \
             made for"
        ))),
    }
}

/// # Errors
/// [`Error::Adapter`] if a tensor has another shape, or cannot be read.
fn fits(header: &Header, tensor: &str, shape: &[usize]) -> Result<(), Error> {
    match header.range(tensor, shape) {
        Err(Error::Shape { expected, found, .. }) => Err(Error::Adapter(format!(
            "{tensor} has shape {found:?} where {CONFIG} and the model here ask for {expected:?}: open the model that it \
             was made for"
        ))),
        other => other.map(drop),
    }
}

/// What happens to one product; it is taken out of what is `open`.
fn change(
    settings: &Settings,
    header: &Header,
    product: &ProductNames,
    open: &mut BTreeSet<&str>,
) -> Result<Option<Change>, Error> {
    let (input, mut first, mut parts) = (product.input(), 0, Vec::new());
    for needed in &product.weights {
        let rows = needed.shape[0];
        let module = needed.name.strip_suffix(".weight").unwrap_or(&needed.name);
        if open.remove(module) {
            let (rank, scale) = (settings.rank(module)?, settings.scale(module)?);
            let part = Part { module: module.to_owned(), first, rows, rank, scale };
            part.check(settings, header, input)?;
            parts.push(part);
        }
        first += rows;
    }
    Ok((!parts.is_empty()).then_some(Change { input, output: first, parts }))
}

impl Part {
    fn check(&self, settings: &Settings, header: &Header, input: usize) -> Result<(), Error> {
        let module = &self.module;
        if !settings.targets(module) {
            return Err(Error::Adapter(format!(
                "{WEIGHTS} changes {module}, {CONFIG} does not: the two files belong to different adapters"
            )));
        }
        for needed in self.tensors(input) {
            if !header.has(&needed.name) {
                return Err(Error::Adapter(format!("{} is missing: fetch the adapter again", needed.name)));
            }
            fits(header, &needed.name, &needed.shape)?;
        }
        Ok(())
    }
}
