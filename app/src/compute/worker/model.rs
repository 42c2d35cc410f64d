//! A model's files and the engine that runs some of its layers.

use super::language::Language;
use super::memory::cache_budget;
use super::reading::{self, Reading};
use super::wardrobe::{Dressed, with};
use crate::compute::Worn;
use crate::compute::files::{Bringing, Checked, Files, gguf_name};
use crate::compute::source::{half_cached, name, quantised};
use coordinator::io::{self, ModelSpec, Offer, Part, Speed};
use coordinator::{JobId, Layers, Lease, ModelId};
use futures::lock::Mutex;
use kernels::device::Opened;
use kernels::engine::{Engine, Step, StepOut};
use kernels::llm::{Attached, CacheFormat, Paging};
use kernels::quant::Format;
use kernels::weights::manifest::Hash;
use kernels::weights::{ByteRange, Checkpoint};
use std::collections::BTreeMap;

/// The engine, where its weights come from, and what the room calls it.
pub struct Model<F> {
    pub engine: Engine<(JobId, Lease)>,
    files: F,
    spec: ModelSpec,
    /// The same without adapters.
    plain: ModelSpec,
    /// What the model is called without what it is turned into here: what adapters are made for.
    base: kernels::ModelId,
    speed: Speed,
    /// What it computes with, and where the files of these lie.
    adapters: Vec<Dressed<F>>,
    attached: Vec<Attached>,
    /// The ranges that were asked for. They may overlap; a layer is freed with the last range that holds it.
    held: Vec<Layers>,
    /// Ranges that were asked for before the adapters changed: whoever has to load some of them finds them here.
    spare: Vec<Layers>,
}

impl<F: Files> Model<F> {
    /// Reads the descriptions of the model `source`, a folder or a GGUF file in one; no weights yet. What it is to be
    /// quantised to may stand behind it, and how its caches store numbers.
    pub async fn open(source: &str, files: F, opened: Opened) -> Result<(Self, Language), String> {
        let plain = |error: kernels::Error| error.to_string();
        let format = if half_cached(source).1 { CacheFormat::F16 } else { CacheFormat::F32 };
        let (source, mut quantisation) = quantised(source);
        let (checkpoint, language, words) = match gguf_name(source) {
            Some(name) => {
                let checkpoint = Checkpoint::of_gguf(&Checked(&files), name).await.map_err(plain)?;
                let language = Language::of_gguf(checkpoint.metadata.as_ref())?;
                (checkpoint, language, Vec::new())
            }
            None => {
                let checkpoint = Checkpoint::of_folder(&Checked(&files)).await.map_err(plain)?;
                let json = files.whole("tokenizer.json").await?;
                let language = Language::of_folder(&json, checkpoint.config.bos, &files).await?;
                (checkpoint, language, json)
            }
        };
        let Checkpoint { mut config, mut header, description, head, .. } = checkpoint;
        let base = kernels::ModelId::of_header(&description, &words, &head, &header);
        if let Some(name) = quantisation {
            header = header.quantised(block_format(name)).map_err(plain)?;
            quantisation = quantisation.filter(|_| header.quantisation().is_some());
        }
        let ends = language.tokenizer.ends();
        let ends = ends.iter().filter(|end| !config.eos.contains(end)).copied().collect::<Vec<_>>();
        config.eos.extend(ends);
        let id = kernels::ModelId::of_header(&description, &words, &head, &header).with_caches(format);
        let engine = Engine::new(opened, &config, header).with_caches(format, cache_budget());
        let called = files.called().unwrap_or_else(|| name(source).to_owned());
        let mut spec = spec(called, quantisation, &engine, ModelId(id.0))?;
        if format == CacheFormat::F16 {
            spec.name += " with f16 caches";
        }
        let (plain, speed) = (spec.clone(), Speed::default());
        let (adapters, attached, held, spare) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        let model = Self { engine, files, spec, plain, base, speed, adapters, attached, held, spare };
        Ok((model, language))
    }

