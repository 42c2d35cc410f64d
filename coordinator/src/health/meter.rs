//! How fast this device really computes, from its own chunks.
//!
//! A probe measures one layer once, on a device that does nothing else. Chunks tell the truth: other tabs, heat, the
//! way between page and worker. The worker runs one chunk after the other, so a chunk's own time begins when it was
//! handed over or when the one before was answered, whichever is later:
//!
//! ```text
//!   handed over   A  B                C
//!                 |--|----------------|-----------
//!   answered              A      B            C
//!   own time      |---A---|--B---|    |---C---|
//! ```
//!
//! Clocks of browsers tick in milliseconds, and a small model's chunk may take less. So time and work are summed
//! over *blocks* of at least `BLOCK_MS`; ends of neighbouring chunks meet, so that the ticks' errors cancel. The speed
//! is the median of the latest blocks: a pause for a shader or for other tabs spoils one of them, not the figure.

use crate::ids::Millis;
use std::collections::VecDeque;

#[cfg(test)]
mod tests;

/// Least milliseconds of own time in a block. Source: ticks of 1 ms are then wrong by less than 1 %.
const BLOCK_MS: u64 = 250;
/// Least chunks in a block. Source: guess; a single one may be the odd one.
const BLOCK_CHUNKS: u32 = 4;
/// Blocks of which the speed is the median. Source: guess; over a second, and two bad ones do not count.
const BLOCKS: usize = 5;
/// Blocks from which on they are believed more than the probe. Source: a median that outvotes one bad block.
const BLOCKS_LEAST: usize = 3;
/// Milliseconds between two samples of what is usual here. Source: guess.
const USUAL_MS: u64 = 10_000;
/// Samples of what is usual. Source: guess; five minutes of work, so that heat shows before it becomes usual.
const USUAL: usize = 31;
/// Samples that must be there before "slower than usual" means anything. Source: guess; a minute.
const USUAL_LEAST: usize = 6;
/// Percent by which the speed must differ from the one last reported before another is. Source: guess; more than
/// a median of blocks wavers, and less than a plan would change for.
const REPORT_PERCENT: u64 = 15;

/// The size of a chunk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Work {
    /// Rows (tokens) that went through.
    pub rows: u32,
    /// Layers that they went through.
    pub layers: u16,
}

/// This device's speed.
#[derive(Clone, Debug, Default)]
pub struct Meter {
    /// When the worker last answered, or this device last woke.
    free: Millis,
    /// Chunks handed over before this do not count.
    woke: Millis,
    /// One row at a time, as when an answer is written.
    decode: Pace,
    /// Many rows at once, as when a prompt is read.
    prefill: Pace,
    reported: Option<u32>,
}

impl Meter {
    /// The worker answered a chunk of `work` that it was handed at `given`. Chunks that failed are not for here.
    pub fn ran(&mut self, now: Millis, given: Millis, work: Work) {
        let own_ms = now.since(given.max(self.free));
        self.free = self.free.max(now);
        let layer_rows = u64::from(work.rows) * u64::from(work.layers);
        if given < self.woke || layer_rows == 0 {
            return;
        }
        let pace = if work.rows == 1 { &mut self.decode } else { &mut self.prefill };
        pace.add(now, own_ms, layer_rows);
    }

    /// This device has slept until now: chunks that it slept through say nothing of its speed.
    pub fn woke(&mut self, now: Millis) {
        self.woke = now;
        self.free = self.free.max(now);
    }

    /// Recent microseconds for one row through one layer, one row at a time; None until enough was seen.
    #[must_use]
    pub fn decode_micros(&self) -> Option<u32> {
        self.decode.micros()
    }

    /// Recent microseconds for one row through one layer, many rows at once; None until enough was seen.
    #[must_use]
    pub fn prefill_micros(&self) -> Option<u32> {
        self.prefill.micros()
    }

    /// How long a row takes now in percent of what is usual on this device: 100 is as ever, 200 half the speed. None
    /// until it has worked for a minute or so.
    #[must_use]
    pub fn slowdown_percent(&self) -> Option<u32> {
        self.decode.slowdown_percent().max(self.prefill.slowdown_percent())
    }

    /// Microseconds for one token through one layer: the probe's, until enough was seen.
    #[must_use]
    pub fn effective_layer_micros(&self, probe: u32) -> u32 {
        self.decode_micros().unwrap_or(probe)
    }

    /// As `effective_layer_micros`, but the figure stays until it is off by more than `REPORT_PERCENT`: what to tell
    /// the room, so that reports and plans do not follow every breath.
    pub fn report_layer_micros(&mut self, probe: u32) -> u32 {
        let micros = self.effective_layer_micros(probe);
        let near = |old: u32| u64::from(micros.abs_diff(old)) * 100 <= u64::from(old) * REPORT_PERCENT;
        let figure = self.reported.filter(|&old| near(old)).unwrap_or(micros);
        *self.reported.insert(figure)
    }
}

/// The speed at one kind of chunk.
#[derive(Clone, Debug, Default)]
struct Pace {
    ms: u64,
    layer_rows: u64,
    chunks: u32,
    /// Microseconds a layer and row of the latest full blocks.
    blocks: VecDeque<u32>,
    /// Samples of their median, and when the last was taken.
    usual: VecDeque<u32>,
    sampled: Option<Millis>,
}

impl Pace {
    fn add(&mut self, now: Millis, ms: u64, layer_rows: u64) {
        self.ms = self.ms.saturating_add(ms);
        self.layer_rows = self.layer_rows.saturating_add(layer_rows);
        self.chunks = self.chunks.saturating_add(1);
        if self.ms < BLOCK_MS || self.chunks < BLOCK_CHUNKS {
            return;
        }
        let micros = (self.ms.saturating_mul(1_000) / self.layer_rows).clamp(1, u32::MAX.into());
        push(&mut self.blocks, BLOCKS, micros as u32);
        (self.ms, self.layer_rows, self.chunks) = (0, 0, 0);
        self.sample(now);
    }

    fn sample(&mut self, now: Millis) {
        let due = self.sampled.is_none_or(|at| now.since(at) >= USUAL_MS);
        if let Some(micros) = self.micros().filter(|_| due) {
            push(&mut self.usual, USUAL, micros);
            self.sampled = Some(now);
        }
    }

    fn micros(&self) -> Option<u32> {
        median(&self.blocks).filter(|_| self.blocks.len() >= BLOCKS_LEAST)
    }

    fn slowdown_percent(&self) -> Option<u32> {
        let usual = median(&self.usual).filter(|_| self.usual.len() >= USUAL_LEAST)?;
        let percent = u64::from(self.micros()?) * 100 / u64::from(usual.max(1));
        Some(percent.min(u32::MAX.into()) as u32)
    }
}

fn push(ring: &mut VecDeque<u32>, most: usize, value: u32) {
    if ring.len() == most {
        ring.pop_front();
    }
    ring.push_back(value);
}

fn median(values: &VecDeque<u32>) -> Option<u32> {
    let mut sorted: Vec<u32> = values.iter().copied().collect();
    sorted.sort_unstable();
    sorted.get(sorted.len() / 2).copied()
}
