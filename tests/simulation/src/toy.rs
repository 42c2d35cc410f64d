//! A model of hashes that is as touchy as a real one.
//!
//! Every layer keeps a running hash of all rows that it was given: its cache. A row's output depends on that cache and on
//! the layer. So a replay that leaves a position out, runs it twice, in another order, or into a cache of another lease
//! gives different tokens; splitting the layers at any boundary, or the rows into other passes, does not.

use crate::dice::mix;
use coordinator::io::{Chunk, ChunkOutput, End, Rows, Sample, Task};
use coordinator::{Layers, ModelId, limits};

pub mod picture;

/// Eight bytes that are no number, like a real device's NaN.
pub const NONSENSE: u64 = u64::MAX;

/// Why a chunk came to nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Failed {
    /// An input is no good.
    Input {
        /// Its place.
        input: u32,
        /// What is wrong with it.
        reason: String,
    },
    /// It was not to be run here, or not now.
    Own(String),
}

impl Failed {
    /// As a compute worker says it.
    ///
    /// # Errors
    /// If it is the worker's own fault.
    pub fn answer(self) -> Result<ChunkOutput, String> {
        match self {
            Self::Input { input, reason } => Ok(ChunkOutput::Refused { input, reason }),
            Self::Own(reason) => Err(reason),
        }
    }
}

/// Token ids are below this.
pub const VOCABULARY: u64 = 1000;

/// The caches of one range of layers for one job under one lease.
#[derive(Clone, Debug)]
pub struct Cache {
    layers: Vec<u64>,
    position: u32,
}

impl Cache {
    /// Empty caches for `layers`.
    #[must_use]
    pub fn new(layers: Layers) -> Self {
        Self { layers: vec![0; layers.len().into()], position: 0 }
    }

    /// Runs one chunk; `last` is true at the model's last layers.
    ///
    /// # Errors
    /// If its position is not the next one, or its input is not whole rows of numbers.
    pub fn run(&mut self, chunk: &Chunk, last: bool) -> Result<ChunkOutput, Failed> {
        let Task::Pass { position, input, sample: settings } = &chunk.task else {
            return Err(Failed::Own("a piece of a picture for a text model".into()));
        };
        if *position != self.position {
            return Err(Failed::Own(format!("position {position} where {} was due", self.position)));
        }
        let mut rows: Vec<u64> = match input {
            Rows::Tokens(tokens) => tokens.iter().map(|&token| mix(u64::from(token) + 1)).collect(),
            Rows::Hidden(bytes) if bytes.len() % 8 == 0 => bytes
                .chunks_exact(8)
                .map(|row| row.iter().fold(0, |sum, &byte| sum << 8 | u64::from(byte)))
                .collect(),
            Rows::Hidden(_) => return Err(refused("hidden states that are not whole rows")),
        };
        if rows.contains(&NONSENSE) {
            return Err(refused("a row that is no number"));
        }
        for (layer, cache) in (u64::from(chunk.layers.start)..).zip(&mut self.layers) {
            for row in &mut rows {
                *cache = mix(*cache ^ *row ^ layer << 32);
                *row = mix(*row ^ *cache);
            }
        }
        self.position += rows.len() as u32;
        Ok(match (settings, last) {
            (Some(with), true) => sample(rows.last().copied().unwrap_or(0), with, self.position),
            (None, true) => ChunkOutput::Nothing,
            (_, false) => ChunkOutput::Hidden(rows.iter().flat_map(|row| row.to_be_bytes()).collect()),
        })
    }
}

fn refused(reason: &str) -> Failed {
    Failed::Input { input: 0, reason: reason.into() }
}

/// The counter-based sampler: keyed by the job's seed and the position, and touchy about every token before it.
fn sample(row: u64, with: &Sample, position: u32) -> ChunkOutput {
    let seed = with.settings.iter().fold(0, |sum, &byte| sum << 8 | u64::from(byte));
    let recent = with.recent.iter().fold(0, |sum, &token| mix(sum ^ u64::from(token)));
    let bits = mix(row ^ mix(seed ^ u64::from(position)) ^ recent);
    let token = (bits % VOCABULARY) as u32;
    // What is told of a token has to arrive with that token.
    ChunkOutput::Token { token, end: bits >> 32 & 127 == 0, note: token.to_le_bytes().to_vec() }
}

