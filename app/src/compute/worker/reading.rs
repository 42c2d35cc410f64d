//! A model's bytes on their way into memory.

use crate::compute::files::{Files, Reader};
use kernels::weights::ByteRange;
use std::ops::Range;
use std::sync::Arc;

/// Reads ranges one after the other, and tells how far it is.
pub struct Reading<'a, F, P> {
    files: &'a F,
    /// Of the latest file: ranges of one file follow each other.
    reader: Option<(Arc<str>, Reader<'a, F>)>,
    done: u64,
    total: u64,
    progress: P,
}

impl<'a, F: Files, P: Fn(u64, u64)> Reading<'a, F, P> {
    /// `progress` is told the bytes so far, and those of all `ranges`.
    pub fn new(files: &'a F, ranges: &[ByteRange], progress: P) -> Self {
        Self { files, reader: None, done: 0, total: ranges.iter().map(length).sum(), progress }
    }

    /// The bytes of a range.
    pub async fn read(&mut self, range: &ByteRange) -> Result<Vec<u8>, String> {
        if self.reader.as_ref().is_none_or(|(name, _)| *name != range.file) {
            self.reader = Some((range.file.clone(), Reader::open(self.files, &range.file).await?));
        }
        let Some((_, reader)) = &mut self.reader else { return Err("no file".into()) };
        let bytes = reader.read(range.range.clone()).await?;
        self.done += length(range);
        (self.progress)(self.done, self.total);
        Ok(bytes)
    }
}

/// The same ranges by the names of their files.
pub fn of(ranges: &[ByteRange]) -> Vec<(String, Range<u64>)> {
    ranges.iter().map(|range| (range.file.to_string(), range.range.clone())).collect()
}

const fn length(range: &ByteRange) -> u64 {
    range.range.end - range.range.start
}
