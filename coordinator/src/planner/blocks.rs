//! A picture model that no single device can hold: rings of block ranges, found as a text's are, since a pass of the
//! denoiser goes through them as a token does.
//!
//! ```text
//!   stage 0   encode | with | without |                  | with | without | …        latents, checkpoints
//!   stage 1                 | with | without |                  | with | …            hidden states
//!   stage 2                        | with | without | velocity ^       …              velocities, tiles
//! ```
//!
//! Two branches in flight keep two stages busy; the others wait, unless more pictures are on the way: [`jobs`].

use super::share::whole_bytes;
use super::teams::{self, small_rings};
use super::{Link, PicturePrediction, PictureShape, Room, Seat, Worker, words};
use crate::io::{ModelSpec, Stage};
use crate::limits;

/// Rings of block ranges for a room.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Blocks {
    /// The stages of each, the fastest ring first. Empty if there is none.
    pub rings: Vec<Vec<Stage>>,
    /// Why, in plain words.
    pub why: String,
}

/// The workers with a pass of the denoiser in the place of a token, so that a ring of block ranges is planned as one of
/// layers is. Those that do not paint are left out.
#[must_use]
pub fn in_passes(model: &ModelSpec, workers: &[Worker]) -> Vec<Worker> {
    let painters = workers.iter().filter(|worker| worker.speed.step_micros > 0);
    let with_passes = painters.map(|worker| {
        let mut worker = worker.clone();
        worker.speed.layer_micros = worker.speed.step_micros.div_ceil(u32::from(model.layers.max(1)));
        worker.speed.prefill_micros = worker.speed.layer_micros;
        worker
    });
    with_passes.collect()
}

/// Whether a device can hold the whole model and paint with it.
#[must_use]
pub fn paints_alone(model: &ModelSpec, worker: &Worker) -> bool {
    worker.speed.step_micros > 0 && worker.memory >= whole_bytes(model)
}

/// Rings for `units` pictures that are open now, in a room of workers as [`in_passes`] gives them, none of which can hold
/// the model.
#[must_use]
pub fn blocks(room: &Room<'_>, units: usize) -> Blocks {
    let model = room.model;
    if let Some(why) = words::impossible(room) {
        return Blocks { rings: Vec::new(), why };
    }
    if model.block_bytes == 0 || model.block_bytes as usize > limits::BLOB_BYTES {
        let why = format!("no device here can hold {}, and it cannot be painted in parts", model.name);
        return Blocks { rings: Vec::new(), why };
    }
    let rings = small_rings(room, None, None, units.div_ceil(2).max(1));
    let why = match rings.as_slice() {
        [] => words::too_small(room),
        [one] => format!(
            "{} devices hold a part of the painter each ({} blocks), because none could hold it all",
            one.seats.len(),
            words::parts(&one.seats)
        ),
        many => format!("no device could hold the whole painter, so {} groups share it", many.len()),
    };
    Blocks { rings: rings.iter().map(|ring| teams::stages(&ring.seats)).collect(), why }
}

/// Pictures that a ring paints at once: as many as keep all its stages busy.
#[must_use]
pub const fn jobs(stages: usize, guided: bool) -> usize {
    if guided { stages.div_ceil(2) } else { stages }
}

/// What a ring takes for a picture, with `units` on it; None if one of its peers is not among the room's workers, which
/// are as they came, not [`in_passes`].
#[must_use]
pub fn predict_blocks(
    room: &Room<'_>,
    shape: &PictureShape,
    ring: &[Stage],
    units: usize,
) -> Option<PicturePrediction> {
    let seat = |stage: &Stage| {
        let worker = room.workers.iter().find(|worker| worker.id == stage.peer)?;
        Some(Seat { worker, layers: stage.layers.len() })
    };
    let seats: Vec<Seat<'_>> = ring.iter().map(seat).collect::<Option<_>>()?;
    let (first, last) = (seats.first()?.worker, seats.last()?.worker);
    let link = |one: &Worker, other: &Worker| room.links.between(one.id, other.id);
    let branches = 1 + u64::from(shape.guided);
    let (way, slowest) = pass(room, &seats);
    // The second branch comes one turn of the busiest after the first; then the velocities go back to be joined.
    let back = link(last, first).one_way_micros(shape.latent_bytes);
    let step = way
        .saturating_add(slowest.saturating_mul(branches - 1))
        .saturating_add(back)
        .saturating_add(first.speed.hop_micros.into());
    let encode = hop(first).saturating_add(first.speed.encode_micros.into());
    let tiles = hop(last).saturating_mul(shape.tiles.into());
    let decode = back.saturating_add(tiles).saturating_add(last.speed.decode_micros.into());
    let picture = step.saturating_mul(shape.steps.into()).saturating_add(encode).saturating_add(decode);
    let busiest = slowest.saturating_mul(branches).saturating_mul(shape.steps.into());
    let at_once = units.clamp(1, jobs(seats.len(), shape.guided)) as u64;
    Some(PicturePrediction { picture_micros: picture, between_micros: (picture / at_once).max(busiest) })
}

/// Microseconds of one pass through all stages, and of the stage or link that it keeps busy longest.
fn pass(room: &Room<'_>, seats: &[Seat<'_>]) -> (u64, u64) {
    let bytes = room.model.block_bytes.into();
    let (mut way, mut slowest) = (0_u64, 0_u64);
    for (at, seat) in seats.iter().enumerate() {
        let share = u64::from(seat.worker.speed.step_micros) * u64::from(seat.layers);
        let stage = share / u64::from(room.model.layers.max(1)) + hop(seat.worker);
        way = way.saturating_add(stage);
        slowest = slowest.max(stage);
        if let Some(next) = seats.get(at + 1) {
            let link: Link = room.links.between(seat.worker.id, next.worker.id);
            way = way.saturating_add(link.one_way_micros(bytes));
            slowest = slowest.max(link.transfer_micros(bytes));
        }
    }
    (way, slowest)
}

fn hop(worker: &Worker) -> u64 {
    worker.speed.hop_micros.into()
}
