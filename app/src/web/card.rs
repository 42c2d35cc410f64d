//! One answer: who asked, the prompt and the text that goes on from it, and one quiet line.

use super::context::Room;
use super::draft::Draft;
use super::{browser, words};
use crate::node::view::{Ask, Card, WriteRequest};
use crate::sampling::Sampling;
use coordinator::JobId;
use coordinator::io::{End, JobState};
use leptos::prelude::*;
use leptos::task::spawn_local;
use std::time::Duration;

/// The card of this job.
#[component]
pub fn AnswerCard(id: JobId) -> impl IntoView {
    let room = Room::here();
    let card = room.memo(move |view| view.cards.iter().find(|card| card.id == id).cloned());
    let part = move |part: fn(&Card) -> String| {
        Memo::new(move |_| card.with(|card| card.as_ref().map(part).unwrap_or_default()))
    };
    let (prompt, text) = (part(|card| card.prompt.clone()), part(|card| card.text.clone()));
    let foreign = move || card.with(|card| card.as_ref().is_some_and(|card| card.foreign));
    let chat = move || card.with(|card| card.as_ref().is_some_and(|card| card.request.sampling.chat));
    let open = Memo::new(move |_| card.with(|card| card.as_ref().is_some_and(|card| card.state.is_some())));
    let region = room.memo(move |view| region_name(&view.cards, id));
    let follows = room.memo(move |view| {
        let follows = view.cards.iter().find(|card| card.id == id)?.request.follows?;
        view.cards.iter().find(|card| card.id == follows).map(|card| words::opening(&card.prompt))
    });
    view! {
        <article class="card" data-open=move || open.get().to_string()>
            <Heading id card />
            {move || follows.get().map(|prompt| view! { <p class="follows"><span>{format!("Goes on from “{prompt}”")}</span></p> })}
            <div class="story" data-chat=move || chat().to_string()>
                <span class="prompt">{move || prompt.get()}</span>
                <section
                    class="answer" data-answer
                    aria-label=move || region.get() aria-busy=move || open.get().to_string()
                >
                    {move || text.get()}
                </section>
                {move || foreign().then(|| view! {
                    <p class="outcome">"Another model than this device’s writes this; its words cannot be shown here."</p>
                })}
            </div>
            <Outcome card />
            <Foot card />
        </article>
    }
}

/// "Answer" for the newest, "Answer 2" and so on for those before it; pictures are counted by themselves.
pub fn region_name(cards: &[Card], id: JobId) -> String {
    let painted = cards.iter().any(|card| card.id == id && card.painting.is_some());
    let what = if painted { "Picture" } else { "Answer" };
    let mut alike = cards.iter().filter(|card| card.painting.is_some() == painted);
    match alike.position(|card| card.id == id) {
        Some(index) if alike.next().is_some() => format!("{what} {}", index + 1),
        _ => what.to_owned(),
    }
}

/// Who asked, and what becomes of it.
#[component]
pub fn Heading(id: JobId, card: Memo<Option<Card>>) -> impl IntoView {
    let room = Room::here();
    let author = Memo::new(move |_| {
        card.with(|card| card.as_ref().map(|card| card.author.clone()).unwrap_or_default())
    });
    let mine = move || card.with(|card| card.as_ref().is_some_and(|card| card.mine));
    view! {
        <header style=move || room.tint(id.requester, &author.get())>
            <span class="dot" aria-hidden="true"></span>
            <h3>{move || author.get()}</h3>
            {move || mine().then(|| view! { <span class="tag">"you"</span> })}
            <State card />
        </header>
    }
}

/// What an answer that has not ended does, in a word; the status line says more.
#[component]
fn State(card: Memo<Option<Card>>) -> impl IntoView {
    let words = move || {
        card.with(|card| {
            let card = card.as_ref()?;
            Some(match card.state.as_ref()? {
                JobState::Waiting(_) => "waiting".to_owned(),
                JobState::Recovering(_) => "finding other hands".to_owned(),
                JobState::Queued { place, wait_ms } => words::queued(*place, *wait_ms),
                JobState::Running(_) if card.painting.is_some() => "painting".to_owned(),
                JobState::Running(_) => "writing".to_owned(),
            })
        })
    };
    view! { <span class="state">{words}</span> }
}

