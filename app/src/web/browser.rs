//! What the browser offers: storage, clipboard, randomness, addresses of files, the address bar.

use crate::compute::source;
use js_sys::{Array, Function, Reflect, Uint8Array};
use leptos::prelude::{document, window};
use serde::Serialize;
use serde::de::DeserializeOwned;
use wasm_bindgen::{JsCast, JsValue};
use wasm_bindgen_futures::JsFuture;
use web_sys::{
    Blob, BlobPropertyBag, HtmlElement, HtmlTextAreaElement, Response, Storage, StorageManager, Url,
};

/// 64 random bits.
pub fn random() -> u64 {
    let half = || (js_sys::Math::random() * f64::from(u32::MAX)) as u64;
    half() << 32 | half()
}

/// How long something is kept.
#[derive(Clone, Copy)]
pub enum Keep {
    /// As long as this tab, over reloads.
    Tab,
    /// From visit to visit.
    Visits,
}

/// What was stored under `key`; None if nothing readable was, or storage is switched off.
pub fn load<T: DeserializeOwned>(keep: Keep, key: &str) -> Option<T> {
    serde_json::from_str(&storage(keep)?.get_item(key).ok()??).ok()
}

/// Stores `value` under `key`. Nothing depends on it, so a browser that refuses is not an error.
pub fn store<T: Serialize>(keep: Keep, key: &str, value: &T) {
    if let (Some(storage), Ok(text)) = (storage(keep), serde_json::to_string(value)) {
        let _ = storage.set_item(key, &text);
    }
}

fn storage(keep: Keep) -> Option<Storage> {
    let storage = match keep {
        Keep::Tab => window().session_storage(),
        Keep::Visits => window().local_storage(),
    };
    storage.ok().flatten()
}

/// Asks the browser, once in all visits, not to clear by itself what this page keeps; some ask the person. Nothing depends on it.
pub async fn ask_to_keep() {
    const KEY: &str = "manyhands.asked-to-keep";
    let storage = Reflect::get(&window().navigator(), &"storage".into());
    let Ok(storage) = storage.and_then(|storage| storage.dyn_into::<StorageManager>()) else { return };
    if is_kept().await || load::<bool>(Keep::Visits, KEY).is_some() {
        return;
    }
    store(Keep::Visits, KEY, &true);
    if let Ok(asked) = storage.persist() {
        let _ = JsFuture::from(asked).await;
    }
}

/// Whether an adapter lies in the folder of that address, and no model. What cannot be read is none.
pub async fn is_adapter(folder: &str) -> bool {
    let (plain, query) = source::query(folder);
    let says = async |name: &str, word: &str| {
        let text = text(&format!("{plain}{name}{query}")).await;
        // Some servers answer with a page of theirs, whatever they are asked for.
        text.is_some_and(|text| text.contains(word))
    };
    says(source::ADAPTER_CONFIG, "\"peft_type\"").await && !says("config.json", "\"model_type\"").await
}

async fn text(url: &str) -> Option<String> {
    let response = JsFuture::from(window().fetch_with_str(url)).await.ok()?;
    let response: Response = response.dyn_into().ok()?;
    let text = response.ok().then(|| response.text().ok()).flatten()?;
    JsFuture::from(text).await.ok()?.as_string()
}

/// Whether the browser has promised not to clear by itself what this page keeps.
pub async fn is_kept() -> bool {
    let storage = Reflect::get(&window().navigator(), &"storage".into());
    let Ok(storage) = storage.and_then(|storage| storage.dyn_into::<StorageManager>()) else { return false };
    match storage.persisted() {
        Ok(asked) => JsFuture::from(asked).await.is_ok_and(|kept| kept.is_truthy()),
        Err(_) => false,
    }
}

/// Puts `text` on the clipboard; true if it is there.
///
/// Pages that are not served over TLS have no clipboard interface (a room in a LAN), so the old way follows.
pub async fn copy(text: &str) -> bool {
    let navigator = window().navigator();
    let modern = Reflect::get(&navigator, &"clipboard".into()).is_ok_and(|value| !value.is_undefined());
    if modern && JsFuture::from(navigator.clipboard().write_text(text)).await.is_ok() {
        return true;
    }
    copy_by_selection(text).unwrap_or(false)
}

fn copy_by_selection(text: &str) -> Result<bool, JsValue> {
    let document = document();
    let focused = document.active_element();
    let area: HtmlTextAreaElement = document.create_element("textarea")?.unchecked_into();
    area.set_value(text);
    area.set_class_name("unseen");
    document.body().ok_or(JsValue::NULL)?.append_child(&area)?;
    area.select();
    let command: Function = Reflect::get(&document, &"execCommand".into())?.dyn_into()?;
    let copied = command.call1(&document, &"copy".into());
    area.remove();
    if let Some(element) = focused.and_then(|element| element.dyn_into::<HtmlElement>().ok()) {
        element.focus()?;
    }
    Ok(copied?.is_truthy())
}

/// An address at which this page finds a PNG file, until [`give_back`].
pub fn lend(png: &[u8]) -> Option<String> {
    let options = BlobPropertyBag::new();
    options.set_type("image/png");
    let parts = Array::of1(&Uint8Array::from(png));
    let file = Blob::new_with_u8_array_sequence_and_options(&parts, &options).ok()?;
    Url::create_object_url_with_blob(&file).ok()
}

/// The file at this address is needed no longer.
pub fn give_back(address: &str) {
    let _ = Url::revoke_object_url(address);
}

/// The address without the fragment.
pub fn address() -> String {
    let location = window().location();
    let part = |part: Result<String, JsValue>| part.unwrap_or_default();
    part(location.origin()) + &part(location.pathname()) + &part(location.search())
}

/// The fragment, with its `#`; empty if there is none.
pub fn fragment() -> String {
    window().location().hash().unwrap_or_default()
}

/// Puts `link` into the address bar as a new entry of the history, so that "back" leaves the room.
pub fn go_to(link: &str) {
    if let Ok(history) = window().history() {
        let _ = history.push_state_with_url(&JsValue::NULL, "", Some(link));
    }
}
