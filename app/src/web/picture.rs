//! What every place that shows a picture needs: its address, and a way to save it.

use super::{browser, painted};
use crate::compute::Image;
use leptos::prelude::*;
use std::sync::Arc;

/// Where an `<img>` finds this image: a new address for each, and the one before is given back.
pub fn address(image: Memo<Option<Arc<Image>>>) -> Signal<Option<String>> {
    let lent = RwSignal::new(None::<String>);
    let replace = move |new: Option<String>| {
        let before = lent.try_update(|lent| std::mem::replace(lent, new)).flatten();
        before.iter().for_each(|before| browser::give_back(before));
    };
    Effect::new(move |_| {
        replace(image.with(|image| image.as_ref().and_then(|image| browser::lend(&image.png))))
    });
    on_cleanup(move || replace(None));
    lent.into()
}

/// Saves the file at this address, named after what it shows; `label` names it among others.
#[component]
pub fn Download(
    address: Signal<Option<String>>,
    #[prop(into)] prompt: String,
    seed: u64,
    #[prop(into)] label: String,
) -> impl IntoView {
    view! {
        <a class="quiet" href=move || address.get() download=painted::file_name(&prompt, seed) aria-label=label>
            "Download"
        </a>
    }
}
