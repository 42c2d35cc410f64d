//! Compute workers in the world: chunks that end, ranges that load, devices that get ready.

use super::World;
use super::agenda::Happening;
use crate::device::{ROWS_AT_ONCE, spoil};
use crate::invariants::credit::worth;
use coordinator::io::{Capability, Chunk, ChunkOutput, Device as Kind, Offer, Part, Piece, Speed, Task};
use coordinator::{Input, PeerId};

/// How often a chunk reads the weights of its layers, as receipts count it.
fn passes(task: &Task) -> u64 {
    match task {
        Task::Piece { piece: Piece::Steps { from, to }, .. } => 2 * u64::from(to - from),
        Task::Piece { piece: Piece::Warm { .. }, .. } => 2,
        Task::Pass { .. } | Task::Piece { .. } => 1,
    }
}

impl World {
    pub(super) fn run_chunk(&mut self, id: PeerId, chunk: Chunk) {
        let Some(peer) = self.peers.get_mut(&id) else {
            return;
        };
        // Pictures of one job run side by side, each under its own lease.
        let text = matches!(chunk.task, Task::Pass { .. });
        let fresh = if text { peer.leases.run(id, chunk.job, chunk.lease) } else { Ok(()) };
        let pushed = peer.device.push(chunk);
        for broken in [fresh, pushed].into_iter().filter_map(Result::err) {
            self.breaks(id, broken);
        }
        self.compute(id);
    }

    pub(super) fn compute(&mut self, id: PeerId) {
        let now = self.now;
        let Some(peer) = self.peers.get_mut(&id) else {
            return;
        };
        let generation = peer.device.generation;
        if let Some(ms) = peer.device.start() {
            let ms = ms + peer.device.hangs_until.saturating_sub(now);
            self.later(ms, Happening::Chunk(id, generation));
        }
    }

    pub(super) fn chunk_done(&mut self, id: PeerId, generation: u32) {
        let Some(peer) = self.peers.get_mut(&id).filter(|peer| peer.device.generation == generation) else {
            return;
        };
        let Some((chunk, result)) = peer.device.finish() else {
            return;
        };
        if let Some(model) = [&self.model, &self.painter].into_iter().find(|model| model.id == chunk.model) {
            peer.done += worth(model.layer_bytes * u64::from(chunk.layers.len()) * passes(&chunk.task));
        }
        let flaky = self.dice.range(0, 10_000) < self.weather.chunk_failures;
        let spoilt = peer.device.nonsense_until > self.now;
        let result = match result {
            Ok(_) if flaky => Err("out of memory".to_owned()),
            Ok(ChunkOutput::Refused { input, reason }) if !self.nonsense => {
                self.breaks(id, format!("{:?}: input {input} was refused: {reason}", chunk.job));
                Ok(ChunkOutput::Refused { input, reason })
            }
            Ok(output) if spoilt => spoil(&chunk, output),
            Ok(output) => Ok(output),
            Err(error) => {
                self.breaks(id, format!("{:?}: {error}", chunk.job));
                Err(error)
            }
        };
        self.feed(id, Input::Ran { job: chunk.job, lease: chunk.lease, number: chunk.number, result });
        self.compute(id);
    }

    pub(super) fn start_load(&mut self, id: PeerId, part: Part) {
        let Some(generation) = self.peers.get(&id).map(|peer| peer.device.generation) else {
            return;
        };
        // From the device's own store: opening it, then 25 to 100 MB/s for layers of a megabyte.
        let ms = self.dice.range(20, 150) + u64::from(part.layers.len()) * self.dice.range(10, 41);
        self.later(ms, Happening::Loaded(id, generation, part));
    }

    pub(super) fn load_done(&mut self, id: PeerId, generation: u32, part: Part) {
        let Some(peer) = self.peers.get_mut(&id).filter(|peer| peer.device.generation == generation) else {
            return;
        };
        let fails = self.dice.chance(self.weather.load_failures);
        let input = if fails {
            Input::LoadFailed(part, "the disk is full".into())
        } else {
            peer.device.load(part);
            Input::Loaded(part)
        };
        self.feed(id, input);
    }

    pub(super) fn device_ready(&mut self, id: PeerId, generation: u32) {
        let Some(peer) = self.peers.get_mut(&id).filter(|peer| peer.device.generation == generation) else {
            return;
        };
        peer.device.working = true;
        let claimed = (peer.spec.layer_micros / peer.spec.boast.max(1)).max(1);
        let capability = Capability {
            device: if claimed < 1_000 { Kind::Gpu } else { Kind::Cpu },
            memory: peer.spec.memory,
        };
        let text = Speed {
            layer_micros: claimed as u32,
            prefill_micros: claimed.div_ceil(ROWS_AT_ONCE) as u32,
            ..Speed::default()
        };
        let step = (peer.spec.step_micros / peer.spec.boast.max(1)) as u32;
        let paint = Speed { step_micros: step, encode_micros: step, decode_micros: step, ..Speed::default() };
        let mut offers = vec![Offer { model: self.model.clone(), speed: text }];
        if peer.spec.step_micros > 0 {
            offers.push(Offer { model: self.painter.clone(), speed: paint });
        }
        self.feed(id, Input::ComputeReady { capability, offers });
    }
}
