//! Manifests to bytes and back, with every bound checked on the way in.
//!
//! ```text
//!  bytes 0 to 3: "MHWM" (root) or "MHWP" (page)    byte 4: version    rest: postcard
//! ```

use super::error::ManifestError;
use super::format::{Hash, Name, Page, PageRef, Root, Span};
use crate::limits;
use serde::{Serialize, de::DeserializeOwned};

/// The version of both levels.
pub(super) const VERSION: u8 = 1;
const ROOT: (&[u8; 4], &str) = (b"MHWM", "the root of the manifest");
const PAGE: (&[u8; 4], &str) = (b"MHWP", "a page of the manifest");

/// A root as it travels. Its hash is the model's id.
///
/// # Errors
/// [`ManifestError::Impossible`] or [`ManifestError::TooLong`] for one that nobody would accept.
pub fn encode_root(root: &Root) -> Result<Vec<u8>, ManifestError> {
    check_root(root)?;
    encode(ROOT, root, limits::ROOT_BYTES)
}

/// A page as it travels.
///
/// # Errors
/// As [`encode_root`].
pub fn encode_page(page: &Page) -> Result<Vec<u8>, ManifestError> {
    check_page(page)?;
    encode(PAGE, page, limits::PAGE_BYTES)
}

/// A root from anybody's bytes, if they are what `id` names.
///
/// # Errors
/// Says what is wrong; see [`ManifestError`].
pub fn decode_root(bytes: &[u8], id: Hash) -> Result<Root, ManifestError> {
    // Its length first: to hash without end is work that a stranger could ask for.
    within(ROOT.1, bytes.len(), limits::ROOT_BYTES)?;
    if Hash::of(bytes) != id {
        return Err(ManifestError::Hash(ROOT.1));
    }
    let (mut root, rest): (Root, &[u8]) = decode(ROOT, bytes)?;
    root.adapts = match rest {
        [] => None,
        // Nothing has one way to be said only.
        rest => match postcard::take_from_bytes(rest) {
            Ok((Some(adapts), [])) => Some(adapts),
            _ => return Err(ManifestError::Malformed(ROOT.1)),
        },
    };
    check_root(&root).map(|()| root)
}

/// A page from anybody's bytes, if they are what the root's line names.
///
/// # Errors
/// As [`decode_root`].
pub fn decode_page(bytes: &[u8], line: &PageRef) -> Result<Page, ManifestError> {
    within(PAGE.1, bytes.len(), limits::PAGE_BYTES)?;
    if Hash::of(bytes) != line.hash {
        return Err(ManifestError::Hash(PAGE.1));
    }
    let (page, rest): (Page, &[u8]) = decode(PAGE, bytes)?;
    if !rest.is_empty() {
        return Err(ManifestError::Malformed(PAGE.1));
    }
    check_page(&page)?;
    let span_bytes = page.spans.iter().map(|span| span.bytes).fold(0, u64::saturating_add);
    if page.blocks.len() != line.blocks as usize
        || span_bytes != line.bytes
        || bytes.len() != line.size as usize
    {
        return Err(impossible("a page and the root's line about it say different sizes"));
    }
    Ok(page)
}

fn encode<T: Serialize>(
    (magic, what): (&[u8; 4], &'static str),
    value: &T,
    most: usize,
) -> Result<Vec<u8>, ManifestError> {
    let start = [&magic[..], &[VERSION]].concat();
    let bytes = postcard::to_extend(value, start).map_err(|_| ManifestError::Malformed(what))?;
    within(what, bytes.len(), most).map(|()| bytes)
}

/// What it says, and what follows.
fn decode<'a, T: DeserializeOwned>(
    (magic, what): (&[u8; 4], &'static str),
    bytes: &'a [u8],
) -> Result<(T, &'a [u8]), ManifestError> {
    let rest = bytes.strip_prefix(magic).ok_or(ManifestError::Foreign)?;
    match rest.split_first() {
        Some((&VERSION, rest)) => postcard::take_from_bytes(rest).map_err(|_| ManifestError::Malformed(what)),
        Some((&version, _)) => Err(ManifestError::Version(version)),
        None => Err(ManifestError::Malformed(what)),
    }
}

fn check_root(root: &Root) -> Result<(), ManifestError> {
    for part in root.parts.iter().filter(|part| !part.0.is_empty()) {
        plain(part)?;
    }
    let mut numbers = root.pages.len() as u64;
    for page in &root.pages {
        if usize::from(page.group.part) >= root.parts.len() {
            return Err(impossible("a page belongs to a part that is not listed"));
        }
        // Blocks may be short, so that bytes say little about their number; none is empty or too long.
        let most = u64::from(page.blocks) * limits::BLOCK_BYTES;
        if page.bytes > most || page.bytes < page.blocks.into() {
            return Err(impossible(format!("{} bytes in {} blocks", page.bytes, page.blocks)));
        }
        within(PAGE.1, page.size as usize, limits::PAGE_BYTES)?;
        numbers += u64::from(page.blocks);
    }
    let most = limits::MANIFEST_NUMBERS;
    if numbers > most.into() {
        return Err(impossible(format!("{numbers} pages and blocks, {most} at most")));
    }
    Ok(())
}

fn check_page(page: &Page) -> Result<(), ManifestError> {
    page.files.iter().try_for_each(|file| plain(&file.name))?;
    let mut blocks = 0u64;
    let mut before: Option<&Span> = None;
    for span in &page.spans {
        let file = page.files.get(span.file as usize);
        let file_bytes = file.ok_or_else(|| impossible("a span of a file that is not listed"))?.bytes;
        let end = span.start.checked_add(span.bytes);
        if span.bytes == 0 || end.is_none_or(|end| end > file_bytes) {
            let (start, bytes) = (span.start, span.bytes);
            return Err(impossible(format!("{bytes} bytes from {start} on in a file of {file_bytes}")));
        }
        // In order and apart, so that no byte is in two blocks.
        let apart = before
            .is_none_or(|one| (one.file, one.start.saturating_add(one.bytes)) <= (span.file, span.start));
        if !apart {
            return Err(impossible("two spans share bytes, or are out of order"));
        }
        blocks = blocks.saturating_add(span.blocks());
        before = Some(span);
    }
    if blocks != page.blocks.len() as u64 {
        return Err(impossible(format!("{} hashes for {blocks} blocks", page.blocks.len())));
    }
    for place in page.tensors.iter().flat_map(|tensor| &tensor.places) {
        let span = page.spans.get(place.span as usize).ok_or_else(|| impossible("a tensor in no span"))?;
        let end = place.start.checked_add(place.bytes);
        if end.is_none_or(|end| end > span.bytes) {
            return Err(impossible("a tensor reaches beyond its span"));
        }
    }
    Ok(())
}

fn plain(name: &Name) -> Result<(), ManifestError> {
    let refused = || impossible(format!("{:?} is no path inside a model", name.0));
    if name.is_plain() { Ok(()) } else { Err(refused()) }
}

fn within(what: &'static str, bytes: usize, most: usize) -> Result<(), ManifestError> {
    if bytes <= most { Ok(()) } else { Err(ManifestError::TooLong { what, bytes, most }) }
}

fn impossible(what: impl Into<String>) -> ManifestError {
    ManifestError::Impossible(what.into())
}
