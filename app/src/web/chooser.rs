//! Another model than the one that comes with the page: by address, or from the person's own files.

use super::context::Room;
use crate::compute::own_files;
use crate::compute::source::{address, with};
use crate::node::view::{Ask, ComputeStatus};
use leptos::ev::SubmitEvent;
use leptos::prelude::*;
use web_sys::{File, HtmlInputElement};

/// Closed until somebody looks for it.
#[component]
pub fn Chooser() -> impl IntoView {
    let room = Room::here();
    let typed = RwSignal::new(String::new());
    let trouble = RwSignal::new(None::<String>);
    let chosen = room.memo(|view| view.chosen.is_some());
    let loads =
        room.memo(|view| matches!(view.compute, ComputeStatus::Loading { .. }) || view.fetching.is_some());
    let smaller = RwSignal::new(String::new());
    let open = move |source: Result<String, String>| match source {
        Ok(source) => {
            trouble.set(None);
            let format = smaller.get_untracked();
            let format = Some(format.as_str()).filter(|format| !format.is_empty());
            room.ask(Ask::Open(Some(with(&source, format, false))));
        }
        Err(why) => trouble.set(Some(why)),
    };
    let load = move |event: SubmitEvent| {
        event.prevent_default();
        open(typed.with_untracked(|typed| address(typed)));
    };
    let take = move |input: HtmlInputElement| {
        let files = files_of(&input);
        if !files.is_empty() {
            open(own_files::choose(files));
        }
        // The same files may be chosen again.
        input.set_value("");
    };
    view! {
        <section class="chooser">
            <details>
                <summary>"Another model"</summary>
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
                <label for="model-files">"Or your own files"</label>
                <input
                    id="model-files" type="file" multiple=true accept=".gguf,.safetensors,.json,.jinja"
                    on:change:target=move |event| take(event.target())
                />
                <label for="model-smaller">"Weights that are floats"</label>
                <select id="model-smaller" on:change:target=move |event| smaller.set(event.target().value())>
                    <option value="">"Keep as they are"</option>
                    <option value="q8_0">"Make smaller: Q8_0, a quarter"</option>
                    <option value="q4_0">"Make smaller: Q4_0, an eighth"</option>
                </select>
                <p class="fine">
                    "A .gguf file, or a folder’s config.json, tokenizer.json and model.safetensors. Files are read on this device and sent to nobody. Others need the same model to take a part."
                </p>
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

fn files_of(input: &HtmlInputElement) -> Vec<File> {
    let list = input.files();
    list.iter().flat_map(|list| (0..list.length()).filter_map(|index| list.get(index))).collect()
}
