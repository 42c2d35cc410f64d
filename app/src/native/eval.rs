//! `manyhands eval`: what a model makes of given inputs, to compare with other programs: the scores of a language model, the
//! outputs of a part of a picture model.

mod picture;

use super::adapters::Adapters;
use super::threads::Threads;
use crate::compute::ModelSource;
use crate::compute::files::{Checked, Files, Folder, gguf_name};
use crate::compute::source::{self, QUANTISATIONS};
use crate::compute::worker::model::{block_format, kept, too_little};
use anyhow::{Context, Result, anyhow, bail};
use clap::{Args, ValueEnum};
use kernels::ModelId;
use kernels::device::{self, Kind, Opened, Prefer};
use kernels::engine::Input;
use kernels::llm::{
    Adapter, Attached, Cache, CacheFormat, Config, Layers, Paging, Stage, StageOut, ranges, resident_ranges,
};
use kernels::weights::manifest::Hash;
use kernels::weights::{ByteRange, Checkpoint, read_ids, write_logits};
use std::path::{Path, PathBuf};

#[derive(Args)]
pub struct Options {
    /// A folder with config.json and model.safetensors (or shards with their index), or a GGUF file; of a picture model a
    /// part (its config.json says which), or the whole with its model_index.json.
    #[arg(long, value_name = "DIR|FILE.gguf")]
    model: PathBuf,
    /// A safetensors file with input_ids, `[sequences, tokens]`. For picture models: x, t, txt and perhaps mask, or lat0, txt,
    /// neg, guidance and steps (denoiser); input_ids and perhaps mask (text encoder); z, or x (autoencoder).
    #[arg(long, value_name = "FILE")]
    inputs: PathBuf,
    /// Where logits, `[sequences, tokens, vocabulary]` f32, are written; of picture models y, or final and traj; out; decoded,
    /// or encoded_mean.
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    #[command(flatten)]
    adapters: Adapters,
    /// Megabytes of weights to hold at most: a mixture of experts that takes more reads them when they are needed.
    #[arg(long, value_name = "MIB", conflicts_with = "stages", value_parser = clap::value_parser!(u64).range(1..=1 << 24))]
    memory: Option<u64>,
    #[command(flatten)]
    threads: Threads,
    /// What computes.
    #[arg(long, value_enum, default_value_t = Device::Cpu)]
    device: Device,
    /// Load these ranges of layers apart and pass bytes between them, such as 0..2,2..4.
    #[arg(long, value_name = "RANGES", value_delimiter = ',', value_parser = layers)]
    stages: Vec<Layers>,
    /// Feed one token at a time through the cache.
    #[arg(long)]
    step: bool,
    /// Go through caches that store keys and values so; without it, one pass needs none.
    #[arg(long, value_parser = super::CACHES)]
    cache: Option<String>,
    /// Turn matrices of floats into such blocks while loading.
    #[arg(long, value_parser = QUANTISATIONS)]
    quantize: Option<String>,
    /// On the CPU, round activations to 8 bits where weights are quantised, as rooms and `bench` do.
    #[arg(long)]
    rounded: bool,
}

#[derive(Clone, Copy, ValueEnum)]
enum Device {
    Cpu,
    Gpu,
}

pub async fn run(options: Options) -> Result<()> {
    options.threads.take()?;
    if let Some(part) = picture::part(&options).await? {
        return picture::run(&options, part).await;
    }
    let sequences = read(&options.inputs)?;
    let folder = Folder::of(&options.model.to_string_lossy());
    let (mut checkpoint, id) = options.checkpoint(&folder).await?;
    if let Some(format) = &options.quantize {
        checkpoint.header = checkpoint.header.quantised(block_format(format))?;
    }
    let opened = options.open().await?;
    let mut pipeline = Pipeline::load(&checkpoint, &folder, &options, &opened).await?;
    pipeline.adapt(&checkpoint.config, id, options.adapters.chosen()).await?;
    let mut logits = Vec::new();
    for sequence in &sequences {
        logits.extend(pipeline.logits(&folder, sequence, options.step, options.cache()).await?);
    }
    let (count, tokens) = (sequences.len(), sequences[0].len());
    let file = write_logits([count, tokens, checkpoint.config.vocabulary], &logits)?;
    let out = &options.out;
    std::fs::write(out, file).with_context(|| format!("cannot write {}", out.display()))?;
    eprintln!("{count} sequences of {tokens} tokens on {}", opened.adapter);
    Ok(())
}

impl Options {
    /// The checkpoint as its files have it, and the model's id.
    async fn checkpoint(&self, folder: &Folder) -> Result<(Checkpoint, ModelId)> {
        let source = self.model.to_string_lossy();
        let (checkpoint, words) = match gguf_name(&source) {
            Some(name) => (Checkpoint::of_gguf(&Checked(folder), name).await?, Vec::new()),
            // Ids need no tokenizer.
            None => {
                let words = folder.whole("tokenizer.json").await.unwrap_or_default();
                (Checkpoint::of_folder(&Checked(folder)).await?, words)
            }
        };
        let Checkpoint { description, head, header, .. } = &checkpoint;
        let id = ModelId::of_header(description, &words, head, header);
        Ok((checkpoint, id))
    }

    async fn open(&self) -> Result<Opened> {
        let prefer = match self.device {
            Device::Cpu => Prefer::Cpu,
            Device::Gpu => Prefer::Gpu,
        };
        let opened = device::open(prefer).await;
        // Scores that were asked for from a GPU and come from elsewhere would be compared with the wrong thing.
        if prefer == Prefer::Gpu && opened.kind != Kind::Gpu {
            bail!("--device gpu: {}", opened.notice.unwrap_or_default());
        }
        Ok(opened)
    }

