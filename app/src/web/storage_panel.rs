//! What is kept on this device: how much, how much may be, and a button that clears it.

use super::browser::{self, Keep};
use super::context::Room;
use super::storage::{Kept, QUOTAS, SHARINGS, Where};
use super::words;
use crate::node::view::Ask;
use coordinator::swarm::Sharing;
use leptos::prelude::*;

const QUOTA: &str = "manyhands.quota";
const SHARING: &str = "manyhands.sharing";

/// Bytes that this person allowed to be kept on an earlier visit.
pub fn allowed() -> Option<u64> {
    browser::load(Keep::Visits, QUOTA)
}

/// What this person allowed others to have on an earlier visit.
pub fn shared() -> Option<Sharing> {
    browser::load(Keep::Visits, SHARING)
}

/// Nothing before it is known what is kept.
#[component]
pub fn StoragePanel() -> impl IntoView {
    let room = Room::here();
    let usage = room.memo(|view| view.kept);
    let persisted = RwSignal::new(false);
    // It may be granted once something is kept.
    Effect::new(move |_| {
        usage.track();
        leptos::task::spawn_local(async move { persisted.set(browser::is_kept().await) });
    });
    let kept = Memo::new(move |_| usage.get().map(|usage| Kept::of(usage, persisted.get())));
    let allow = Callback::new(move |bytes: u64| {
        browser::store(Keep::Visits, QUOTA, &bytes);
        room.ask(Ask::Allow(bytes));
    });
    let clear = Callback::new(move |()| room.ask(Ask::Clear));
    let now =
        move || kept.get().unwrap_or(Kept { place: Where::Memory, used: 0, quota: 0, persisted: false });
    let on_disk = Memo::new(move |_| kept.get().is_some_and(|kept| kept.place == Where::Disk));
    view! {
        <Show when=move || kept.get().is_some()>
            <section class="storage" aria-labelledby="storage-title">
                <h2 id="storage-title">"Kept on this device"</h2>
                <Show when=move || on_disk.get()>
                    <progress aria-labelledby="storage-title" max=move || now().quota.max(1) value=move || now().used></progress>
                    <p class="number" role="status" aria-label="Kept">{move || now().amount()}</p>
                    <div class="row">
                        <label for="storage-quota">"Keep at most"</label>
                        <Quotas quota=Signal::derive(move || now().quota) allow />
                        <Clear clear nothing=Signal::derive(move || now().used == 0) />
                    </div>
                </Show>
                <p class="fine">{move || now().meaning()}</p>
                <Sharings />
            </section>
        </Show>
    }
}

/// The sizes that people can choose from, and theirs if it is another.
#[component]
fn Quotas(quota: Signal<u64>, allow: Callback<u64>) -> impl IntoView {
    let choices = move || {
        let mut choices = QUOTAS.to_vec();
        if let Err(at) = choices.binary_search(&quota.get()) {
            choices.insert(at, quota.get());
        }
        choices
    };
    let option = move |bytes: u64| {
        view! { <option value=bytes.to_string() selected=move || quota.get() == bytes>{words::bytes(bytes)}</option> }
    };
    let choose = move |value: String| value.parse().into_iter().for_each(|bytes| allow.run(bytes));
    view! {
        <select id="storage-quota" on:change:target=move |event| choose(event.target().value())>
            {move || choices().into_iter().map(option).collect_view()}
        </select>
    }
}

/// What others may have of it.
#[component]
fn Sharings() -> impl IntoView {
    let room = Room::here();
    let now = room.memo(|view| view.sharing);
    let choose = move |index: String| {
        let Some((sharing, _)) = index.parse().ok().and_then(|index: usize| SHARINGS.get(index)) else {
            return;
        };
        browser::store(Keep::Visits, SHARING, sharing);
        room.ask(Ask::Sharing(*sharing));
    };
    let option = move |(index, (sharing, label)): (usize, &'static (Sharing, &'static str))| {
        view! { <option value=index.to_string() selected=move || now.get() == *sharing>{*label}</option> }
    };
    view! {
        <div class="row">
            <label for="storage-sharing">"Others here may fetch it"</label>
            <select id="storage-sharing" on:change:target=move |event| choose(event.target().value())>
                {SHARINGS.iter().enumerate().map(option).collect_view()}
            </select>
        </div>
    }
}

/// Asks once more, for what is cleared has to be fetched again.
#[component]
fn Clear(clear: Callback<()>, nothing: Signal<bool>) -> impl IntoView {
    let asked = RwSignal::new(false);
    let press = move |_| {
        if asked.get_untracked() {
            clear.run(());
        }
        asked.update(|asked| *asked = !*asked);
    };
    view! {
        <button
            type="button" class="secondary" disabled=move || nothing.get()
            on:click=press on:blur=move |_| asked.set(false)
        >
            {move || if asked.get() { "Clear all models?" } else { "Clear" }}
        </button>
    }
}