/// What one peer alone writes: the answer and how it ends.
#[must_use]
pub fn solo(layers: u16, prompt: &[u32], max_new: u32, sampling: &[u8]) -> (Vec<u32>, End) {
    let all = Layers { start: 0, end: layers };
    let mut cache = Cache::new(all);
    let mut answer = Vec::new();
    let mut passes: Vec<Vec<u32>> = prompt.chunks(limits::PASS_TOKENS).map(<[u32]>::to_vec).collect();
    let mut position = 0;
    loop {
        let mut output = ChunkOutput::Nothing;
        for pass in std::mem::take(&mut passes) {
            let rows = pass.len() as u32;
            let known = [prompt, answer.as_slice()].concat();
            let recent = known[known.len().saturating_sub(limits::RECENT)..].to_vec();
            let sampled = position + rows >= prompt.len() as u32;
            let sample = sampled.then(|| Sample { settings: sampling.to_vec(), recent });
            let chunk = solo_chunk(all, position, pass, sample);
            output = cache.run(&chunk, true).unwrap_or(ChunkOutput::Nothing);
            position += rows;
        }
        match output {
            ChunkOutput::Token { token, end: false, .. } => {
                answer.push(token);
                passes.push(vec![token]);
            }
            _ => return (answer, End::Finished),
        }
        if answer.len() >= max_new as usize {
            return (answer, End::Length);
        }
    }
}

fn solo_chunk(layers: Layers, position: u32, tokens: Vec<u32>, sample: Option<Sample>) -> Chunk {
    let leader = coordinator::PeerId(0);
    let lease = coordinator::Lease { epoch: coordinator::Epoch { term: 0, leader }, serial: 0 };
    let job = coordinator::JobId { requester: leader, serial: 0 };
    let task = Task::Pass { position, input: Rows::Tokens(tokens), sample };
    Chunk { job, lease, number: position, model: ModelId([7; 32]), layers, task }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hidden(cache: &mut Cache, layers: Layers, position: u32, input: Rows) -> Vec<u8> {
        let task = Task::Pass { position, input, sample: None };
        let chunk = Chunk { task, ..solo_chunk(layers, position, vec![], None) };
        match cache.run(&chunk, false) {
            Ok(ChunkOutput::Hidden(bytes)) => bytes,
            other => panic!("hidden states were due, not {other:?}"),
        }
    }

    #[test]
    fn splitting_layers_or_passes_changes_nothing() {
        let all = Layers { start: 0, end: 8 };
        let tokens = Rows::Tokens(vec![1, 2]);
        let whole = hidden(&mut Cache::new(all), all, 0, tokens.clone());
        for cut in 1..8 {
            let (low, high) = (Layers { start: 0, end: cut }, Layers { start: cut, end: 8 });
            let between = hidden(&mut Cache::new(low), low, 0, tokens.clone());
            let split = hidden(&mut Cache::new(high), high, 0, Rows::Hidden(between));
            assert_eq!(split, whole, "cut at {cut}");
        }
        let mut cache = Cache::new(all);
        hidden(&mut cache, all, 0, Rows::Tokens(vec![1]));
        let single = hidden(&mut cache, all, 1, Rows::Tokens(vec![2]));
        assert_eq!(single, whole[8..], "the same tokens in other passes");
        let mut cache = Cache::new(all);
        hidden(&mut cache, all, 0, Rows::Tokens(vec![3]));
        let other = hidden(&mut cache, all, 1, Rows::Tokens(vec![2]));
        assert_ne!(other, single, "the same token after another one");
    }

    #[test]
    fn positions_must_follow_each_other() {
        let all = Layers { start: 0, end: 2 };
        assert!(Cache::new(all).run(&solo_chunk(all, 1, vec![1], None), true).is_err());
    }
}
