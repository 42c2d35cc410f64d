//! A host of models: a folder over HTTP with ranges, which counts what it serves and can be switched off.

use anyhow::Result;
use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Seek, SeekFrom, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

/// Pages of other origins may read what this host serves, as hubs of models allow.
const ANYBODY: &str = "Access-Control-Allow-Origin: *\r\nAccess-Control-Allow-Headers: Range\r\nAccess-Control-Expose-Headers: Content-Range\r\n";

/// See the module. It serves until the test ends.
pub struct Origin {
    port: u16,
    shared: Arc<Shared>,
}

struct Shared {
    folder: PathBuf,
    up: AtomicBool,
    /// Bytes of bodies by path.
    served: Mutex<BTreeMap<String, u64>>,
}

impl Origin {
    /// Serves a folder on a free port.
    ///
    /// # Errors
    /// If there is none.
    pub fn start(folder: &Path) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let port = listener.local_addr()?.port();
        let (up, served) = (AtomicBool::new(true), Mutex::default());
        let shared = Arc::new(Shared { folder: folder.to_owned(), up, served });
        let serving = shared.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let shared = serving.clone();
                // A client that goes away in the middle is none of this host's business.
                std::thread::spawn(move || drop(answer(&shared, stream)));
            }
        });
        Ok(Self { port, shared })
    }

    /// Where the folder is.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}/", self.port)
    }

    /// From now on nobody gets anything any more, or again.
    pub fn switch(&self, up: bool) {
        self.shared.up.store(up, Ordering::Relaxed);
    }

    /// Bytes that were served so far, of files whose path satisfies `of`.
    #[must_use]
    pub fn served(&self, of: impl Fn(&str) -> bool) -> u64 {
        let served = self.shared.served.lock().expect("no thread panics with it");
        served.iter().filter(|(path, _)| of(path)).map(|(_, bytes)| bytes).sum()
    }
}

fn answer(shared: &Shared, mut stream: TcpStream) -> Result<()> {
    let mut lines = BufReader::new(stream.try_clone()?).lines();
    let request = lines.next().transpose()?.unwrap_or_default();
    let mut range = None;
    for line in lines {
        let line = line?.to_ascii_lowercase();
        if line.is_empty() {
            break;
        }
        if let Some(asked) = line.strip_prefix("range: bytes=") {
            range = asked.split_once('-').and_then(|(from, to)| Some((from.parse().ok()?, to.parse().ok()?)));
        }
    }
    if !shared.up.load(Ordering::Relaxed) {
        return Ok(());
    }
    if request.starts_with("OPTIONS ") {
        return Ok(write!(stream, "HTTP/1.1 204 No Content\r\n{ANYBODY}Connection: close\r\n\r\n")?);
    }
    let path = request.split(' ').nth(1).unwrap_or_default().trim_start_matches('/').to_owned();
    let Ok(file) = std::fs::File::open(shared.folder.join(&path)) else {
        return Ok(write!(
            stream,
            "HTTP/1.1 404 Not Found\r\n{ANYBODY}Content-Length: 0\r\nConnection: close\r\n\r\n"
        )?);
    };
    let body = send(&mut stream, file, range)?;
    *shared.served.lock().expect("no thread panics with it").entry(path).or_default() += body;
    Ok(())
}

/// Sends a file, or from its byte `from` to its byte `to`; returns the length of the body.
fn send(stream: &mut TcpStream, mut file: std::fs::File, range: Option<(u64, u64)>) -> Result<u64> {
    let length = file.metadata()?.len();
    let (from, end) =
        range.map_or((0, length), |(from, to): (u64, u64)| (from.min(length), (to + 1).min(length)));
    let head = match range {
        None => "HTTP/1.1 200 OK".to_owned(),
        Some(_) => format!(
            "HTTP/1.1 206 Partial Content\r\nContent-Range: bytes {from}-{}/{length}",
            end.saturating_sub(1)
        ),
    };
    let bytes = end.saturating_sub(from);
    write!(stream, "{head}\r\n{ANYBODY}Content-Length: {bytes}\r\nConnection: close\r\n\r\n")?;
    file.seek(SeekFrom::Start(from))?;
    Ok(std::io::copy(&mut file.take(bytes), stream)?)
}
