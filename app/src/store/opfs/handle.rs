//! One of a page's private files, open for reading and writing.

use super::super::browser::{navigator, refused, text};
use super::super::packed::Bytes;
use super::super::{StoreError, limits};
use crate::clock;
use js_sys::{Object, Promise, Reflect};
use wasm_bindgen::prelude::wasm_bindgen;
use wasm_bindgen::{JsCast, JsValue};
use wasm_bindgen_futures::JsFuture;

// By hand: web-sys hides the mode of a handle behind an unstable flag.
#[wasm_bindgen]
extern "C" {
    type StorageManager;
    #[wasm_bindgen(method, catch, js_name = getDirectory)]
    fn directory(this: &StorageManager) -> Result<Promise, JsValue>;

    /// A folder of private files.
    pub type Folder;
    #[wasm_bindgen(method, catch, js_name = getDirectoryHandle)]
    fn folder(this: &Folder, name: &str, options: &Object) -> Result<Promise, JsValue>;
    #[wasm_bindgen(method, catch, js_name = getFileHandle)]
    fn file(this: &Folder, name: &str, options: &Object) -> Result<Promise, JsValue>;

    type File;
    #[wasm_bindgen(method, catch, js_name = createSyncAccessHandle)]
    fn open(this: &File, options: &Object) -> Result<Promise, JsValue>;

    type Access;
    #[wasm_bindgen(method, catch)]
    fn read(this: &Access, bytes: &mut [u8], options: &Object) -> Result<f64, JsValue>;
    #[wasm_bindgen(method, catch)]
    fn write(this: &Access, bytes: &[u8], options: &Object) -> Result<f64, JsValue>;
    #[wasm_bindgen(method, catch, js_name = getSize)]
    fn size(this: &Access) -> Result<f64, JsValue>;
    #[wasm_bindgen(method, catch)]
    fn truncate(this: &Access, bytes: f64) -> Result<(), JsValue>;
    #[wasm_bindgen(method)]
    fn close(this: &Access);
    #[wasm_bindgen(method, getter)]
    fn mode(this: &Access) -> JsValue;
}

/// How handles are called that do not lock their file.
const SHARED: &str = "readwrite-unsafe";

/// An open file; closed when dropped.
pub struct Handle(Access);

impl Drop for Handle {
    fn drop(&mut self) {
        self.0.close();
    }
}

/// The folder of this name in the private files, made if it is not there.
///
/// # Errors
/// [`StoreError::Denied`].
pub async fn folder(name: &str) -> Result<Folder, StoreError> {
    let denied = |error| StoreError::Denied(text(&error));
    let storage = Reflect::get(&navigator()?, &"storage".into()).map_err(denied)?;
    let storage: StorageManager = storage.unchecked_into();
    let root: Folder = done(storage.directory()).await.map_err(denied)?.unchecked_into();
    Ok(done(root.folder(name, &option("create", true))).await.map_err(denied)?.unchecked_into())
}

impl Handle {
    /// The index and the blocks.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub async fn open_both(folder: &Folder) -> Result<(Self, Self), StoreError> {
        Ok((Self::open(folder, "index").await?, Self::open(folder, "blocks").await?))
    }

    /// One file of the folder, made if it is not there.
    ///
    /// # Errors
    /// [`StoreError::Disk`], also where the browser has no such handles.
    pub async fn open(folder: &Folder, name: &str) -> Result<Self, StoreError> {
        let file = done(folder.file(name, &option("create", true))).await.map_err(refused)?;
        let file: File = file.unchecked_into();
        let mut tries = 0;
        loop {
            match done(file.open(&option("mode", SHARED))).await {
                Ok(access) => return Ok(Self(access.unchecked_into())),
                // It is our turn, so that only a tab which is just being closed can hold it.
                Err(error) if tries < limits::OPEN_TRIES && text(&error).contains("NoModification") => {
                    clock::sleep(limits::OPEN_MS).await;
                }
                Err(error) => return Err(refused(error)),
            }
            tries += 1;
        }
    }

    /// Whether other tabs may have the file open at the same time.
    pub fn is_shared(&self) -> bool {
        self.0.mode() == SHARED
    }
}

async fn done(asked: Result<Promise, JsValue>) -> Result<JsValue, JsValue> {
    JsFuture::from(asked?).await
}

/// An object with one field.
fn option(name: &str, value: impl Into<JsValue>) -> Object {
    let options = Object::new();
    let _ = Reflect::set(&options, &name.into(), &value.into());
    options
}

fn at(position: u64) -> Object {
    option("at", position as f64)
}

impl Bytes for Handle {
    fn read(&self, position: u64, bytes: &mut [u8]) -> Result<usize, StoreError> {
        let read = self.0.read(bytes, &at(position)).map_err(refused)?;
        Ok((read as usize).min(bytes.len()))
    }

    fn write(&self, position: u64, bytes: &[u8]) -> Result<(), StoreError> {
        let written = self.0.write(bytes, &at(position)).map_err(refused)?;
        if written as usize == bytes.len() {
            return Ok(());
        }
        Err(StoreError::NoRoom("the browser took only a part of a block".into()))
    }

    fn size(&self) -> Result<u64, StoreError> {
        Ok(self.0.size().map_err(refused)? as u64)
    }

    fn truncate(&self, bytes: u64) -> Result<(), StoreError> {
        self.0.truncate(bytes as f64).map_err(refused)
    }
}
