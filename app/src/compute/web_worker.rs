//! The worker in a browser, seen from inside the Web Worker: posts in, posts out.

use super::files::{Place, Remote};
use super::source::quantised;
use super::swarm::Keep;
use super::web::UP;
use super::{Report, Request, own_files, worker};
use crate::painting::PaintRequest;
use crate::store::{limits, open_browser};
use futures::channel::mpsc::unbounded;
use js_sys::Uint8Array;
use wasm_bindgen::prelude::{Closure, wasm_bindgen};
use wasm_bindgen::{JsCast, JsValue};
use web_sys::{DedicatedWorkerGlobalScope, MessageEvent};

/// Listens, says that it listens, and works until the page ends it.
pub fn main() {
    std::panic::set_hook(Box::new(|panic| {
        console_error_panic_hook::hook(panic);
        post(&panic.to_string().into());
    }));
    let (requests, incoming) = unbounded();
    let on_message = Closure::<dyn FnMut(MessageEvent)>::new(move |event: MessageEvent| {
        let bytes = own_files::take_files(&event.data()).unwrap_or_default();
        // Only this app's page can post here, so what does not decode is a defect of ours.
        let request: Request =
            postcard::from_bytes(&bytes).expect("the page and its worker are of one build");
        let _ = requests.unbounded_send(request);
    });
    scope().set_onmessage(Some(on_message.as_ref().unchecked_ref()));
    on_message.forget();
    wasm_bindgen_futures::spawn_local(async {
        let store = async |keep: &Keep| Ok(open_browser(keep.quota.unwrap_or(limits::QUOTA_BYTES)).await);
        if let Some(cause) = worker::run(incoming, Place::of, store, report).await {
            post(&cause.into());
        }
    });
    post(&UP.into());
}

/// What `bench.html` runs: see [`bench`](super::bench). The answer is JSON.
///
/// # Errors
/// In plain words, as [`bench::run`](super::bench::run).
#[wasm_bindgen]
pub async fn bench(
    model: String,
    gpu: bool,
    prefill: usize,
    decode: usize,
    runs: usize,
) -> Result<String, String> {
    let wish = super::bench::Wish { prefill, decode, runs, gpu, memory: None };
    let figures = super::bench::run(&model, Remote::of(quantised(&model).0), wish).await?;
    serde_json::to_string(&figures).map_err(|error| error.to_string())
}

/// The same for a model that paints: see [`bench_pictures`](super::bench_pictures).
///
/// # Errors
/// In plain words, as [`bench_pictures::run`](super::bench_pictures::run).
#[wasm_bindgen]
pub async fn bench_pictures(
    model: String,
    gpu: bool,
    steps: u16,
    guidance: f32,
    side: u32,
    runs: usize,
) -> Result<String, String> {
    let prompt = "a red circle above a blue square".into();
    let request =
        PaintRequest { prompt, steps, guidance, width: side, height: side, ..PaintRequest::default() };
    let wish = super::bench_pictures::Wish { request, runs, gpu };
    let figures = super::bench_pictures::run(&model, Remote::of(quantised(&model).0), wish).await?;
    serde_json::to_string(&figures).map_err(|error| error.to_string())
}

fn report(report: Report) {
    let bytes = postcard::to_stdvec(&report).expect("reports are plain data");
    post(&Uint8Array::from(bytes.as_slice()));
}

fn post(message: &JsValue) {
    let _ = scope().post_message(message);
}

fn scope() -> DedicatedWorkerGlobalScope {
    js_sys::global().unchecked_into()
}
