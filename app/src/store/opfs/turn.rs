//! Turns between the tabs of one browser: a Web Lock, which ends at the latest with its tab.

use super::super::StoreError;
use super::super::browser::{navigator, refused};
use futures::channel::oneshot;
use futures::future::{Either, select};
use js_sys::{Function, Promise, Reflect};
use wasm_bindgen::prelude::Closure;
use wasm_bindgen::{JsCast, JsValue};
use wasm_bindgen_futures::JsFuture;

/// Nobody else has it until this is dropped.
pub struct Turn(Function);

impl Drop for Turn {
    fn drop(&mut self) {
        let _ = self.0.call0(&JsValue::UNDEFINED);
    }
}

/// Waits until it is this tab's turn.
///
/// # Errors
/// [`StoreError::Denied`] if the browser has no locks for this page.
pub async fn take(name: &str) -> Result<Turn, StoreError> {
    let (sender, receiver) = oneshot::channel();
    let mut sender = Some(sender);
    // The lock is held until the promise that this returns is resolved.
    let granted = Closure::once_into_js(move |_lock: JsValue| {
        Promise::new(&mut |resolve: Function, _| {
            // Whoever asked may have gone meanwhile; what cannot be sent gives the turn back.
            drop(sender.take().map(|sender| sender.send(Turn(resolve))));
        })
    });
    let locks = Reflect::get(&navigator()?, &"locks".into()).map_err(refused)?;
    let request: Function = Reflect::get(&locks, &"request".into())
        .and_then(|request| request.dyn_into())
        .map_err(|_| StoreError::Denied("it has no locks for this page".into()))?;
    let asked: Promise = request.call2(&locks, &name.into(), &granted).map_err(refused)?.unchecked_into();
    match select(receiver, JsFuture::from(asked)).await {
        Either::Left((Ok(turn), _)) => Ok(turn),
        Either::Left((Err(_), asked)) => Err(asked.await.err().map_or_else(gone, refused)),
        Either::Right((ended, _)) => Err(ended.err().map_or_else(gone, refused)),
    }
}

fn gone() -> StoreError {
    StoreError::Denied("its lock ended".into())
}
