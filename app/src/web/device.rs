//! What this browser can do, found out by asking it, never by its name.

use js_sys::{Function, Promise, Reflect};
use leptos::prelude::window;
use wasm_bindgen::{JsCast, JsValue};
use wasm_bindgen_futures::JsFuture;

/// What this device can do for a room.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ability {
    /// Still asking.
    Unknown,
    /// There is a WebGPU adapter.
    Gpu,
    /// None, so the CPU tier.
    Cpu,
    /// It cannot join: why.
    None(&'static str),
}

impl Ability {
    /// For people.
    pub fn words(&self) -> String {
        match self {
            Self::Unknown => "Looking at this device…".to_owned(),
            Self::Gpu => "WebGPU ready".to_owned(),
            Self::Cpu => "CPU only: works, slower".to_owned(),
            Self::None(why) => format!("This browser cannot join: {why}"),
        }
    }
}

/// Why this browser cannot join any room, if so. Quick.
///
/// Without SIMD this code would not run, so that is for `index.html` to find out.
pub fn obstacle() -> Option<&'static str> {
    let rtc = Reflect::get(&window(), &"RTCPeerConnection".into()).is_ok_and(|value| value.is_function());
    (!rtc).then_some("WebRTC is missing or switched off. Allow it in the settings, or use another browser.")
}

/// What this device can do. Asks for an adapter, which takes a moment.
pub async fn ability() -> Ability {
    match obstacle() {
        Some(why) => Ability::None(why),
        None if has_adapter().await.unwrap_or(false) => Ability::Gpu,
        None => Ability::Cpu,
    }
}

/// `navigator.gpu.requestAdapter()`, by hand: web-sys hides WebGPU behind an unstable flag.
async fn has_adapter() -> Result<bool, JsValue> {
    let gpu = Reflect::get(&window().navigator(), &"gpu".into())?;
    if gpu.is_undefined() {
        return Ok(false);
    }
    let request: Function = Reflect::get(&gpu, &"requestAdapter".into())?.dyn_into()?;
    let promise: Promise = request.call0(&gpu)?.dyn_into()?;
    Ok(!JsFuture::from(promise).await?.is_null())
}
