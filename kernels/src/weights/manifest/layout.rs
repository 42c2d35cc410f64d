//! From a list of files and tensors to pages without hashes.

use super::error::ManifestError;
use super::format::{
    About, Adapts, FileRef, Group, Hash, Name, Page, PageRef, Place, Portion, Root, Span, TensorRef,
};
use super::{Manifest, codec, group};
use crate::limits;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

/// The files of a model and the tensors in them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Listing {
    /// All files that belong to the model.
    pub files: Vec<Listed>,
    /// What of them are tensors.
    pub tensors: Vec<ListedTensor>,
    /// What they say of themselves, if they are an adapter.
    pub adapts: Option<Adapts>,
}

/// One file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// Its path, relative to the model's folder.
    pub name: String,
    /// Its length.
    pub bytes: u64,
    /// What its publisher says that it is, if that is known: it is compared before a manifest is made.
    pub digest: Option<Digest>,
}

/// The hash of a whole file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Digest {
    /// As the hub lists large files.
    Sha256([u8; 32]),
    /// As `b3sum` prints it.
    Blake3([u8; 32]),
}

/// One tensor.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListedTensor {
    /// As the hub calls it.
    pub name: String,
    /// How its numbers are stored; empty if that is not known.
    pub dtype: String,
    /// Sizes of its dimensions.
    pub shape: Vec<u64>,
    /// Its bytes: index of the file, and where in it. More than one run if it goes on in the next file.
    pub places: Vec<(usize, Range<u64>)>,
}

/// A manifest whose blocks have no hashes yet.
#[derive(Debug, Clone)]
pub struct Draft {
    files: u32,
    parts: Vec<Name>,
    pages: Vec<(Group, Page)>,
    adapts: Option<Adapts>,
}

/// A block to hash.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct ToHash {
    /// Index of its file in the listing.
    pub file: usize,
    /// Where in it.
    pub start: u64,
    /// How many bytes.
    pub bytes: u64,
    /// Which page lists it, and as which of its blocks.
    pub slot: (usize, usize),
}

/// A run of bytes of one file that belong to one tensor, or to none.
struct Region {
    file: usize,
    start: u64,
    bytes: u64,
    tensor: Option<usize>,
}

impl Draft {
    /// Groups the tensors into pages, with as many experts on a page as it takes to keep the root small.
    ///
    /// # Errors
    /// [`ManifestError::Listing`] if tensors overlap, lie outside their files, or are too large;
    /// [`ManifestError::Groups`] if there are too many layers.
    pub fn new(listing: &Listing) -> Result<Self, ManifestError> {
        let (parts, part_of) = parts(&listing.files)?;
        let mut together = 1;
        loop {
            let mut pages = Vec::new();
            for (group, regions) in regions(listing, &part_of, together)? {
                pages.extend(Pager::pages(listing, regions)?.into_iter().map(|page| (group, page)));
            }
            if pages.len() <= limits::MANIFEST_PAGES {
                let (files, adapts) = (listing.files.len() as u32, listing.adapts.clone());
                return Ok(Self { files, parts, pages, adapts });
            }
            if usize::from(together) > limits::EXPERTS {
                return Err(ManifestError::Groups(pages.len()));
            }
            together *= 2;
        }
    }

    /// All blocks, in the order in which they lie in the files, so that each file is read once from start to end.
    #[must_use]
    pub fn to_hash(&self, listing: &Listing) -> Vec<ToHash> {
        let index: BTreeMap<&str, usize> =
            listing.files.iter().enumerate().map(|(index, file)| (file.name.as_str(), index)).collect();
        let mut all = Vec::new();
        for (number, (_, page)) in self.pages.iter().enumerate() {
            all.extend(page.blocks().enumerate().filter_map(|(at, block)| {
                let file = *index.get(block.file)?;
                Some(ToHash { file, start: block.start, bytes: block.bytes, slot: (number, at) })
            }));
        }
        all.sort_unstable();
        all
    }

    /// Notes the hash of a block. A slot that does not exist is ignored.
    pub fn set(&mut self, (page, block): (usize, usize), hash: Hash) {
        if let Some(slot) = self.pages.get_mut(page).and_then(|(_, page)| page.blocks.get_mut(block)) {
            *slot = hash;
        }
    }

