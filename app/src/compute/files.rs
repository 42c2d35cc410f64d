//! Where a worker reads a model from: a folder on disk, or a URL. By byte range; never a whole checkpoint at once.

pub use super::source::gguf_name;
use std::ops::Range;

/// Longest answer accepted for a whole small file (configuration, tokenizer). Source: the largest published
/// tokenizer files are about 35 MB.
pub const WHOLE_FILE_BYTES: u64 = 64 << 20;
/// Read ahead at least this much, so that a layer's small tensors do not cost a request each.
/// Source: guess; a layer of the shipped model, and 8 ms at 1 Gbit/s.
const BLOCK_BYTES: u64 = 1 << 20;

/// A folder of files. Errors are for people and name the file.
#[async_trait::async_trait(?Send)]
pub trait Files {
    /// All of a small file.
    async fn whole(&self, name: &str) -> Result<Vec<u8>, String> {
        let length = self.length(name).await?;
        if length > WHOLE_FILE_BYTES {
            return Err(format!(
                "{name} has {length} bytes; more than {WHOLE_FILE_BYTES} are not read at once"
            ));
        }
        self.range(name, 0..length).await
    }
    /// A file's length in bytes.
    async fn length(&self, name: &str) -> Result<u64, String>;
    /// Some bytes of a file, exactly as many as asked for.
    async fn range(&self, name: &str, range: Range<u64>) -> Result<Vec<u8>, String>;
}

/// The same files as `kernels` reads them.
pub struct Checked<'a, F: ?Sized>(pub &'a F);

impl<F: Files + ?Sized> kernels::weights::Files for Checked<'_, F> {
    async fn length(&self, name: &str) -> Result<u64, String> {
        self.0.length(name).await
    }

    async fn read(&self, name: &str, range: Range<u64>) -> Result<Vec<u8>, String> {
        self.0.range(name, range).await
    }
}

/// Reads one file front to back in blocks, keeping the latest block.
pub struct Reader<'a, F: ?Sized> {
    files: &'a F,
    name: String,
    length: u64,
    start: u64,
    block: Vec<u8>,
}

impl<'a, F: Files + ?Sized> Reader<'a, F> {
    /// A reader of the file `name`.
    pub async fn open(files: &'a F, name: &str) -> Result<Self, String> {
        let length = files.length(name).await?;
        Ok(Self { files, name: name.to_owned(), length, start: 0, block: Vec::new() })
    }

    /// The file's length in bytes.
    pub const fn length(&self) -> u64 {
        self.length
    }

    /// The bytes of `range`.
    pub async fn read(&mut self, range: Range<u64>) -> Result<Vec<u8>, String> {
        if range.start > range.end || range.end > self.length {
            return Err(format!(
                "{}: bytes {}..{} lie outside the file of {} bytes; it may be cut off, fetch it again",
                self.name, range.start, range.end, self.length
            ));
        }
        let held = self.start..self.start + self.block.len() as u64;
        if range.start < held.start || range.end > held.end {
            let end = range.end.max((range.start + BLOCK_BYTES).min(self.length));
            self.block = self.files.range(&self.name, range.start..end).await?;
            self.start = range.start;
        }
        let from = usize::try_from(range.start - self.start).unwrap_or(usize::MAX);
        let to = usize::try_from(range.end - self.start).unwrap_or(usize::MAX);
        let bytes = self.block.get(from..to);
        bytes
            .map(<[u8]>::to_vec)
            .ok_or_else(|| format!("{}: the source sent fewer bytes than asked for", self.name))
    }
}

/// Files of a folder on disk.
#[cfg(not(target_arch = "wasm32"))]
pub struct Folder(pub std::path::PathBuf);

#[cfg(not(target_arch = "wasm32"))]
impl Folder {
    /// The folder of the model `source`: `source` itself, or the folder that holds that GGUF file.
    #[must_use]
    pub fn of(source: &str) -> Self {
        Self(gguf_name(source).map_or(source, |name| &source[..source.len() - name.len()]).into())
    }

    fn open(&self, name: &str) -> Result<(std::fs::File, u64), String> {
        let path = self.0.join(name);
        let open = || {
            let file = std::fs::File::open(&path)?;
            let length = file.metadata()?.len();
            Ok((file, length))
        };
        open().map_err(|error: std::io::Error| format!("cannot read {}: {error}", path.display()))
    }
}

#[cfg(not(target_arch = "wasm32"))]
#[async_trait::async_trait(?Send)]
impl Files for Folder {
    async fn length(&self, name: &str) -> Result<u64, String> {
        Ok(self.open(name)?.1)
    }

    async fn range(&self, name: &str, range: Range<u64>) -> Result<Vec<u8>, String> {
        use std::io::{Read, Seek, SeekFrom};
        let (mut file, length) = self.open(name)?;
        if range.end > length || range.start > range.end {
            return Err(format!("{name} ends at byte {length}, before {}", range.end));
        }
        let mut bytes = vec![0; usize::try_from(range.end - range.start).unwrap_or(usize::MAX)];
        let mut fill = || {
            file.seek(SeekFrom::Start(range.start))?;
            file.read_exact(&mut bytes)
        };
        fill().map_err(|error: std::io::Error| format!("cannot read {name}: {error}"))?;
        Ok(bytes)
    }
}

/// What a worker in a browser reads from.
#[cfg(target_arch = "wasm32")]
pub enum Place {
    /// A server.
    Remote(Remote),
    /// Files that a person chose.
    Own(super::own_files::OwnFiles),
}