    /// Holds `memory` bytes of weights at most, if it is a mixture of experts that would take more: they are read when they
    /// are needed then. To be said before anything is loaded. What the room is told of its size is what it takes.
    ///
    /// # Errors
    /// In plain words, if what is needed all the time, or that and one expert, takes more.
    pub fn fit(self, memory: u64) -> Result<Self, String> {
        let all = kernels::llm::Layers::new(0, self.engine.config().layers);
        let whole = kept(self.engine.ranges(all))?;
        if self.engine.config().experts.is_none() || whole <= memory {
            return Ok(self);
        }
        let resident = kept(self.engine.resident_ranges(all))?;
        let paging = Paging { bytes: memory.saturating_sub(resident), ahead: self.files.reads_beside() };
        let engine = self.engine.with_paging(paging).map_err(|error| too_little(resident, error))?;
        let layers = u64::from(self.spec.layers).max(1);
        let layer_bytes = memory / layers;
        let spec = ModelSpec { layer_bytes, ends_bytes: memory - layer_bytes * layers, ..self.spec };
        Ok(Self { engine, plain: spec.clone(), spec, ..self })
    }

    /// Runs steps, and reads experts for them that are not here.
    pub async fn run(&mut self, steps: &[Step<'_, (JobId, Lease)>]) -> Vec<Result<StepOut, kernels::Error>> {
        let Self { engine, files, .. } = self;
        let (beside, one) = (files.reads_beside(), Mutex::new(()));
        let source = async |range: &ByteRange| {
            let (name, bytes) = (&range.file, range.range.clone());
            if beside {
                return files.range_beside(name, bytes).await;
            }
            let _turn = one.lock().await;
            files.range(name, bytes).await
        };
        engine.run_batch_with(steps, &source).await
    }

    /// What an adapter may name as the model that it was made for.
    pub fn known_as(&self) -> Vec<Hash> {
        let content = self.files.content().map(|content| Hash(content.0));
        std::iter::once(Hash(self.base.0)).chain(content).collect()
    }

    /// Computes with these adapters from here on, which makes it another model to the room. Its layers stay where they are; what they
    /// lack is loaded with the next part.
    pub fn adapt(&mut self, adapters: Vec<Dressed<F>>) {
        let stays = |id: Hash| adapters.iter().any(|one| one.of.adapter.id() == id);
        for gone in self.adapters.iter().map(|one| one.of.adapter.id()).filter(|id| !stays(*id)) {
            self.engine.unload_adapter(gone);
        }
        let attached = adapters.iter().map(|one| Attached { id: one.of.adapter.id(), weight: one.weight });
        // As if it were not there, to the bit.
        self.attached = attached.filter(|one| one.weight != 0.0).collect();
        let plain = kernels::ModelId(self.plain.id.0);
        let id = self.attached.iter().fold(plain, |id, one| id.with_adapter(*one));
        let name = self.plain.name.clone() + &with(&adapters);
        if ModelId(id.0) != self.spec.id {
            self.spare.append(&mut self.held);
        }
        self.spec = ModelSpec { id: ModelId(id.0), name, ..self.plain.clone() };
        self.adapters = adapters;
    }

    /// Those in words of the page.
    pub fn worn(&self) -> Vec<Worn> {
        self.adapters.iter().map(Dressed::told).collect()
    }

    /// What the model is without them.
    pub const fn plain(&self) -> ModelId {
        self.plain.id
    }

    /// The adapters that it computes with.
    pub fn attached(&self) -> &[Attached] {
        &self.attached
    }

    /// Measures how fast this device is with it.
    pub async fn measure(&mut self) -> Result<(), String> {
        let pace = self.engine.probe().await.map_err(|error| error.to_string())?;
        // What a chunk costs beside its layers is in no probe: it passes through worker, page and channel.
        self.speed =
            Speed { layer_micros: pace.token_micros, prefill_micros: pace.pass_micros, ..Speed::default() };
        Ok(())
    }

    /// The model, and how fast this device was with it when that was measured: adapters cost little.
    pub fn offer(&self) -> Offer {
        Offer { model: self.spec.clone(), speed: self.speed }
    }

    /// What the room calls it.
    pub const fn spec(&self) -> &ModelSpec {
        &self.spec
    }

    /// An error if `id` is another model than the one here.
    pub fn check(&self, id: ModelId) -> Result<(), String> {
        if id == self.spec.id {
            Ok(())
        } else {
            Err(format!("this device has no other model than {}", self.spec.name))
        }
    }

    /// Brings a part's weights near; see [`Files::bring`].
    pub fn bring(&self, part: Part) -> Option<Bringing> {
        let ranges =
            self.check(part.model).ok().and_then(|()| self.engine.ranges(range(part.layers)).ok())?;
        self.files.bring(&reading::of(&ranges))
    }

    /// Loads a part; `progress` is told the bytes so far and in all.
    pub async fn load(&mut self, part: Part, progress: impl Fn(u64, u64)) -> Result<(), String> {
        self.check(part.model)?;
        let layers = part.layers;
        let ranges = self.engine.ranges(range(layers)).map_err(|error| error.to_string())?;
        let mut reading = Reading::new(&self.files, &ranges, &progress);
        let source = async |range: &ByteRange| reading.read(range).await;
        self.engine.load(range(layers), source).await.map_err(|error| error.to_string())?;
        for Dressed { of, .. } in &self.adapters {
            let (adapter, files) = (&of.adapter, &of.files);
            let ranges = adapter.ranges(range(layers)).map_err(|error| error.to_string())?;
            let mut reading = Reading::new(files, &ranges, &progress);
            let source = async |range: &ByteRange| reading.read(range).await;
            self.engine
                .load_adapter(adapter, range(layers), source)
                .await
                .map_err(|error| error.to_string())?;
        }
        self.held.push(layers);
        for spare in std::mem::take(&mut self.spare) {
            self.free(spare);
        }
        Ok(())
    }

    /// Frees those layers of a part that no other part holds.
    pub fn unload(&mut self, Part { layers, .. }: Part) {
        let Some(index) = self.held.iter().position(|held| *held == layers) else { return };
        self.held.swap_remove(index);
        self.free(layers);
    }

    /// Frees those of some layers that nobody holds.
    fn free(&mut self, layers: Layers) {
        for layer in layers.start..layers.end {
            if !self.held.iter().any(|held| held.start <= layer && layer < held.end) {
                self.engine.unload(range(Layers { start: layer, end: layer + 1 }));
            }
        }
    }
}

/// Why experts cannot be paged, given the bytes of everything else.
pub fn too_little(resident: u64, error: kernels::Error) -> String {
    let kernels::Error::ExpertBudget { needed, .. } = error else { return error.to_string() };
    let mib = resident.saturating_add(needed).div_ceil(1 << 20);
    format!(
        "the model takes {resident} bytes beside its experts, and one expert {needed}: allow {mib} MiB of memory at least"
    )
}

/// The format that one of [`QUANTISATIONS`](crate::compute::source::QUANTISATIONS) names.
pub fn block_format(name: &str) -> Format {
    if name == "q4_0" { Format::Q4_0 } else { Format::Q8_0 }
}

/// The coordinator's range as the kernels' own.
pub const fn range(layers: Layers) -> kernels::llm::Layers {
    kernels::llm::Layers::new(layers.start as usize, layers.end as usize)
}

fn spec<K: Ord + Clone>(
    name: String,
    quantisation: Option<&str>,
    engine: &Engine<K>,
    id: ModelId,
) -> Result<ModelSpec, String> {
    let config = engine.config();
    let layers = config.layers;
    let all = weight_bytes(engine, 0..layers)?;
    // A layer in the middle has no end; a model of one layer is all ends.
    let layer_bytes = if layers < 3 { all / layers.max(1) as u64 } else { weight_bytes(engine, 1..2)? };
    Ok(ModelSpec {
        id,
        kind: io::Kind::Text,
        name: quantisation.map(|format| format!("{name} as {format}")).unwrap_or(name),
        layers: u16::try_from(layers).unwrap_or(u16::MAX),
        layer_bytes,
        ends_bytes: all.saturating_sub(layer_bytes * layers as u64),
        context: u32::try_from(config.context).unwrap_or(u32::MAX),
        hidden_bytes: u32::try_from(config.row_bytes()).unwrap_or(u32::MAX),
        block_bytes: 0,
        context_bytes: 0,
    })
}

/// What some layers take in memory.
fn weight_bytes<K: Ord + Clone>(engine: &Engine<K>, layers: std::ops::Range<usize>) -> Result<u64, String> {
    kept(engine.ranges(kernels::llm::Layers::new(layers.start, layers.end)))
}

/// What ranges take in memory.
pub fn kept(ranges: Result<Vec<ByteRange>, kernels::Error>) -> Result<u64, String> {
    let ranges = ranges.map_err(|error| error.to_string())?;
    // The two ends of a tied model are one matrix.
    let tensors: BTreeMap<&str, u64> =
        ranges.iter().map(|range| (range.tensor.as_str(), range.kept_bytes())).collect();
    Ok(tensors.values().sum())
}
