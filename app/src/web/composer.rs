//! The composer: the prompt, its settings, and one button that writes or stops.

use super::browser::{self, Keep};
use super::context::Room;
use super::drawer::Drawer;
use super::settings::Settings;
use super::words;
use crate::node::view::{Ask, View};
use coordinator::JobId;
use leptos::ev::KeyboardEvent;
use leptos::html::Textarea;
use leptos::prelude::*;

const SETTINGS: &str = "manyhands.settings";

/// The prompt that is being written; openings in the feed fill it in.
#[derive(Clone, Copy)]
pub struct Draft {
    prompt: RwSignal<String>,
    /// The answer that it goes on from.
    follows: RwSignal<Option<JobId>>,
    field: NodeRef<Textarea>,
}

impl Draft {
    /// An empty prompt.
    pub fn new() -> Self {
        Self { prompt: RwSignal::new(String::new()), follows: RwSignal::new(None), field: NodeRef::new() }
    }

    /// Replaces the prompt by this opening and puts the cursor behind it.
    pub fn begin(self, opening: &str) {
        self.prompt.set(opening.to_owned());
        if let Some(field) = self.field.get_untracked() {
            field.set_value(opening);
            let _ = field.focus();
        }
    }

    /// What is written now goes on from this answer.
    pub fn follow(self, answer: JobId) {
        self.follows.set(Some(answer));
        if let Some(field) = self.field.get_untracked() {
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
    // While the model is not known, what the person wants counts.
    let talks = room.memo(|view| view.model.as_ref().is_none_or(|model| model.chat));
    let drawer_open = RwSignal::new(false);
    Effect::new(move |_| settings.with(|settings| browser::store(Keep::Visits, SETTINGS, settings)));

    let request = move |settings: &Settings| {
        let (talks, follows) = (talks.get_untracked(), draft.follows.get_untracked());
        draft.prompt.with_untracked(|p| settings.request(p, browser::random(), talks, follows))
    };
    let write = move || match settings.with_untracked(request) {
        Ok(request) => {
            error.set(None);
            draft.begin("");
            draft.follows.set(None);
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
            <Follows draft />
            <textarea
                id="prompt"
                node_ref=draft.field
                rows="2"
                placeholder=move || if draft.follows.get().is_some() { "And then…" } else { "Once upon a time…" }
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

/// What the prompt goes on from, and a way out of it.
#[component]
fn Follows(draft: Draft) -> impl IntoView {
    let room = Room::here();
    let earlier = move || {
        let id = draft.follows.get()?;
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
