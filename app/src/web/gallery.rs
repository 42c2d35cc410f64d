//! The gallery: all whole pictures of the room, the newest first, in place of the feed.

use super::context::Room;
use super::draft::{Draft, Mode};
use super::paint_settings::PaintSettings;
use super::painted::{self, Painted};
use super::picture::{Download, address};
use leptos::ev::{KeyboardEvent, MouseEvent};
use leptos::html::{Button, Dialog, Section};
use leptos::prelude::*;
use wasm_bindgen::JsCast;
use web_sys::Element;

/// "Gallery (7)": opens the gallery, and closes it. Not there where nobody paints.
#[component]
pub fn GalleryButton() -> impl IntoView {
    let room = Room::here();
    let opener = NodeRef::<Button>::new();
    let count = room.memo(painted::count);
    let there = room.memo(|view| view.painter.is_some() || painted::count(view) > 0);
    // What was inside is gone, and the focus with it.
    let take_focus = move || {
        if document().active_element().is_none_or(|element| element.tag_name() == "BODY") {
            opener.get_untracked().into_iter().for_each(|opener| drop(opener.focus()));
        }
    };
    Effect::new(move |was: Option<bool>| {
        let open = room.gallery.get();
        if was == Some(true) && !open {
            request_animation_frame(take_focus);
        }
        open
    });
    view! {
        <Show when=move || there.get()>
            <button
                type="button" class="pill" node_ref=opener
                aria-controls="gallery" aria-expanded=move || room.gallery.get().to_string()
                on:click=move |_| room.gallery.update(|open| *open = !*open)
            >
                {move || format!("Gallery ({})", count.get())}
            </button>
        </Show>
    }
}

/// The pictures, and one of them enlarged.
#[component]
pub fn Gallery() -> impl IntoView {
    let room = Room::here();
    let pictures = room.memo(painted::gallery);
    let enlarged = RwSignal::new(None::<Painted>);
    let section = NodeRef::<Section>::new();
    Effect::new(move |_| section.get().into_iter().for_each(|section| drop(section.focus())));
    let close = move |event: KeyboardEvent| {
        if event.key() == "Escape" && !event.default_prevented() {
            event.prevent_default();
            room.gallery.set(false);
        }
    };
    view! {
        <section id="gallery" class="gallery" aria-label="Gallery" tabindex="-1" node_ref=section on:keydown=close>
            <header>
                <h2>"Gallery"</h2>
                <button type="button" class="quiet" on:click=move |_| room.gallery.set(false)>"Back to the feed"</button>
            </header>
            <Show when=move || pictures.with(Vec::is_empty)>
                <p class="fine">"Nothing is painted yet. What this room paints will hang here, while somebody is in it."</p>
            </Show>
            <ul role="list">
                <For each=move || pictures.get() key=|picture| (picture.job, picture.unit) let(picture)>
                    <Hung picture enlarged />
                </For>
            </ul>
            <Enlarged enlarged />
        </section>
    }
}

/// One picture on the wall.
#[component]
fn Hung(picture: Painted, enlarged: RwSignal<Option<Painted>>) -> impl IntoView {
    let (prompt, seed) = (picture.request.prompt.clone(), picture.request.seed_of(picture.unit));
    let image = picture.image.clone();
    let address = address(Memo::new(move |_| Some(image.clone())));
    let shape = format!("aspect-ratio:{}/{}", picture.image.width.max(1), picture.image.height.max(1));
    let label = format!("Download {prompt}, seed {seed}");
    let (shown, taken) = (picture.clone(), picture.clone());
    view! {
        <li>
            <figure class="picture">
                <button
                    type="button" class="frame" style=shape title="Enlarge"
                    on:click=move |_| enlarged.set(Some(shown.clone()))
                >
                    <img src=move || address.get() alt=prompt.clone() />
                </button>
                <figcaption>
                    <p class="asked">{prompt.clone()}</p>
                    <p class="figures">{picture.line}</p>
                    <div class="actions">
                        <Download address prompt seed label />
                        <Once taken />
                    </div>
                </figcaption>
            </figure>
        </li>
    }
}

/// Puts what painted this picture into the composer.
#[component]
fn Once(taken: Painted) -> impl IntoView {
    let room = Room::here();
    let draft = expect_context::<Draft>();
    let take = move |_| {
        let easel = room.view.with_untracked(|view| view.painter.as_ref().map(|painter| painter.easel));
        draft.painting.set(PaintSettings::of(&taken.request, taken.unit, easel));
        draft.begin(Mode::Picture, &taken.request.prompt);
        // An open dialog keeps the focus until it is closed.
        request_animation_frame(move || draft.focus());
        room.say.set("Its prompt and settings are in the composer.".to_owned());
    };
    view! {
        <button type="button" class="quiet" disabled=move || draft.hindrance.get().is_some() on:click=take>
            "Paint again with these settings"
        </button>
    }
}

/// One picture over everything else, with all that is known of it.
#[component]
fn Enlarged(enlarged: RwSignal<Option<Painted>>) -> impl IntoView {
    let dialog = NodeRef::<Dialog>::new();
    Effect::new(move |_| {
        let Some(dialog) = dialog.get() else { return };
        match enlarged.with(Option::is_some) {
            true if !dialog.open() => drop(dialog.show_modal()),
            false if dialog.open() => dialog.close(),
            _ => {}
        }
    });
    // Taken here, Escape does not stop the work, too.
    let on_key = move |event: KeyboardEvent| {
        if event.key() == "Escape" {
            event.prevent_default();
            enlarged.set(None);
        }
    };
    // The backdrop belongs to the dialog, and all that is on it to the figure.
    let on_click = move |event: MouseEvent| {
        let target = event.target().and_then(|target| target.dyn_into::<Element>().ok());
        if target.is_some_and(|target| target.tag_name() == "DIALOG") {
            enlarged.set(None);
        }
    };
    view! {
        <dialog
            class="enlarged" aria-label="Picture" node_ref=dialog
            on:keydown=on_key on:click=on_click on:close=move |_| enlarged.set(None)
        >
            {move || enlarged.get().map(|picture| view! { <Large picture close=move || enlarged.set(None) /> })}
        </dialog>
    }
}

#[component]
fn Large(picture: Painted, close: impl Fn() + Copy + 'static) -> impl IntoView {
    let (request, unit) = (picture.request.clone(), picture.unit);
    let image = picture.image.clone();
    let address = address(Memo::new(move |_| Some(image.clone())));
    let (width, height) = (picture.image.width.max(1), picture.image.height.max(1));
    let seed = request.seed_of(unit);
    let line = format!("{} · guidance {}", picture.line, request.guidance);
    let without =
        Some(&request.negative).filter(|text| !text.is_empty()).map(|text| format!("Without: {text}"));
    view! {
        <figure>
            <img
                src=move || address.get() alt=request.prompt.clone()
                width=width height=height style=format!("--ratio:{};--natural:{width}px", f64::from(width) / f64::from(height))
            />
            <figcaption>
                <p class="asked">{request.prompt.clone()}</p>
                {without.map(|without| view! { <p class="fine">{without}</p> })}
                <p class="figures">{line}</p>
                <div class="actions" on:click=move |_| close()>
                    <Download address prompt=request.prompt seed label="Download" />
                    <Once taken=picture />
                    <button type="button" class="quiet" autofocus>"Close"</button>
                </div>
            </figcaption>
        </figure>
    }
}
