//! `manyhands bench`: tokens a second, or seconds a picture, for people and as JSON.

use super::threads::Threads;
use crate::compute::bench::{self, ExpertFigures, Figures, Wish};
use crate::compute::bench_pictures;
use crate::compute::files::Folder;
use crate::compute::source::{self, QUANTISATIONS};
use crate::painting::PaintRequest;
use anyhow::{Result, anyhow};
use clap::Args;
use std::path::Path;

#[derive(Args)]
pub struct Options {
    /// A folder with config.json, tokenizer.json and weights, a GGUF file, or the folder of a model that paints.
    #[arg(long, value_name = "DIR|FILE.gguf")]
    model: String,
    /// Turn matrices of floats into such blocks while loading.
    #[arg(long, value_parser = QUANTISATIONS)]
    quantize: Option<String>,
    /// How keys and values of earlier tokens are stored.
    #[arg(long, default_value = "f32", value_parser = super::CACHES)]
    cache: String,
    /// Tokens of the prompt.
    #[arg(long, default_value_t = 64)]
    prefill: usize,
    /// Tokens written after it.
    #[arg(long, default_value_t = 48)]
    decode: usize,
    /// Denoising steps, of a model that paints.
    #[arg(long, default_value_t = 20)]
    steps: u16,
    /// Guidance; above 1 each step takes two passes.
    #[arg(long, default_value_t = 4.0)]
    guidance: f32,
    /// Pixels on both sides; 0 for what the model paints best.
    #[arg(long, default_value_t = 0)]
    side: u32,
    /// How often; the best counts.
    #[arg(long, default_value_t = 3)]
    runs: usize,
    /// Megabytes of weights to hold at most: a mixture of experts that takes more reads them when they are needed.
    #[arg(long, value_name = "MIB", value_parser = clap::value_parser!(u64).range(1..=1 << 24))]
    memory: Option<u64>,
    #[command(flatten)]
    threads: Threads,
    /// cpu or gpu.
    #[arg(long, default_value = "cpu", value_parser = ["cpu", "gpu"])]
    device: String,
    /// One line of JSON instead of a sentence.
    #[arg(long)]
    json: bool,
}

pub async fn run(options: &Options) -> Result<()> {
    options.threads.take()?;
    let &Options { prefill, decode, runs, .. } = options;
    let (gpu, memory) = (options.device == "gpu", options.memory.map(|mib| mib << 20));
    let wish = Wish { prefill, decode, runs, gpu, memory };
    let model = source::with(&options.model, options.quantize.as_deref(), options.cache == "f16");
    if Path::new(&options.model).join("model_index.json").is_file() {
        return paint(options, &model).await;
    }
    let figures = bench::run(&model, Folder::of(&options.model), wish).await;
    let figures = figures.map_err(|why| anyhow!(why))?;
    if options.json {
        println!("{}", serde_json::to_string(&figures)?);
    } else {
        say(&figures);
    }
    Ok(())
}

async fn paint(options: &Options, model: &str) -> Result<()> {
    let request = PaintRequest {
        prompt: "a red circle above a blue square".into(),
        steps: options.steps,
        guidance: options.guidance,
        width: options.side,
        height: options.side,
        ..PaintRequest::default()
    };
    let wish = bench_pictures::Wish { request, runs: options.runs, gpu: options.device == "gpu" };
    let figures = bench_pictures::run(model, Folder::of(&options.model), wish).await;
    let figures = figures.map_err(|why| anyhow!(why))?;
    if options.json {
        println!("{}", serde_json::to_string(&figures)?);
    } else {
        let bench_pictures::Figures { adapter, load_ms, best_seconds, pass_ms, .. } = &figures;
        println!(
            "{adapter}: loaded in {load_ms:.0} ms, {best_seconds:.2} s a picture, {pass_ms:.1} ms a pass"
        );
    }
    Ok(())
}

fn say(figures: &Figures) {
    let Figures { adapter, threads, load_ms, best_prefill_per_s, best_decode_per_s, .. } = figures;
    let with = if figures.device == "cpu" { format!(", {threads} threads") } else { String::new() };
    println!(
        "{adapter}{with}: loaded in {load_ms:.0} ms, reads {best_prefill_per_s:.1} tokens/s, writes {best_decode_per_s:.1} tokens/s"
    );
    if let Some(experts) = &figures.experts {
        let ExpertFigures { expert_hits, expert_misses, expert_stall_ms, expert_bytes_read, .. } = experts;
        println!(
            "experts: {expert_hits} were here, {expert_misses} were not; {expert_bytes_read} bytes read, waited {expert_stall_ms:.0} ms of {:.0}",
            experts.expert_seconds * 1e3
        );
    }
}
