//! The room: feed or gallery, and composer; the panel beside or below them.

use super::announce::{Announcer, after};
use super::composer::Composer;
use super::context::Room;
use super::door::Mark;
use super::draft::Draft;
use super::feed::Feed;
use super::gallery::{Gallery, GalleryButton};
use super::panel::Panel;
use super::{status, vitals};
use crate::node::view::{Ask, ComputeStatus};
use leptos::ev;
use leptos::prelude::*;
use std::time::Duration;

/// The room, once the node has drawn its first view.
#[component]
pub fn RoomPlace(room: Room) -> impl IntoView {
    provide_context(room);
    provide_context(Draft::new(room));
    vitals::watch(room);
    leave_with_the_page(room);
    stop_on_escape(room);
    view! {
        <div class="room">
            <main class="table">
                <Header />
                <Notices />
                <Feed />
                <Show when=move || room.gallery.get()>
                    <Gallery />
                </Show>
                <Composer />
            </main>
            <Panel />
            <Announcer />
        </div>
    }
}

#[component]
fn Header() -> impl IntoView {
    let room = Room::here();
    let now = room.memo(status::status);
    view! {
        <header class="head">
            <h1 class="unseen">"A room of Manyhands"</h1>
            <a class="home" href="./" aria-label="Manyhands, leave this room"><Mark /></a>
            <p class="status" role="status" aria-label="Room" data-tone=move || now.get().0.name()>
                {move || now.get().1}
            </p>
            <Progress />
            <GalleryButton />
        </header>
    }
}

/// How much of the compute worker and its model has arrived; the words stand in the status line.
#[component]
fn Progress() -> impl IntoView {
    let loading = Room::here().memo(|view| match &view.compute {
        ComputeStatus::Loading { done, total, .. } => Some((*done, *total)),
        ComputeStatus::Ready { .. } => view.fetching.as_ref().map(|fetching| (fetching.done, fetching.total)),
        ComputeStatus::Failed(_) => None,
    });
    let percent = |done: u64, total: u64| (total > 0).then(|| (done * 100 / total).min(100));
    let words = |done: u64, total: u64| match total {
        0 if done == 0 => "a moment".to_owned(),
        0 => super::words::bytes(done),
        _ => format!("{} of {}", super::words::bytes(done), super::words::bytes(total)),
    };
    move || {
        loading.get().map(|(done, total)| {
            view! {
                <div class="progress">
                    <progress aria-label="Getting this device ready" max="100" value=percent(done, total) />
                    <span class="number">{words(done, total)}</span>
                </div>
            }
        })
    }
}

/// The latest notices, over the feed so that nothing moves; each goes by itself and stays in the details.
#[component]
fn Notices() -> impl IntoView {
    const AT_ONCE: usize = 3;
    let room = Room::here();
    let gone_before = RwSignal::new(room.notices.with_untracked(|all| after(all)));
    let shown = Memo::new(move |_| {
        let since = gone_before.get();
        let fresh = room.notices.with(|all| {
            let fresh = all.iter().filter(|(at, _)| *at >= since);
            fresh.cloned().collect::<Vec<_>>()
        });
        fresh[fresh.len().saturating_sub(AT_ONCE)..].to_vec()
    });
    let dismiss = move |at: u64| gone_before.update(|since| *since = (*since).max(at + 1));
    view! {
        <div class="notices">
            <For each=move || shown.get() key=Clone::clone let((at, text))>
                <Notice text dismiss=move || dismiss(at) />
            </For>
        </div>
    }
}

#[component]
fn Notice(text: String, dismiss: impl Fn() + Copy + 'static) -> impl IntoView {
    /// How long a notice stands. Source: guess; time to read two lines twice.
    const STANDS: Duration = Duration::from_secs(9);
    set_timeout(dismiss, STANDS);
    view! {
        <div class="notice">
            <p>{text}</p>
            <button type="button" class="quiet" aria-label="Dismiss" on:click=move |_| dismiss()>"×"</button>
        </div>
    }
}

/// The node learns when this person leaves.
fn leave_with_the_page(room: Room) {
    window_event_listener(ev::pagehide, move |_| room.ask(Ask::Leave));
    // "Back" may show this page as it was, but its node has left the room.
    window_event_listener(ev::pageshow, |event| {
        if event.persisted() {
            let _ = window().location().reload();
        }
    });
}

/// Escape stops this person's newest request, wherever the focus is, unless something else took the key.
fn stop_on_escape(room: Room) {
    window_event_listener(ev::keydown, move |event| {
        if event.key() != "Escape" || event.default_prevented() {
            return;
        }
        if let Some(job) = room.view.with_untracked(super::composer::own_open) {
            room.ask(Ask::Stop(job));
        }
    });
}
