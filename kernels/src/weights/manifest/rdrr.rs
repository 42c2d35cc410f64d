//! Models in RDRR v1, DOPPLER's format: `manifest.json` beside shards of 64 MiB, each with a hash of its own.
//!
//! What it says of shards and tensors becomes a [`Listing`]; the blocks of our manifest are hashed from the shards
//! themselves, which are compared with RDRR's hashes on the way. Source: the format's own types
//! (`src/formats/rdrr/types.ts` in DOPPLER), from which both spellings of `filename` and the tensors' own file come.

use super::error::ManifestError;
use super::format::{About, Name};
use super::layout::{Digest, Listed, ListedTensor, Listing};
use crate::error::Error;
use crate::limits;
use crate::weights::checkpoint::{self, Files};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use std::collections::BTreeMap;
use std::ops::Range;

const MANIFEST: &str = "manifest.json";

/// What a folder in RDRR v1 holds, and what it says of itself. Its licence and source are not in it: the caller adds them.
///
/// # Errors
/// [`Error::Source`] if a file cannot be read, [`Error::Manifest`] if it is not RDRR v1 or contradicts itself.
pub async fn import(files: &impl Files) -> Result<(Listing, About), Error> {
    let bytes = checkpoint::whole(files, MANIFEST, limits::RDRR_BYTES).await?;
    let manifest: Manifest = read(MANIFEST, &bytes)?;
    let mut listing = Listing::default();
    listing.files.push(Listed { name: MANIFEST.into(), bytes: bytes.len() as u64, digest: None });
    let tensors = match (&manifest.tensors_file, manifest.tensors.is_empty()) {
        (Some(name), true) => {
            inside(name)?;
            let bytes = checkpoint::whole(files, name, limits::RDRR_BYTES).await?;
            listing.files.push(Listed { name: name.clone(), bytes: bytes.len() as u64, digest: None });
            read(name, &bytes)?
        }
        _ => manifest.tensors.clone(),
    };
    if let Some(Tokenizer { file: Some(name) }) = &manifest.tokenizer {
        inside(name)?;
        let bytes = files.length(name).await.map_err(Error::Source)?;
        listing.files.push(Listed { name: name.clone(), bytes, digest: None });
    }
    let first = listing.files.len();
    listing.files.extend(manifest.shards()?);
    for shard in &listing.files[first..] {
        inside(&shard.name)?;
        // What is said of a size decides how much is listed, so it is not taken on trust.
        let bytes = files.length(&shard.name).await.map_err(Error::Source)?;
        if bytes != shard.bytes {
            let (name, said) = (&shard.name, shard.bytes);
            return Err(bad(format!("{name} has {bytes} bytes, and not {said}: download it again")).into());
        }
    }
    for (name, tensor) in tensors {
        let places = tensor.places(&name, &manifest.shards, first)?;
        let Tensor { shape, dtype, .. } = tensor;
        listing.tensors.push(ListedTensor { name, dtype, shape, places });
    }
    if manifest.tensor_count.is_some_and(|count| count != listing.tensors.len()) {
        return Err(bad("it lists fewer tensors, or more, than it says").into());
    }
    Ok((listing, About { name: manifest.model_id, ..About::default() }))
}

/// Nothing outside the model's own folder is even looked at.
fn inside(name: &str) -> Result<(), ManifestError> {
    let plain = Name(name.to_owned()).is_plain();
    if plain { Ok(()) } else { Err(bad(format!("{name:?} is no plain path inside the model's folder"))) }
}

