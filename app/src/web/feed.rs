//! The feed: a card per answer, oldest first, and the newest kept in sight while the reader is at the end.

use super::card::AnswerCard;
use super::composer::Draft;
use super::context::Room;
use leptos::html::Div;
use leptos::prelude::*;

/// How close to the end, in CSS pixels, counts as being there. Source: guess; two lines of text.
const NEAR_END: i32 = 56;

/// The answers of the room.
#[component]
pub fn Feed() -> impl IntoView {
    let room = Room::here();
    let scroller = NodeRef::<Div>::new();
    let at_end = RwSignal::new(true);
    let ids = room.memo(|view| view.cards.iter().map(|card| card.id).collect::<Vec<_>>());
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
    let on_scroll = move |_| {
        if let Some(feed) = scroller.get_untracked() {
            at_end.set(feed.scroll_height() - feed.scroll_top() - feed.client_height() < NEAR_END);
        }
    };
    view! {
        <h2 class="unseen">"Stories"</h2>
        <div class="feed" node_ref=scroller on:scroll=on_scroll tabindex="0" role="group" aria-label="Stories">
            <Show when=move || ids.with(Vec::is_empty)>
                <Welcome />
            </Show>
            <For each=move || ids.get() key=|id| *id let(id)>
                <AnswerCard id />
            </For>
        </div>
        <div class="jump">
            <Show when=move || !at_end.get()>
                <button type="button" class="pill" on:click=move |_| to_end()>"↓ Newest"</button>
            </Show>
        </div>
    }
}

/// What an empty room says.
#[component]
fn Welcome() -> impl IntoView {
    const OPENINGS: [&str; 3] =
        ["Once upon a time", "There was a little fox who lived", "Long ago, there was a brave mouse named"];
    let draft = expect_context::<Draft>();
    view! {
        <div class="welcome">
            <h2>"Begin a story"</h2>
            <p>"Write how it starts. The room goes on, word by word, and everyone here can read along."</p>
            <ul class="openings" aria-label="Openings">
                {OPENINGS
                    .map(|opening| {
                        view! {
                            <li>
                                <button type="button" class="pill" on:click=move |_| draft.begin(opening)>
                                    {format!("{opening} …")}
                                </button>
                            </li>
                        }
                    })
                    .into_iter()
                    .collect_view()}
            </ul>
        </div>
    }
}
