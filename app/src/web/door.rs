//! The door: what this is, who you are, what your device can do, and one button.

use super::browser;
use super::device::{Ability, ability, obstacle};
use super::place::{keep_name, own_name};
use crate::names;
use leptos::prelude::*;
use leptos::task::spawn_local;

/// The door. `trouble` says why an opened link did not lead into its room.
#[component]
pub fn Door(trouble: Option<String>, start: UnsyncCallback<()>) -> impl IntoView {
    let name = RwSignal::new(own_name());
    let ability = device();
    let cannot = obstacle().is_some();
    let go = move |event: leptos::ev::SubmitEvent| {
        event.prevent_default();
        if let Some(name) = names::tidy(&name.get_untracked()) {
            keep_name(&name);
        }
        start.run(());
    };
    view! {
        <main class="door">
            <Mark />
            <h1>"Manyhands"</h1>
            <p class="promise">
                "Open a room, send its link, and the browsers in it become one machine that writes stories and paints pictures."
            </p>
            {trouble.map(|why| view! { <p class="trouble" role="alert">{why}</p> })}
            <form on:submit=go>
                <NameField name />
                <button type="submit" class="primary large" disabled=cannot>"Start a room"</button>
            </form>
            <Chip ability />
            <p class="fine">"No account, nothing to install. No server computes, and none sees what you write."</p>
        </main>
    }
}

/// The sign of the house: bars of different hands that stand together.
#[component]
pub fn Mark() -> impl IntoView {
    view! {
        <svg class="mark" viewBox="0 0 40 32" aria-hidden="true">
            <rect x="1" y="13" width="6" height="18" rx="3" style="--hue:232" />
            <rect x="9" y="5" width="6" height="26" rx="3" style="--hue:165" />
            <rect x="17" y="1" width="6" height="30" rx="3" style="--hue:70" />
            <rect x="25" y="5" width="6" height="26" rx="3" style="--hue:32" />
            <rect x="33" y="16" width="6" height="15" rx="3" style="--hue:310" />
        </svg>
    }
}

#[component]
fn NameField(name: RwSignal<String>) -> impl IntoView {
    let another = move |_| name.set(names::name(browser::random()));
    view! {
        <div class="field">
            <label for="name">"Your name"</label>
            <div class="joined">
                <input
                    id="name"
                    type="text"
                    autocomplete="nickname"
                    maxlength="40"
                    prop:value=name
                    on:input:target=move |event| name.set(event.target().value())
                />
                <button type="button" class="quiet" on:click=another aria-label="Another name" title="Another name">
                    "↻"
                </button>
            </div>
        </div>
    }
}

#[component]
fn Chip(ability: RwSignal<Ability>) -> impl IntoView {
    let kind = move || match ability.get() {
        Ability::Unknown => "unknown",
        Ability::Gpu => "gpu",
        Ability::Cpu => "cpu",
        Ability::None(_) => "none",
    };
    view! {
        <p class="chip" role="status" aria-label="This device" data-device=kind>{move || ability.get().words()}</p>
    }
}

fn device() -> RwSignal<Ability> {
    let found = RwSignal::new(Ability::Unknown);
    spawn_local(async move { found.set(ability().await) });
    found
}
