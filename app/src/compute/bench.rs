//! How fast a model is on this device: the same engine that a room uses, without the room.

use super::files::Files;
use super::worker::model::{Model, range};
use coordinator::io::Part;
use coordinator::{Epoch, JobId, Layers, Lease, PeerId};
use kernels::device::{self, Kind, Opened, Prefer};
use kernels::engine::{Draw, Input, Step, StepOut};
use kernels::llm::{PagingFigures, Sampling};
use serde::Serialize;
use web_time::Instant;

/// What to measure.
#[derive(Debug, Clone, Copy)]
pub struct Wish {
    /// Tokens of the prompt.
    pub prefill: usize,
    /// Tokens that are written after it, one at a time.
    pub decode: usize,
    /// How often.
    pub runs: usize,
    /// WebGPU, which has to be there then, or the CPU.
    pub gpu: bool,
    /// Bytes of weights to hold at most, of a mixture of experts.
    pub memory: Option<u64>,
}

/// What was measured; the best of the runs counts, the others say how sure that is.
#[derive(Debug, Serialize)]
pub struct Figures {
    /// The model, as it was named.
    pub model: String,
    /// `cpu` or `gpu`.
    pub device: &'static str,
    /// The device, as it names itself.
    pub adapter: String,
    /// Threads that computed, if the CPU did.
    pub threads: usize,
    /// Bytes of the model's weights.
    pub weight_bytes: u64,
    /// Milliseconds until the weights were ready.
    pub load_ms: f64,
    /// The most memory in use until then: of the engine in a tab, of the program natively; None where nobody tells.
    pub load_peak_bytes: Option<u64>,
    /// Tokens of the prompt.
    pub prefill: usize,
    /// Tokens written.
    pub decode: usize,
    /// Tokens of the prompt a second, run by run.
    pub prefill_per_s: Vec<f64>,
    /// Tokens written a second, run by run.
    pub decode_per_s: Vec<f64>,
    /// The best of the runs.
    pub best_prefill_per_s: f64,
    /// The best of the runs.
    pub best_decode_per_s: f64,
    /// What was read while it ran; nothing of a model that fits.
    #[serde(flatten)]
    pub experts: Option<ExpertFigures>,
}

/// Experts in all runs that count, of a mixture that does not fit.
#[derive(Debug, Serialize)]
pub struct ExpertFigures {
    /// Bytes that they could take.
    pub expert_budget: u64,
    /// The most that they took.
    pub expert_peak_bytes: u64,
    /// Those that were in memory when they were asked for.
    pub expert_hits: u64,
    /// Those that were not.
    pub expert_misses: u64,
    /// Those of both that were foreseen.
    pub expert_foreseen: u64,
    /// Milliseconds during which nothing was computed because of them.
    pub expert_stall_ms: f64,
    /// Bytes that were read.
    pub expert_bytes_read: u64,
    /// Seconds of all these runs.
    pub expert_seconds: f64,
}

impl ExpertFigures {
    fn between(before: PagingFigures, after: PagingFigures, seconds: f64) -> Self {
        Self {
            expert_budget: after.budget,
            expert_peak_bytes: after.peak_bytes,
            expert_hits: after.hits - before.hits,
            expert_misses: after.misses - before.misses,
            expert_foreseen: after.foreseen - before.foreseen,
            expert_stall_ms: (after.stall_micros - before.stall_micros) as f64 / 1e3,
            expert_bytes_read: after.bytes_read - before.bytes_read,
            expert_seconds: seconds,
        }
    }
}

