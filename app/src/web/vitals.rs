//! How this device feels, as far as its browser tells: is the tab in sight, how full is the battery, how late do
//! timers run. The coordinator judges; this only looks.

use super::context::Room;
use crate::clock;
use crate::node::view::Ask;
use coordinator::io::Vitals;
use js_sys::{Function, Promise, Reflect};
use leptos::ev;
use leptos::prelude::*;
use leptos::task::spawn_local;
use std::cell::Cell;
use std::rc::Rc;
use wasm_bindgen::{JsCast, JsValue};
use wasm_bindgen_futures::JsFuture;
use web_sys::VisibilityState;

/// Milliseconds from one look to the next; the timer's lateness is the event loop's lag. Source: what the
/// coordinator's judgement of lag is made for.
const LOOK_MS: u64 = 1_000;

/// Tells the node every second, and at once when the tab is hidden or shown.
pub fn watch(room: Room) {
    let latest = Rc::new(Cell::new(Vitals { hidden: is_hidden(), ..Vitals::default() }));
    // A tab in the background has its timers held back on purpose; that is no lag.
    let was_hidden = Rc::new(Cell::new(is_hidden()));
    room.ask(Ask::Vitals(latest.get()));
    window_event_listener(ev::visibilitychange, {
        let (latest, was_hidden) = (Rc::clone(&latest), Rc::clone(&was_hidden));
        move |_| {
            was_hidden.set(true);
            latest.set(Vitals { hidden: is_hidden(), ..latest.get() });
            room.ask(Ask::Vitals(latest.get()));
        }
    });
    spawn_local(async move {
        let battery = battery().await.ok();
        loop {
            let due = clock::now().after(LOOK_MS);
            clock::sleep(LOOK_MS).await;
            let late = u32::try_from(clock::now().since(due)).unwrap_or(u32::MAX);
            let lag_ms = if was_hidden.replace(is_hidden()) { 0 } else { late };
            let (battery_percent, charging) = battery.as_ref().map(charge).unwrap_or_default();
            latest.set(Vitals { hidden: is_hidden(), battery_percent, charging, lag_ms });
            room.ask(Ask::Vitals(latest.get()));
        }
    });
}

fn is_hidden() -> bool {
    document().visibility_state() == VisibilityState::Hidden
}

/// `navigator.getBattery()`, by hand: only some browsers have it.
async fn battery() -> Result<JsValue, JsValue> {
    let navigator = window().navigator();
    let ask: Function = Reflect::get(&navigator, &"getBattery".into())?.dyn_into()?;
    let promise: Promise = ask.call0(&navigator)?.dyn_into()?;
    JsFuture::from(promise).await
}

/// The battery's level in percent, and whether it charges.
fn charge(battery: &JsValue) -> (Option<u8>, bool) {
    let read = |name: &str| Reflect::get(battery, &name.into()).unwrap_or(JsValue::UNDEFINED);
    let percent = read("level").as_f64().map(|level| (level * 100.0).round() as u8);
    (percent, read("charging").is_truthy())
}
