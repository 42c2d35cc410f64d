//! The settings of the next pictures.

use super::context::Room;
use super::draft::Draft;
use super::drawer::Slider;
use super::paint_settings::{GUIDANCE_MAX, PaintSettings, STEPS_MAX, Shape, sizes};
use super::words;
use crate::compute::Easel;
use crate::painting::COUNT;
use leptos::prelude::*;

/// Those of the next pictures.
#[component]
pub fn PaintDrawer() -> impl IntoView {
    let settings = expect_context::<Draft>().painting;
    let set = move |change: fn(&mut PaintSettings, f32), value: f32| settings.update(|s| change(s, value));
    let unguided = move || settings.with(|s| !s.guided());
    view! {
        <Size settings />
        <Slider
            id="count" label="How many" unit="" min=1.0 max=Signal::stored(f32::from(COUNT)) step=1.0
            value=Signal::derive(move || f32::from(settings.with(|s| s.count)))
            on_change=move |value| set(|s, v| s.count = v as u16, value)
        />
        <Slider
            id="steps" label="Steps" unit="" min=1.0 max=Signal::stored(f32::from(STEPS_MAX)) step=1.0
            value=Signal::derive(move || f32::from(settings.with(|s| s.steps)))
            on_change=move |value| set(|s, v| s.steps = v as u16, value)
        />
        <Slider
            id="guidance" label="Guidance" unit="" min=0.0 max=Signal::stored(GUIDANCE_MAX) step=0.25
            value=Signal::derive(move || settings.with(|s| s.guidance))
            on_change=move |value| set(|s, v| s.guidance = v, value)
        />
        <div class="setting">
            <label for="paint-seed">"Seed"</label>
            <input
                id="paint-seed" class="number" type="text"
                inputmode="numeric" placeholder="new each time" autocomplete="off"
                prop:value=move || settings.with(|s| s.seed.clone())
                on:input:target=move |event| settings.update(|s| s.seed = event.target().value())
            />
        </div>
        <div class="setting">
            <label for="without">"Without"</label>
            <input
                id="without" type="text" autocomplete="off" maxlength="2000" disabled=unguided
                placeholder=move || if unguided() { "needs guidance above 1" } else { "what should not be in it" }
                prop:value=move || settings.with(|s| s.negative.clone())
                on:input:target=move |event| settings.update(|s| s.negative = event.target().value())
            />
        </div>
        <p class="fine">"Guidance makes the prompt count more. At 1 and below nothing is compared, in half the time."</p>
        <label class="setting">
            <input
                type="checkbox" prop:checked=move || settings.with(|s| s.patches)
                on:change:target=move |event| settings.update(|s| s.patches = event.target().checked())
            />
            "Share one picture in patches: sooner with several devices, but not quite the same picture"
        </label>
        <button type="button" class="quiet" on:click=move |_| settings.set(PaintSettings::default())>
            "Back to defaults"
        </button>
    }
}

/// The model's own shapes, and any other that divides.
#[component]
fn Size(settings: RwSignal<PaintSettings>) -> impl IntoView {
    let room = Room::here();
    let easel = room.memo(|view| view.painter.as_ref().map(|painter| painter.easel));
    let choices = Memo::new(move |_| {
        let known = easel.get().map(sizes).unwrap_or_default();
        let named = known.into_iter().map(|(shape, (width, height))| {
            (shape, format!("{}, {}", shape.name(), words::size(width, height)))
        });
        named.chain([(Shape::Custom, Shape::Custom.name().to_owned())]).collect::<Vec<_>>()
    });
    let choose = move |index: usize| {
        if let Some(shape) = choices.with_untracked(|all| all.get(index).map(|(shape, _)| *shape)) {
            settings.update(|settings| take(settings, shape, easel.get_untracked()));
        }
    };
    let custom = Memo::new(move |_| settings.with(|s| s.shape == Shape::Custom));
    view! {
        <div class="setting">
            <label for="paint-size">"Size"</label>
            <select
                id="paint-size"
                on:change:target=move |event| choose(usize::try_from(event.target().selected_index()).unwrap_or(0))
            >
                <For each=move || choices.get() key=Clone::clone let((shape, label))>
                    <option prop:selected=move || settings.with(|s| s.shape == shape)>{label}</option>
                </For>
            </select>
        </div>
        <Show when=move || custom.get()>
            <div class="setting sides">
                <Side
                    id="paint-width" label="Width" easel
                    value=Signal::derive(move || settings.with(|s| s.width))
                    on_change=move |side| settings.update(|s| s.width = side)
                />
                <Side
                    id="paint-height" label="Height" easel
                    value=Signal::derive(move || settings.with(|s| s.height))
                    on_change=move |side| settings.update(|s| s.height = side)
                />
            </div>
        </Show>
    }
}

/// Chooses a shape; a custom one begins with the sides that were chosen before.
fn take(settings: &mut PaintSettings, shape: Shape, easel: Option<Easel>) {
    if let Some((width, height)) = easel.map(|easel| settings.size(easel)) {
        (settings.width, settings.height) = (width, height);
    }
    settings.shape = shape;
}

/// One side of a custom size, in pixels.
#[component]
fn Side(
    id: &'static str,
    label: &'static str,
    easel: Memo<Option<Easel>>,
    value: Signal<u32>,
    on_change: impl Fn(u32) + 'static,
) -> impl IntoView {
    let unit = move || easel.get().map_or(1, |easel| easel.unit);
    view! {
        <label for=id>{label}</label>
        <input
            id=id class="number" type="number" min=unit step=unit
            prop:value=move || value.get().to_string()
            on:input:target=move |event| event.target().value().parse().into_iter().for_each(&on_change)
        />
    }
}
