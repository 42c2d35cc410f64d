//! The composer: what to make, the prompt, its settings, and one button that writes, paints or stops.

use super::browser::{self, Keep};
use super::context::Room;
use super::draft::{Draft, Mode};
use super::drawer::Drawer;
use super::settings::Settings;
use super::words;
use crate::node::view::{Ask, View};
use coordinator::JobId;
use leptos::ev::KeyboardEvent;
use leptos::prelude::*;

const SETTINGS: &str = "manyhands.settings";

/// The newest request of this person that has not ended.
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
    // While the model is not known, what the person wants counts.
    let talks = room.memo(|view| view.model.as_ref().is_none_or(|model| model.chat));
    let easel = room.memo(|view| view.painter.as_ref().map(|painter| painter.easel));
    let drawer_open = RwSignal::new(false);
    Effect::new(move |_| settings.with(|settings| browser::store(Keep::Visits, SETTINGS, settings)));

    let writing = move |prompt: &str| {
        let (talks, follows) = (talks.get_untracked(), draft.follows.get_untracked());
        let request = settings.with_untracked(|s| s.request(prompt, browser::random(), talks, follows));
        request.map(Ask::Write)
    };
    let painting = move |prompt: &str| {
        let easel = easel.get_untracked();
        let request = draft.painting.with_untracked(|s| s.request(prompt, browser::random(), easel));
        request.map(Ask::Paint)
    };
    let send = move || {
        let paints = draft.paints.get_untracked();
        match draft.prompt.with_untracked(|prompt| if paints { painting(prompt) } else { writing(prompt) }) {
            Ok(ask) => {
                error.set(None);
                draft.clear();
                drawer_open.set(false);
                room.gallery.set(false);
                pending.start();
                room.ask(ask);
            }
            Err(why) => error.set(Some(why)),
        }
    };
    // What was wrong with a text is not wrong with a picture.
    Effect::new(move |_| {
        draft.paints.get();
        error.set(None);
    });
    let press = move || match open.get_untracked() {
        Some(job) => room.ask(Ask::Stop(job)),
        None => send(),
    };
    let on_key = move |event: KeyboardEvent| {
        if event.key() == "Enter" && (event.ctrl_key() || event.meta_key()) {
            event.prevent_default();
            if open.get_untracked().is_none() {
                send();
            }
        }
    };
    view! {
        <form class="composer" on:submit=move |event| { event.prevent_default(); press(); }>
            <div class="asking">
                <label for="prompt">"Prompt"</label>
                <Modes draft />
            </div>
            <Follows draft />
            <textarea
                id="prompt"
                node_ref=draft.field
                rows="2"
                placeholder=move || placeholder(draft)
                aria-describedby="prompt-help"
                aria-invalid=move || error.with(Option::is_some).to_string()
                on:input:target=move |event| draft.prompt.set(event.target().value())
                on:keydown=on_key
            ></textarea>
            <div class="send">
                <Drawer settings open=drawer_open />
                <p id="prompt-help" class="hint" aria-live="polite">
                    {move || hint(error.get(), waits.get(), draft.paints.get())}
                </p>
                <button type="submit" class="primary" data-stop=move || open.get().is_some().to_string()>
                    {move || match (open.get(), draft.paints.get()) {
                        (Some(_), _) => "Stop",
                        (None, true) => "Paint",
                        (None, false) => "Write",
                    }}
                </button>
            </div>
            <p class="fine">"Everyone in this room can read what you write. The server cannot."</p>
        </form>
    }
}

/// Text or picture, and why no picture where there can be none.
#[component]
fn Modes(draft: Draft) -> impl IntoView {
    let hindered = move || draft.hindrance.get().is_some();
    view! {
        <p id="no-pictures" class="fine">{move || draft.hindrance.get()}</p>
        <div class="modes" role="radiogroup" aria-label="What to make">
            <label>
                <input
                    type="radio" name="mode" prop:checked=move || !draft.paints.get()
                    on:change=move |_| draft.mode.set(Mode::Text)
                />
                <span>"Text"</span>
            </label>
            <label>
                <input
                    type="radio" name="mode" prop:checked=move || draft.paints.get()
                    disabled=hindered aria-describedby=move || hindered().then_some("no-pictures")
                    on:change=move |_| draft.mode.set(Mode::Picture)
                />
                <span>"Picture"</span>
            </label>
        </div>
    }
}

fn placeholder(draft: Draft) -> &'static str {
    match (draft.paints.get(), draft.follows.get()) {
        (true, _) => "A house beside a tree under the sun…",
        (false, Some(_)) => "And then…",
        (false, None) => "Once upon a time…",
    }
}

/// What the prompt goes on from, and a way out of it.
#[component]
fn Follows(draft: Draft) -> impl IntoView {
    let room = Room::here();
    let earlier = move || {
        let id = draft.follows.get().filter(|_| !draft.paints.get())?;
        room.view.with(|view| {
            view.cards.iter().find(|card| card.id == id).map(|card| words::opening(&card.prompt))
        })
    };
    move || {
        earlier().map(|prompt| {
            view! {
                <p class="follows">
                    <span>{format!("Goes on from “{prompt}”")}</span>
                    <button
                        type="button" class="quiet" aria-label="Begin afresh instead"
                        on:click=move |_| draft.follows.set(None)
                    >
                        "×"
                    </button>
                </p>
            }
        })
    }
}

fn hint(error: Option<String>, pending: bool, paints: bool) -> impl IntoView {
    match (error, pending) {
        (Some(why), _) => view! { <span class="trouble">{why}</span> }.into_any(),
        (None, true) => view! { <span>"Your prompt is on its way."</span> }.into_any(),
        (None, false) => view! {
            <span class="keys"><kbd>"Ctrl"</kbd>" "<kbd>"Enter"</kbd>{if paints { " paints, " } else { " writes, " }}<kbd>"Esc"</kbd>" stops"</span>
        }
        .into_any(),
    }
}

/// A prompt that was sent and has no card yet: the worker may still be loading.
#[derive(Clone, Copy)]
struct Pending {
    room: Room,
    /// This person's answers, pictures and all notices when it was sent.
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
