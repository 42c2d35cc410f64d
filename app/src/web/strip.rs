//! The layer strips: the loaded model as one bar per team, each stretch in the colour of the peer that runs it.

use super::context::Room;
use super::stretch::{Stretch, StretchState, Strips, TeamStrip};
use super::words;
use coordinator::io::{JobState, Stage};
use coordinator::{Layers, PeerId};
use leptos::prelude::*;

/// The strips, their caption, and why they are as they are.
#[component]
pub fn LayerStrips() -> impl IntoView {
    let room = Room::here();
    let memory = StoredValue::new(Strips::default());
    let teams = room.memo(move |view| {
        let mut seen = Vec::new();
        memory.update_value(|strips| seen = strips.see(view));
        seen
    });
    let caption = room.memo(|view| match &view.model {
        Some(model) => format!("{}, {} layers, {}", model.name, model.layers, words::bytes(model.bytes)),
        None => "The model is not known yet".to_owned(),
    });
    let why = room.memo(|view| words::sentence(view.why()));
    view! {
        <section class="model" aria-labelledby="model-title">
            <h2 id="model-title">"The model"</h2>
            <p class="caption">{move || caption.get()}</p>
            <ul class="teams" aria-label="Teams" role="list">
                <For each=move || teams.get() key=key let(team)>
                    <TeamBar teams team />
                </For>
            </ul>
            <p class="caption why">{move || why.get()}</p>
        </section>
    }
}

/// What names a team.
fn key(team: &TeamStrip) -> Vec<(PeerId, Layers)> {
    team.stages.iter().map(|stage| (stage.peer, stage.layers)).collect()
}

/// One team; `team` as it first appeared, its state from `teams`.
#[component]
fn TeamBar(teams: Memo<Vec<TeamStrip>>, team: TeamStrip) -> impl IntoView {
    let room = Room::here();
    let stages = StoredValue::new(team.stages.clone());
    let several = team.stretches.len() > 1;
    let now = Memo::new(move |_| {
        let same = |known: &&TeamStrip| stages.with_value(|stages| known.stages == *stages);
        teams.with(|all| all.iter().find(same).cloned()).unwrap_or_else(|| team.clone())
    });
    let stretches = Memo::new(move |_| now.with(|now| now.stretches.clone()));
    let writing = room.memo(move |view| {
        let here = |running: &Vec<Stage>| stages.with_value(|stages| running == stages);
        let texts = view.cards.iter().filter(|card| card.painting.is_none());
        texts
            .map(|card| &card.state)
            .any(|state| matches!(state, Some(JobState::Running(running)) if here(running)))
    });
    // A team that serves nobody is being loaded, or goes.
    let label = move || if now.with(|now| now.serves) { "Layers" } else { "Layers, not in use" };
    view! {
        <li class="team" data-several=several.to_string()>
            <ol class="strip" aria-label=label data-writing=move || writing.get().to_string()>
                <For each=move || stretches.get() key=|s| (s.peer, s.layers) let(stretch)>
                    <StretchBar stretches stretch />
                </For>
            </ol>
        </li>
    }
}

/// One stretch; `stretch` as it first appeared, its state from `stretches`.
#[component]
fn StretchBar(stretches: Memo<Vec<Stretch>>, stretch: Stretch) -> impl IntoView {
    let room = Room::here();
    let (peer, layers, was) = (stretch.peer, stretch.layers, stretch.was.clone());
    let taken = was.is_some();
    let now =
        Memo::new(move |_| stretches.with(|all| find(all, peer, layers).unwrap_or_else(|| stretch.clone())));
    let style = move || {
        let now = now.get();
        let tint = now.peer.map(|id| room.tint(id, &now.name)).unwrap_or_default();
        let before = was.as_ref().map(|(id, name)| room.tint(*id, name).replace("--hue", "--hue-before"));
        let filled = match now.state {
            StretchState::Loading(percent) => percent,
            StretchState::Ready | StretchState::Lost => 100,
        };
        format!(
            "flex-grow:{};--layers:{};--filled:{filled}%;{tint};{}",
            layers.len(),
            layers.len(),
            before.unwrap_or_default()
        )
    };
    view! {
        <li
            class="stretch" style=style title=move || said(&now.get())
            data-state=move || state_name(now.get().state) data-taken=taken.to_string()
        >
            <span class="who" aria-hidden="true">{move || now.get().name}</span>
            <span class="range number" aria-hidden="true">{numbers(layers)}</span>
            <span class="unseen">{move || said(&now.get())}</span>
        </li>
    }
}

fn find(all: &[Stretch], peer: Option<PeerId>, layers: Layers) -> Option<Stretch> {
    all.iter().find(|stretch| stretch.peer == peer && stretch.layers == layers).cloned()
}

const fn state_name(state: StretchState) -> &'static str {
    match state {
        StretchState::Ready => "ready",
        StretchState::Loading(_) => "loading",
        StretchState::Lost => "lost",
    }
}

fn numbers(layers: Layers) -> String {
    match layers.len() {
        1 => layers.end.to_string(),
        _ => format!("{}–{}", layers.start + 1, layers.end),
    }
}

/// What the picture says, in words.
fn said(stretch: &Stretch) -> String {
    let layers = words::layers(stretch.layers);
    match (stretch.peer, stretch.state) {
        (None, _) => format!("{layers}: nobody yet"),
        (_, StretchState::Ready) => format!("{layers}: {}", stretch.name),
        (_, StretchState::Loading(percent)) => format!("{layers}: {}, {percent} % loaded", stretch.name),
        (_, StretchState::Lost) => format!("{layers}: {} left", stretch.name),
    }
}
