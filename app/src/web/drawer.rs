//! The settings: those of the next answer or pictures, and one of the whole room.

use super::context::Room;
use super::draft::Draft;
use super::paint_drawer::PaintDrawer;
use super::settings::{
    LENGTH_MAX, LENGTH_MIN, MIN_P_MAX, REPETITION_MAX, Settings, TEMPERATURE_MAX, TOP_K_MAX,
};
use crate::node::view::Ask;
use coordinator::io::Spread;
use leptos::ev::KeyboardEvent;
use leptos::html::Button;
use leptos::prelude::*;
use std::time::Duration;

/// Settings with sensible defaults, out of sight until wanted.
#[component]
pub fn Drawer(settings: RwSignal<Settings>, open: RwSignal<bool>) -> impl IntoView {
    let paints = expect_context::<Draft>().paints;
    let opener = NodeRef::<Button>::new();
    let close = move |event: KeyboardEvent| {
        if event.key() == "Escape" && open.get_untracked() {
            event.prevent_default();
            open.set(false);
            opener.get_untracked().into_iter().for_each(|opener| drop(opener.focus()));
        }
    };
    view! {
        <div class="drawer" on:keydown=close>
            <button
                type="button" class="quiet"
                aria-controls="settings" aria-expanded=move || open.get().to_string()
                node_ref=opener on:click=move |_| open.update(|open| *open = !*open)
            >
                "Settings"
            </button>
            <div id="settings" class="sheet-up" role="group" aria-label="Settings" hidden=move || !open.get()>
                <Show when=move || paints.get() fallback=move || view! { <WriteDrawer settings /> }>
                    <PaintDrawer />
                </Show>
                <Sharing />
            </div>
        </div>
    }
}

/// Those of the next answer.
#[component]
fn WriteDrawer(settings: RwSignal<Settings>) -> impl IntoView {
    let room = Room::here();
    let longest =
        room.memo(|view| view.model.as_ref().map_or(LENGTH_MAX, |m| m.context.clamp(LENGTH_MIN, LENGTH_MAX)));
    let set =
        move |change: fn(&mut Settings, f32), value: f32| settings.update(|settings| change(settings, value));
    view! {
        <Slider
            id="length" label="Length" unit=" tokens" step=8.0
            min=LENGTH_MIN as f32 max=Signal::derive(move || longest.get() as f32)
            value=Signal::derive(move || settings.with(|s| s.length.min(longest.get())) as f32)
            on_change=move |value| set(|s, v| s.length = v as u32, value)
        />
        <Slider
            id="temperature" label="Temperature" unit="" min=0.0 max=Signal::stored(TEMPERATURE_MAX) step=0.05
            value=Signal::derive(move || settings.with(|s| s.temperature))
            on_change=move |value| set(|s, v| s.temperature = v, value)
        />
        <Slider
            id="top-p" label="Top-p" unit="" min=0.05 max=Signal::stored(1.0) step=0.05
            value=Signal::derive(move || settings.with(|s| s.top_p))
            on_change=move |value| set(|s, v| s.top_p = v, value)
        />
        <div class="setting">
            <label for="seed">"Seed"</label>
            <input
                id="seed" class="number" type="text"
                inputmode="numeric" placeholder="new each time" autocomplete="off"
                prop:value=move || settings.with(|s| s.seed.clone())
                on:input:target=move |event| settings.update(|s| s.seed = event.target().value())
            />
        </div>
        <More settings />
        <button type="button" class="quiet" on:click=move |_| settings.set(Settings::default())>
            "Back to defaults"
        </button>
    }
}

