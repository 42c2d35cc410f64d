//! The tokens that penalties look back at.

use crate::limits;
use std::collections::VecDeque;

/// The last tokens of a sequence, at most [`limits::RECENT`].
///
/// The stage that draws keeps one beside each session's cache and feeds it the ids of the rows that it runs: it drew
/// most of them itself, and those of a prompt, or of a replay after a loss, come along with the rows (four bytes
/// each) if [`Sampling::looks_back`](super::Sampling::looks_back). So a stage that was rebuilt by a replay looks back
/// at what the lost one did, and draws the same tokens.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Recent(VecDeque<u32>);

impl Recent {
    /// The ids of the next rows.
    pub fn extend(&mut self, ids: &[u32]) {
        let news = &ids[ids.len().saturating_sub(limits::RECENT)..];
        self.0.extend(news);
        self.0.drain(..self.0.len().saturating_sub(limits::RECENT));
    }

    /// The last `window` ids, newest first.
    pub(super) fn last(&self, window: u16) -> impl Iterator<Item = u32> {
        self.0.iter().rev().take(window.into()).copied()
    }
}
