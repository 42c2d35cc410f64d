//! The room panel: beside the feed on wide screens, a sheet that is pulled up on phones.

use super::adapter_switch::OwnAdapters;
use super::chooser::Chooser;
use super::context::Room;
use super::details::Details;
use super::invite::Invite;
use super::peers::Peers;
use super::room_models::RoomModels;
use super::storage_panel::StoragePanel;
use super::strip::LayerStrips;
use super::words;
use leptos::prelude::*;

/// Who is here and who runs what.
#[component]
pub fn Panel() -> impl IntoView {
    let room = Room::here();
    let open = RwSignal::new(false);
    let here = room.memo(|view| words::count(view.peers.peers.len(), "device"));
    let close = move |event: leptos::ev::KeyboardEvent| {
        if event.key() == "Escape" && open.get_untracked() {
            event.prevent_default();
            open.set(false);
        }
    };
    view! {
        <div class="shade" data-open=move || open.get().to_string() on:click=move |_| open.set(false)></div>
        <aside class="panel" aria-label="The room" data-open=move || open.get().to_string() on:keydown=close>
            <button
                type="button" class="handle" aria-controls="room-sheet"
                aria-expanded=move || open.get().to_string()
                on:click=move |_| open.update(|open| *open = !*open)
            >
                <span class="grip" aria-hidden="true"></span>
                <span>{move || if open.get() { "Close".to_owned() } else { format!("Room, {}", here.get()) }}</span>
            </button>
            <LayerStrips />
            <div id="room-sheet" class="sheet">
                <Invite />
                <Peers />
                <RoomModels />
                <OwnAdapters />
                <Chooser />
                <StoragePanel />
                <Details />
            </div>
        </aside>
    }
}
