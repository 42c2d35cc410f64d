//! What the room could do with a model, said before anyone downloads anything.

use super::{PictureShape, Room, Spread, Team, Teams, Worker, crew, stage_bytes, teams, words};
use crate::ids::PeerId;
use crate::io::{ModelSpec, Stage};
use std::collections::BTreeMap;

/// The answer to "what if we all opened this model?".
#[derive(Clone, Debug, PartialEq)]
pub struct Verdict {
    /// Whether the room can hold the model.
    pub possible: bool,
    /// Tokens a second of one job on the best team; 0 if it is not possible.
    pub tokens_per_second: f64,
    /// Milliseconds to the first token of a short question, once the model is loaded; 0 if it is not possible.
    pub first_token_ms: u64,
    /// Milliseconds for one picture, if one was asked about and anybody can paint.
    pub picture_ms: Option<u64>,
    /// Bytes that each member of a team does not have yet, by peer; those that need nothing are not listed.
    pub fetch: Vec<(PeerId, u64)>,
    /// All of it in plain words, to the person at `me`.
    pub text: String,
}

/// What `room` can do with its model for `jobs` people at once, and with pictures of this `shape`.
#[must_use]
pub fn verdict(room: &Room<'_>, me: PeerId, jobs: usize, shape: Option<&PictureShape>) -> Verdict {
    let plan = teams(room, jobs, Spread::Measured);
    let painters: Vec<&Worker> = room.workers.iter().collect();
    let picture_ms = shape
        .and_then(|shape| crew(shape, &painters, room.links, 1))
        .map(|crew| crew.prediction.picture_ms());
    let Some(first) = plan.teams.first() else {
        return not_possible(plan.why, picture_ms);
    };
    let fetch = fetches(room, plan.teams.iter().flat_map(|team| &team.stages));
    Verdict {
        possible: true,
        tokens_per_second: first.prediction.tokens_per_second(),
        first_token_ms: first.prediction.first_token_ms(),
        picture_ms,
        text: text(room, me, &plan, first, &fetch, picture_ms),
        fetch,
    }
}

fn not_possible(why: String, picture_ms: Option<u64>) -> Verdict {
    let text = match picture_ms {
        Some(ms) => format!("{why}. {}", picture_words(ms)),
        None => why,
    };
    Verdict {
        possible: false,
        tokens_per_second: 0.0,
        first_token_ms: 0,
        picture_ms,
        fetch: Vec::new(),
        text,
    }
}

fn text(
    room: &Room<'_>,
    me: PeerId,
    plan: &Teams,
    first: &Team,
    fetch: &[(PeerId, u64)],
    picture_ms: Option<u64>,
) -> String {
    let mine = fetch.iter().find(|(peer, _)| *peer == me).map_or(0, |(_, bytes)| *bytes);
    let speed = words::rate(first.prediction.tokens_per_second());
    let mut sentences = vec![match (first.stages.as_slice(), plan.teams.len()) {
        ([only], 1) => format!("{} alone makes about {speed} tokens/s.", name(room, *only, me)),
        (_, 1) => format!("Together about {speed} tokens/s."),
        (_, many) => format!("About {speed} tokens/s, and {many} people are answered at once."),
    }];
    sentences.push(match mine {
        0 => "You would fetch nothing.".into(),
        bytes => format!("You would fetch {}.", words::bytes(bytes)),
    });
    sentences.extend(picture_ms.map(picture_words));
    sentences.join(" ")
}

fn picture_words(ms: u64) -> String {
    format!("A picture takes about {}.", words::duration(ms))
}

fn name(room: &Room<'_>, stage: Stage, me: PeerId) -> String {
    let other = room.workers.iter().find(|worker| worker.id == stage.peer && worker.id != me);
    other.map_or_else(|| "This device".into(), |worker| worker.name.clone())
}

fn fetches<'a>(room: &Room<'_>, stages: impl Iterator<Item = &'a Stage>) -> Vec<(PeerId, u64)> {
    let mut fetch = BTreeMap::new();
    let stages: Vec<&Stage> = stages.collect();
    for worker in room.workers {
        for stage in stages.iter().filter(|stage| stage.peer == worker.id) {
            // A peer that is in a ring and a replica too fetches the larger of the two, which contains the other.
            let bytes = fetch_bytes(room.model, worker, **stage);
            fetch.entry(worker.id).and_modify(|most: &mut u64| *most = bytes.max(*most)).or_insert(bytes);
        }
    }
    fetch.into_iter().filter(|(_, bytes)| *bytes > 0).collect()
}

/// Bytes that `worker` does not have of a stage.
#[must_use]
pub fn fetch_bytes(model: &ModelSpec, worker: &Worker, stage: Stage) -> u64 {
    let layers = stage.layers;
    let has = |layer: u16| worker.held.iter().any(|held| held.start <= layer && layer < held.end);
    let missing = (layers.start..layers.end).filter(|&layer| !has(layer)).count() as u64;
    // The embedding and the head come as one: a range at either end of the model brings them.
    let is_end = |start: u16, end: u16| start == 0 || end == model.layers;
    let needs_ends = is_end(layers.start, layers.end)
        && !worker.held.iter().any(|held| !held.is_empty() && is_end(held.start, held.end));
    let ends = if needs_ends { model.ends_bytes } else { 0 };
    model.layer_bytes.saturating_mul(missing).saturating_add(ends).min(stage_bytes(model, layers))
}
