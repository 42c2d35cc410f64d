//! How long a picture takes on this device: the same engine that a room uses, without the room.

use super::bench;
use super::files::Files;
use super::worker::painter::Painter;
use crate::painting::PaintRequest;
use coordinator::io::{Chunk, ChunkOutput, Part, Piece, Task};
use coordinator::{Epoch, JobId, Layers, Lease, PeerId};
use serde::Serialize;
use web_time::Instant;

/// What to measure.
#[derive(Debug, Clone)]
pub struct Wish {
    /// What to paint; a width or height of 0 is the model's own.
    pub request: PaintRequest,
    /// How often.
    pub runs: usize,
    /// WebGPU, which has to be there then, or the CPU.
    pub gpu: bool,
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
    /// Milliseconds until the weights were ready.
    pub load_ms: f64,
    /// The most memory in use in all: of the engine in a tab, of the program natively; None where nobody tells.
    pub peak_bytes: Option<u64>,
    /// Width and height in pixels.
    pub size: [u32; 2],
    /// Denoising steps.
    pub steps: u16,
    /// Guidance; above 1 each step takes two passes.
    pub guidance: f32,
    /// Seconds for each picture from prompt to pixels, run by run.
    pub seconds: Vec<f64>,
    /// The best of the runs.
    pub best_seconds: f64,
    /// Milliseconds of one pass of the denoiser in the best run, all steps alike.
    pub pass_ms: f64,
}

/// Loads the model `source` and paints.
///
/// # Errors
/// In plain words: the device or the model that is not there, or a picture that cannot be painted.
pub async fn run<F: Files>(source: &str, files: F, wish: Wish) -> Result<Figures, String> {
    let opened = bench::open(wish.gpu).await?;
    let (adapter, began) = (opened.adapter.clone(), Instant::now());
    let mut painter = Painter::open(source, files, opened).await?;
    let layers = painter.layers();
    painter.load(Part { model: painter.id(), layers }, |_, _| ()).await?;
    let load_ms = began.elapsed().as_secs_f64() * 1e3;
    let mut request = wish.request;
    let own = |side: u32| if side == 0 { painter.easel().base } else { side };
    (request.width, request.height) = (own(request.width), own(request.height));
    let tiles = painter.order(&request)?.tiles;
    let mut seconds = Vec::new();
    // The first run compiles shaders: it does not count.
    for serial in 0..=wish.runs.max(1) as u32 {
        let began = Instant::now();
        paint(&mut painter, layers, &request, tiles, serial).await?;
        if serial > 0 {
            seconds.push(began.elapsed().as_secs_f64());
        }
    }
    let best_seconds = seconds.iter().copied().fold(f64::INFINITY, f64::min);
    let passes = f64::from(request.steps) * if request.guided() { 2.0 } else { 1.0 };
    Ok(Figures {
        model: source.to_owned(),
        device: if wish.gpu { "gpu" } else { "cpu" },
        adapter,
        threads: kernels::ops::threads::count(),
        load_ms,
        peak_bytes: bench::peak_bytes(),
        size: [request.width, request.height],
        steps: request.steps,
        guidance: request.guidance,
        seconds,
        best_seconds,
        pass_ms: best_seconds * 1e3 / passes,
    })
}

/// One picture, piece by piece as one peer alone runs them.
async fn paint<F: Files>(
    painter: &mut Painter<F>,
    layers: Layers,
    request: &PaintRequest,
    tiles: u16,
    serial: u32,
) -> Result<(), String> {
    let requester = PeerId(0);
    let (job, lease) =
        (JobId { requester, serial }, Lease { epoch: Epoch { term: 0, leader: requester }, serial });
    let (model, settings) = (painter.id(), request.to_bytes());
    let mut run = async |piece: Piece, inputs: Vec<Vec<u8>>| {
        let task = Task::Piece { piece, unit: serial as u16, settings: settings.clone(), inputs };
        let chunk = Chunk { job, lease, number: 0, model, layers, task };
        match painter.run(&chunk, &|| {}).await?? {
            ChunkOutput::Piece(bytes) => Ok(bytes),
            other => Err(format!("{piece:?} became {other:?}")),
        }
    };
    let encoding = run(Piece::Encode, Vec::new()).await?;
    let latent = run(Piece::Steps { from: 0, to: request.steps }, vec![encoding]).await?;
    for tile in 0..tiles {
        run(Piece::Decode { tile }, vec![latent.clone()]).await?;
    }
    painter.forget((job, lease));
    Ok(())
}
