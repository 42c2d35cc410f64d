//! A person's own files as a model: chosen in the page, read in its worker, sent nowhere.

use super::ModelSource;
use super::source::own_source;
use js_sys::{Array, Reflect, Uint8Array};
use std::cell::RefCell;
use wasm_bindgen::{JsCast, JsValue};
use web_sys::File;

#[cfg(feature = "compute")]
pub use reading::OwnFiles;

thread_local! {
    /// The latest choice: in the page, to be posted with the worker's first request; in the worker, to be read.
    static CHOSEN: RefCell<Vec<(String, File)>> = const { RefCell::new(Vec::new()) };
}

/// What a model calls a file: its path in the folder that was chosen, else its name.
fn called(file: &File) -> String {
    let path = Reflect::get(file, &"webkitRelativePath".into()).ok().and_then(|path| path.as_string());
    let inside = path.as_deref().and_then(|path| path.split_once('/')).map(|(_, inside)| inside.to_owned());
    inside.unwrap_or_else(|| file.name())
}

/// Keeps the files that a person chose, and says how the model is called.
///
/// # Errors
/// In plain words, if they are no model.
pub fn choose(files: Vec<File>) -> Result<ModelSource, String> {
    let files: Vec<(String, File)> = files.into_iter().map(|file| (called(&file), file)).collect();
    let names: Vec<String> = files.iter().map(|(name, _)| name.clone()).collect();
    let source = own_source(&names)?;
    CHOSEN.with(|chosen| chosen.replace(files));
    Ok(source)
}

/// What is posted: the request, and the files behind it.
pub fn with_files(request: &Uint8Array) -> Array {
    let post = Array::of1(request);
    CHOSEN.with_borrow(|files| {
        for (name, file) in files {
            post.push(&Array::of2(&name.as_str().into(), file));
        }
    });
    post
}

/// The request in what was posted; files behind it are kept.
pub fn take_files(data: &JsValue) -> Option<Vec<u8>> {
    let Some(post) = data.dyn_ref::<Array>() else {
        return data.dyn_ref::<Uint8Array>().map(Uint8Array::to_vec);
    };
    let pair = |pair: JsValue| {
        let pair: Array = pair.dyn_into().ok()?;
        Some((pair.get(0).as_string()?, pair.get(1).dyn_into().ok()?))
    };
    let files = post.iter().skip(1).filter_map(pair).collect();
    CHOSEN.with(|chosen| chosen.replace(files));
    post.get(0).dyn_ref::<Uint8Array>().map(Uint8Array::to_vec)
}

#[cfg(feature = "compute")]
mod reading {
    use super::CHOSEN;
    use crate::compute::files::Files;
    use js_sys::{ArrayBuffer, Uint8Array};
    use std::ops::Range;
    use wasm_bindgen::JsCast;
    use wasm_bindgen_futures::JsFuture;
    use web_sys::File;

    /// The files that were chosen.
    pub struct OwnFiles;

    impl OwnFiles {
        fn find(name: &str) -> Result<File, String> {
            let found = CHOSEN.with_borrow(|files| files.iter().find(|(called, _)| called == name).cloned());
            let found = found.map(|(_, file)| file);
            found.ok_or_else(|| format!("{name} is not among the files that were chosen; choose it as well"))
        }
    }

    #[async_trait::async_trait(?Send)]
    impl Files for OwnFiles {
        async fn length(&self, name: &str) -> Result<u64, String> {
            Ok(Self::find(name)?.size() as u64)
        }

        async fn range(&self, name: &str, range: Range<u64>) -> Result<Vec<u8>, String> {
            let failed = |_| {
                format!("cannot read {name} any more; it may have been moved or changed: choose it again")
            };
            let part = Self::find(name)?.slice_with_f64_and_f64(range.start as f64, range.end as f64);
            let promise = part.map_err(failed)?.array_buffer();
            let buffer = JsFuture::from(promise).await.map_err(failed)?;
            let bytes = Uint8Array::new(&buffer.unchecked_into::<ArrayBuffer>()).to_vec();
            if bytes.len() as u64 == range.end - range.start {
                return Ok(bytes);
            }
            Err(format!("{name} ends before byte {}; it may be cut off", range.end))
        }

        fn names(&self) -> Vec<String> {
            CHOSEN.with_borrow(|files| files.iter().map(|(name, _)| name.clone()).collect())
        }
    }
}
