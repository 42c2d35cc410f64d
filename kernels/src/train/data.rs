//! From stories to rows of token ids, made while the device is busy and never repeated.

use std::sync::mpsc::{Receiver, sync_channel};
use std::thread;

use super::vocabulary::END_ID;
use super::{Grammar, TrainError};
use crate::tokenizer::Tokenizer;

/// Batches that wait for the device. Source: guess; enough to hide an uneven producer, a few MB of ids.
const BATCHES_AHEAD: usize = 4;
/// Stories of one seed and split before the next one's begin.
const STORIES_PER_SEED: u64 = 1 << 40;

/// What a story is for. No story belongs to two of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Split {
    /// To learn from.
    Train,
    /// To measure with, never to learn from.
    HeldOut,
    /// To learn the vocabulary from.
    Vocabulary,
}

impl Split {
    /// The grammar's seed for story `index` of a run with this seed.
    ///
    /// # Panics
    /// If `seed` has more than 22 bits or `index` more than 40; both are far beyond any run.
    #[must_use]
    pub fn story(self, seed: u32, index: u64) -> u64 {
        assert!(seed < 1 << 22 && index < STORIES_PER_SEED, "a run's seed has 22 bits, a story's index 40");
        ((self as u64) << 62) | (u64::from(seed) << 40) | index
    }
}

/// Rows of ids, each one token longer than what the model sees: inputs and, one further, what follows them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rows {
    /// `count × (tokens + 1)` ids.
    pub ids: Vec<i32>,
    /// Rows.
    pub count: usize,
    /// Tokens that are predicted in each row.
    pub tokens: usize,
}

impl Rows {
    /// The same rows in at most `parts` shares, as even as they can be.
    #[must_use]
    pub fn shares(&self, parts: usize) -> Vec<Self> {
        let row = self.tokens + 1;
        let chunks = self.ids.chunks(self.count.div_ceil(parts.max(1)).max(1) * row);
        chunks.map(|ids| Self { ids: ids.to_vec(), count: ids.len() / row, tokens: self.tokens }).collect()
    }
}

/// Turns stories into rows.
pub struct Encoder {
    grammar: Grammar,
    tokenizer: Tokenizer,
}

impl Encoder {
    /// An encoder for the stories of this project.
    ///
    /// # Errors
    /// [`TrainError::Grammar`], [`TrainError::Kernels`].
    pub fn new(tokenizer: Tokenizer) -> Result<Self, TrainError> {
        Ok(Self { grammar: Grammar::stories()?, tokenizer })
    }

    /// `count` rows from the stories that `next` numbers. Every row begins with the beginning of a story, as every
    /// text does that the model will write; where a story ends, the next one begins, and the last one is cut off.
    ///
    /// # Errors
    /// [`TrainError::Grammar`], [`TrainError::Kernels`].
    pub fn rows(
        &self,
        count: usize,
        tokens: usize,
        next: &mut impl FnMut() -> u64,
    ) -> Result<Rows, TrainError> {
        let mut ids = Vec::with_capacity(count * (tokens + 1));
        for row in 1..=count {
            while ids.len() < row * (tokens + 1) {
                let story = self.tokenizer.encode(&self.grammar.story(next())?, true)?;
                ids.extend(story.into_iter().chain([END_ID]).map(|id| id as i32));
            }
            ids.truncate(row * (tokens + 1));
        }
        Ok(Rows { ids, count, tokens })
    }
}

/// Training rows from a thread of its own.
pub struct Stream {
    rows: Receiver<Result<Rows, TrainError>>,
}

impl Stream {
    /// Starts with story `first` of this seed. The thread ends when the stream is dropped.
    #[must_use]
    pub fn start(encoder: Encoder, seed: u32, first: u64, count: usize, tokens: usize) -> Self {
        let (sender, rows) = sync_channel(BATCHES_AHEAD);
        let mut index = first;
        let mut next = move || {
            index += 1;
            Split::Train.story(seed, index - 1)
        };
        thread::spawn(move || while sender.send(encoder.rows(count, tokens, &mut next)).is_ok() {});
        Self { rows }
    }

    /// The next rows.
    ///
    /// # Errors
    /// As [`Encoder::rows`].
    pub fn next_rows(&self) -> Result<Rows, TrainError> {
        self.rows.recv().unwrap_or_else(|_| Err(TrainError::Settings("the story thread has died".into())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::train::vocabulary::{BEGIN_ID, learn};

    fn encoder() -> Encoder {
        let grammar = Grammar::stories().expect("the grammar");
        let texts: Vec<_> =
            (0..50).map(|at| grammar.story(Split::Vocabulary.story(1, at)).expect("a story")).collect();
        let json = learn(400, texts.into_iter()).expect("a vocabulary");
        Encoder::new(Tokenizer::from_json(json.as_bytes(), Some(BEGIN_ID)).expect("a tokenizer"))
            .expect("the grammar")
    }

    #[test]
    fn no_story_belongs_to_two_splits_or_seeds() {
        let rows = [
            (Split::Train, 1, 7, "the story"),
            (Split::HeldOut, 1, 7, "another split"),
            (Split::Vocabulary, 1, 7, "another split"),
            (Split::Train, 2, 7, "another run"),
            (Split::Train, 1, 8, "another index"),
            (
                Split::Train,
                (1 << 22) - 1,
                STORIES_PER_SEED - 1,
                "the last of all does not run into the next split",
            ),
        ];
        for (at, (split, seed, index, _)) in rows.iter().enumerate() {
            for (other, other_seed, other_index, reason) in &rows[at + 1..] {
                assert_ne!(split.story(*seed, *index), other.story(*other_seed, *other_index), "{reason}");
            }
        }
    }

    #[test]
    fn every_row_begins_a_story_and_is_full() {
        let mut at = 0;
        let rows = encoder().rows(5, 300, &mut || {
            at += 1;
            Split::Train.story(1, at)
        });
        let rows = rows.expect("rows");
        assert_eq!(rows.ids.len(), 5 * 301);
        for row in rows.ids.chunks(301) {
            assert_eq!(row[0], BEGIN_ID as i32);
            let ends = row.iter().zip(&row[1..]).filter(|(id, _)| **id == END_ID as i32);
            assert!(
                ends.into_iter().all(|(_, next)| *next == BEGIN_ID as i32),
                "after an end comes a beginning"
            );
        }
    }

    #[test]
    fn a_stream_gives_the_same_rows_again_and_never_one_twice() {
        let first = Stream::start(encoder(), 3, 0, 2, 64);
        let second = Stream::start(encoder(), 3, 0, 2, 64);
        let (a, b) = (first.next_rows().expect("rows"), first.next_rows().expect("rows"));
        assert_eq!(a, second.next_rows().expect("rows"), "the same seed");
        assert_ne!(a, b, "the next rows are other stories");
    }
}
