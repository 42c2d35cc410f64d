//! The feed: a card per answer or request to paint, oldest first, and the newest kept in sight while the reader is at the end.

use super::card::AnswerCard;
use super::context::Room;
use super::draft::{Draft, Mode};
use super::picture_card::PictureCard;
use super::words;
use leptos::html::Div;
use leptos::prelude::*;

/// How close to the end, in CSS pixels, counts as being there. Source: guess; two lines of text.
const NEAR_END: i32 = 56;

/// The answers and pictures of the room.
#[component]
pub fn Feed() -> impl IntoView {
    let room = Room::here();
    let scroller = NodeRef::<Div>::new();
    let at_end = RwSignal::new(true);
    let cards = room
        .memo(|view| view.cards.iter().map(|card| (card.id, card.painting.is_some())).collect::<Vec<_>>());
    // Where the reader was: out of sight, the feed may forget.
    let top = StoredValue::new(0);
    let grown = room
        .memo(|view| (view.cards.len(), view.cards.last().map(|card| (card.text.len(), card.end.is_some()))));
    let to_end = move || {
        if let Some(feed) = scroller.get_untracked() {
            feed.set_scroll_top(feed.scroll_height());
        }
    };
    Effect::new(move |_| {
        // Read, not only tracked: a memo that nobody reads is not computed again.
        grown.get();
        if at_end.get_untracked() {
            request_animation_frame(to_end);
        }
    });
    let go_back = move || match (at_end.get_untracked(), scroller.get_untracked()) {
        (true, _) => to_end(),
        (false, Some(feed)) => feed.set_scroll_top(top.get_value()),
        (false, None) => {}
    };
    Effect::new(move |_| {
        if !room.gallery.get() {
            request_animation_frame(go_back);
        }
    });
    let on_scroll = move |_| {
        if let Some(feed) = scroller.get_untracked().filter(|_| !room.gallery.get_untracked()) {
            top.set_value(feed.scroll_top());
            at_end.set(feed.scroll_height() - feed.scroll_top() - feed.client_height() < NEAR_END);
        }
    };
    view! {
        <h2 class="unseen">"Stories and pictures"</h2>
        <div
            class="feed" hidden=move || room.gallery.get() node_ref=scroller on:scroll=on_scroll
            tabindex="0" role="group" aria-label="Stories and pictures"
        >
            <Show when=move || cards.with(Vec::is_empty)>
                <Welcome />
            </Show>
            <For each=move || cards.get() key=|card| *card let((id, painted))>
                {match painted {
                    true => view! { <PictureCard id /> }.into_any(),
                    false => view! { <AnswerCard id /> }.into_any(),
                }}
            </For>
        </div>
        <div class="jump">
            <Show when=move || !at_end.get() && !room.gallery.get()>
                <button type="button" class="pill" on:click=move |_| to_end()>"↓ Newest"</button>
            </Show>
        </div>
    }
}

/// What an empty room says.
#[component]
fn Welcome() -> impl IntoView {
    const STORIES: [&str; 3] =
        ["Once upon a time", "There was a little fox who lived", "Long ago, there was a brave mouse named"];
    const PICTURES: [&str; 2] = ["a red circle above a blue square", "a house beside a tree under the sun"];
    let hindrance = expect_context::<Draft>().hindrance;
    view! {
        <div class="welcome">
            <h2>{move || if hindrance.get().is_none() { "Begin a story, or a picture" } else { "Begin a story" }}</h2>
            <p>"Write how it starts. The room goes on, word by word, and everyone here can read along."</p>
            <ul class="openings" aria-label="Openings">
                {STORIES.map(|opening| view! { <Opening mode=Mode::Text opening /> }).into_iter().collect_view()}
            </ul>
            <Show when=move || hindrance.get().is_none()>
                <p>"Or say what is to be seen, and watch it sharpen."</p>
                <ul class="openings" aria-label="Openings of pictures">
                    {PICTURES
                        .map(|opening| view! { <Opening mode=Mode::Picture opening /> })
                        .into_iter()
                        .collect_view()}
                </ul>
            </Show>
        </div>
    }
}

/// A beginning that is one press away.
#[component]
fn Opening(mode: Mode, opening: &'static str) -> impl IntoView {
    let draft = expect_context::<Draft>();
    let label = if mode == Mode::Text { format!("{opening} …") } else { words::sentence(opening) };
    view! {
        <li>
            <button type="button" class="pill" on:click=move |_| draft.begin(mode, opening)>{label}</button>
        </li>
    }
}