fn read<T: DeserializeOwned>(name: &str, bytes: &[u8]) -> Result<T, ManifestError> {
    serde_json::from_slice(bytes).map_err(|error| bad(format!("{name}: {error}")))
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Manifest {
    version: Version,
    model_id: String,
    #[serde(default)]
    hash_algorithm: Algorithm,
    shards: Vec<Shard>,
    #[serde(default)]
    tensors: BTreeMap<String, Tensor>,
    #[serde(default)]
    tensors_file: Option<String>,
    #[serde(default)]
    tensor_count: Option<usize>,
    #[serde(default)]
    total_size: Option<u64>,
    #[serde(default)]
    tokenizer: Option<Tokenizer>,
}

/// Written as a number by the format's own programs, and as a text in its description.
#[derive(Deserialize)]
#[serde(untagged)]
enum Version {
    Number(f64),
    Text(String),
}

#[derive(Clone, Copy, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Algorithm {
    #[default]
    Sha256,
    Blake3,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Shard {
    #[serde(alias = "fileName")]
    filename: String,
    size: u64,
    #[serde(default)]
    hash: Option<String>,
    #[serde(default)]
    blake3: Option<String>,
    #[serde(default)]
    hash_algorithm: Option<Algorithm>,
}

#[derive(Clone, Deserialize)]
struct Tensor {
    shard: usize,
    offset: u64,
    size: u64,
    shape: Vec<u64>,
    dtype: String,
    #[serde(default)]
    spans: Vec<ShardSpan>,
}

#[derive(Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
struct ShardSpan {
    shard_index: usize,
    offset: u64,
    size: u64,
}

#[derive(Deserialize)]
struct Tokenizer {
    #[serde(default)]
    file: Option<String>,
}

impl Manifest {
    /// Its shards, with their hashes.
    fn shards(&self) -> Result<Vec<Listed>, ManifestError> {
        let known = match &self.version {
            Version::Number(number) => *number == 1.0,
            Version::Text(text) => text == "1" || text.starts_with("1."),
        };
        if !known {
            return Err(bad("version 1 is known here: convert the model again"));
        }
        let sum = self.shards.iter().map(|shard| shard.size).fold(0, u64::saturating_add);
        if self.total_size.is_some_and(|total| total != sum) {
            return Err(bad(format!("its shards have {sum} bytes, and not what it says")));
        }
        self.shards.iter().map(|shard| shard.listed(self.hash_algorithm)).collect()
    }
}

impl Shard {
    fn listed(&self, algorithm: Algorithm) -> Result<Listed, ManifestError> {
        let named = |hash: &str| {
            bytes_of(hash).ok_or_else(|| bad(format!("the hash of {} is none: {hash:?}", self.filename)))
        };
        let digest = match (self.hash_algorithm.unwrap_or(algorithm), &self.hash, &self.blake3) {
            (Algorithm::Blake3, Some(hash), _) | (_, None, Some(hash)) => Digest::Blake3(named(hash)?),
            (Algorithm::Sha256, Some(hash), _) => Digest::Sha256(named(hash)?),
            (_, None, None) => return Err(bad(format!("{} has no hash", self.filename))),
        };
        Ok(Listed { name: self.filename.clone(), bytes: self.size, digest: Some(digest) })
    }
}

impl Tensor {
    /// Its runs of bytes; shards are files from `first` on.
    fn places(
        &self,
        name: &str,
        shards: &[Shard],
        first: usize,
    ) -> Result<Vec<(usize, Range<u64>)>, ManifestError> {
        let whole = [ShardSpan { shard_index: self.shard, offset: self.offset, size: self.size }];
        let spans = if self.spans.is_empty() { &whole[..] } else { &self.spans };
        let sum = spans.iter().map(|span| span.size).fold(0, u64::saturating_add);
        if sum != self.size || spans.len() > limits::TENSOR_PLACES || self.shape.len() > limits::TENSOR_RANK {
            let (count, size) = (spans.len(), self.size);
            return Err(bad(format!("tensor {name}: {count} runs of {sum} bytes for {size}")));
        }
        let places = spans.iter().map(|span| {
            let shard = shards.get(span.shard_index);
            let end = span.offset.checked_add(span.size);
            match (shard, end) {
                (Some(shard), Some(end)) if end <= shard.size => {
                    Ok((first + span.shard_index, span.offset..end))
                }
                _ => Err(bad(format!("tensor {name} lies outside its shard {}", span.shard_index))),
            }
        });
        places.collect()
    }
}

/// 64 hexadecimal digits as bytes.
fn bytes_of(hash: &str) -> Option<[u8; 32]> {
    let digits: Vec<u8> =
        hash.chars().map(|c| c.to_digit(16).map(|digit| digit as u8)).collect::<Option<_>>()?;
    let pairs: Vec<u8> = digits.chunks_exact(2).map(|pair| pair[0] << 4 | pair[1]).collect();
    if digits.len() == 64 { pairs.try_into().ok() } else { None }
}

fn bad(what: impl Into<String>) -> ManifestError {
    ManifestError::Rdrr(what.into())
}
