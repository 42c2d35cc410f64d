//! Text from a stream of ids, a piece at a time.

use super::Tokenizer;
use super::difference::Difference;
use super::pieces::{Pieces, unfinished};
use crate::error::Error;

/// Text from a stream of ids.
///
/// An id may be half a character or a blank that belongs to the word before; what is given out is always whole, and
/// all pieces together are what decoding everything at once gives.
#[derive(Debug, Clone, Default)]
pub struct Detokenizer {
    /// What stands before the stream, until it was looked at.
    prompt: Vec<u32>,
    state: State,
}

#[derive(Debug, Clone, Default)]
enum State {
    #[default]
    Unread,
    Bytes(Bytes),
    Difference(Difference),
}

/// Ids that write bytes.
#[derive(Debug, Clone, Default)]
struct Bytes {
    /// The beginning of a character.
    held: Vec<u8>,
    /// Some text was written before: a blank is a blank from here on.
    started: bool,
}

impl Detokenizer {
    /// For what follows `prompt`: whether a first blank is kept depends on what stands before it, and a prompt that
    /// ends inside a character leaves the rest of it to the stream.
    #[must_use]
    pub fn after(prompt: &[u32]) -> Self {
        Self { prompt: prompt.to_vec(), state: State::Unread }
    }

    /// Takes the next id and gives the text that is now whole, often none.
    ///
    /// # Errors
    /// As [`Tokenizer::decode`].
    pub fn push(&mut self, tokenizer: &Tokenizer, id: u32) -> Result<String, Error> {
        match (self.read(tokenizer), &tokenizer.pieces) {
            (State::Bytes(bytes), Some(pieces)) => Ok(bytes.push(pieces, id)),
            (State::Difference(difference), _) => difference.push(tokenizer, id),
            _ => Ok(String::new()),
        }
    }

    /// What is left at the end of a text, broken characters included.
    ///
    /// # Errors
    /// As [`Tokenizer::decode`].
    pub fn finish(&mut self, tokenizer: &Tokenizer) -> Result<String, Error> {
        match self.read(tokenizer) {
            State::Bytes(bytes) => Ok(lossy(std::mem::take(&mut bytes.held))),
            State::Difference(difference) => difference.finish(tokenizer),
            State::Unread => Ok(String::new()),
        }
    }

    fn read(&mut self, tokenizer: &Tokenizer) -> &mut State {
        if matches!(self.state, State::Unread) {
            let prompt = std::mem::take(&mut self.prompt);
            self.state = match &tokenizer.pieces {
                Some(pieces) => State::Bytes(Bytes::after(pieces, &prompt)),
                None => State::Difference(Difference::after(prompt)),
            };
        }
        &mut self.state
    }
}

impl Bytes {
    fn after(pieces: &Pieces, prompt: &[u32]) -> Self {
        let before = pieces.all(prompt);
        let started = prompt.iter().any(|id| !pieces.of(*id).is_empty());
        Self { held: before[before.len() - unfinished(&before)..].to_vec(), started }
    }

    fn push(&mut self, pieces: &Pieces, id: u32) -> String {
        let bytes = pieces.of(id);
        let blank = !self.started && pieces.strip_first_blank && bytes.first() == Some(&b' ');
        self.started |= !bytes.is_empty();
        self.held.extend_from_slice(&bytes[usize::from(blank)..]);
        let whole = self.held.len() - unfinished(&self.held);
        let rest = self.held.split_off(whole);
        lossy(std::mem::replace(&mut self.held, rest))
    }
}

fn lossy(bytes: Vec<u8>) -> String {
    String::from_utf8(bytes).unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned())
}
