//! Why, and how fast, in words for people.

use super::share::whole_bytes;
use super::teams::Choice;
use super::{Room, Seat};
use crate::limits;

/// What rules the room out before anything is tried.
pub fn impossible(room: &Room<'_>) -> Option<String> {
    let model = room.model;
    if room.workers.is_empty() {
        return Some("no device is ready to compute yet".into());
    }
    (model.layers == 0 || model.layers > limits::MODEL_LAYERS).then(|| {
        format!("{} has {} layers, at most {} are possible", model.name, model.layers, limits::MODEL_LAYERS)
    })
}

/// Why people who asked for everyone's help got this ring.
pub fn everyone(room: &Room<'_>, seats: &[Seat<'_>]) -> String {
    let left = room.workers.len() - seats.len();
    match (seats, left) {
        ([only], 0) => format!("{} is alone and holds all {} layers", only.worker.name, room.model.layers),
        ([only], _) => format!("{} alone is faster than with the others' help", only.worker.name),
        (_, 0) => format!("{} devices hold {} layers, by speed and memory", seats.len(), parts(seats)),
        (_, left) => format!("{} devices hold {} layers; {left} slower left out", seats.len(), parts(seats)),
    }
}

/// Why the room has these teams.
pub fn why(room: &Room<'_>, choice: &Choice<'_>) -> String {
    let rings = choice.race.iter().chain(&choice.rings);
    let used = choice.replicas.len() + rings.map(|ring| ring.seats.len()).sum::<usize>();
    let mut clauses: Vec<String> = Vec::new();
    if let Some(ring) = &choice.race {
        let (devices, parts) = (ring.seats.len(), parts(&ring.seats));
        clauses
            .push(format!("{devices} devices hold {parts} layers: together they are faster than any alone"));
    }
    clauses.extend(replicas(room, choice));
    clauses.extend(rings_of_small(choice));
    if clauses.is_empty() {
        return too_small(room);
    }
    // A device may be counted twice, if its memory holds both its part of a ring and the whole model.
    let left = room.workers.len().saturating_sub(used);
    if left > 0 {
        clauses.push(format!("{left} not needed, too slow or too small"));
    }
    clauses.join("; ")
}

fn replicas(room: &Room<'_>, choice: &Choice<'_>) -> Option<String> {
    match choice.replicas.as_slice() {
        [] => None,
        [only] if room.workers.len() == 1 => {
            Some(format!("{} is alone and holds all {} layers", only.name, room.model.layers))
        }
        [only] => Some(format!("{} holds the whole model and answers alone", only.name)),
        many => Some(format!(
            "{} devices hold the whole model: they answer {} people at once",
            many.len(),
            many.len()
        )),
    }
}

fn rings_of_small(choice: &Choice<'_>) -> Option<String> {
    let others = choice.race.is_some() || !choice.replicas.is_empty();
    match choice.rings.as_slice() {
        [] => None,
        [one] if others => {
            Some(format!("{} smaller ones hold {} layers together", one.seats.len(), parts(&one.seats)))
        }
        [one] => Some(format!(
            "{} devices hold {} layers, because none could hold them all",
            one.seats.len(),
            parts(&one.seats)
        )),
        many if others => Some(format!("the smaller ones hold it in {} groups", many.len())),
        many => Some(format!("no device could hold the whole model, so {} groups share it", many.len())),
    }
}

/// "20 + 12".
pub fn parts(seats: &[Seat<'_>]) -> String {
    let parts: Vec<String> = seats.iter().map(|seat| seat.layers.to_string()).collect();
    parts.join(" + ")
}

/// What the room lacks.
pub fn too_small(room: &Room<'_>) -> String {
    let need = whole_bytes(room.model);
    let have = room.workers.iter().fold(0_u64, |sum, worker| sum.saturating_add(worker.memory));
    if have < need {
        format!("this model needs {}, the room has {}: open it on another device", bytes(need), bytes(have))
    } else {
        format!(
            "this model needs {}, and the room's {} are in pieces too small or too far apart for it",
            bytes(need),
            bytes(have)
        )
    }
}

/// "3.1 GB", "8 MB": decimal units, as shops and browsers have them.
pub fn bytes(count: u64) -> String {
    match count {
        0..1_000_000 => format!("{} kB", count.div_ceil(1000)),
        1_000_000..1_000_000_000 => format!("{} MB", count.div_ceil(1_000_000)),
        _ => format!("{:.1} GB", count as f64 / 1e9),
    }
}

/// "14", "3.2": as many digits as a prediction deserves.
pub fn rate(value: f64) -> String {
    if value < 9.95 { format!("{value:.1}") } else { format!("{value:.0}") }
}

/// "40 s", "3 min".
pub fn duration(ms: u64) -> String {
    match ms {
        0..90_000 => format!("{} s", ms.div_ceil(1000).max(1)),
        _ => format!("{} min", ms.div_ceil(60_000)),
    }
}
