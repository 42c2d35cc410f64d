//! Parts of picture models.

use super::Options;
use crate::compute::files::{Checked, Files, Folder, gguf_name};
use crate::compute::worker::model::block_format;
use anyhow::{Context, Result, bail};
use kernels::diffusion::folder::{self, Part, Shape};
use kernels::diffusion::{Evaluation, evaluate};
use kernels::weights::{ByteRange, Numbers, read_tensors, write_tensors};
use std::collections::BTreeMap;

/// A part, and where its files lie.
pub struct Found {
    part: Part,
    files: Folder,
    /// Where the rest of the model lies, if it is there.
    model: Folder,
    inputs: BTreeMap<String, Numbers>,
}

/// The part that the options mean; none where they mean a language model.
pub async fn part(options: &Options) -> Result<Option<Found>> {
    let source = options.model.to_string_lossy();
    if gguf_name(&source).is_some() {
        return Ok(None);
    }
    let files = Folder::of(&source);
    let whole = files.length("config.json").await.is_err() && files.length("model_index.json").await.is_ok();
    let inputs = || -> Result<BTreeMap<String, Numbers>> {
        let path = &options.inputs;
        let bytes = std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
        read_tensors(&bytes).with_context(|| path.display().to_string())
    };
    if whole {
        let inputs = inputs()?;
        let name = part_for(&inputs);
        let Some(part) = Part::open(&Checked(&files), &format!("{name}/")).await? else {
            bail!("{name}/config.json is not that of a part of a picture model");
        };
        let model = Folder::of(&source);
        return Ok(Some(Found { part, files, model, inputs }));
    }
    let Some(part) = Part::open(&Checked(&files), "").await? else { return Ok(None) };
    let model = Folder(options.model.join(".."));
    Ok(Some(Found { part, files, model, inputs: inputs()? }))
}

/// Which part of a whole model such inputs are for.
fn part_for(inputs: &BTreeMap<String, Numbers>) -> &'static str {
    match inputs {
        _ if inputs.contains_key("input_ids") => "text_encoder",
        _ if inputs.contains_key("txt") => "transformer",
        _ => "vae",
    }
}

pub async fn run(options: &Options, found: Found) -> Result<()> {
    let Found { mut part, files, model, inputs } = found;
    if options.step {
        bail!("--step is for language models: picture models have no cache");
    }
    if let Some(format) = &options.quantize {
        part.header = part.header.quantised(block_format(format))?;
    }
    let count = match &part.shape {
        Shape::Denoiser(config) => config.depth,
        Shape::TextEncoder(config) => config.layers,
        Shape::Autoencoder(_) if !options.stages.is_empty() => {
            bail!("--stages: an autoencoder is not cut into layers");
        }
        Shape::Autoencoder(_) => 1,
    };
    let (spacing, prediction) = folder::habits(&Checked(&model)).await?;
    let (opened, stages) = (options.open().await?, options.ranges(count)?);
    let how = Evaluation {
        part: &part,
        opened: &opened,
        stages: &stages,
        exact: !options.rounded,
        spacing,
        prediction,
    };
    let read = async |range: &ByteRange| files.range(&range.file, range.range.clone()).await;
    let outputs = evaluate(&how, &inputs, read).await?;
    let out = &options.out;
    std::fs::write(out, write_tensors(&outputs)?)
        .with_context(|| format!("cannot write {}", out.display()))?;
    let names: Vec<&str> = outputs.keys().map(String::as_str).collect();
    eprintln!("{} on {}", names.join(", "), opened.adapter);
    Ok(())
}