    fn cache(&self) -> Option<CacheFormat> {
        self.cache.as_ref().map(|name| if name == "f16" { CacheFormat::F16 } else { CacheFormat::F32 })
    }

    /// What experts may take, and bytes of everything else.
    fn paging(&self, Checkpoint { config, header, .. }: &Checkpoint) -> Result<(Paging, u64)> {
        let all = Layers::new(0, config.layers);
        let kept = |ranges| kept(ranges).map_err(|why| anyhow!(why));
        let resident = kept(resident_ranges(config, header, all))?;
        let memory = self.memory.map(|mib| mib << 20);
        let memory = memory.filter(|_| config.experts.is_some()).unwrap_or(u64::MAX);
        // Ends that are one matrix are counted once here.
        let fits = kept(ranges(config, header, all))? <= memory;
        let bytes = if fits { u64::MAX } else { memory.saturating_sub(resident) };
        Ok((Paging { bytes, ahead: true }, resident))
    }

    /// The ranges asked for, which have to be the whole model in order; all of it if none were.
    fn ranges(&self, count: usize) -> Result<Vec<Layers>> {
        if self.stages.is_empty() {
            return Ok(vec![Layers::new(0, count)]);
        }
        let mut at = 0;
        for stage in &self.stages {
            if stage.start != at || stage.end <= at {
                bail!("--stages: {stage} does not follow layer {at}");
            }
            at = stage.end;
        }
        if at != count {
            bail!("--stages end at layer {at}, the model has {count}");
        }
        Ok(self.stages.clone())
    }
}

/// `start..end`.
fn layers(text: &str) -> Result<Layers, String> {
    let ends = text.trim().split_once("..");
    let ends = ends.and_then(|(start, end)| Some((start.parse().ok()?, end.parse().ok()?)));
    ends.map(|(start, end)| Layers::new(start, end))
        .ok_or_else(|| format!("{text:?} is not a range such as 0..2"))
}

/// Stages in a row, each loaded by itself.
struct Pipeline(Vec<Stage>);

impl Pipeline {
    async fn load(
        checkpoint: &Checkpoint,
        folder: &Folder,
        options: &Options,
        opened: &Opened,
    ) -> Result<Self> {
        let Checkpoint { config, header, .. } = checkpoint;
        let (paging, resident) = options.paging(checkpoint)?;
        let mut stages = Vec::new();
        for layers in options.ranges(config.layers)? {
            let read = async |range: &ByteRange| folder.range(&range.file, range.range.clone()).await;
            let exact = !options.rounded;
            let stage = Stage::load_paged(config, header, layers, opened, exact, paging, read).await;
            stages.push(stage.map_err(|error| anyhow!(too_little(resident, error)))?);
        }
        Ok(Self(stages))
    }

    /// Computes with adapters, if there are some: their folders, and how much of each.
    async fn adapt(&mut self, config: &Config, base: ModelId, adapters: &[(ModelSource, f32)]) -> Result<()> {
        let mut attached = Vec::new();
        for (place, weight) in adapters {
            if source::content(place).is_ok_and(|content| content.is_some()) {
                bail!("{place}: there is no room here to fetch it from; name a folder");
            }
            let files = Folder::of(place);
            let named = || place.clone();
            let adapter = Adapter::open(&Checked(&files), config).await.with_context(named)?;
            adapter.check_base(&[Hash(base.0)]).with_context(named)?;
            for stage in &mut self.0 {
                let read = async |range: &ByteRange| files.range(&range.file, range.range.clone()).await;
                stage.load_adapter(&adapter, read).await.with_context(named)?;
            }
            attached.push(Attached { id: adapter.id(), weight: *weight });
        }
        self.0.iter_mut().try_for_each(|stage| Ok(stage.attach(&attached)?))
    }

    /// Scores after every token of one sequence.
    async fn logits(
        &mut self,
        folder: &Folder,
        tokens: &[u32],
        step: bool,
        cache: Option<CacheFormat>,
    ) -> Result<Vec<f32>> {
        if !step && cache.is_none() {
            return self.pass(folder, tokens, &mut []).await;
        }
        let format = cache.unwrap_or_default();
        let mut caches: Vec<Cache> = self.0.iter().map(|stage| stage.cache(tokens.len(), format)).collect();
        let mut logits = Vec::new();
        for rows in tokens.chunks(if step { 1 } else { tokens.len().max(1) }) {
            logits.extend(self.pass(folder, rows, &mut caches).await?);
        }
        Ok(logits)
    }

    /// One pass: with as many caches as stages, or without.
    async fn pass(&mut self, folder: &Folder, tokens: &[u32], caches: &mut [Cache]) -> Result<Vec<f32>> {
        let source = async |range: &ByteRange| folder.range_beside(&range.file, range.range.clone()).await;
        let (mut hidden, mut caches) = (Vec::new(), caches.iter_mut());
        for (index, stage) in self.0.iter_mut().enumerate() {
            let input = if index == 0 { Input::Tokens(tokens) } else { Input::Hidden(&hidden) };
            match stage.pass_with(input, caches.next(), &source).await? {
                StageOut::Hidden(bytes) => hidden = bytes,
                StageOut::Logits(logits) => return Ok(logits),
            }
        }
        bail!("the last stage has no head")
    }
}

fn read(path: &Path) -> Result<Vec<Vec<u32>>> {
    let bytes = std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
    read_ids(&bytes).with_context(|| path.display().to_string())
}