    /// The manifest, when all hashes are set.
    ///
    /// # Errors
    /// [`ManifestError::TooLong`] or [`ManifestError::Impossible`] if nobody would accept it, for its texts are too long or
    /// its names lead elsewhere.
    pub fn finish(self, about: About) -> Result<Manifest, ManifestError> {
        let (files, parts, adapts) = (self.files, self.parts, self.adapts);
        let mut root = Root { about, files, parts, pages: Vec::new(), adapts };
        let mut pages = Vec::new();
        for (group, page) in self.pages {
            let bytes = codec::encode_page(&page)?;
            root.pages.push(PageRef {
                group,
                hash: Hash::of(&bytes),
                size: bytes.len() as u32,
                blocks: page.blocks.len() as u32,
                bytes: page.spans.iter().map(|span| span.bytes).sum(),
            });
            pages.push(page);
        }
        // Texts that are too long are found when they are read, not when they are written.
        let bytes = codec::encode_root(&root)?;
        codec::decode_root(&bytes, Hash::of(&bytes))?;
        Ok(Manifest { root, pages })
    }
}

/// The parts of a model, and to which of them each file belongs: that is the folder it lies in.
fn parts(files: &[Listed]) -> Result<(Vec<Name>, Vec<u8>), ManifestError> {
    let folder = |file: &Listed| file.name.rsplit_once('/').map_or("", |(folder, _)| folder).to_owned();
    let names: BTreeSet<String> = files.iter().map(folder).collect();
    if files.is_empty() || files.len() > limits::MANIFEST_FILES || names.len() > limits::MANIFEST_PARTS {
        let (files, folders) = (files.len(), names.len());
        let (most_files, most) = (limits::MANIFEST_FILES, limits::MANIFEST_PARTS);
        return Err(refused(format!(
            "{files} files in {folders} folders; 1 to {most_files} in at most {most} are supported"
        )));
    }
    let bytes = files.iter().map(|file| file.bytes).fold(0, u64::saturating_add);
    let most = u64::from(limits::MANIFEST_NUMBERS) * limits::BLOCK_BYTES;
    if bytes > most {
        return Err(refused(format!("the files have {bytes} bytes, {most} at most")));
    }
    if let Some(file) = files.iter().find(|file| !Name(file.name.clone()).is_plain()) {
        return Err(refused(format!("{:?} is no plain path inside the model's folder", file.name)));
    }
    let listed: BTreeSet<&str> = files.iter().map(|file| file.name.as_str()).collect();
    if listed.len() < files.len() {
        return Err(refused("a file is listed twice"));
    }
    let part = |file: &Listed| names.iter().position(|name| *name == folder(file)).unwrap_or_default() as u8;
    Ok((names.iter().cloned().map(Name).collect(), files.iter().map(part).collect()))
}

/// Every byte of every file, by group. What no tensor has belongs to the tensor before it, or to the head.
fn regions(
    listing: &Listing,
    part_of: &[u8],
    together: u16,
) -> Result<BTreeMap<Group, Vec<Region>>, ManifestError> {
    let mut in_file: Vec<Vec<(&Range<u64>, usize)>> = listing.files.iter().map(|_| Vec::new()).collect();
    for (index, tensor) in listing.tensors.iter().enumerate() {
        if tensor.places.is_empty() {
            return Err(refused(format!("tensor {} lies nowhere", tensor.name)));
        }
        for (file, range) in &tensor.places {
            let pieces = in_file.get_mut(*file);
            let pieces = pieces.ok_or_else(|| refused(format!("tensor {} lies in no file", tensor.name)))?;
            pieces.push((range, index));
        }
    }
    // A tensor that goes on in another file belongs where it begins.
    let portion = |tensor: usize| group::portion(&listing.tensors[tensor].name).coarser(together);
    let group = |tensor: usize| {
        let (first, _) = listing.tensors[tensor].places[0];
        Group { part: part_of[first], portion: portion(tensor) }
    };
    let mut groups: BTreeMap<Group, Vec<Region>> = BTreeMap::new();
    for (file, mut pieces) in in_file.into_iter().enumerate() {
        pieces.sort_by_key(|(range, _)| (range.start, range.end));
        let listed = &listing.files[file];
        let (mut at, mut last) = (0, Group { part: part_of[file], portion: Portion::Head });
        for (range, tensor) in pieces {
            if range.start < at || range.end < range.start || range.end > listed.bytes {
                let (name, tensor) = (&listed.name, &listing.tensors[tensor].name);
                return Err(refused(format!(
                    "tensor {tensor} lies at {range:?} of {name}, over others or outside: the file is damaged"
                )));
            }
            fill(groups.entry(last).or_default(), file, at..range.start);
            last = group(tensor);
            let (start, bytes) = (range.start, range.end - range.start);
            groups.entry(last).or_default().push(Region { file, start, bytes, tensor: Some(tensor) });
            at = range.end;
        }
        let rest = groups.entry(last).or_default();
        fill(rest, file, at..listed.bytes);
        if listed.bytes == 0 {
            rest.push(Region { file, start: 0, bytes: 0, tensor: None });
        }
    }
    groups.retain(|_, regions| !regions.is_empty());
    Ok(groups)
}

