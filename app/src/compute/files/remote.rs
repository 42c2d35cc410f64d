//! Requests of a browser's Web Worker.

use super::{Answer, total};
use js_sys::Uint8Array;
use wasm_bindgen::{JsCast, JsValue};
use wasm_bindgen_futures::JsFuture;
use web_sys::{DedicatedWorkerGlobalScope, Headers, ReadableStreamDefaultReader, RequestInit, Response};

/// The browser itself, with its cache.
#[derive(Default)]
pub struct Client(());

const REFUSED: &str = "Either nothing answers there, or that server does not let other pages read its files (CORS): then download the model and choose the files instead";

impl Client {
    /// What a server says to a request, with `most` bytes of its body and one more at most.
    pub async fn get(&self, url: &str, range: Option<String>, most: u64) -> Result<Answer, String> {
        let failed = |cause: JsValue| format!("{}. {REFUSED}", text_of(&cause));
        let init = RequestInit::new();
        if let Some(range) = range {
            let headers = Headers::new().map_err(failed)?;
            headers.set("Range", &range).map_err(failed)?;
            init.set_headers(&headers);
        }
        let scope: DedicatedWorkerGlobalScope = js_sys::global().unchecked_into();
        let promise = scope.fetch_with_str_and_init(url, &init);
        let response: Response = JsFuture::from(promise).await.map_err(failed)?.unchecked_into();
        let total = response.headers().get("content-range").ok().flatten().and_then(|text| total(&text));
        let status = response.status();
        let body = if response.ok() { body(&response, most).await? } else { Vec::new() };
        Ok(Answer { status, total, body })
    }
}

/// Piece by piece, so that a server that sends without end is stopped.
async fn body(response: &Response, most: u64) -> Result<Vec<u8>, String> {
    let failed = |cause: JsValue| format!("it broke off: {}", text_of(&cause));
    let Some(stream) = response.body() else { return Ok(Vec::new()) };
    let reader: ReadableStreamDefaultReader = stream.get_reader().unchecked_into();
    let mut body = Vec::new();
    loop {
        let piece = JsFuture::from(reader.read()).await.map_err(failed)?;
        let value = js_sys::Reflect::get(&piece, &"value".into()).map_err(failed)?;
        let Some(bytes) = value.dyn_ref::<Uint8Array>() else { return Ok(body) };
        let start = body.len();
        body.resize(start + bytes.length() as usize, 0);
        bytes.copy_to(&mut body[start..]);
        if body.len() as u64 > most {
            let _ = reader.cancel();
            body.truncate(most as usize + 1);
            return Ok(body);
        }
    }
}

fn text_of(value: &JsValue) -> String {
    value
        .dyn_ref::<js_sys::Error>()
        .map_or_else(|| format!("{value:?}"), |error| String::from(error.message()))
}
