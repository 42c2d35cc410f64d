//! The composer: the prompt, its settings, and one button that writes or stops.

use super::browser::{self, Keep};
use super::context::Room;
use super::settings::{LENGTH_MAX, LENGTH_MIN, Settings, TEMPERATURE_MAX};
use crate::node::view::{Ask, View};
use coordinator::JobId;
use leptos::ev::KeyboardEvent;
use leptos::html::{Button, Textarea};
use leptos::prelude::*;

const SETTINGS: &str = "manyhands.settings";

/// The prompt that is being written; openings in the feed fill it in.
#[derive(Clone, Copy)]
pub struct Draft {
    prompt: RwSignal<String>,
    field: NodeRef<Textarea>,
}

impl Draft {
    /// An empty prompt.
    pub fn new() -> Self {
        Self { prompt: RwSignal::new(String::new()), field: NodeRef::new() }
    }

    /// Replaces the prompt by this opening and puts the cursor behind it.
    pub fn begin(self, opening: &str) {
        self.prompt.set(opening.to_owned());
        if let Some(field) = self.field.get_untracked() {
            field.set_value(opening);
            let _ = field.focus();
        }
    }
}

/// The newest answer of this person that has not ended.
pub fn own_open(view: &View) -> Option<JobId> {
    view.cards.iter().rev().find(|card| card.mine && card.state.is_some()).map(|card| card.id)
}

/// The composer.
#[component]
pub fn Composer() -> impl IntoView {
    let room = Room::here();
    let draft = expect_context::<Draft>();
    let settings = RwSignal::new(browser::load::<Settings>(Keep::Visits, SETTINGS).unwrap_or_default());
    let error = RwSignal::new(None::<String>);
    let open = room.memo(own_open);
    let pending = Pending::new(room);
    let waits = Memo::new(move |_| pending.waits());
    let drawer_open = RwSignal::new(false);
    Effect::new(move |_| settings.with(|settings| browser::store(Keep::Visits, SETTINGS, settings)));

    let write = move || match settings
        .with_untracked(|s| draft.prompt.with_untracked(|p| s.request(p, browser::random())))
    {
        Ok(request) => {
            error.set(None);
            draft.begin("");
            drawer_open.set(false);
            pending.start();
            room.ask(Ask::Write(request));
        }
        Err(why) => error.set(Some(why)),
    };
    let press = move || match open.get_untracked() {
        Some(job) => room.ask(Ask::Stop(job)),
        None => write(),
    };
    let on_key = move |event: KeyboardEvent| {
        if event.key() == "Enter" && (event.ctrl_key() || event.meta_key()) {
            event.prevent_default();
            if open.get_untracked().is_none() {
                write();
            }
        }
    };
    view! {
        <form class="composer" on:submit=move |event| { event.prevent_default(); press(); }>
            <label for="prompt">"Prompt"</label>
            <textarea
                id="prompt"
                node_ref=draft.field
                rows="2"
                placeholder="Once upon a time…"
                aria-describedby="prompt-help"
                aria-invalid=move || error.with(Option::is_some).to_string()
                on:input:target=move |event| draft.prompt.set(event.target().value())
                on:keydown=on_key
            ></textarea>
            <div class="send">
                <Drawer settings open=drawer_open />
                <p id="prompt-help" class="hint" aria-live="polite">
                    {move || hint(error.get(), waits.get())}
                </p>
                <button type="submit" class="primary" data-stop=move || open.get().is_some().to_string()>
                    {move || if open.get().is_some() { "Stop" } else { "Write" }}
                </button>
            </div>
            <p class="fine">"Everyone in this room can read what you write. The server cannot."</p>
        </form>
    }
}

fn hint(error: Option<String>, pending: bool) -> impl IntoView {
    match (error, pending) {
        (Some(why), _) => view! { <span class="trouble">{why}</span> }.into_any(),
        (None, true) => view! { <span>"Your prompt is on its way."</span> }.into_any(),
        (None, false) => view! {
            <span class="keys"><kbd>"Ctrl"</kbd>" "<kbd>"Enter"</kbd>" writes, "<kbd>"Esc"</kbd>" stops"</span>
        }
        .into_any(),
    }
}

/// A prompt that was sent and has no card yet: the worker may still be loading.
#[derive(Clone, Copy)]
struct Pending {
    room: Room,
    /// This person's answers and all notices when it was sent.
    sent_at: RwSignal<Option<(usize, usize)>>,
}

impl Pending {
    fn new(room: Room) -> Self {
        Self { room, sent_at: RwSignal::new(None) }
    }

    fn start(self) {
        self.sent_at.set(Some(self.room.view.with_untracked(counts)));
    }

    fn waits(self) -> bool {
        self.sent_at.get().is_some_and(|before| self.room.view.with(counts) == before)
    }
}

fn counts(view: &View) -> (usize, usize) {
    (view.cards.iter().filter(|card| card.mine).count(), view.notices.len())
}

/// Settings with sensible defaults.
#[component]
fn Drawer(settings: RwSignal<Settings>, open: RwSignal<bool>) -> impl IntoView {
    let room = Room::here();
    let longest =
        room.memo(|view| view.model.as_ref().map_or(LENGTH_MAX, |m| m.context.clamp(LENGTH_MIN, LENGTH_MAX)));
    let opener = NodeRef::<Button>::new();
    let close = move |event: KeyboardEvent| {
        if event.key() == "Escape" && open.get_untracked() {
            event.prevent_default();
            open.set(false);
            opener.get_untracked().into_iter().for_each(|opener| drop(opener.focus()));
        }
    };
    let set =
        move |change: fn(&mut Settings, f32), value: f32| settings.update(|settings| change(settings, value));
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
                <button type="button" class="quiet" on:click=move |_| settings.set(Settings::default())>
                    "Back to defaults"
                </button>
            </div>
        </div>
    }
}

#[component]
fn Slider(
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
