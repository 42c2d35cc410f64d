//! Where the bytes of a content's files are: which block holds which part of which file.

use kernels::limits::BLOCK_BYTES;
use kernels::weights::manifest::{Hash, Page, Root, Span};
use std::collections::BTreeMap;
use std::ops::Range;

/// One block of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// Its file's path.
    pub file: String,
    /// Where in it.
    pub range: Range<u64>,
    /// What it has to be.
    pub hash: Hash,
}

/// A part of a block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    /// The block's number.
    pub number: u32,
    /// What of it.
    pub bytes: Range<usize>,
}

/// All pages of a content, turned round.
#[derive(Debug)]
pub struct Map {
    pages: Vec<Spots>,
    files: BTreeMap<String, File>,
}

/// A page's blocks.
#[derive(Debug)]
struct Spots {
    /// The number of the first one.
    first: u32,
    /// Names of files.
    names: Vec<String>,
    /// Index of the file, start and length of each.
    blocks: Vec<(u32, u64, u32)>,
    hashes: Vec<Hash>,
}

#[derive(Debug)]
struct File {
    bytes: u64,
    /// By where they start: where they end, and the number of the first block.
    runs: BTreeMap<u64, (u64, u32)>,
}

impl Map {
    /// From all pages of a root, in its order.
    ///
    /// # Errors
    /// In plain words, if two pages contradict each other.
    pub fn new(root: &Root, pages: &[Page]) -> Result<Self, String> {
        let mut map = Self { pages: Vec::new(), files: BTreeMap::new() };
        let mut first = root.pages.len() as u32;
        for page in pages {
            map.add(page, first)?;
            first = first.saturating_add(page.blocks.len() as u32);
        }
        Ok(map)
    }

    fn add(&mut self, page: &Page, first: u32) -> Result<(), String> {
        let names: Vec<String> = page.files.iter().map(|file| file.name.0.clone()).collect();
        for file in &page.files {
            let known = self.files.entry(file.name.0.clone());
            let known = known.or_insert_with(|| File { bytes: file.bytes, runs: BTreeMap::new() });
            if known.bytes != file.bytes {
                return Err(format!("the manifest gives {} two lengths: make it again", file.name.0));
            }
        }
        let mut number = first;
        for span in &page.spans {
            let name = names.get(span.file as usize);
            let file = name.and_then(|name| self.files.get_mut(name));
            let file = file.ok_or("the manifest has bytes of no file: make it again")?;
            file.runs.insert(span.start, (span.start.saturating_add(span.bytes), number));
            number = number.saturating_add(u32::try_from(span.blocks()).unwrap_or(u32::MAX));
        }
        let cut = |span: Span| {
            let starts = (0..span.blocks()).map(move |index| index * BLOCK_BYTES);
            starts.map(move |at| (span.file, span.start + at, BLOCK_BYTES.min(span.bytes - at) as u32))
        };
        let blocks = page.spans.iter().copied().flat_map(cut).collect();
        self.pages.push(Spots { first, names, blocks, hashes: page.blocks.clone() });
        Ok(())
    }

    /// A file's length in bytes, if it belongs to the content.
    pub fn length(&self, file: &str) -> Option<u64> {
        self.files.get(file).map(|file| file.bytes)
    }

    /// Names and lengths of all files.
    pub fn files(&self) -> impl Iterator<Item = (&str, u64)> {
        self.files.iter().map(|(name, file)| (name.as_str(), file.bytes))
    }

    /// The block of this number.
    pub fn block(&self, number: u32) -> Option<Place> {
        let page = self.pages.partition_point(|page| page.first <= number).checked_sub(1)?;
        let page = self.pages.get(page)?;
        let index = (number - page.first) as usize;
        let (file, start, bytes) = *page.blocks.get(index)?;
        let file = page.names.get(file as usize)?.clone();
        Some(Place { file, range: start..start + u64::from(bytes), hash: *page.hashes.get(index)? })
    }

