//! What the room could do with a model, said before anyone downloads anything.

use super::{Blocks, Crew, PicturePrediction, PictureShape, Room, Spread, Worker};
use super::{blocks, crew, in_passes, paints_alone, predict_blocks, stage_bytes, teams, words};
use crate::ids::PeerId;
use crate::io::{Kind, ModelSpec, Stage};
use std::collections::BTreeMap;

/// The answer to "what if we all opened this model?".
#[derive(Clone, Debug, PartialEq)]
pub struct Verdict {
    /// Whether the room can hold the model.
    pub possible: bool,
    /// Tokens a second of one job on the best team; 0 if it is not possible, and for pictures.
    pub tokens_per_second: f64,
    /// Milliseconds to the first token of a short question, once the model is loaded; 0 likewise.
    pub first_token_ms: u64,
    /// Milliseconds for one picture, if one was asked about and the model paints.
    pub picture_ms: Option<u64>,
    /// Bytes that each member of a team does not have yet, by peer; those that need nothing are not listed.
    pub fetch: Vec<(PeerId, u64)>,
    /// All of it in plain words, to the person at `me`.
    pub text: String,
}

/// What `room` can do with its model: for `jobs` people at once if it writes, with a picture of this `shape` if it paints.
#[must_use]
pub fn verdict(room: &Room<'_>, me: PeerId, jobs: usize, shape: Option<&PictureShape>) -> Verdict {
    match room.model.kind {
        Kind::Text => written(room, me, jobs),
        Kind::Picture => painted(room, me, shape),
    }
}

fn written(room: &Room<'_>, me: PeerId, jobs: usize) -> Verdict {
    let plan = teams(room, jobs, Spread::Measured);
    let Some(first) = plan.teams.first() else {
        return Verdict::impossible(plan.why);
    };
    let fetch = fetches(room, plan.teams.iter().flat_map(|team| &team.stages));
    let speed = words::rate(first.prediction.tokens_per_second());
    let how = match (first.stages.as_slice(), plan.teams.len()) {
        ([only], 1) => format!("{} alone makes about {speed} tokens/s.", name(room, only.peer, me)),
        (_, 1) => format!("Together about {speed} tokens/s."),
        (_, many) => format!("About {speed} tokens/s, and {many} people are answered at once."),
    };
    Verdict {
        possible: true,
        tokens_per_second: first.prediction.tokens_per_second(),
        first_token_ms: first.prediction.first_token_ms(),
        picture_ms: None,
        text: format!("{how} {}", fetch_words(&fetch, me)),
        fetch,
    }
}

fn painted(room: &Room<'_>, me: PeerId, shape: Option<&PictureShape>) -> Verdict {
    let able: Vec<&Worker> = room.workers.iter().filter(|worker| paints_alone(room.model, worker)).collect();
    let crew = shape.and_then(|shape| crew(shape, &able, room.links, 1));
    let fastest = able.iter().min_by_key(|worker| (worker.speed.step_micros, worker.id));
    if let Some(fastest) = fastest {
        let members = crew.as_ref().map_or_else(|| vec![fastest.id], Crew::members);
        let how = match members.as_slice() {
            [only] => format!("{} paints alone.", name(room, *only, me)),
            many => format!("{} devices paint a picture together.", many.len()),
        };
        let layers = room.model.whole();
        let stages: Vec<Stage> = members.into_iter().map(|peer| Stage { peer, layers }).collect();
        return Verdict::painted(room, me, how, &stages, crew.map(|crew| crew.prediction));
    }
    let passes = in_passes(room.model, room.workers);
    let hidden_bytes = room.model.block_bytes.into();
    let Blocks { rings, why } = blocks(&Room { workers: &passes, hidden_bytes, ..*room }, 1);
    let Some(ring) = rings.first() else { return Verdict::impossible(why) };
    let how = format!("{} devices hold a part of the painter each.", ring.len());
    let prediction = shape.and_then(|shape| predict_blocks(room, shape, ring, 1));
    Verdict::painted(room, me, how, ring, prediction)
}

impl Verdict {
    fn impossible(why: String) -> Self {
        Self {
            possible: false,
            tokens_per_second: 0.0,
            first_token_ms: 0,
            picture_ms: None,
            fetch: Vec::new(),
            text: why,
        }
    }

    /// A picture on these stages, and `how` in words.
    fn painted(
        room: &Room<'_>,
        me: PeerId,
        how: String,
        stages: &[Stage],
        prediction: Option<PicturePrediction>,
    ) -> Self {
        let picture_ms = prediction.map(|prediction| prediction.picture_ms());
        let fetch = fetches(room, stages.iter());
        let time = picture_ms.map(|ms| format!("A picture takes about {}.", words::duration(ms)));
        let sentences = [Some(how), time, Some(fetch_words(&fetch, me))];
        let text = sentences.into_iter().flatten().collect::<Vec<String>>().join(" ");
        Self { possible: true, tokens_per_second: 0.0, first_token_ms: 0, picture_ms, fetch, text }
    }
}

fn fetch_words(fetch: &[(PeerId, u64)], me: PeerId) -> String {
    match fetch.iter().find(|(peer, _)| *peer == me) {
        None => "You would fetch nothing.".into(),
        Some((_, bytes)) => format!("You would fetch {}.", words::bytes(*bytes)),
    }
}

fn name(room: &Room<'_>, peer: PeerId, me: PeerId) -> String {
    let other = room.workers.iter().find(|worker| worker.id == peer && worker.id != me);
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
