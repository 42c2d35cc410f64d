//! IndexedDB as promises. By hand: of all that it has, a store of blocks needs five calls.

use super::super::browser::text;
use futures::channel::oneshot;
use futures::future::{Either, select};
use js_sys::{Array, Function, Reflect};
use wasm_bindgen::prelude::{Closure, wasm_bindgen};
use wasm_bindgen::{JsCast, JsValue};

#[wasm_bindgen]
extern "C" {
    type Factory;
    #[wasm_bindgen(method, catch)]
    fn open(this: &Factory, name: &str, version: u32) -> Result<Request, JsValue>;

    /// An open database.
    #[derive(Clone, Debug)]
    pub type Database;
    #[wasm_bindgen(method, catch)]
    fn transaction(this: &Database, tables: &Array, mode: &str) -> Result<Transaction, JsValue>;
    #[wasm_bindgen(method, catch, js_name = createObjectStore)]
    fn create(this: &Database, table: &str) -> Result<JsValue, JsValue>;

    /// Changes that are made all or not at all.
    pub type Transaction;
    #[wasm_bindgen(method, catch, js_name = objectStore)]
    fn table(this: &Transaction, name: &str) -> Result<Table, JsValue>;
    #[wasm_bindgen(method, getter)]
    fn error(this: &Transaction) -> JsValue;
    #[wasm_bindgen(method, setter)]
    fn set_oncomplete(this: &Transaction, call: &Function);
    #[wasm_bindgen(method, setter)]
    fn set_onabort(this: &Transaction, call: &Function);

    type Table;
    #[wasm_bindgen(method, catch)]
    fn get(this: &Table, key: &str) -> Result<Request, JsValue>;
    #[wasm_bindgen(method, catch, js_name = getAll)]
    fn all(this: &Table) -> Result<Request, JsValue>;
    #[wasm_bindgen(method, catch)]
    fn put(this: &Table, value: &JsValue, key: &str) -> Result<Request, JsValue>;
    #[wasm_bindgen(method, catch)]
    fn delete(this: &Table, key: &str) -> Result<Request, JsValue>;
    #[wasm_bindgen(method, catch)]
    fn clear(this: &Table) -> Result<Request, JsValue>;

    type Request;
    #[wasm_bindgen(method, getter)]
    fn result(this: &Request) -> JsValue;
    #[wasm_bindgen(method, getter, js_name = error)]
    fn failure(this: &Request) -> JsValue;
    #[wasm_bindgen(method, setter)]
    fn set_onsuccess(this: &Request, call: &Function);
    #[wasm_bindgen(method, setter)]
    fn set_onerror(this: &Request, call: &Function);
    #[wasm_bindgen(method, setter)]
    fn set_onupgradeneeded(this: &Request, call: &Function);
}

/// One thing to change.
pub enum Step<'a> {
    /// A value under a key.
    Put(&'a str, &'a str, JsValue),
    /// Nothing under a key any more.
    Delete(&'a str, &'a str),
    /// Nothing in a table any more.
    Clear(&'a str),
}

/// Opens a database, with these tables if it is new. Errors are in words here and below.
pub async fn open(name: &str, tables: &'static [&'static str]) -> Result<Database, String> {
    let said = |error: JsValue| text(&error);
    let factory = Reflect::get(&js_sys::global(), &"indexedDB".into()).map_err(said)?;
    if factory.is_falsy() {
        return Err("it has no database".into());
    }
    let request = factory.unchecked_into::<Factory>().open(name, 1).map_err(said)?;
    let new = request.clone().unchecked_into::<Request>();
    let upgrade = Closure::<dyn FnMut()>::new(move || {
        let database: Database = new.result().unchecked_into();
        // What cannot be made is missed when it is used.
        tables.iter().for_each(|table| drop(database.create(table)));
    });
    request.set_onupgradeneeded(upgrade.as_ref().unchecked_ref());
    Ok(done(&request).await?.unchecked_into())
}

impl Database {
    /// The value under a key; undefined if there is none.
    pub async fn value(&self, table: &str, key: &str) -> Result<JsValue, String> {
        let reading = self.begin(table, "readonly")?;
        done(&reading.table(table).and_then(|table| table.get(key)).map_err(|error| text(&error))?).await
    }

    /// All values of a table.
    pub async fn values(&self, table: &str) -> Result<Vec<JsValue>, String> {
        let reading = self.begin(table, "readonly")?;
        let request = reading.table(table).and_then(|table| table.all()).map_err(|error| text(&error))?;
        Ok(done(&request).await?.unchecked_into::<Array>().to_vec())
    }

    /// Does all of this or nothing. When it returns, it is done for good.
    pub async fn change(&self, tables: &[&str], steps: &[Step<'_>]) -> Result<(), String> {
        let tables: Array = tables.iter().map(|table| JsValue::from(*table)).collect();
        let change = self.transaction(&tables, "readwrite").map_err(|error| text(&error))?;
        for step in steps {
            let asked = match step {
                Step::Put(table, key, value) => change.table(table).and_then(|table| table.put(value, key)),
                Step::Delete(table, key) => change.table(table).and_then(|table| table.delete(key)),
                Step::Clear(table) => change.table(table).and_then(|table| table.clear()),
            };
            asked.map_err(|error| text(&error))?;
        }
        let which = either(|good, bad| {
            change.set_oncomplete(good);
            change.set_onabort(bad);
        });
        if which.await { Ok(()) } else { Err(text(&change.error())) }
    }

    fn begin(&self, table: &str, mode: &str) -> Result<Transaction, String> {
        self.transaction(&Array::of1(&table.into()), mode).map_err(|error| text(&error))
    }
}

async fn done(request: &Request) -> Result<JsValue, String> {
    let which = either(|good, bad| {
        request.set_onsuccess(good);
        request.set_onerror(bad);
    });
    if which.await { Ok(request.result()) } else { Err(text(&request.failure())) }
}

/// Whether the first of two functions is called, rather than the second.
async fn either(listen: impl FnOnce(&Function, &Function)) -> bool {
    let ((good, was_good), (bad, was_bad)) = (oneshot::channel::<()>(), oneshot::channel::<()>());
    let [good, bad] = [good, bad].map(|sender| {
        Closure::once(move |_event: JsValue| {
            let _ = sender.send(());
        })
    });
    listen(good.as_ref().unchecked_ref(), bad.as_ref().unchecked_ref());
    matches!(select(was_good, was_bad).await, Either::Left((Ok(()), _)))
}
