//! Manifests of real files, read in pieces: nothing here holds more than one block and the headers.

use super::Manifest;
use super::error::ManifestError;
use super::format::{About, Hash};
use super::layout::{Digest, Draft, Listed, ListedTensor, Listing};
use crate::error::Error;
use crate::limits;
use crate::llm::{ADAPTER_CONFIG, told_of_adapter};
use crate::weights::checkpoint::{self, Files};
use crate::weights::header::Header;
use sha2::{Digest as _, Sha256};

/// What the files of these names hold: files of a hub's, of diffusers', or of an adapter's folder, with their paths in it, or a GGUF
/// file. Heads of `.safetensors` and `.gguf` files are read, other files are taken as they are.
///
/// # Errors
/// [`Error::Source`] if a file cannot be read, whatever is wrong with its head, and [`Error::Adapter`].
pub async fn list(files: &impl Files, names: &[String]) -> Result<Listing, Error> {
    let has = |name: &str| names.iter().any(|one| one == name);
    let mut listing = Listing::default();
    // Where a model lies beside it, it is the model that is meant.
    if has(ADAPTER_CONFIG) && !has("config.json") {
        let json = checkpoint::whole(files, ADAPTER_CONFIG, limits::CONFIG_BYTES).await?;
        listing.adapts = Some(told_of_adapter(&json)?);
    }
    for name in names {
        let bytes = files.length(name).await.map_err(Error::Source)?;
        let index = listing.files.len();
        listing.files.push(Listed { name: name.clone(), bytes, digest: None });
        if name.ends_with(".safetensors") {
            add(&mut listing.tensors, index, &checkpoint::safetensors(files, name).await?.1);
        } else if name.ends_with(".gguf") {
            add(&mut listing.tensors, index, &checkpoint::gguf(files, name).await?.1.header(name)?);
        }
    }
    Ok(listing)
}

fn add(tensors: &mut Vec<ListedTensor>, file: usize, header: &Header) {
    tensors.extend(header.tensors.iter().map(|(name, entry)| ListedTensor {
        name: name.clone(),
        dtype: entry.format.map(|format| format!("{format:?}")).unwrap_or_default(),
        shape: entry.shape.clone(),
        places: vec![(file, entry.range.clone())],
    }));
}

/// The manifest of what is listed. Each file is read once, from its start to its end; `progress` is told how many bytes are
/// done.
///
/// # Errors
/// [`Error::Source`] if a file cannot be read, [`Error::Manifest`] if the listing is impossible or a file is not what its
/// publisher says.
pub async fn make(
    files: &impl Files,
    listing: &Listing,
    about: About,
    mut progress: impl FnMut(u64),
) -> Result<Manifest, Error> {
    let mut draft = Draft::new(listing)?;
    let blocks = draft.to_hash(listing);
    let mut done = 0;
    for of_file in blocks.chunk_by(|one, next| one.file == next.file) {
        let file = &listing.files[of_file[0].file];
        let mut whole = file.digest.map(Whole::new);
        for block in of_file {
            let range = block.start..block.start + block.bytes;
            let bytes = checkpoint::read(files, &file.name, range).await?;
            draft.set(block.slot, Hash::of(&bytes));
            if let Some(whole) = &mut whole {
                whole.update(&bytes);
            }
            done += block.bytes;
            progress(done);
        }
        if whole.is_some_and(|whole| !whole.agrees()) {
            return Err(ManifestError::Listing(format!(
                "{} is not the file that its publisher names: download it again",
                file.name
            ))
            .into());
        }
    }
    Ok(draft.finish(about)?)
}

/// The hash of a file that is being read, beside what it should be.
enum Whole {
    Sha256(Sha256, [u8; 32]),
    Blake3(Box<blake3::Hasher>, [u8; 32]),
}

impl Whole {
    fn new(digest: Digest) -> Self {
        match digest {
            Digest::Sha256(expected) => Self::Sha256(Sha256::new(), expected),
            Digest::Blake3(expected) => Self::Blake3(Box::default(), expected),
        }
    }

    fn update(&mut self, bytes: &[u8]) {
        match self {
            Self::Sha256(hash, _) => hash.update(bytes),
            Self::Blake3(hash, _) => {
                hash.update(bytes);
            }
        }
    }

    fn agrees(self) -> bool {
        match self {
            Self::Sha256(hash, expected) => hash.finalize().as_slice() == expected,
            Self::Blake3(hash, expected) => *hash.finalize().as_bytes() == expected,
        }
    }
}
