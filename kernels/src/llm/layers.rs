//! A contiguous range of transformer layers.

use std::fmt;
use std::ops::Range;

/// Layers `start..end`. The range that starts at 0 also embeds; the one that ends at the model's last layer also
/// holds the head.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Layers {
    /// First layer.
    pub start: usize,
    /// One past the last layer.
    pub end: usize,
}

impl Layers {
    /// `start..end`.
    #[must_use]
    pub const fn new(start: usize, end: usize) -> Self {
        Self { start, end }
    }

    /// The range as one to iterate over.
    #[must_use]
    pub const fn range(self) -> Range<usize> {
        self.start..self.end
    }

    /// True if there is at least one layer and a model of `layers` layers has all of them.
    #[must_use]
    pub const fn fit(self, layers: usize) -> bool {
        self.start < self.end && self.end <= layers
    }
}

impl fmt::Display for Layers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}..{}", self.start, self.end)
    }
}
