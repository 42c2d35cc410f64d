//! Adapters on and off, by this device's person alone.

use super::adapting::{self, Switch};
use super::context::Room;
use crate::compute::{ADAPTER_WEIGHT, source};
use crate::node::view::Ask;
use leptos::prelude::*;

/// The button that turns an adapter on and off, and a field for how much of it.
#[component]
pub fn AdapterSwitch(switch: Memo<Switch>, #[prop(into)] name: Signal<String>) -> impl IntoView {
    let room = Room::here();
    let typed = RwSignal::new(switch.with_untracked(|switch| switch.weight.to_string()));
    let weight = move || typed.with(|typed| adapting::weight(typed));
    let ask = move |on: bool| {
        let source = switch.with_untracked(|switch| switch.source.clone());
        let adapters = room.view.with_untracked(|view| match (on, untrack(weight)) {
            (true, Some(weight)) => Some(adapting::with(view, &source, weight)),
            (true, None) => None,
            (false, _) => Some(adapting::without(view, &source)),
        });
        adapters.into_iter().for_each(|adapters| room.ask(Ask::Adapt(adapters)));
    };
    let is_on = move || switch.with(|switch| switch.on);
    let verb = move || if is_on() { "Turn off" } else { "Turn on" };
    let change = move |value: String| {
        typed.set(value);
        if switch.with_untracked(|switch| switch.on) {
            ask(true);
        }
    };
    view! {
        <button
            type="button" class="quiet" aria-label=move || format!("{} {}", verb(), name.get())
            disabled=move || !is_on() && weight().is_none()
            on:click=move |_| ask(!switch.with_untracked(|switch| switch.on))
        >
            {verb}
        </button>
        <label class="weight">
            "How much of it"
            <input
                type="number" step="0.1" min=-ADAPTER_WEIGHT max=ADAPTER_WEIGHT
                aria-label=move || format!("How much of {}", name.get())
                aria-invalid=move || weight().is_none().to_string()
                prop:value=move || typed.get() on:change:target=move |event| change(event.target().value())
            />
        </label>
        <p class="fine" data-on=move || is_on().to_string()>{move || switch.with(|switch| switch.words.clone())}</p>
    }
}

/// Those that a person brought and keeps to themselves, or that are not the room's yet. Nothing while there are none.
#[component]
pub fn OwnAdapters() -> impl IntoView {
    let room = Room::here();
    let own = room.memo(adapting::own);
    let one = move |from: String| {
        let name = source::name(&from).to_owned();
        let title = name.clone();
        let switch = room.memo(move |view| adapting::of_source(view, &from));
        view! {
            <li>
                <h3>{title}</h3>
                <AdapterSwitch switch name />
            </li>
        }
    };
    view! {
        <Show when=move || !own.with(Vec::is_empty)>
            <section class="shared" aria-labelledby="adapters-title">
                <h2 id="adapters-title">"Adapters of yours"</h2>
                <ul aria-label="Adapters of yours" role="list">
                    <For each=move || own.get() key=Clone::clone let(from)>
                        {one(from)}
                    </For>
                </ul>
            </section>
        </Show>
    }
}
