//! A person's own files, a model or what changes one: chosen in the page, read in its worker, sent nowhere.

use super::source::{Chosen, own_files};
use js_sys::{Array, Reflect, Uint8Array};
use std::cell::RefCell;
use std::collections::BTreeMap;
use wasm_bindgen::{JsCast, JsValue};
use web_sys::File;

#[cfg(feature = "compute")]
pub use reading::OwnFiles;

/// Files by what a model calls them.
type Named = Vec<(String, File)>;

thread_local! {
    /// The latest model and all adapters, each under [`own_key`](super::source::own_key): in the page, to be posted with the worker's requests that name
    /// some; in the worker, to be read.
    static CHOSEN: RefCell<BTreeMap<String, Named>> = const { RefCell::new(BTreeMap::new()) };
    /// The latest model's.
    static MODEL: RefCell<Option<String>> = const { RefCell::new(None) };
}

/// The folder that was chosen, and what a model calls the file: its path in it; else its name.
fn called(file: &File) -> (Option<String>, String) {
    let path = Reflect::get(file, &"webkitRelativePath".into()).ok().and_then(|path| path.as_string());
    match path.as_deref().and_then(|path| path.split_once('/')) {
        Some((folder, inside)) => (Some(folder.to_owned()), inside.to_owned()),
        None => (None, file.name()),
    }
}

/// Keeps the files that a person chose, and says what they are.
///
/// # Errors
/// In plain words, if they are nothing that can be used.
pub fn choose(files: Vec<File>) -> Result<Chosen, String> {
    let folder = files.first().and_then(|file| called(file).0);
    let files: Named = files.into_iter().map(|file| (called(&file).1, file)).collect();
    let names: Vec<String> = files.iter().map(|(name, _)| name.clone()).collect();
    let taken: Vec<String> = CHOSEN.with_borrow(|chosen| chosen.keys().cloned().collect());
    let found = own_files(&names, folder.as_deref(), &taken)?;
    CHOSEN.with_borrow_mut(|chosen| match &found {
        Chosen::Adapter(source) => drop(chosen.insert(source.clone(), files)),
        Chosen::Model(source) => {
            MODEL.replace(Some(source.clone())).and_then(|before| chosen.remove(&before));
            chosen.insert(source.clone(), files);
        }
    });
    Ok(found)
}

/// What is posted: the request, and all files behind it.
pub fn with_files(request: &Uint8Array) -> Array {
    let post = Array::of1(request);
    CHOSEN.with_borrow(|chosen| {
        for (key, (name, file)) in
            chosen.iter().flat_map(|(key, files)| files.iter().map(move |file| (key, file)))
        {
            post.push(&Array::of3(&key.as_str().into(), &name.as_str().into(), file));
        }
    });
    post
}

/// The request in what was posted; files behind it are kept.
pub fn take_files(data: &JsValue) -> Option<Vec<u8>> {
    let Some(post) = data.dyn_ref::<Array>() else {
        return data.dyn_ref::<Uint8Array>().map(Uint8Array::to_vec);
    };
    let file = |file: JsValue| {
        let file: Array = file.dyn_into().ok()?;
        Some((file.get(0).as_string()?, (file.get(1).as_string()?, file.get(2).dyn_into().ok()?)))
    };
    let mut all: BTreeMap<String, Named> = BTreeMap::new();
    for (key, file) in post.iter().skip(1).filter_map(file) {
        all.entry(key).or_default().push(file);
    }
    CHOSEN.with(|chosen| chosen.replace(all));
    post.get(0).dyn_ref::<Uint8Array>().map(Uint8Array::to_vec)
}

#[cfg(feature = "compute")]
mod reading {
    use super::{CHOSEN, Named};
    use crate::compute::files::Files;
    use crate::compute::source::own_key;
    use js_sys::{ArrayBuffer, Uint8Array};
    use std::ops::Range;
    use wasm_bindgen::JsCast;
    use wasm_bindgen_futures::JsFuture;
    use web_sys::File;

    /// The files that were chosen under a key.
    pub struct OwnFiles(String);

    impl OwnFiles {
        /// Those that `source` names.
        pub fn of(source: &str) -> Self {
            Self(own_key(source))
        }

        fn find(&self, name: &str) -> Result<File, String> {
            let found = CHOSEN.with_borrow(|chosen| {
                let file = chosen.get(&self.0)?.iter().find(|(called, _)| called == name)?;
                Some(file.1.clone())
            });
            found.ok_or_else(|| format!("{name} is not among the files that were chosen; choose it as well"))
        }
    }

    #[async_trait::async_trait(?Send)]
    impl Files for OwnFiles {
        async fn length(&self, name: &str) -> Result<u64, String> {
            Ok(self.find(name)?.size() as u64)
        }

        async fn range(&self, name: &str, range: Range<u64>) -> Result<Vec<u8>, String> {
            let failed = |_| {
                format!("cannot read {name} any more; it may have been moved or changed: choose it again")
            };
            let part = self.find(name)?.slice_with_f64_and_f64(range.start as f64, range.end as f64);
            let promise = part.map_err(failed)?.array_buffer();
            let buffer = JsFuture::from(promise).await.map_err(failed)?;
            let bytes = Uint8Array::new(&buffer.unchecked_into::<ArrayBuffer>()).to_vec();
            if bytes.len() as u64 == range.end - range.start {
                return Ok(bytes);
            }
            Err(format!("{name} ends before byte {}; it may be cut off", range.end))
        }

        fn names(&self) -> Vec<String> {
            let names = |files: &Named| files.iter().map(|(name, _)| name.clone()).collect();
            CHOSEN.with_borrow(|chosen| chosen.get(&self.0).map(names).unwrap_or_default())
        }
    }
}