    /// The blocks that hold a range of a file, in order, with what of each belongs to it.
    ///
    /// # Errors
    /// In plain words, if the manifest does not have all of it.
    pub fn parts(&self, name: &str, range: Range<u64>) -> Result<Vec<Part>, String> {
        let file = self.files.get(name).ok_or_else(|| format!("{name} is not a file of this model"))?;
        let (mut parts, mut at) = (Vec::new(), range.start);
        while at < range.end {
            let run = file.runs.range(..=at).next_back().filter(|(_, (end, _))| at < *end);
            let Some((start, (end, first))) = run else {
                return Err(format!(
                    "{name} has {} bytes, and none at {at} that its manifest knows of",
                    file.bytes
                ));
            };
            let index = (at - start) / BLOCK_BYTES;
            let block = start + index * BLOCK_BYTES;
            let to = end.min(&(block + BLOCK_BYTES)).min(&range.end) - block;
            let number = first.saturating_add(u32::try_from(index).unwrap_or(u32::MAX));
            parts.push(Part { number, bytes: (at - block) as usize..to as usize });
            at = block + to;
        }
        Ok(parts)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use kernels::weights::manifest::{About, FileRef, Group, Name, PageRef, Portion};

    const MIB: u64 = BLOCK_BYTES;

    fn page(files: &[(&str, u64)], spans: &[(u32, u64, u64)]) -> Page {
        let file = |(name, bytes): &(&str, u64)| FileRef { name: Name((*name).into()), bytes: *bytes };
        let spans: Vec<Span> =
            spans.iter().map(|&(file, start, bytes)| Span { file, start, bytes }).collect();
        let count: u64 = spans.iter().map(Span::blocks).sum();
        let blocks = (0..count).map(|index| Hash([index as u8; 32])).collect();
        Page { files: files.iter().map(file).collect(), spans, tensors: vec![], blocks }
    }

    fn root(pages: &[Page]) -> Root {
        let group = Group { part: 0, portion: Portion::Head };
        let line = |page: &Page| PageRef {
            group,
            hash: Hash::default(),
            size: 1,
            blocks: page.blocks.len() as u32,
            bytes: page.spans.iter().map(|span| span.bytes).sum(),
        };
        let pages = pages.iter().map(line).collect();
        Root { about: About::default(), files: 2, parts: vec![Name(String::new())], pages, adapts: None }
    }

    /// Two files on two pages: `a` is 0..5 and the rest, `b` lies between.
    fn two() -> [Page; 2] {
        [
            page(&[("a", 3 * MIB)], &[(0, 0, 5)]),
            page(&[("b", MIB + 7), ("a", 3 * MIB)], &[(0, 0, MIB + 7), (1, 5, 3 * MIB - 5)]),
        ]
    }

    #[test]
    fn ranges_are_found_in_blocks_wherever_they_lie() {
        let pages = two();
        let map = Map::new(&root(&pages), &pages).unwrap();
        let part = |number, from: u64, to: u64| Part { number, bytes: from as usize..to as usize };
        let rows = [
            ("a", 0..5, vec![part(2, 0, 5)], "a page of its own"),
            ("a", 3..9, vec![part(2, 3, 5), part(5, 0, 4)], "over the edge of two pages"),
            ("a", 5 + MIB - 1..5 + MIB + 1, vec![part(5, MIB - 1, MIB), part(6, 0, 1)], "and of two blocks"),
            ("a", 3 * MIB - 1..3 * MIB, vec![part(7, MIB - 6, MIB - 5)], "the last byte"),
            ("b", MIB..MIB + 7, vec![part(4, 0, 7)], "a short block"),
            ("b", 4..4, vec![], "nothing"),
        ];
        for (file, range, want, why) in rows {
            assert_eq!(map.parts(file, range).unwrap(), want, "{why}");
        }
        for number in 2..8 {
            let place = map.block(number).unwrap();
            let parts = map.parts(&place.file, place.range.clone()).unwrap();
            let whole = 0..(place.range.end - place.range.start) as usize;
            assert_eq!(parts, [Part { number, bytes: whole }], "there and back");
        }
        assert_eq!((map.block(1), map.block(8)), (None, None), "pages, and nothing");
        assert_eq!(map.length("b"), Some(MIB + 7));
    }

    #[test]
    fn what_is_not_there_is_named() {
        let pages = two();
        let map = Map::new(&root(&pages), &pages).unwrap();
        for (file, range, named) in [("c", 0..1, "not a file"), ("b", MIB..MIB + 8, "none at")] {
            let why = map.parts(file, range).unwrap_err();
            assert!(why.contains(named), "{why}");
        }
        let mut holes = two();
        holes[1].spans.pop();
        let map = Map::new(&root(&holes), &holes).unwrap();
        assert!(map.parts("a", 0..9).is_err(), "a hole in the middle");
        let mut odd = two();
        odd[1].files[1].bytes += 1;
        assert!(Map::new(&root(&odd), &odd).is_err(), "two lengths");
    }
}
