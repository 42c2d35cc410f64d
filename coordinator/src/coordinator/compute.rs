//! What this peer's own compute worker says.

use super::Coordinator;
use crate::health::{Meter, Work};
use crate::ids::{JobId, Lease, ModelId};
use crate::io::{Capability, Chunk, ChunkOutput, Event, Kind, Offer, Output, Rows, Task};
use crate::{credit, limits, wire};

impl Coordinator {
    pub(super) fn compute_ready(&mut self, capability: Capability, mut offers: Vec<Offer>) {
        offers.retain(|offer| {
            let layers = offer.model.layers;
            let fits = (1..=limits::MODEL_LAYERS).contains(&layers);
            if !fits {
                let (name, most) = (&offer.model.name, limits::MODEL_LAYERS);
                let text = format!("{name} has {layers} layers, 1 to {most} are possible: it is left out.");
                self.out.event(Event::Notice(text));
            }
            fits
        });
        offers.truncate(limits::MODELS);
        for offer in &mut offers {
            offer.model.name = wire::clip(&offer.model.name, limits::NAME_BYTES);
        }
        let ids = |offers: &[Offer]| offers.iter().map(|offer| offer.model.id).collect::<Vec<ModelId>>();
        if ids(&offers) != ids(&self.members.own.offers) {
            self.lose_compute("its model was changed");
            self.meter = Meter::default();
        }
        self.probed = offers.iter().map(|offer| (offer.model.id, offer.speed)).collect();
        self.members.own.capability = Some(capability);
        self.members.own.offers = offers;
        self.members.fitness.device(true);
        self.own_speed();
        self.stir = true;
    }

    pub(super) fn lose_compute(&mut self, reason: &str) {
        self.ranges.clear();
        self.stages.lost(reason, &mut self.out);
        self.given.clear();
        self.members.own.capability = None;
        self.members.fitness.device(false);
        self.stir = true;
    }

    pub(super) fn ran(&mut self, job: JobId, lease: Lease, number: u32, result: Result<ChunkOutput, String>) {
        if let Some((given, work, model)) = self.given.remove(&(job, lease, number))
            && !matches!(result, Err(_) | Ok(ChunkOutput::Refused { .. }))
        {
            self.meter.ran(self.now, given, work);
            if work.rows == 1 {
                self.decode_layers = work.layers;
            }
            if let Some((owner, spec)) = self.stages.owner(job, lease).zip(self.members.model(model)) {
                let bytes = spec.layer_bytes.saturating_mul(work.layers.into());
                self.ledger.worked(self.now, owner, credit::for_bytes(bytes));
            }
        }
        self.stages.ran(self.now, (job, lease), number, result, &mut self.out);
    }

    /// For how long the compute worker may be silent over a chunk: a large picture's pass takes its time on a small device.
    pub(super) fn worker_patience_ms(&self) -> u64 {
        let pass = self.members.own.offers.iter().map(|offer| offer.speed.step_micros).max().unwrap_or(0);
        limits::WORKER_MS.max(u64::from(pass) / 1_000 * limits::WORKER_PASSES)
    }

    /// Notes when each chunk was given to the compute worker.
    pub(super) fn note_runs(&mut self, outputs: &[Output]) {
        for output in outputs {
            match output {
                Output::Run(chunk) => {
                    let key = (chunk.job, chunk.lease, chunk.number);
                    self.given.insert(key, (self.now, size(chunk), chunk.model));
                }
                Output::Forget(job, lease) => self.given.retain(|key, _| (key.0, key.1) != (*job, *lease)),
                _ => {}
            }
        }
    }

    /// Puts what the device has shown in the place of what its probe promised. What a chunk takes beyond its layers (head,
    /// sampling, the way between worker and page) is a cost of the hop, unless the device is slower than it usually is.
    pub(super) fn own_speed(&mut self) {
        let slow = self.meter.slowdown_percent().unwrap_or(100);
        let slow = if slow > SLOW_PERCENT { u64::from(slow / 50 * 50) } else { 100 };
        for offer in &mut self.members.own.offers {
            let text = offer.model.kind == Kind::Text;
            let Some(probed) = self.probed.get(&offer.model.id).filter(|_| text) else { continue };
            let scaled = |micros: u32| (u64::from(micros) * slow / 100).min(u32::MAX.into()) as u32;
            let shown = self.meter.report_layer_micros(probed.layer_micros);
            offer.speed.layer_micros = scaled(probed.layer_micros);
            offer.speed.prefill_micros = scaled(probed.prefill_micros);
            let beyond = u64::from(shown.saturating_sub(offer.speed.layer_micros));
            let hop = beyond.saturating_mul(self.decode_layers.into()).min(u32::MAX.into()) as u32;
            offer.speed.hop_micros = hop.max(probed.hop_micros);
        }
    }
}

/// Percent of a device's usual time from which its layers, not its hops, count as slow. Source: as in `health::fitness`.
const SLOW_PERCENT: u32 = 150;

/// Rows and layers of a text's chunk; pictures are no measure of a text model's speed.
fn size(chunk: &Chunk) -> Work {
    let rows = match &chunk.task {
        Task::Pass { input: Rows::Tokens(tokens), .. } => tokens.len() as u32,
        Task::Pass { input: Rows::Hidden(_), .. } => 1,
        Task::Piece { .. } => 0,
    };
    Work { rows, layers: chunk.layers.len() }
}
