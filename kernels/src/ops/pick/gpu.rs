//! The best-scored tokens, found on the device: what is read back is a few hundred bytes instead of a vocabulary.

use crate::ops::gpu::{Access, Error, Gpu, Kernel, buffer};
use burn::tensor::Tensor;
use burn_cubecl::cubecl::server::Handle;

/// Most candidates of a row. Source: what samplers use (llama.cpp's default top-k is 40), and 4 KB to read back.
pub const CANDIDATES: usize = 64;
/// Invocations of a workgroup; bins of a histogram too.
const THREADS: usize = 256;
/// Scores of a workgroup. Source: half of the 16 KiB of workgroup memory that every WebGPU device has.
const LENGTH: usize = 2048;

/// The best tokens of one row.
#[derive(Debug, Clone, PartialEq)]
pub struct Picked {
    /// Token and score, best first; of equal scores the lower id is first.
    pub best: Vec<(u32, f32)>,
    /// `ln Σ e^(softness · score)` over the whole row, so that the probability of a candidate is
    /// `e^(softness · score − log_sum)`.
    pub log_sum: f32,
}

/// Results that are still on the device.
#[derive(Debug)]
pub struct Picks {
    gpu: Gpu,
    words: Handle,
    count: usize,
    /// Of each row.
    softness: Vec<f32>,
}

/// The `count` best of each row of `scores`. `softness` is 1 / temperature of each row; it has a part in
/// [`Picked::log_sum`] only.
///
/// # Shapes
/// - `scores`: `[rows, vocabulary]`
/// - `softness`: `[rows]`
///
/// # Errors
/// If `count` is 0, above [`CANDIDATES`] or above the vocabulary, or a softness is missing or not finite.
///
/// # Panics
/// If the tensor is not an f32 one on this device.
pub fn pick(gpu: &Gpu, scores: Tensor<2>, count: usize, softness: &[f32]) -> Result<Picks, Error> {
    let [rows, vocabulary] = scores.dims();
    let soft = softness.len() == rows && softness.iter().all(|softness| softness.is_finite());
    if count == 0 || count > CANDIDATES.min(vocabulary) || !soft || rows == 0 {
        let found = format!("{count} of {vocabulary} tokens in {rows} rows at softness {softness:?}");
        return Err(Error::Unsupported(format!("{found} cannot be picked: 1 to {CANDIDATES} can")));
    }
    let mut input = buffer(scores);
    let mut length = vocabulary;
    // A segment of a later round holds whole results of the round before.
    let mut segment = LENGTH;
    let mut first = true;
    loop {
        let segments = length.div_ceil(segment);
        let words = gpu.empty(rows * segments * (2 + 2 * count) * 4);
        let mut arguments = vec![length, segments];
        arguments.extend(softness.iter().map(|softness| softness.to_bits() as usize));
        gpu.launch(
            kernel(first, segment, count),
            [segments, rows, 1],
            vec![input, words.clone()],
            &arguments,
        );
        (input, length, first) = (words, segments * count, false);
        if segments == 1 {
            return Ok(Picks { gpu: gpu.clone(), words: input, count, softness: softness.to_vec() });
        }
        segment = LENGTH / count * count;
    }
}

fn kernel(first: bool, segment: usize, count: usize) -> Kernel {
    let input =
        if first { ("scores", "array<f32>", Access::Read) } else { ("earlier", "array<u32>", Access::Read) };
    let consts = vec![
        ("THREADS", THREADS.into()),
        ("LENGTH", LENGTH.into()),
        ("SEGMENT", segment.into()),
        ("K", count.into()),
        ("SCORES", first.into()),
        ("RESULTS", (!first).into()),
    ];
    let bindings = vec![input, ("picked", "array<u32>", Access::Write)];
    Kernel { name: "pick", parts: vec![include_str!("gpu.wgsl")], consts, bindings, threads: THREADS as u32 }
}

impl Picks {
    /// Reads the results back: 8 bytes for each row and each candidate.
    ///
    /// # Errors
    /// If the device failed.
    pub async fn read(self) -> Result<Vec<Picked>, Error> {
        let words = self.gpu.read(self.words).await?;
        let stride = 2 + 2 * self.count;
        let rows = words.chunks_exact(stride).zip(&self.softness);
        Ok(rows.map(|(row, softness)| picked(row, *softness)).collect())
    }
}

fn picked(row: &[u32], softness: f32) -> Picked {
    let (top, sum) = (f32::from_bits(row[0]), f32::from_bits(row[1]));
    let best = row[2..].chunks_exact(2).map(|pair| (pair[0], f32::from_bits(pair[1]))).collect();
    Picked { best, log_sum: top * softness + sum.ln() }
}
