//! A request's pictures: who asked, the prompt, each picture as it sharpens, and one quiet line.

use super::card::{Copy, Heading, Outcome, region_name};
use super::context::Room;
use super::picture::{Download, address};
use super::{browser, painted};
use crate::node::view::{Ask, Card, PictureView};
use crate::painting::PaintRequest;
use coordinator::JobId;
use leptos::prelude::*;

/// The card of this job.
#[component]
pub fn PictureCard(id: JobId) -> impl IntoView {
    let room = Room::here();
    let card = room.memo(move |view| view.cards.iter().find(|card| card.id == id).cloned());
    let request = Memo::new(move |_| card.with(|card| request(card.as_ref())));
    let open = Memo::new(move |_| card.with(|card| card.as_ref().is_some_and(|card| card.state.is_some())));
    let unseen = room.memo(move |view| {
        view.cards.iter().find(|card| card.id == id).and_then(|card| painted::unseen(view, card))
    });
    let region = room.memo(move |view| region_name(&view.cards, id));
    let units = Memo::new(move |_| card.with(|card| count(card.as_ref())));
    let layout = move || {
        let (columns, width) = request.with(|r| (painted::columns(r.count), painted::shown_width(r)));
        format!("--columns:{columns};--few:{};--width:{width}px", columns.min(2))
    };
    view! {
        <article class="card" data-open=move || open.get().to_string()>
            <Heading id card />
            <p class="asked">{move || request.get().prompt}</p>
            <section
                class="pictures" style=layout aria-label=move || region.get()
                aria-busy=move || open.get().to_string()
            >
                <For each=move || 0..units.get() key=|unit| *unit let(unit)>
                    <Picture card request unit />
                </For>
            </section>
            {move || unseen.get().map(|why| view! { <p class="outcome">{why}</p> })}
            <Outcome card />
            <Foot id card request />
        </article>
    }
}

fn request(card: Option<&Card>) -> PaintRequest {
    card.and_then(|card| card.painting.as_ref()).map(|painting| painting.request.clone()).unwrap_or_default()
}

fn count(card: Option<&Card>) -> u16 {
    let pictures = card.and_then(|card| card.painting.as_ref()).map_or(0, |painting| painting.pictures.len());
    u16::try_from(pictures).unwrap_or(u16::MAX)
}

fn picture(card: Option<&Card>, unit: u16) -> PictureView {
    let painting = card.and_then(|card| card.painting.as_ref());
    painting.and_then(|painting| painting.pictures.get(usize::from(unit))).cloned().unwrap_or_default()
}

/// One of them; its frame has its shape from the start, so that nothing moves.
#[component]
fn Picture(card: Memo<Option<Card>>, request: Memo<PaintRequest>, unit: u16) -> impl IntoView {
    let picture = Memo::new(move |_| card.with(|card| picture(card.as_ref(), unit)));
    let image = Memo::new(move |_| picture.with(|picture| picture.image.clone()));
    let address = address(image);
    let shown = Memo::new(move |_| address.with(Option::is_some));
    let whole = Memo::new(move |_| picture.with(|picture| picture.whole));
    let alt =
        move || request.with(|request| picture.with(|now| painted::alt(&request.prompt, now, request.steps)));
    let shape = move || request.with(|r| format!("aspect-ratio:{}/{}", r.width.max(1), r.height.max(1)));
    let label = move || match request.with(|request| request.count) {
        0 | 1 => "Download".to_owned(),
        _ => format!("Download picture {}", unit + 1),
    };
    view! {
        <figure class="picture" data-whole=move || whole.get().to_string()>
            <div class="frame" style=shape>
                <Show when=move || shown.get()>
                    <img src=move || address.get() alt=alt data-picture />
                </Show>
            </div>
            <figcaption>
                <Show when=move || whole.get() fallback=move || view! { <Progress card request picture unit /> }>
                    <span class="number">{move || format!("seed {}", request.with(|r| r.seed_of(unit)))}</span>
                    {move || {
                        let (prompt, seed) = request.with(|r| (r.prompt.clone(), r.seed_of(unit)));
                        view! { <Download address prompt seed label=label() /> }
                    }}
                </Show>
            </figcaption>
        </figure>
    }
}

/// How far it is; where it goes no further, where it was.
#[component]
fn Progress(
    card: Memo<Option<Card>>,
    request: Memo<PaintRequest>,
    picture: Memo<PictureView>,
    unit: u16,
) -> impl IntoView {
    let steps = move || request.with(|request| request.steps);
    let step = move || picture.with(|picture| painted::step(picture, steps()));
    let given_up = Memo::new(move |_| card.with(|card| card.as_ref().is_some_and(painted::given_up)));
    view! {
        <Show
            when=move || given_up.get()
            fallback=move || view! {
                <progress
                    aria-label=format!("Painting picture {}", unit + 1) aria-valuetext=step
                    max=move || steps().max(1) value=move || picture.with(|picture| picture.done)
                />
                <span class="number">{step}</span>
            }
        >
            <span class="number">{move || format!("ended at {}", step())}</span>
        </Show>
    }
}

/// The quiet line and what one can do with the pictures.
#[component]
fn Foot(id: JobId, card: Memo<Option<Card>>, request: Memo<PaintRequest>) -> impl IntoView {
    let room = Room::here();
    let line = room.memo(move |view| {
        let card = view.cards.iter().find(|card| card.id == id);
        card.map(|card| painted::figures(view, card)).unwrap_or_default()
    });
    let running = move || card.with(|card| card.as_ref().is_some_and(|card| card.state.is_some()));
    let again = move |seed: Option<u64>| {
        let request = request.get_untracked();
        room.ask(Ask::Paint(PaintRequest { seed: seed.unwrap_or(request.seed), ..request }));
    };
    view! {
        <footer>
            <p class="figures">{move || line.get()}</p>
            <div class="actions">
                <Copy label="Copy prompt" text=move || Some(request.get_untracked().prompt) />
                <button type="button" class="quiet" disabled=running on:click=move |_| again(Some(browser::random()))>
                    "Again"
                </button>
                <button
                    type="button" class="quiet" disabled=running on:click=move |_| again(None)
                    title=move || format!("Seed {}", request.with(|request| request.seed))
                >
                    "Same seed"
                </button>
            </div>
        </footer>
    }
}
