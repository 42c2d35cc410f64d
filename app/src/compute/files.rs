//! Where a worker reads a model from: a folder on disk, or a URL. By byte range; never a whole checkpoint at once.

#[cfg_attr(not(target_arch = "wasm32"), path = "files/remote_native.rs")]
mod remote;

pub use super::source::gguf_name;
use coordinator::swarm::Content;
use futures::future::LocalBoxFuture;
use std::any::Any;
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
    /// What there is besides what is asked for by name: all files that a person chose; empty where nobody can say.
    fn names(&self) -> Vec<String> {
        Vec::new()
    }
    /// Whether reading takes somebody else's line, so that it is worth to read each byte only once.
    fn is_remote(&self) -> bool {
        false
    }
    /// As [`Files::range`], of files that [read beside](Files::reads_beside).
    async fn range_beside(&self, name: &str, range: Range<u64>) -> Result<Vec<u8>, String> {
        self.range(name, range).await
    }
    /// Whether several ranges can be read at a time, while something else is computed: then it is worth to begin before
    /// they are needed.
    fn reads_beside(&self) -> bool {
        false
    }
    /// What people call the model, if the files say so themselves.
    fn called(&self) -> Option<String> {
        None
    }
    /// The content that they are, if they are one.
    fn content(&self) -> Option<Content> {
        None
    }
    /// Brings these ranges so close that reading them waits for nobody, and keeps them there as long as what comes of it is
    /// held; None where nothing has to be brought.
    fn bring(&self, _ranges: &[(String, Range<u64>)]) -> Option<Bringing> {
        None
    }
}

/// Ranges on their way, and then what keeps them here.
pub type Bringing = LocalBoxFuture<'static, Brought>;
/// Ends with the need for what was brought.
pub type Brought = Box<dyn Any>;

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

    async fn range_beside(&self, name: &str, range: Range<u64>) -> Result<Vec<u8>, String> {
        let (folder, name) = (Self(self.0.clone()), name.to_owned());
        let (answer, answered) = futures::channel::oneshot::channel();
        let read = move || {
            // Whoever asked may not wait any more.
            let _ = answer.send(futures::executor::block_on(folder.range(&name, range)));
        };
        let thread = std::thread::Builder::new().name("read".into()).spawn(read);
        thread.map_err(|error| format!("no thread: {error}"))?;
        answered.await.map_err(|_| "the reading broke off".to_owned())?
    }

    fn reads_beside(&self) -> bool {
        true
    }
}

/// Files of a person's own: of a folder, or chosen in the page.
#[cfg(not(target_arch = "wasm32"))]
pub type Own = Folder;
#[cfg(target_arch = "wasm32")]
pub use super::own_files::OwnFiles as Own;

/// What a worker reads from, beside contents.
pub enum Place {
    /// A server.
    Remote(Remote),
    /// A person's own files.
    Own(Own),
}

impl Place {
    /// Where the files of the model `source` are.
    #[must_use]
    pub fn of(source: &str) -> Self {
        if super::source::is_address(source) {
            return Self::Remote(Remote::of(source));
        }
        Self::Own(Own::of(source))
    }
}

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

    fn names(&self) -> Vec<String> {
        match self {
            Self::Remote(files) => files.names(),
            Self::Own(files) => files.names(),
        }
    }

    async fn range_beside(&self, name: &str, range: Range<u64>) -> Result<Vec<u8>, String> {
        match self {
            Self::Remote(files) => files.range_beside(name, range).await,
            Self::Own(files) => files.range_beside(name, range).await,
        }
    }

    fn reads_beside(&self) -> bool {
        match self {
            Self::Remote(files) => files.reads_beside(),
            Self::Own(files) => files.reads_beside(),
        }
    }

    fn is_remote(&self) -> bool {
        matches!(self, Self::Remote(_))
    }
}

/// Files on a server.
pub struct Remote {
    /// The URL of their folder, with its last slash.
    folder: String,
    /// What stands behind each of their names.
    query: String,
    client: remote::Client,
}

impl Remote {
    /// What lies beside the model `source`: below it, or beside that GGUF file.
    #[must_use]
    pub fn of(source: &str) -> Self {
        let (source, query) = super::source::query(source);
        let folder = gguf_name(source).map_or(source, |name| &source[..source.len() - name.len()]);
        let client = remote::Client::default();
        Self { folder: folder.to_owned(), query: query.to_owned(), client }
    }

    async fn get(&self, name: &str, range: Option<Range<u64>>, most: u64) -> Result<Answer, String> {
        let url = format!("{}{name}{}", self.folder, self.query);
        let range = range.map(|range| format!("bytes={}-{}", range.start, range.end.saturating_sub(1)));
        let answer = self.client.get(&url, range, most).await;
        let answer = answer.map_err(|why| format!("cannot fetch {name} from {}: {why}", self.folder))?;
        match answer.status {
            200..300 => Ok(answer),
            404 => {
                Err(format!("cannot fetch {name} from {}: status 404, there is no such file", self.folder))
            }
            status => Err(format!("cannot fetch {name} from {}: status {status}", self.folder)),
        }
    }
}

/// What a server says.
struct Answer {
    status: u16,
    /// Of the header `Content-Range`: bytes of the whole file.
    total: Option<u64>,
    /// No more than were asked for, and one.
    body: Vec<u8>,
}

/// The length of the whole file in `bytes 0-9/1234`.
fn total(content_range: &str) -> Option<u64> {
    content_range.rsplit('/').next()?.parse().ok()
}

#[async_trait::async_trait(?Send)]
impl Files for Remote {
    async fn whole(&self, name: &str) -> Result<Vec<u8>, String> {
        let body = self.get(name, None, WHOLE_FILE_BYTES).await?.body;
        if body.len() as u64 > WHOLE_FILE_BYTES {
            return Err(format!("{name} has more than {WHOLE_FILE_BYTES} bytes, which are not read at once"));
        }
        Ok(body)
    }

    async fn length(&self, name: &str) -> Result<u64, String> {
        let total = self.get(name, Some(0..1), 1).await?.total;
        total.ok_or_else(|| {
            format!("the server does not say how long {name} is (no Content-Range); it must support range requests")
        })
    }

    async fn range(&self, name: &str, range: Range<u64>) -> Result<Vec<u8>, String> {
        let expected = range.end.saturating_sub(range.start);
        if expected == 0 {
            return Ok(Vec::new());
        }
        let from_start = range.start == 0;
        let Answer { status, body, .. } = self.get(name, Some(range), expected).await?;
        // A server that knows no ranges sends all of it: that is right for a small file only.
        if status != 206 && !(from_start && body.len() as u64 == expected) {
            return Err(format!("the server of {name} does not support range requests"));
        }
        if body.len() as u64 != expected {
            return Err(format!("{name}: asked for {expected} bytes, got {}", body.len()));
        }
        Ok(body)
    }

    fn reads_beside(&self) -> bool {
        true
    }

    fn is_remote(&self) -> bool {
        true
    }
}
