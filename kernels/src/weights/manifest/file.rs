//! A whole manifest as one file, which lies beside the model's files: a root is two reads away, and each page one range.
//!
//! ```text
//!  bytes 0 to 3: "MHWF"    4: version    5 to 8: bytes of the root, little-endian    root    page 0    page 1 …
//! ```

use super::Manifest;
use super::codec::{VERSION, encode_page, encode_root};
use super::error::ManifestError;
use super::format::Root;
use crate::limits;
use std::ops::Range;

/// What the file is called, beside the model's own.
pub const FILE_NAME: &str = "manyhands.manifest";
/// Bytes before the root.
pub const FILE_HEAD_BYTES: u64 = 9;
const MAGIC: &[u8; 4] = b"MHWF";

/// The file.
///
/// # Errors
/// [`ManifestError::Impossible`] or [`ManifestError::TooLong`] for a manifest that nobody would accept.
pub fn encode_file(manifest: &Manifest) -> Result<Vec<u8>, ManifestError> {
    let root = encode_root(&manifest.root)?;
    let mut file = [&MAGIC[..], &[VERSION], &(root.len() as u32).to_le_bytes(), &root].concat();
    for page in &manifest.pages {
        file.extend(encode_page(page)?);
    }
    Ok(file)
}

/// Where the root lies in the file, of which `head` are the first [`FILE_HEAD_BYTES`].
///
/// # Errors
/// [`ManifestError::Foreign`] if it is something else, [`ManifestError::Version`], [`ManifestError::TooLong`],
/// [`ManifestError::Malformed`] if it is cut off.
pub fn root_in_file(head: &[u8]) -> Result<Range<u64>, ManifestError> {
    let rest = head.strip_prefix(MAGIC).ok_or(ManifestError::Foreign)?;
    let (version, length) = rest.split_first().ok_or(ManifestError::Foreign)?;
    if *version != VERSION {
        return Err(ManifestError::Version(*version));
    }
    let length: [u8; 4] = length.try_into().map_err(|_| ManifestError::Malformed("the manifest's file"))?;
    let bytes = u32::from_le_bytes(length) as usize;
    if bytes > limits::ROOT_BYTES {
        return Err(ManifestError::TooLong { what: "the manifest's root", bytes, most: limits::ROOT_BYTES });
    }
    Ok(FILE_HEAD_BYTES..FILE_HEAD_BYTES + bytes as u64)
}

/// Where a page lies in the file, behind a root of so many bytes. A page that does not exist is empty.
#[must_use]
pub fn page_in_file(root: &Root, root_bytes: u64, page: usize) -> Range<u64> {
    let size = |size: u32| u64::from(size);
    let before: u64 = root.pages.iter().take(page).map(|line| size(line.size)).sum();
    let start = FILE_HEAD_BYTES.saturating_add(root_bytes).saturating_add(before);
    start..start.saturating_add(root.pages.get(page).map_or(0, |line| size(line.size)))
}
