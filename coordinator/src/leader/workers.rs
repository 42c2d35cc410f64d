//! The room as the planner sees it.

use super::Leader;
use crate::ids::{Millis, PeerId};
use crate::io::ModelSpec;
use crate::membership::Members;
use crate::planner::{Links, Speed, Worker};
use crate::wire::Report;
use std::collections::BTreeMap;

impl Leader {
    /// Everyone who can take layers of `model`, with `taken` bytes of memory given to other models. Whoever is a last
    /// resort, or should rest, counts only if nobody else is there.
    pub(super) fn workers(
        &self,
        now: Millis,
        model: &ModelSpec,
        members: &Members,
        taken: &BTreeMap<PeerId, u64>,
    ) -> Vec<Worker> {
        let trusted = |id: PeerId| self.suspects.get(&id).is_none_or(|suspect| now >= suspect.until);
        let roster = self.models.get(&model.id);
        let all: Vec<(Standby, Worker)> = members
            .reports()
            .into_iter()
            .filter(|(id, report)| report.share && report.trouble.is_none() && trusted(*id))
            .filter_map(|(id, report)| {
                let has = roster.is_some_and(|roster| roster.has(id));
                let taken = taken.get(&id).copied().unwrap_or(0);
                let worker = worker(id, report, model, members, taken)?;
                Some((Standby::of(report, has), worker))
            })
            .collect();
        let best = all.iter().map(|(standby, _)| *standby).min();
        let best = all.into_iter().filter(|(standby, _)| Some(*standby) == best).map(|(_, worker)| worker);
        let mut workers: Vec<Worker> = best.collect();
        guess_hops(&mut workers);
        workers
    }
}

/// A device that has not worked yet does not know what a hop costs it: about as much as it costs the others.
fn guess_hops(workers: &mut [Worker]) {
    let mut known: Vec<u32> =
        workers.iter().map(|worker| worker.speed.hop_micros).filter(|&hop| hop > 0).collect();
    known.sort_unstable();
    let Some(&median) = known.get(known.len() / 2) else { return };
    for worker in workers.iter_mut().filter(|worker| worker.speed.hop_micros == 0) {
        worker.speed.hop_micros = median;
    }
}

/// Who is asked first.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Standby {
    /// Fit, or a last resort that has its layers already.
    Ready,
    /// Only if nobody is ready.
    LastResort,
    /// It should rest, and works only if nobody else is there at all.
    Rests,
}

impl Standby {
    fn of(report: &Report, has_layers: bool) -> Self {
        match report.fitness {
            fitness if fitness.percent() > 0 => Self::Ready,
            fitness if fitness.as_last_resort() && has_layers => Self::Ready,
            fitness if fitness.as_last_resort() => Self::LastResort,
            _ => Self::Rests,
        }
    }
}

fn worker(id: PeerId, report: &Report, model: &ModelSpec, members: &Members, taken: u64) -> Option<Worker> {
    let memory = report.capability?.memory.saturating_sub(taken);
    let offer = report.offers.iter().find(|offer| offer.model.id == model.id)?;
    let held = report.ready.iter().filter(|part| part.model == model.id).map(|part| part.layers);
    Some(Worker {
        id,
        name: members.name(id),
        memory,
        speed: scaled(offer.speed, report.fitness.percent()),
        held: held.collect(),
        sees: members.sight(id),
    })
}

/// Everyone who could compute for a model that perhaps nobody here has yet: for a verdict before anything is fetched. A
/// device that has not measured itself with it is taken to read its weights as fast as those of a model that it has.
pub fn survey(model: &ModelSpec, members: &Members) -> Vec<Worker> {
    let worker = |(id, report): (PeerId, &Report)| {
        let capability = report.capability.filter(|_| report.share && report.fitness.as_last_resort())?;
        let held = report.ready.iter().filter(|part| part.model == model.id).map(|part| part.layers);
        Some(Worker {
            id,
            name: members.name(id),
            memory: capability.memory,
            speed: scaled(speed_with(report, model)?, report.fitness.percent()),
            held: held.collect(),
            sees: members.sight(id),
        })
    };
    members.reports().into_iter().filter_map(worker).collect()
}

fn speed_with(report: &Report, model: &ModelSpec) -> Option<Speed> {
    if let Some(offer) = report.offers.iter().find(|offer| offer.model.id == model.id) {
        return Some(offer.speed);
    }
    let other = report.offers.iter().find(|offer| offer.model.kind == model.kind)?;
    let scale = |micros: u32| {
        let scaled = u64::from(micros).saturating_mul(model.layer_bytes) / other.model.layer_bytes.max(1);
        scaled.clamp(1, u32::MAX.into()) as u32
    };
    let Speed { layer_micros, prefill_micros, hop_micros, step_micros, encode_micros, decode_micros } =
        other.speed;
    Some(Speed {
        layer_micros: scale(layer_micros),
        prefill_micros: scale(prefill_micros),
        hop_micros,
        step_micros: scale(step_micros),
        encode_micros: scale(encode_micros),
        decode_micros: scale(decode_micros),
    })
}

/// A device that is fit for half of the work is planned with as one that is half as fast.
fn scaled(speed: Speed, percent: u8) -> Speed {
    let percent = if percent == 0 { 100 } else { u64::from(percent.min(100)) };
    let scale = |micros: u32| (u64::from(micros) * 100 / percent).min(u32::MAX.into()) as u32;
    Speed {
        layer_micros: scale(speed.layer_micros),
        prefill_micros: scale(speed.prefill_micros),
        hop_micros: speed.hop_micros,
        step_micros: scale(speed.step_micros),
        encode_micros: scale(speed.encode_micros),
        decode_micros: scale(speed.decode_micros),
    }
}

/// What the peers measured between each other.
pub fn links(members: &Members) -> Links {
    members.reports().into_keys().map(|id| (id, members.sight(id))).collect()
}