/// What most people never need.
#[component]
fn More(settings: RwSignal<Settings>) -> impl IntoView {
    let room = Room::here();
    let talks = room.memo(|view| view.model.as_ref().is_some_and(|model| model.chat));
    let set =
        move |change: fn(&mut Settings, f32), value: f32| settings.update(|settings| change(settings, value));
    view! {
        <details class="more">
            <summary>"More"</summary>
            <div class="settings">
                <Slider
                    id="top-k" label="Top-k" unit="" min=0.0 max=Signal::stored(TOP_K_MAX as f32) step=1.0
                    value=Signal::derive(move || settings.with(|s| s.top_k as f32))
                    on_change=move |value| set(|s, v| s.top_k = v as u32, value)
                />
                <Slider
                    id="min-p" label="Min-p" unit="" min=0.0 max=Signal::stored(MIN_P_MAX) step=0.01
                    value=Signal::derive(move || settings.with(|s| s.min_p))
                    on_change=move |value| set(|s, v| s.min_p = v, value)
                />
                <Slider
                    id="repetition" label="Against repetition" unit="" min=1.0 max=Signal::stored(REPETITION_MAX) step=0.01
                    value=Signal::derive(move || settings.with(|s| s.repetition))
                    on_change=move |value| set(|s, v| s.repetition = v, value)
                />
                <div class="setting">
                    <label for="stop">"Ends at"</label>
                    <input
                        id="stop" type="text" placeholder="a text, or \\n" autocomplete="off"
                        prop:value=move || settings.with(|s| s.stop.clone())
                        on:input:target=move |event| settings.update(|s| s.stop = event.target().value())
                    />
                </div>
            </div>
        </details>
        <Show when=move || talks.get()>
            <label class="setting">
                <input
                    type="checkbox" prop:checked=move || settings.with(|s| s.chat)
                    on:change:target=move |event| settings.update(|s| s.chat = event.target().checked())
                />
                "Talk to the model, instead of beginning a text"
            </label>
            <div class="setting">
                <label for="system">"Told before each conversation"</label>
                <textarea
                    id="system" rows="2" maxlength="2000" placeholder="You answer briefly and plainly."
                    prop:value=move || settings.with(|s| s.system.clone())
                    on:input:target=move |event| settings.update(|s| s.system = event.target().value())
                ></textarea>
            </div>
        </Show>
    }
}

/// How the room's devices share the work. It belongs to the room, so it shows what the room uses, whoever chose it.
#[component]
fn Sharing() -> impl IntoView {
    /// For whoever coordinates to take it up; then the room's own is shown again. Source: guess; a few round trips.
    const ASKING: Duration = Duration::from_secs(5);
    let room = Room::here();
    let used = room.memo(|view| view.peers.spread);
    let asked = RwSignal::new(None::<Spread>);
    let shown = Memo::new(move |_| asked.get().unwrap_or_else(|| used.get()));
    let choose = move |spread: Spread| {
        asked.set(Some(spread));
        room.ask(Ask::Spread(spread));
        set_timeout(move || asked.set(None), ASKING);
    };
    let choice = move |spread: Spread, label: &'static str| {
        view! {
            <label>
                <input
                    type="radio" name="spread" prop:checked=move || shown.get() == spread
                    on:change=move |_| choose(spread)
                />
                {label}
            </label>
        }
    };
    view! {
        <div class="sharing" role="radiogroup" aria-labelledby="sharing-title">
            <span id="sharing-title">"How the devices share the work"</span>
            {choice(Spread::Measured, "Fastest (measured)")}
            {choice(Spread::Everyone, "Every device takes a part")}
            <p class="fine">"For everyone in this room."</p>
        </div>
    }
}

/// A number between two others, shown beside its name.
#[component]
pub fn Slider(
    id: &'static str,
    label: &'static str,
    unit: &'static str,
    min: f32,
    max: Signal<f32>,
    step: f32,
    value: Signal<f32>,
    on_change: impl Fn(f32) + 'static,
) -> impl IntoView {
    let shown = move || {
        let value = value.get();
        if step < 1.0 { format!("{value:.2}{unit}") } else { format!("{value:.0}{unit}") }
    };
    let changed = move |typed: String| typed.parse().into_iter().for_each(&on_change);
    view! {
        <div class="setting">
            <label for=id>{label}</label>
            <output for=id class="number">{shown}</output>
            <input
                id=id type="range" min=min max=move || max.get() step=step aria-valuetext=shown
                prop:value=move || value.get().to_string()
                on:input:target=move |event| changed(event.target().value())
            />
        </div>
    }
}
