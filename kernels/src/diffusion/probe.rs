//! How fast this device is with a picture model, before any of it is fetched.

use crate::diffusion::autoencoder;
use crate::diffusion::denoiser::{Config, Denoiser, Positions};
use crate::diffusion::folder::Folder;
use crate::error::Error;
use crate::llm::{Layers, read_back};
use crate::weights::Header;
use burn::tensor::{Device, Tensor};
use std::time::Duration;
use web_time::Instant;

/// Blocks in a row that are timed together. Source: guess; reading the result back weighs little beside them.
const CHAIN: usize = 4;
/// Most tokens of the picture that are timed; a picture of more takes in proportion. Source: guess; a 1.2 B model's block
/// then takes half a second on a slow CPU.
const TOKENS: usize = 256;
/// Tokens of the text. Source: guess; a line.
const TEXT: usize = 16;
/// Most runs, the first of which is not counted: it compiles shaders and takes memory.
const RUNS: usize = 16;
/// No further run is started after this. Source: guess; nobody should wait for a measurement.
const ENOUGH: Duration = Duration::from_millis(300);

/// What a probe measured or worked out, in microseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pace {
    /// One branch of one step, at the size that the model was trained for.
    pub step_micros: u32,
    /// The encoding of a line of text: not measured, but as much arithmetic takes in the denoiser.
    pub encode_micros: u32,
    /// The decoding of a picture of that size, worked out in the same way; 0 where there is nothing to decode.
    pub decode_micros: u32,
}

/// Times blocks with random weights, so that nothing needs to be downloaded first.
///
/// # Errors
/// [`Error::Device`] if the device fails.
pub(super) async fn probe(folder: &Folder, device: &Device) -> Result<Pace, Error> {
    let config = &folder.denoiser.0;
    let [rows, columns] = [folder.side() / folder.unit(); 2].map(|side| side.max(1));
    let timed_rows = rows.min((TOKENS / columns).max(1));
    let chain = block_micros(config, [timed_rows, columns], device).await?;
    let tokens = (rows * columns) as f64;
    let block = chain / (timed_rows * columns) as f64 * tokens;
    // Two operations a weight and token; modulation and text are computed once a step and once a picture.
    let per_weight = block / (tokens * block_weights(config));
    let encoder = weights(&folder.text_encoder.1.header, "layers.") * TEXT as f64;
    let pixels = tokens * (config.patch * config.patch) as f64;
    let decoder = folder.autoencoder.as_ref();
    let decoder = decoder.map_or(0.0, |(kind, part)| decoder_work(kind, &part.header, pixels));
    let micros = |micros: f64| micros.clamp(0.0, f64::from(u32::MAX)) as u32;
    Ok(Pace {
        step_micros: micros(block * config.depth as f64).max(1),
        encode_micros: micros(encoder * per_weight).max(1),
        decode_micros: micros(decoder * per_weight),
    })
}

/// Microseconds for a block: the fastest of some runs, because other work on the machine only ever slows one down.
async fn block_micros(config: &Config, grid: [usize; 2], device: &Device) -> Result<f64, Error> {
    // One block's weights, used again and again, between two blocks that are not run with what comes before and after.
    let model = Denoiser::init(&Config { depth: 1, ..config.clone() }, device).repeated(CHAIN + 2);
    let (layers, size) = (Layers::new(1, CHAIN + 1), grid.map(|side| side * config.patch));
    let modulations = model.modulations(layers, &[0.5], size, device);
    let text = model.text(layers, Tensor::ones([1, TEXT, config.text_width], device), None);
    let positions = Positions::new(config, grid, device);
    let x: Tensor<3> = Tensor::ones([1, grid[0] * grid[1], config.width], device);
    let (mut fastest, started) = (f64::INFINITY, Instant::now());
    for run in 0..RUNS {
        let before = Instant::now();
        read_back(model.forward(layers, x.clone(), &text, &modulations, &positions)).await?;
        if run > 0 {
            fastest = fastest.min(before.elapsed().as_secs_f64() * 1e6);
        }
        if started.elapsed() > ENOUGH && run > 0 {
            break;
        }
    }
    Ok(fastest / CHAIN as f64)
}

/// Weights of a decoder times the pixels that each is multiplied with, for a latent of so many.
fn decoder_work(config: &autoencoder::Config, header: &Header, pixels: f64) -> f64 {
    // Both sides double from one level to the next.
    let levels = config.factor().ilog2();
    let level = |name: &str| match name.split_once("up_blocks.").map(|(_, rest)| rest.split('.').next()) {
        Some(Some(number)) => {
            let number = number.parse().unwrap_or(0).min(levels);
            if config.counts_down() { levels - number } else { number }
        }
        _ if name.contains("conv_out") => levels,
        _ => 0,
    };
    let decoder = header.sizes().filter(|(name, _)| name.starts_with("decoder."));
    decoder.map(|(name, count)| count as f64 * pixels * f64::from(4_u32.pow(level(name)))).sum()
}

/// Of a block, those that every token of the picture is multiplied with.
fn block_weights(config: &Config) -> f64 {
    let (width, ff) = (config.width as f64, config.ff_width as f64);
    width * (4.0 * width + 3.0 * ff)
}

/// Of a part, those whose names contain `within`.
fn weights(header: &Header, within: &str) -> f64 {
    header.sizes().filter(|(name, _)| name.contains(within)).map(|(_, count)| count as f64).sum()
}
