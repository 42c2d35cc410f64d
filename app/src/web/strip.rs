//! The layer strip: the loaded model as one bar, each stretch in the colour of the peer that runs it.

use super::context::Room;
use super::stretch::{Stretch, StretchState, Strip};
use super::words;
use coordinator::io::JobState;
use coordinator::{Layers, PeerId};
use leptos::prelude::*;

/// The strip and its caption.
#[component]
pub fn LayerStrip() -> impl IntoView {
    let room = Room::here();
    let memory = StoredValue::new(Strip::default());
    let stretches = room.memo(move |view| {
        let mut seen = Vec::new();
        memory.update_value(|strip| seen = strip.see(view));
        seen
    });
    let caption = room.memo(|view| match &view.model {
        Some(model) => format!("{}, {} layers, {}", model.name, model.layers, words::bytes(model.bytes)),
        None => "The model is not known yet".to_owned(),
    });
    let writing =
        room.memo(|view| view.cards.iter().any(|card| matches!(card.state, Some(JobState::Running(_)))));
    view! {
        <section class="model" aria-labelledby="model-title">
            <h2 id="model-title">"The model"</h2>
            <p class="caption">{move || caption.get()}</p>
            <ol class="strip" aria-label="Layers" data-writing=move || writing.get().to_string()>
                <For each=move || stretches.get() key=|s| (s.peer, s.layers) let(stretch)>
                    <StretchBar stretches stretch />
                </For>
            </ol>
        </section>
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
