//! The models that the room shares: how much of each is here, from whom, and what others have that this device could use.

use super::adapter_switch::AdapterSwitch;
use super::adapting;
use super::contents::{self, From, Shown};
use super::context::Room;
use super::words;
use crate::node::view::Ask;
use coordinator::swarm::Content;
use leptos::prelude::*;

/// Nothing while no content is shared.
#[component]
pub fn RoomModels() -> impl IntoView {
    let room = Room::here();
    let all = room.memo(contents::shown);
    let ids = Memo::new(move |_| all.with(|all| all.iter().map(|one| one.content).collect::<Vec<_>>()));
    let paused = room.memo(|view| view.paused);
    let fetches = Memo::new(move |_| all.with(|all| all.iter().any(|one| one.fetches)));
    view! {
        <Show when=move || !ids.with(Vec::is_empty)>
            <section class="shared" aria-labelledby="shared-title">
                <h2 id="shared-title">"Shared in this room"</h2>
                <ul aria-label="Shared models" role="list">
                    <For each=move || ids.get() key=|content| content.0 let(content)>
                        <RoomModel all content />
                    </For>
                </ul>
                <Show when=move || fetches.get() || paused.get()>
                    <button type="button" class="secondary" on:click=move |_| room.ask(Ask::Pause(!paused.get_untracked()))>
                        {move || if paused.get() { "Go on fetching" } else { "Pause" }}
                    </button>
                </Show>
            </section>
        </Show>
    }
}

#[component]
fn RoomModel(all: Memo<Vec<Shown>>, content: Content) -> impl IntoView {
    let room = Room::here();
    let now = Memo::new(move |_| all.with(|all| all.iter().find(|one| one.content == content).cloned()));
    let part = move |part: fn(&Shown) -> String| {
        Memo::new(move |_| now.with(|now| now.as_ref().map(part).unwrap_or_default()))
    };
    let (name, said, others) =
        (part(|one| one.name.clone()), part(|one| one.words.clone()), part(|one| one.room.clone()));
    let open = Memo::new(move |_| now.with(|now| now.as_ref().is_none_or(|one| one.open)));
    let source = part(Shown::source);
    // It is on its way as soon as somebody asked for it.
    let asked =
        room.memo(move |view| view.chosen.as_ref().is_some_and(|chosen| chosen.starts_with(&source.get())));
    let fit = Memo::new(move |_| now.with(|now| now.as_ref().and_then(|one| one.fit)));
    let adapter = part(|one| one.adapter.clone().unwrap_or_default());
    let is_adapter = Memo::new(move |_| adapter.with(|adapter| !adapter.is_empty()));
    let switch = room.memo(move |view| adapting::of_content(view, content));
    let has_parts = Memo::new(move |_| {
        now.with(|now| now.as_ref().is_some_and(|one| one.adapter.is_none() || !one.parts.is_empty()))
    });
    view! {
        <li data-content=move || source.get()>
            <h3>{move || name.get()}</h3>
            <Show when=move || is_adapter.get()>
                <AdapterSwitch switch name />
                <p class="fine">{move || adapter.get()}</p>
            </Show>
            <Show when=move || !open.get() && !is_adapter.get()>
                <button
                    type="button" class="quiet" aria-label=move || format!("Use {}", name.get())
                    disabled=move || asked.get() on:click=move |_| room.ask(Ask::Open(Some(source.get_untracked())))
                >
                    {move || if asked.get() { "Opening" } else { "Use it, too" }}
                </button>
            </Show>
            <Show when=move || open.get() && has_parts.get()>
                <Bar now />
            </Show>
            <p class="fine number">{move || said.get()}</p>
            <p class="fine">{move || others.get()}</p>
            {move || fit.get().map(|fit| view! { <p class="fine fit" data-fit=fit.name()>{fit.words()}</p> })}
        </li>
    }
}

/// What is here, in the colours of those who sent it.
#[component]
fn Bar(now: Memo<Option<Shown>>) -> impl IntoView {
    let room = Room::here();
    let parts =
        Memo::new(move |_| now.with(|now| now.as_ref().map(|one| one.parts.clone()).unwrap_or_default()));
    let label =
        Memo::new(move |_| now.with(|now| now.as_ref().map(|one| one.words.clone()).unwrap_or_default()));
    let one = move |(from, share): (From, f64)| {
        let (kind, tint) = match from {
            From::Here => ("here", String::new()),
            From::Origin => ("origin", String::new()),
            From::Peer(peer) => ("peer", room.tint(peer, &words::name_of(&room.view.read_untracked(), peer))),
        };
        view! { <span data-from=kind style=format!("{tint};width:{:.2}%", share * 100.0)></span> }
    };
    view! {
        <div class="came" role="img" aria-label=move || label.get()>
            {move || parts.get().into_iter().map(one).collect_view()}
        </div>
    }
}