/// How it ended, where that is not simply the end.
#[component]
pub fn Outcome(card: Memo<Option<Card>>) -> impl IntoView {
    let end = Memo::new(move |_| card.with(|card| card.as_ref().and_then(|card| card.end.clone())));
    move || match end.get()? {
        End::Finished => None,
        End::Length => {
            Some(view! { <p class="outcome">"It reached the length that was set."</p> }.into_any())
        }
        End::Stopped => Some(view! { <p class="outcome">"Stopped."</p> }.into_any()),
        End::Failed(why) => {
            Some(view! { <p class="outcome trouble" role="alert">{words::sentence(&why)}</p> }.into_any())
        }
    }
}

/// The quiet line and what one can do with the answer.
#[component]
fn Foot(card: Memo<Option<Card>>) -> impl IntoView {
    let room = Room::here();
    let again = move |seed: Option<u64>| {
        if let Some(request) = card.with_untracked(|card| card.as_ref().map(|card| card.request.clone())) {
            let seed = seed.unwrap_or(request.sampling.seed);
            let sampling = Sampling { seed, ..request.sampling };
            room.ask(Ask::Write(WriteRequest { sampling, ..request }));
        }
    };
    let running = move || card.with(|card| card.as_ref().is_some_and(|card| card.state.is_some()));
    let draft = expect_context::<Draft>();
    let id = card.with_untracked(|card| card.as_ref().map(|card| card.id));
    let unread = move || card.with(|card| card.as_ref().is_none_or(|card| card.foreign));
    let go_on = move || {
        let chat = card.with(|card| card.as_ref().is_some_and(|card| card.request.sampling.chat));
        if chat { "Reply" } else { "Go on" }
    };
    view! {
        <footer>
            <p class="figures">{move || card.with(|card| card.as_ref().map(figures))}</p>
            <div class="actions">
                <button
                    type="button" class="quiet" disabled=move || running() || unread()
                    on:click=move |_| id.into_iter().for_each(|id| draft.follow(id))
                >
                    {go_on}
                </button>
                <Copy label="Copy" text=move || {
                    card.with_untracked(|card| card.as_ref().map(|card| format!("{}{}", card.prompt, card.text)))
                } />
                <button type="button" class="quiet" disabled=running on:click=move |_| again(Some(browser::random()))>
                    "Again"
                </button>
                <button
                    type="button"
                    class="quiet"
                    disabled=running
                    on:click=move |_| again(None)
                    title=move || card.with(|card| card.as_ref().map(|card| format!("Seed {}", card.request.sampling.seed)))
                >
                    "Same seed"
                </button>
            </div>
        </footer>
    }
}

/// Puts a text on the clipboard, and says so for a moment.
#[component]
pub fn Copy(label: &'static str, text: impl Fn() -> Option<String> + 'static) -> impl IntoView {
    const SAID: Duration = Duration::from_secs(2);
    let room = Room::here();
    let copied = RwSignal::new(false);
    let copy = move |_| {
        let Some(text) = text() else { return };
        spawn_local(async move {
            let done = browser::copy(&text).await;
            copied.set(done);
            room.say.set(if done { "Copied." } else { "The browser did not allow copying." }.to_owned());
            set_timeout(move || copied.set(false), SAID);
        });
    };
    view! {
        <button type="button" class="quiet" on:click=copy>
            {move || if copied.get() { "Copied" } else { label }}
        </button>
    }
}

/// "84 tokens · 12 tokens/s · first token 240 ms · by Teal Owl and Rose Fox".
fn figures(card: &Card) -> String {
    let workers: Vec<String> = card.workers.iter().map(|(_, name)| name.clone()).collect();
    let parts = [
        Some(words::count(card.tokens as usize, "token")),
        card.tokens_per_second.map(words::rate),
        card.first_token_ms.map(|ms| format!("first token {}", words::span(ms))),
        (!workers.is_empty()).then(|| format!("by {}", words::list(&workers))),
    ];
    parts.into_iter().flatten().collect::<Vec<_>>().join(" · ")
}