/// Loads the model `source` and runs it.
///
/// # Errors
/// In plain words: the device or the model that is not there, or sizes beyond the model's context.
pub async fn run<F: Files>(source: &str, files: F, wish: Wish) -> Result<Figures, String> {
    if wish.prefill == 0 || wish.decode == 0 || wish.runs == 0 {
        return Err("prefill, decode and runs have to be 1 at least".into());
    }
    let opened = open(wish.gpu).await?;
    let (adapter, began) = (opened.adapter.clone(), Instant::now());
    let (mut model, _) = Model::open(source, files, opened).await?;
    let all = Layers { start: 0, end: model.spec().layers };
    let (id, spec) = (model.spec().id, model.spec().clone());
    if let Some(memory) = wish.memory {
        model = model.fit(memory)?;
    }
    model.load(Part { model: id, layers: all }, |_, _| ()).await?;
    let (load_ms, load_peak_bytes) = (began.elapsed().as_secs_f64() * 1e3, peak_bytes());
    if wish.prefill + wish.decode > spec.context as usize {
        return Err(format!("the model's context is {} tokens", spec.context));
    }
    let (mut prefill_per_s, mut decode_per_s) = (Vec::new(), Vec::new());
    let (mut before, mut seconds) = (None, 0.0);
    // The first run compiles shaders and fills caches: it does not count.
    for number in 0..=wish.runs {
        let (prefill, decode) = once(&mut model, all, wish, number as u32).await?;
        if number == 0 {
            before = model.engine.paging();
        } else {
            seconds += prefill + decode;
            prefill_per_s.push(wish.prefill as f64 / prefill);
            decode_per_s.push(wish.decode as f64 / decode);
        }
    }
    let experts = before.zip(model.engine.paging());
    let best = |all: &[f64]| all.iter().copied().fold(0.0, f64::max);
    Ok(Figures {
        model: source.to_owned(),
        device: if wish.gpu { "gpu" } else { "cpu" },
        adapter,
        threads: kernels::ops::threads::count(),
        weight_bytes: spec.layer_bytes * u64::from(spec.layers) + spec.ends_bytes,
        load_ms,
        load_peak_bytes,
        prefill: wish.prefill,
        decode: wish.decode,
        best_prefill_per_s: best(&prefill_per_s),
        best_decode_per_s: best(&decode_per_s),
        prefill_per_s,
        decode_per_s,
        experts: experts.map(|(before, after)| ExpertFigures::between(before, after, seconds)),
    })
}

/// The GPU, which has to be there then, or the CPU: figures of another device would be compared with the wrong thing.
pub(super) async fn open(gpu: bool) -> Result<Opened, String> {
    let opened = device::open(if gpu { Prefer::Gpu } else { Prefer::Cpu }).await;
    if gpu && opened.kind != Kind::Gpu {
        return Err(opened.notice.unwrap_or_default());
    }
    Ok(opened)
}

/// An engine's memory in a tab grows and never shrinks.
#[cfg(target_arch = "wasm32")]
pub(super) fn peak_bytes() -> Option<u64> {
    const PAGE: u64 = 1 << 16;
    Some(core::arch::wasm32::memory_size(0) as u64 * PAGE)
}

#[cfg(not(target_arch = "wasm32"))]
pub(super) fn peak_bytes() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = text.lines().find(|line| line.starts_with("VmHWM:"))?;
    Some(line.split_whitespace().nth(1)?.parse::<u64>().ok()? * 1024)
}

/// Seconds of one prompt and of one answer.
async fn once<F: Files>(
    model: &mut Model<F>,
    all: Layers,
    wish: Wish,
    serial: u32,
) -> Result<(f64, f64), String> {
    let requester = PeerId(0);
    let session =
        (JobId { requester, serial }, Lease { epoch: Epoch { term: 0, leader: requester }, serial });
    let vocabulary = model.engine.config().vocabulary;
    // Another one in each run: the engine would begin with what it cached of the same.
    let first = serial as usize + 7;
    let prompt: Vec<u32> = (0..wish.prefill).map(|at| ((at * 31 + first) % vocabulary) as u32).collect();
    let began = Instant::now();
    let mut position = 0;
    let mut token = 0;
    for rows in prompt.chunks(coordinator::limits::PASS_TOKENS) {
        let last = position + rows.len() == prompt.len();
        token = step(model, session, all, position, rows, last).await?.unwrap_or(token);
        position += rows.len();
    }
    let prefill = began.elapsed().as_secs_f64();
    if model.engine.reused_rows() > 0 {
        return Err("rows of the prompt were cached, so that there is nothing to measure".into());
    }
    let began = Instant::now();
    for _ in 0..wish.decode {
        token = step(model, session, all, position, &[token], true).await?.unwrap_or(token);
        position += 1;
    }
    model.engine.forget(&session);
    Ok((prefill, began.elapsed().as_secs_f64()))
}

async fn step<F: Files>(
    model: &mut Model<F>,
    session: (JobId, Lease),
    all: Layers,
    position: usize,
    rows: &[u32],
    sampled: bool,
) -> Result<Option<u32>, String> {
    let settings = Sampling::greedy().to_bytes().map_err(|error| error.to_string())?;
    let draw = sampled.then_some(Draw { settings: &settings, recent: &[] });
    let step =
        Step { session, layers: range(all), position, input: Input::Tokens(rows), adapters: &[], draw };
    match model.run(&[step]).await.pop() {
        Some(Ok(StepOut::Token { token, .. })) => Ok(Some(token)),
        Some(Err(error)) => Err(error.to_string()),
        _ => Ok(None),
    }
}
