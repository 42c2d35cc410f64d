//! A checkpoint without its weights: configuration and header, from a folder of the hub or from one GGUF file.

use crate::error::Error;
use crate::limits;
use crate::llm::Config;
use crate::weights::gguf::{Gguf, Metadata, Parsed};
use crate::weights::header::Header;
use crate::weights::shards::shards;
use std::ops::Range;

/// Where a checkpoint's files are read from. Errors are for people and name the file.
#[allow(
    async_fn_in_trait,
    reason = "a browser's futures are bound to their thread, so that no bound would fit all"
)]
pub trait Files {
    /// A file's length in bytes.
    async fn length(&self, name: &str) -> Result<u64, String>;
    /// Some bytes of a file, exactly as many as asked for.
    async fn read(&self, name: &str, range: Range<u64>) -> Result<Vec<u8>, String>;
}

/// Everything about a model but its weights.
#[derive(Debug, Clone, PartialEq)]
pub struct Checkpoint {
    /// Its shape.
    pub config: Config,
    /// Where its tensors lie.
    pub header: Header,
    /// What a GGUF file says beside that: its tokenizer, its chat template.
    pub metadata: Option<Metadata>,
    /// The bytes that describe the model (`config.json` or the start of the GGUF file), which name it.
    pub description: Vec<u8>,
    /// The bytes of the headers of its files, one after the other.
    pub head: Vec<u8>,
}

impl Checkpoint {
    /// From a folder with `config.json` and `model.safetensors`, or with shards and their index.
    ///
    /// # Errors
    /// [`Error::Source`] if a file cannot be read, and whatever is wrong with them.
    pub async fn of_folder(files: &impl Files) -> Result<Self, Error> {
        let description = whole(files, "config.json", limits::CONFIG_BYTES).await?;
        let config = Config::from_json(&description)?;
        let (head, header) = headers(files, "", "model").await?;
        Ok(Self { config, header, metadata: None, description, head })
    }

    /// From one GGUF file.
    ///
    /// # Errors
    /// As [`Checkpoint::of_folder`].
    pub async fn of_gguf(files: &impl Files, name: &str) -> Result<Self, Error> {
        let (head, gguf) = gguf(files, name).await?;
        let mut factors = Vec::new();
        for range in gguf.factors()? {
            factors.push(range.to_f32(&read(files, name, range.range.clone()).await?)?);
        }
        let (config, header) = (gguf.config(&factors)?, gguf.header(name)?);
        Ok(Self { config, header, metadata: Some(gguf.metadata), description: Vec::new(), head })
    }
}

/// The headers of all files of weights in a folder, as bytes and as one header. `folder` ends with a slash, unless it is
/// empty; `stem` is what the files are called on the hub.
///
/// # Errors
/// As [`Checkpoint::of_folder`].
pub(crate) async fn headers(
    files: &impl Files,
    folder: &str,
    stem: &str,
) -> Result<(Vec<u8>, Header), Error> {
    let (mut headers, mut head) = (Vec::new(), Vec::new());
    for name in names(files, folder, stem).await? {
        let (bytes, header) = safetensors(files, &name).await?;
        head.extend(bytes);
        headers.push((name, header));
    }
    Ok((head, Header::join(headers)?))
}

/// The files of weights in a folder.
async fn names(files: &impl Files, folder: &str, stem: &str) -> Result<Vec<String>, Error> {
    let single = format!("{folder}{stem}.safetensors");
    let Err(missing) = files.length(&single).await else {
        return Ok(vec![single]);
    };
    match whole(files, &format!("{single}.index.json"), limits::INDEX_BYTES).await {
        Ok(index) => Ok(shards(&index)?.into_iter().map(|name| format!("{folder}{name}")).collect()),
        Err(Error::Source(index)) => Err(Error::Source(format!("{missing}; and without it, {index}"))),
        Err(other) => Err(other),
    }
}

pub(crate) async fn safetensors(files: &impl Files, name: &str) -> Result<(Vec<u8>, Header), Error> {
    let length = files.length(name).await.map_err(Error::Source)?;
    let prefix = read(files, name, 0..length.min(8)).await?;
    let head = read(files, name, 0..Header::size(&prefix)?.min(length)).await?;
    let header = Header::parse(&head, length)?;
    Ok((head, header))
}

/// Bytes of a GGUF file that are read first. Source: guess; more than the header without a vocabulary takes.
const FIRST_BYTES: u64 = 1 << 20;

/// GGUF does not say how long its header is: read some, and more until it is whole.
pub(super) async fn gguf(files: &impl Files, name: &str) -> Result<(Vec<u8>, Gguf), Error> {
    let length = files.length(name).await.map_err(Error::Source)?;
    let mut head = read(files, name, 0..FIRST_BYTES.min(length)).await?;
    loop {
        match Gguf::parse(&head, length)? {
            Parsed::Whole(gguf) => {
                head.truncate(usize::try_from(gguf.size()).unwrap_or(usize::MAX));
                return Ok((head, *gguf));
            }
            Parsed::More(least) => {
                let held = head.len() as u64;
                let end = least.max(held.saturating_mul(2)).min(length);
                head.extend(read(files, name, held..end).await?);
            }
        }
    }
}

/// All of a small file.
pub(crate) async fn whole(files: &impl Files, name: &str, most: usize) -> Result<Vec<u8>, Error> {
    let length = files.length(name).await.map_err(Error::Source)?;
    if length > most as u64 {
        return Err(Error::Config(format!("{name} has {length} bytes, {most} at most")));
    }
    read(files, name, 0..length).await
}

pub(crate) async fn read(files: &impl Files, name: &str, range: Range<u64>) -> Result<Vec<u8>, Error> {
    let expected = range.end - range.start;
    let bytes = files.read(name, range).await.map_err(Error::Source)?;
    if bytes.len() as u64 != expected {
        return Err(Error::Source(format!("{name}: {} bytes arrived instead of {expected}", bytes.len())));
    }
    Ok(bytes)
}
