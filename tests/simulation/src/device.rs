//! A compute worker in virtual time: loads ranges, runs chunks one after the other.

use crate::toy::picture::{self, Painter, Sitting};
use crate::toy::{Cache, Failed, NONSENSE};
use coordinator::io::{Chunk, ChunkOutput, Part, Piece, Rows, Task};
use coordinator::{JobId, Layers, Lease};
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// One peer's worker.
#[derive(Debug)]
pub struct Device {
    /// Layers of the model.
    pub model_layers: u16,
    /// Microseconds for one row through one layer, now.
    pub layer_micros: u64,
    /// Until when it answers nothing, in virtual milliseconds.
    pub hangs_until: u64,
    /// Until when what it makes are no numbers, in virtual milliseconds.
    pub nonsense_until: u64,
    /// Milliseconds for which it has computed.
    pub busy_ms: u64,
    /// Counts restarts; what an older one began never ends.
    pub generation: u32,
    /// False after its loss, until it is ready again.
    pub working: bool,
    /// Microseconds for one branch of one denoising step; 0 if it does not paint.
    pub step_micros: u64,
    loaded: BTreeSet<Part>,
    caches: BTreeMap<(JobId, Lease, Layers), Cache>,
    queue: VecDeque<Chunk>,
    current: Option<Chunk>,
    /// The caches of the current chunk go when it is done.
    forget_current: bool,
}

impl Device {
    /// A working device.
    #[must_use]
    pub fn new(model_layers: u16, layer_micros: u64, step_micros: u64) -> Self {
        Self {
            model_layers,
            layer_micros,
            hangs_until: 0,
            nonsense_until: 0,
            busy_ms: 0,
            generation: 0,
            working: true,
            step_micros,
            loaded: BTreeSet::new(),
            caches: BTreeMap::new(),
            queue: VecDeque::new(),
            current: None,
            forget_current: false,
        }
    }

    /// Everything in it is gone.
    pub fn lose(&mut self) {
        let generation = self.generation + 1;
        let new = Self::new(self.model_layers, self.layer_micros, self.step_micros);
        *self = Self { generation, working: false, ..new };
    }

    /// A range is in memory now.
    pub fn load(&mut self, part: Part) {
        self.loaded.insert(part);
    }

    /// A range is freed.
    pub fn unload(&mut self, part: Part) {
        self.loaded.remove(&part);
    }

    /// A job's caches are freed; chunks that wait are not run.
    pub fn forget(&mut self, job: JobId, lease: Lease) {
        let runs = self.current.as_ref().is_some_and(|chunk| (chunk.job, chunk.lease) == (job, lease));
        self.forget_current |= runs;
        self.caches.retain(|&(own, under, _), _| runs || (own, under) != (job, lease));
        self.queue.retain(|chunk| (chunk.job, chunk.lease) != (job, lease));
    }

    /// Takes a chunk.
    ///
    /// # Errors
    /// If its layers are not in memory.
    pub fn push(&mut self, chunk: Chunk) -> Result<(), String> {
        if !self.loaded.contains(&Part { model: chunk.model, layers: chunk.layers }) {
            return Err(format!("a chunk for layers {} that are not loaded", chunk.layers));
        }
        self.queue.push_back(chunk);
        Ok(())
    }

    /// Begins the next chunk if it is idle, and says how many milliseconds that takes.
    pub fn start(&mut self) -> Option<u64> {
        if self.current.is_some() {
            return None;
        }
        let chunk = self.queue.pop_front()?;
        let row_micros = self.layer_micros * u64::from(chunk.layers.len());
        let micros = match &chunk.task {
            Task::Pass { input: Rows::Tokens(tokens), .. } => pass_micros(row_micros, tokens.len() as u64),
            Task::Pass { input: Rows::Hidden(bytes), .. } => pass_micros(row_micros, bytes.len() as u64 / 8),
            Task::Piece { piece, settings, .. } => {
                let blocks = matches!(piece, Piece::Blocks { .. });
                let layers = if blocks { chunk.layers.len() } else { picture::LAYERS };
                self.step_micros * twelfths(*piece, settings) * u64::from(layers)
                    / u64::from(12 * picture::LAYERS)
            }
        };
        self.current = Some(chunk);
        let ms = micros.div_ceil(1_000);
        self.busy_ms += ms;
        Some(ms)
    }

