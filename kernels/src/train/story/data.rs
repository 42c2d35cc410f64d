//! From stories to rows of token ids, made while the device is busy and never repeated.

use std::sync::mpsc::{Receiver, sync_channel};
use std::thread;

use super::vocabulary::END_ID;
use super::{Grammar, Split, TrainError};
use crate::tokenizer::Tokenizer;

/// Batches that wait for the device. Source: guess; enough to hide an uneven producer, a few MB of ids.
const BATCHES_AHEAD: usize = 4;
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
            Split::Train.seed(seed, index - 1)
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
    use crate::train::story::vocabulary::{BEGIN_ID, learn};

    fn encoder() -> Encoder {
        let grammar = Grammar::stories().expect("the grammar");
        let texts: Vec<_> =
            (0..50).map(|at| grammar.story(Split::Vocabulary.seed(1, at)).expect("a story")).collect();
        let json = learn(400, texts.into_iter()).expect("a vocabulary");
        Encoder::new(Tokenizer::from_json(json.as_bytes(), Some(BEGIN_ID)).expect("a tokenizer"))
            .expect("the grammar")
    }

    #[test]
    fn every_row_begins_a_story_and_is_full() {
        let mut at = 0;
        let rows = encoder().rows(5, 300, &mut || {
            at += 1;
            Split::Train.seed(1, at)
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