/// Bytes of no tensor, in runs that fit a page.
fn fill(regions: &mut Vec<Region>, file: usize, gap: Range<u64>) {
    let run = limits::BLOCK_BYTES * (limits::PAGE_BLOCKS as u64 / 2);
    let mut start = gap.start;
    while start < gap.end {
        let bytes = run.min(gap.end - start);
        regions.push(Region { file, start, bytes, tensor: None });
        start += bytes;
    }
}

/// Fills pages, one after the other.
struct Pager<'a> {
    listing: &'a Listing,
    done: Vec<Page>,
    page: Page,
    /// Bytes that the page will have, at most.
    size: usize,
    /// Where the page lists a file and a tensor of the listing.
    files: BTreeMap<usize, u32>,
    tensors: BTreeMap<usize, usize>,
    /// Tensors that have begun on this page and go on, with the runs that are missing: they keep the page open.
    open: BTreeMap<usize, usize>,
}

impl<'a> Pager<'a> {
    fn pages(listing: &'a Listing, regions: Vec<Region>) -> Result<Vec<Page>, ManifestError> {
        let (done, page) = (Vec::new(), Page::default());
        let (files, tensors, open) = (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
        let mut pager = Self { listing, done, page, size: 0, files, tensors, open };
        for region in regions {
            pager.add(&region)?;
        }
        pager.turn();
        Ok(pager.done)
    }

    fn add(&mut self, region: &Region) -> Result<(), ManifestError> {
        let size = self.size_of(region);
        // What every page has, besides.
        let most = limits::PAGE_BYTES - 64;
        if size > most {
            let what = region.tensor.map_or("", |tensor| self.listing.tensors[tensor].name.as_str());
            return Err(refused(format!("tensor {what} of {} bytes is too large for a page", region.bytes)));
        }
        let full = self.size + size > most
            || self.page.tensors.len() == limits::PAGE_TENSORS
            || self.page.spans.len() == limits::PAGE_SPANS
            || self.page.files.len() == limits::PAGE_FILES;
        if full && self.open.is_empty() {
            self.turn();
        }
        self.size += size;
        self.place(region);
        Ok(())
    }

    /// Bytes that a region adds to its page, at most.
    fn size_of(&self, region: &Region) -> usize {
        let hashes = 32 * (region.bytes / limits::BLOCK_BYTES + 1);
        let file = self.listing.files[region.file].name.len() + 32;
        let tensor = region.tensor.map_or(0, |tensor| {
            let tensor = &self.listing.tensors[tensor];
            tensor.name.len() + tensor.dtype.len() + 10 * tensor.shape.len() + 32
        });
        // A span of three numbers.
        usize::try_from(hashes).unwrap_or(usize::MAX).saturating_add(file + tensor + 32)
    }

    fn place(&mut self, region: &Region) {
        let (page, listed) = (&mut self.page, &self.listing.files[region.file]);
        let file = *self.files.entry(region.file).or_insert_with(|| {
            page.files.push(FileRef { name: Name(listed.name.clone()), bytes: listed.bytes });
            page.files.len() as u32 - 1
        });
        let (start, bytes) = (region.start, region.bytes);
        match page.spans.last_mut() {
            Some(span) if span.file == file && span.start + span.bytes == start => span.bytes += bytes,
            _ if bytes > 0 => page.spans.push(Span { file, start, bytes }),
            _ => {}
        }
        let Some(index) = region.tensor else { return };
        let tensor = &self.listing.tensors[index];
        let slot = *self.tensors.entry(index).or_insert_with(|| {
            let (name, dtype, shape) = (tensor.name.clone(), tensor.dtype.clone(), tensor.shape.clone());
            page.tensors.push(TensorRef { name, dtype, shape, places: Vec::new() });
            page.tensors.len() - 1
        });
        if let Some(span) = page.spans.last().filter(|_| bytes > 0) {
            let place = Place { span: page.spans.len() as u32 - 1, start: start - span.start, bytes };
            page.tensors[slot].places.push(place);
        }
        let left = self.open.entry(index).or_insert(tensor.places.len());
        *left -= 1;
        if *left == 0 {
            self.open.remove(&index);
        }
    }

    /// Ends a page.
    fn turn(&mut self) {
        let mut page = std::mem::take(&mut self.page);
        let blocks: u64 = page.spans.iter().map(Span::blocks).sum();
        page.blocks = vec![Hash::default(); blocks as usize];
        self.done.extend((!page.files.is_empty()).then_some(page));
        (self.size, self.files, self.tensors) = (0, BTreeMap::new(), BTreeMap::new());
    }
}

fn refused(what: impl Into<String>) -> ManifestError {
    ManifestError::Listing(what.into())
}
