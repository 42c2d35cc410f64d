//! The store of a real browser, as tests see it: a worker of the page does what they ask.

use crate::browser::Window;
use crate::stores::Place;
use anyhow::{Context, Result, bail};
use app::store::{BlockStore, Hash, StoreError, Usage, parse};
use serde_json::{Value, json};
use std::sync::atomic::{AtomicU32, Ordering};

/// What a page needs to ask its workers.
const CALLS: &str = "
    window.hex ??= bytes => [...bytes].map(byte => byte.toString(16).padStart(2, '0')).join('');
    window.bytes ??= hex => Uint8Array.from(hex.match(/../g) ?? [], pair => parseInt(pair, 16));
    window.program ??= (name, before) => {
        const script = `const early = []; onmessage = event => early.push(event); ${before};
            await import('${location.origin}/store_worker.js'); early.forEach(event => onmessage(event))`;
        const worker = new Worker(URL.createObjectURL(new Blob([script], { type: 'text/javascript' })), { type: 'module' });
        const waiting = new Map();
        worker.onmessage = ({ data }) => { waiting.get(data.id)?.(data); waiting.delete(data.id); };
        worker.onerror = event => waiting.forEach(answer => answer({ error: event.message }));
        let last = 0;
        window[name] = (op, ...args) => new Promise((done, failed) => {
            waiting.set(++last, ({ value, error }) => error === undefined ? done(value) : failed(error));
            worker.postMessage({ id: last, op, args });
        });
    };";

/// How a program finds its browser.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Browser {
    /// As it is.
    AsItIs,
    /// A handle locks its file, as in browsers that know no other.
    Locking,
    /// Files cannot be written at once.
    NoHandles,
    /// Nothing is kept at all.
    Nothing,
}

impl Browser {
    /// What runs in the worker before anything else.
    const fn before(self) -> &'static str {
        match self {
            Self::AsItIs => "",
            Self::Locking => {
                "const open = FileSystemFileHandle.prototype.createSyncAccessHandle;
                 FileSystemFileHandle.prototype.createSyncAccessHandle = function () { return open.call(this) }"
            }
            Self::NoHandles => "delete FileSystemFileHandle.prototype.createSyncAccessHandle",
            Self::Nothing => {
                "const no = () => { throw new DOMException('no storage here', 'SecurityError') };
                 StorageManager.prototype.getDirectory = async () => no(); IDBFactory.prototype.open = no"
            }
        }
    }
}

/// A browser's store, of one kind.
pub struct BrowserPlace<'a> {
    /// A page of the app's origin.
    pub window: &'a Window,
    /// `files`, `database`, or anything else for what the browser has.
    pub kind: &'a str,
    /// How programs find the browser.
    pub browser: Browser,
}

/// A worker that has the store open.
pub struct Program<'a> {
    window: &'a Window,
    name: String,
    /// Which kind it is.
    pub kind: String,
}

impl<'a> Place for BrowserPlace<'a> {
    type Program = Program<'a>;

    async fn open(&self, quota: u64) -> Result<Program<'a>> {
        static OPENED: AtomicU32 = AtomicU32::new(0);
        let name = format!("program{}", OPENED.fetch_add(1, Ordering::Relaxed));
        self.window.script(CALLS).await?;
        let before = serde_json::to_string(self.browser.before())?;
        self.window.script(&format!("program('{name}', {before})")).await?;
        let mut program = Program { window: self.window, name, kind: String::new() };
        let kind = program.call("open", json!([self.kind, quota])).await?;
        program.kind = kind.as_str().context("a kind")?.to_owned();
        Ok(program)
    }
}

impl Program<'_> {
    /// What the store answers; bytes are hexadecimal digits on the way. Errors are the store's own words.
    pub async fn call(&self, op: &str, arguments: Value) -> Result<Value> {
        let script = format!(
            "const [args, done] = arguments;
             {}('{op}', ...args.map(arg => arg?.bytes === undefined ? arg : bytes(arg.bytes))).then(
                value => done({{ value: value instanceof Uint8Array ? hex(value) : value ?? null }}),
                error => done({{ error: String(error) }}))",
            self.name
        );
        let answer = self.window.script_async(&script, vec![arguments]).await?;
        match answer.get("error") {
            Some(error) => bail!("{}", error.as_str().unwrap_or_default()),
            None => Ok(answer["value"].clone()),
        }
    }

    async fn ask(&self, op: &str, arguments: Value) -> Result<Value, StoreError> {
        self.call(op, arguments).await.map_err(|error| meant(&error.to_string()))
    }
}

/// The error that these words are of.
fn meant(words: &str) -> StoreError {
    let hash = || words.split([' ', ':']).find_map(parse);
    match (words, hash()) {
        (words, Some(hash)) if words.starts_with("the block is not") => StoreError::Wrong(hash),
        (words, _) if words.starts_with("a block of") => StoreError::TooLong(0),
        (words, _) if words.starts_with("no room") => StoreError::NoRoom(words.to_owned()),
        _ => StoreError::Disk { path: "the browser".into(), error: std::io::Error::other(words.to_owned()) },
    }
}

fn hex(bytes: &[u8]) -> Value {
    json!({ "bytes": bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>() })
}

fn unhex(digits: &str) -> Vec<u8> {
    let pairs = digits.as_bytes().as_chunks::<2>().0.iter();
    pairs.filter_map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()).collect()
}

impl BlockStore for Program<'_> {
    async fn get(&self, block: Hash) -> Result<Option<Vec<u8>>, StoreError> {
        let bytes = self.ask("get", json!([block.to_string()])).await?;
        Ok(bytes.as_str().map(unhex))
    }

    async fn put(&self, block: Hash, bytes: &[u8]) -> Result<(), StoreError> {
        self.ask("put", json!([block.to_string(), hex(bytes)])).await.map(drop)
    }

    async fn has(&self, block: Hash) -> Result<bool, StoreError> {
        Ok(self.ask("has", json!([block.to_string()])).await? == json!(true))
    }

    async fn remove(&self, block: Hash) -> Result<(), StoreError> {
        self.ask("remove", json!([block.to_string()])).await.map(drop)
    }

    async fn list(&self) -> Result<Vec<(Hash, u64)>, StoreError> {
        let all = self.ask("list", json!([])).await?;
        let pair = |pair: &Value| Some((parse(pair[0].as_str()?)?, pair[1].as_f64()? as u64));
        Ok(all.as_array().into_iter().flatten().filter_map(pair).collect())
    }

    async fn pin(&self, name: Hash, blocks: &[Hash]) -> Result<(), StoreError> {
        let blocks: Vec<String> = blocks.iter().map(Hash::to_string).collect();
        self.ask("pin", json!([name.to_string(), blocks])).await.map(drop)
    }

    async fn clear(&self) -> Result<(), StoreError> {
        self.ask("clear", json!([])).await.map(drop)
    }

    async fn usage(&self) -> Result<Usage, StoreError> {
        let number = |value: Value| value.as_f64().unwrap_or_default() as u64;
        let used = number(self.ask("used", json!([])).await?);
        let quota = number(self.ask("allowed", json!([])).await?);
        Ok(Usage { durable: self.kind != "memory", used, quota })
    }

    async fn allow(&self, quota: u64) -> Result<(), StoreError> {
        self.ask("quota", json!([quota])).await.map(drop)
    }
}