#[cfg(target_arch = "wasm32")]
impl Place {
    /// Where the files of the model `source` are.
    #[must_use]
    pub fn of(source: &str) -> Self {
        if source.starts_with(super::source::OWN) {
            Self::Own(super::own_files::OwnFiles)
        } else {
            Self::Remote(Remote::of(source))
        }
    }
}

#[cfg(target_arch = "wasm32")]
#[async_trait::async_trait(?Send)]
impl Files for Place {
    async fn whole(&self, name: &str) -> Result<Vec<u8>, String> {
        match self {
            Self::Remote(files) => files.whole(name).await,
            Self::Own(files) => files.whole(name).await,
        }
    }

    async fn length(&self, name: &str) -> Result<u64, String> {
        match self {
            Self::Remote(files) => files.length(name).await,
            Self::Own(files) => files.length(name).await,
        }
    }

    async fn range(&self, name: &str, range: Range<u64>) -> Result<Vec<u8>, String> {
        match self {
            Self::Remote(files) => files.range(name, range).await,
            Self::Own(files) => files.range(name, range).await,
        }
    }
}

/// Files on a server, fetched in a Web Worker.
#[cfg(target_arch = "wasm32")]
pub struct Remote {
    /// The URL of their folder, with its last slash.
    folder: String,
    /// What stands behind each of their names.
    query: String,
}

#[cfg(target_arch = "wasm32")]
impl Remote {
    /// What lies beside the model `source`: below it, or beside that GGUF file.
    #[must_use]
    pub fn of(source: &str) -> Self {
        let (source, query) = super::source::query(source);
        let folder = gguf_name(source).map_or(source, |name| &source[..source.len() - name.len()]);
        Self { folder: folder.to_owned(), query: query.to_owned() }
    }
}

#[cfg(target_arch = "wasm32")]
mod remote {
    use super::{Files, Range, Remote, WHOLE_FILE_BYTES};
    use js_sys::{ArrayBuffer, Uint8Array};
    use wasm_bindgen::{JsCast, JsValue};
    use wasm_bindgen_futures::JsFuture;
    use web_sys::{DedicatedWorkerGlobalScope, RequestInit, Response};

    #[async_trait::async_trait(?Send)]
    impl Files for Remote {
        async fn whole(&self, name: &str) -> Result<Vec<u8>, String> {
            let response = self.fetch(name, None).await?;
            let length = header(&response, "content-length").and_then(|text| text.parse::<u64>().ok());
            if length.is_some_and(|length| length > WHOLE_FILE_BYTES) {
                return Err(format!(
                    "{name} has more than {WHOLE_FILE_BYTES} bytes, which are not read at once"
                ));
            }
            body(name, &response).await
        }

        async fn length(&self, name: &str) -> Result<u64, String> {
            let response = self.fetch(name, Some(0..1)).await?;
            let range = header(&response, "content-range");
            let total =
                range.as_deref().and_then(|text| text.rsplit('/').next()).and_then(|text| text.parse().ok());
            total.ok_or_else(|| {
                format!("the server does not say how long {name} is (no Content-Range); it must support range requests")
            })
        }

        async fn range(&self, name: &str, range: Range<u64>) -> Result<Vec<u8>, String> {
            if range.is_empty() {
                return Ok(Vec::new());
            }
            let expected = range.end - range.start;
            let response = self.fetch(name, Some(range)).await?;
            if response.status() != 206 {
                return Err(format!("the server of {name} does not support range requests"));
            }
            let bytes = body(name, &response).await?;
            if bytes.len() as u64 != expected {
                return Err(format!("{name}: asked for {expected} bytes, got {}", bytes.len()));
            }
            Ok(bytes)
        }
    }

    impl Remote {
        async fn fetch(&self, name: &str, range: Option<Range<u64>>) -> Result<Response, String> {
            let failed = |cause: JsValue| {
                format!(
                    "cannot fetch {name} from {}: {}. Either nothing answers there, or that server does not let other pages read its files (CORS): then download the model and choose the files instead",
                    self.folder,
                    text_of(&cause)
                )
            };
            let init = RequestInit::new();
            if let Some(range) = range {
                let headers = web_sys::Headers::new().map_err(failed)?;
                let value = format!("bytes={}-{}", range.start, range.end.saturating_sub(1));
                headers.set("Range", &value).map_err(failed)?;
                init.set_headers(&headers);
            }
            let scope: DedicatedWorkerGlobalScope = js_sys::global().unchecked_into();
            let url = format!("{}{name}{}", self.folder, self.query);
            let promise = scope.fetch_with_str_and_init(&url, &init);
            let response: Response = JsFuture::from(promise).await.map_err(failed)?.unchecked_into();
            if response.ok() {
                Ok(response)
            } else {
                let hint = if response.status() == 404 { ": there is no such file" } else { "" };
                Err(format!("cannot fetch {name} from {}: status {}{hint}", self.folder, response.status()))
            }
        }
    }

    fn header(response: &Response, name: &str) -> Option<String> {
        response.headers().get(name).ok().flatten()
    }

    async fn body(name: &str, response: &Response) -> Result<Vec<u8>, String> {
        let failed = |cause: JsValue| format!("{name} broke off: {}", text_of(&cause));
        let buffer = JsFuture::from(response.array_buffer().map_err(failed)?).await.map_err(failed)?;
        Ok(Uint8Array::new(&buffer.unchecked_into::<ArrayBuffer>()).to_vec())
    }

    fn text_of(value: &JsValue) -> String {
        value
            .dyn_ref::<js_sys::Error>()
            .map_or_else(|| format!("{value:?}"), |error| String::from(error.message()))
    }
}
