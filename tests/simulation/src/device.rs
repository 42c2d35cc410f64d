//! A compute worker in virtual time: loads ranges, runs chunks one after the other.

use crate::toy::Cache;
use coordinator::io::{Chunk, ChunkOutput};
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
    /// Counts restarts; what an older one began never ends.
    pub generation: u32,
    /// False after its loss, until it is ready again.
    pub working: bool,
    loaded: BTreeSet<Layers>,
    caches: BTreeMap<(JobId, Lease, Layers), Cache>,
    queue: VecDeque<Chunk>,
    current: Option<Chunk>,
    /// The caches of the current chunk go when it is done.
    forget_current: bool,
}

impl Device {
    /// A working device.
    #[must_use]
    pub fn new(model_layers: u16, layer_micros: u64) -> Self {
        Self {
            model_layers,
            layer_micros,
            hangs_until: 0,
            generation: 0,
            working: true,
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
        *self = Self { generation, working: false, ..Self::new(self.model_layers, self.layer_micros) };
    }

    /// A range is in memory now.
    pub fn load(&mut self, layers: Layers) {
        self.loaded.insert(layers);
    }

    /// A range is freed.
    pub fn unload(&mut self, layers: Layers) {
        self.loaded.remove(&layers);
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
        if !self.loaded.contains(&chunk.layers) {
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
        let rows = match &chunk.input {
            coordinator::io::ChunkInput::Tokens(tokens) => tokens.len(),
            coordinator::io::ChunkInput::Hidden(bytes) => bytes.len() / 8,
        };
        let micros = self.layer_micros * u64::from(chunk.layers.len()) * rows as u64;
        self.current = Some(chunk);
        Some(micros.div_ceil(1000))
    }

    /// Ends the chunk begun last: the chunk and what came of it.
    pub fn finish(&mut self) -> Option<(Chunk, Result<ChunkOutput, String>)> {
        let chunk = self.current.take()?;
        let last = chunk.layers.end == self.model_layers;
        let key = (chunk.job, chunk.lease, chunk.layers);
        let result = self.caches.entry(key).or_insert_with(|| Cache::new(chunk.layers)).run(&chunk, last);
        if std::mem::take(&mut self.forget_current) {
            self.caches.remove(&key);
        }
        Some((chunk, result))
    }

    /// Caches held; for leaks.
    #[must_use]
    pub fn caches(&self) -> usize {
        self.caches.len()
    }
}
