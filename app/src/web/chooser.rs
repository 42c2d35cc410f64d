//! Another model than the one that comes with the page: a known one, by address, or from the person's own files.

use super::adapting;
use super::browser::{self, Keep};
use super::context::Room;
use super::known::{Fit, KNOWN, Known};
use crate::compute::source::{Chosen, address, gguf_name, given, is_own, with};
use crate::compute::{ModelSource, own_files};
use crate::node::view::{Ask, ComputeStatus};
use leptos::ev::SubmitEvent;
use leptos::prelude::*;
use web_sys::{File, HtmlInputElement};

const MODEL: &str = "manyhands.model";

/// The model that this tab was computing with before it was reloaded, if it was not the first.
pub fn opened() -> Option<ModelSource> {
    browser::load::<Option<ModelSource>>(Keep::Tab, MODEL).flatten()
}

/// Opens this one again if the tab is reloaded. A person's own files cannot be read again without that person.
pub fn remember(model: Option<&ModelSource>) {
    browser::store(Keep::Tab, MODEL, &model.filter(|model| !is_own(model)));
}

/// Closed until somebody looks for it.
#[component]
pub fn Chooser() -> impl IntoView {
    let room = Room::here();
    let trouble = RwSignal::new(None::<String>);
    let chosen = room.memo(|view| view.chosen.is_some());
    let loads =
        room.memo(|view| matches!(view.compute, ComputeStatus::Loading { .. }) || view.fetching.is_some());
    let open = Callback::new(move |chosen: Result<Chosen, String>| {
        trouble.set(chosen.as_ref().err().cloned());
        let Ok(chosen) = chosen else { return };
        // Now it is clear to the person what the browser asks for, if it asks.
        leptos::task::spawn_local(browser::ask_to_keep());
        room.ask(match chosen {
            Chosen::Model(source) => Ask::Open(Some(source)),
            Chosen::Adapter(source) => {
                Ask::Adapt(room.view.with_untracked(|view| adapting::with(view, &source, 1.0)))
            }
        });
    });
    view! {
        <section class="chooser">
            <details>
                <summary>"Another model"</summary>
                <KnownModels open />
                <OtherModels open />
                <p class="trouble" role="alert">{move || trouble.get()}</p>
            </details>
            <Show when=move || chosen.get()>
                <button type="button" class="quiet" on:click=move |_| room.ask(Ask::Open(None))>
                    {move || if loads.get() { "Cancel" } else { "Back to the first model" }}
                </button>
            </Show>
        </section>
    }
}

/// The shipped ones, and published ones with what they take.
#[component]
fn KnownModels(open: Callback<Result<Chosen, String>>) -> impl IntoView {
    let room = Room::here();
    let chosen = room.memo(|view| view.chosen.clone());
    let shipped = move || match chosen.get() {
        None => "Came with this page. In use.",
        Some(_) => "Came with this page.",
    };
    view! {
        <ul class="models" aria-label="Models">
            <li>
                <h3>"Story writer and painter"</h3>
                <p class="fine">{shipped}</p>
            </li>
            {KNOWN.iter().map(|known| view! { <KnownModel known open /> }).collect_view()}
        </ul>
    }
}

#[component]
fn KnownModel(known: &'static Known, open: Callback<Result<Chosen, String>>) -> impl IntoView {
    let room = Room::here();
    let fit = room.memo(|view| Fit::of(known.memory, view));
    let source = known.source();
    let used = room.memo(move |view| view.chosen.as_ref() == Some(&source));
    view! {
        <li>
            <h3><a href=known.page target="_blank" rel="noreferrer">{known.name}</a></h3>
            <button
                type="button" class="quiet" aria-label=format!("Load {}", known.name)
                disabled=move || used.get() on:click=move |_| open.run(Ok(Chosen::Model(known.source())))
            >
                {move || if used.get() { "In use" } else { "Load" }}
            </button>
            <p class="fine">{known.facts()}</p>
            <p class="fine fit" data-fit=move || fit.get().name()>{move || fit.get().words()}</p>
        </li>
    }
}

/// By address, or from files.
#[component]
fn OtherModels(open: Callback<Result<Chosen, String>>) -> impl IntoView {
    let typed = RwSignal::new(String::new());
    let smaller = RwSignal::new(String::new());
    let gives = RwSignal::new(false);
    let open = move |chosen: Result<Chosen, String>| {
        let format = smaller.get_untracked();
        let format = Some(format.as_str()).filter(|format| !format.is_empty());
        open.run(chosen.map(|chosen| match chosen {
            Chosen::Model(source) => Chosen::Model(with(&source, format, false)),
            adapter @ Chosen::Adapter(_) => adapter,
        }));
    };
    let load = move |event: SubmitEvent| {
        event.prevent_default();
        let found = typed.with_untracked(|typed| address(typed));
        leptos::task::spawn_local(async move {
            let is_adapter = match &found {
                Ok(source) => gguf_name(source).is_none() && browser::is_adapter(source).await,
                Err(_) => false,
            };
            open(found.map(if is_adapter { Chosen::Adapter } else { Chosen::Model }));
        });
    };
    let take = move |input: HtmlInputElement| {
        let files = files_of(&input);
        if !files.is_empty() {
            let gives = gives.get_untracked();
            let ours = |mine: String| if gives { given(&mine) } else { mine };
            open(own_files::choose(files).map(|chosen| match chosen {
                Chosen::Model(mine) => Chosen::Model(ours(mine)),
                Chosen::Adapter(mine) => Chosen::Adapter(ours(mine)),
            }));
        }
        // The same files may be chosen again.
        input.set_value("");
    };
    view! {
        <form on:submit=load>
            <label for="model-address">"Address of a model"</label>
            <div class="row">
                <input
                    id="model-address" type="text" inputmode="url" autocomplete="off" spellcheck="false"
                    placeholder="https://…/model.gguf, or a folder"
                    prop:value=move || typed.get()
                    on:input:target=move |event| typed.set(event.target().value())
                />
                <button type="submit" class="quiet">"Load"</button>
            </div>
        </form>
        <label class="check">
            <input type="checkbox" id="model-give" on:change:target=move |event| gives.set(event.target().checked()) />
            "Give files of mine to this room, so that others can use the model, too"
        </label>
        <label for="model-files">"Or your own files"</label>
        <input
            id="model-files" type="file" multiple=true accept=".gguf,.safetensors,.json,.jinja"
            on:change:target=move |event| take(event.target())
        />
        <label for="model-folder">"Or a folder of yours, for a model that paints"</label>
        <input
            id="model-folder" type="file" multiple=true prop:webkitdirectory=true
            on:change:target=move |event| take(event.target())
        />
        <label for="model-smaller">"Weights that are floats"</label>
        <select id="model-smaller" on:change:target=move |event| smaller.set(event.target().value())>
            <option value="">"Keep as they are"</option>
            <option value="q8_0">"Make smaller: Q8_0, a quarter"</option>
            <option value="q4_0">"Make smaller: Q4_0, an eighth"</option>
        </select>
        <p class="fine">
            "A .gguf file; a folder’s config.json, tokenizer.json and model.safetensors; a folder in diffusers’ layout; or an adapter (LoRA, as PEFT saves it: adapter_config.json and adapter_model.safetensors), which changes the model that is here. Files are read on this device, and sent to nobody unless you give them to the room. Others need the same model to take a part."
        </p>
    }
}

fn files_of(input: &HtmlInputElement) -> Vec<File> {
    let list = input.files();
    list.iter().flat_map(|list| (0..list.length()).filter_map(|index| list.get(index))).collect()
}
