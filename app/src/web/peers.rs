//! Who is here: a card per peer.

use super::context::Room;
use super::place::keep_name;
use super::{painted, words};
use crate::names;
use crate::node::view::{Ask, View};
use coordinator::io::PeerView;
use coordinator::{Layers, PeerId};
use leptos::html::Input;
use leptos::prelude::*;

/// The list of peers, this one first.
#[component]
pub fn Peers() -> impl IntoView {
    let room = Room::here();
    let ids = room.memo(|view| view.peers.peers.iter().map(|peer| peer.id).collect::<Vec<_>>());
    view! {
        <section class="who-is-here" aria-labelledby="peers-title">
            <h2 id="peers-title">"Around the table"</h2>
            <ul class="peers" aria-label="Peers" role="list">
                <For each=move || ids.get() key=|id| *id let(id)>
                    <Peer id />
                </For>
            </ul>
            <ShareSwitch />
        </section>
    }
}

/// What one card shows.
#[derive(Clone, PartialEq)]
struct Shown {
    peer: PeerView,
    me: bool,
    leads: bool,
    layers: u16,
    runs: Vec<Layers>,
    ready: Vec<Layers>,
    painter: &'static str,
}

fn shown(view: &View, id: PeerId) -> Option<Shown> {
    let peer = view.peers.peers.iter().find(|peer| peer.id == id)?.clone();
    let stages = view.teams().iter().flat_map(|team| &team.stages);
    Some(Shown {
        me: id == view.me,
        leads: view.peers.epoch.is_some_and(|epoch| epoch.leader == id),
        layers: view.model.as_ref().map_or(0, |model| model.layers),
        runs: stages.filter(|stage| stage.peer == id).map(|stage| stage.layers).collect(),
        ready: view.ready(&peer).collect(),
        painter: painted::held(view, &peer),
        peer,
    })
}

#[component]
fn Peer(id: PeerId) -> impl IntoView {
    let room = Room::here();
    let now = room.memo(move |view| shown(view, id));
    let part = move |part: fn(&Shown) -> String| {
        Memo::new(move |_| now.with(|now| now.as_ref().map(part).unwrap_or_default()))
    };
    let name = part(|now| now.peer.name.clone());
    let flag =
        move |flag: fn(&Shown) -> bool| Memo::new(move |_| now.with(|now| now.as_ref().is_some_and(flag)));
    let (me, leads) = (flag(|now| now.me), flag(|now| now.leads));
    let device = part(|now| words::device(now.peer.capability.as_ref(), now.peer.layer_micros));
    let held = part(|now| words::share(&now.runs, &now.ready, now.layers) + now.painter);
    let held_data = part(|now| now.ready.iter().map(ToString::to_string).collect::<Vec<_>>().join(","));
    let more = part(|now| asides(&now.peer));
    let health = part(|now| now.peer.health.to_owned());
    view! {
        <li
            class="peer" style=move || room.tint(id, &name.get())
            data-peer=id.to_string() data-held=move || held_data.get()
            data-coordinator=move || leads.get().to_string()
        >
            <div class="names">
                <Show when=move || me.get() fallback=move || view! { <strong>{move || name.get()}</strong> }>
                    <OwnName name />
                </Show>
                {move || me.get().then(|| view! { <span class="tag">"you"</span> })}
                {move || leads.get().then(|| view! { <span class="tag lead">"coordinator"</span> })}
            </div>
            <p class="facts">
                <span class="health" data-health=move || health.get()>{move || health.get()}</span>
                {move || more.get()}
                <br />
                {move || device.get()}
                <br />
                <span class="held">{move || held.get()}</span>
            </p>
        </li>
    }
}

/// " · 12 ms away · by way of another device · 3 credits": what there is to say of it.
fn asides(peer: &PeerView) -> String {
    let parts = [
        peer.round_trip_ms.map(|ms| format!("{ms} ms away")),
        peer.relayed.then(|| "by way of another device".to_owned()),
        (peer.credit > 0).then(|| words::count(usize::try_from(peer.credit).unwrap_or(usize::MAX), "credit")),
    ];
    parts.into_iter().flatten().map(|part| format!(" · {part}")).collect()
}

/// This person's name, which can be changed in place.
#[component]
fn OwnName(name: Memo<String>) -> impl IntoView {
    let room = Room::here();
    let editing = RwSignal::new(false);
    let field = NodeRef::<Input>::new();
    let keep = move || {
        let typed = field.get_untracked().and_then(|field| names::tidy(&field.value()));
        if let Some(new) = typed.filter(|new| editing.get_untracked() && *new != name.get_untracked()) {
            keep_name(&new);
            room.ask(Ask::Rename(new));
        }
        editing.set(false);
    };
    let on_key = move |event: leptos::ev::KeyboardEvent| match event.key().as_str() {
        "Enter" => keep(),
        "Escape" => {
            event.prevent_default();
            editing.set(false);
        }
        _ => {}
    };
    Effect::new(move |_| {
        if let Some(field) = field.get() {
            // Once it is in the document and has its value.
            request_animation_frame(move || {
                let _ = field.focus();
                field.select();
            });
        }
    });
    view! {
        <Show
            when=move || editing.get()
            fallback=move || {
                view! {
                    <strong>{move || name.get()}</strong>
                    <button
                        type="button" class="quiet rename" aria-label="Change your name" title="Change your name"
                        on:click=move |_| editing.set(true)
                    >
                        "✎"
                    </button>
                }
            }
        >
            <input
                type="text" aria-label="Your name" maxlength="40" node_ref=field prop:value=name.get_untracked()
                on:keydown=on_key on:blur=move |_| keep()
            />
        </Show>
    }
}

/// Whether this device computes for the room.
#[component]
fn ShareSwitch() -> impl IntoView {
    let room = Room::here();
    let on = RwSignal::new(true);
    let flip = move |_| {
        on.update(|on| *on = !*on);
        room.ask(Ask::Share(on.get_untracked()));
    };
    view! {
        <div class="share">
            <button
                type="button" role="switch" id="share"
                aria-checked=move || on.get().to_string() aria-labelledby="share-label" on:click=flip
            >
                <span aria-hidden="true"></span>
            </button>
            <label id="share-label" for="share">"Share this device’s computing with the room"</label>
        </div>
    }
}