    /// Ends the chunk begun last: the chunk and what came of it.
    pub fn finish(&mut self) -> Option<(Chunk, Result<ChunkOutput, String>)> {
        let chunk = self.current.take()?;
        if let Task::Piece { piece, unit, settings, inputs } = &chunk.task {
            let painter = Painter { layers: chunk.layers };
            let ran = painter.run(*piece, Sitting { unit: *unit, settings }, inputs);
            self.forget_current = false;
            return Some((chunk, ran.map(answer).or_else(Failed::answer)));
        }
        let last = chunk.layers.end == self.model_layers;
        let key = (chunk.job, chunk.lease, chunk.layers);
        let result = self.caches.entry(key).or_insert_with(|| Cache::new(chunk.layers)).run(&chunk, last);
        if std::mem::take(&mut self.forget_current) {
            self.caches.remove(&key);
        }
        Some((chunk, result.or_else(Failed::answer)))
    }

    /// Chunks that wait or run.
    #[must_use]
    pub fn chunks(&self) -> usize {
        self.queue.len() + usize::from(self.current.is_some())
    }

    /// Caches held; for leaks.
    #[must_use]
    pub fn caches(&self) -> usize {
        self.caches.len()
    }
}

/// What a device that is out of order makes: numbers that are none. What comes of those at the end of a model, a token or
/// pixels, its own worker sees for itself.
///
/// # Errors
/// Says so.
pub fn spoil(chunk: &Chunk, output: ChunkOutput) -> Result<ChunkOutput, String> {
    let pixels = matches!(chunk.task, Task::Piece { piece: Piece::Decode { .. }, .. });
    match output {
        ChunkOutput::Hidden(bytes) => Ok(ChunkOutput::Hidden(vec![u8::MAX; bytes.len()])),
        ChunkOutput::Piece(_) if !pixels => Ok(ChunkOutput::Piece(NONSENSE.to_be_bytes().to_vec())),
        ChunkOutput::Pieces(outputs) => {
            Ok(ChunkOutput::Pieces(vec![NONSENSE.to_be_bytes().to_vec(); outputs.len()]))
        }
        ChunkOutput::Piece(_) | ChunkOutput::Token { .. } => Err("what came of it is no number".into()),
        other => Ok(other),
    }
}

/// How many rows of a long pass take as long as one alone. Source: guess, on the careful side; decoding waits for the
/// weights, and a pass reads them once for all its rows.
pub const ROWS_AT_ONCE: u64 = 4;

fn pass_micros(row_micros: u64, rows: u64) -> u64 {
    row_micros + row_micros * rows.saturating_sub(1) / ROWS_AT_ONCE
}

/// As a compute worker says it.
fn answer(mut outputs: Vec<Vec<u8>>) -> ChunkOutput {
    match outputs.len() {
        1 => ChunkOutput::Piece(outputs.remove(0)),
        _ => ChunkOutput::Pieces(outputs),
    }
}

/// What a piece takes, in twelfths of a branch of a step: encoding takes a branch, and so does decoding the four tiles
/// that a latent mostly has; a band its share of the branches; joining nothing.
fn twelfths(piece: Piece, settings: &[u8]) -> u64 {
    let step = if settings.first() == Some(&1) { 24 } else { 12 };
    match piece {
        Piece::Steps { from, to } => u64::from(to - from) * step,
        Piece::Warm { .. } => step,
        Piece::Patch { of, .. } => step / u64::from(of),
        Piece::Join { .. } | Piece::Stitch { .. } => 0,
        Piece::Encode | Piece::Half { .. } | Piece::Blocks { .. } => 12,
        Piece::Decode { .. } => 3,
    }
}
