//! One pass of one session, and what has to be true of it before anything is computed.

use crate::error::StepError;
use crate::limits;
use crate::llm::{Attached, Config, Drawn, Layers};

/// What to run.
#[derive(Debug, Clone, Copy)]
pub struct Step<'a, K> {
    /// Whose caches it continues; the first step of a session makes them.
    pub session: K,
    /// Layers to run; the same ones in every step of a session.
    pub layers: Layers,
    /// Position of the first row in the sequence.
    pub position: usize,
    /// The rows.
    pub input: Input<'a>,
    /// Adapters that change what it computes, in the order in which they are added; the same ones in every step of a session.
    pub adapters: &'a [Attached],
    /// To draw the token after the last row, only where the layers end with the head.
    pub draw: Option<Draw<'a>>,
}

/// How a token is drawn.
#[derive(Debug, Clone, Copy)]
pub struct Draw<'a> {
    /// As in [`Sampling::to_bytes`](crate::llm::Sampling::to_bytes).
    pub settings: &'a [u8],
    /// The last tokens before it, oldest first; needed where the settings look back.
    pub recent: &'a [u32],
}

/// The rows of a pass.
#[derive(Debug, Clone, Copy)]
pub enum Input<'a> {
    /// Ids, for layers that start at 0.
    Tokens(&'a [u32]),
    /// Rows × width little-endian f32, for all others.
    Hidden(&'a [u8]),
}

/// What a pass became.
#[derive(Debug, Clone, PartialEq)]
pub enum StepOut {
    /// Rows for the next stage, as in [`Input::Hidden`].
    Hidden(Vec<u8>),
    /// The token after the last row.
    Token {
        /// Its id.
        token: u32,
        /// True if it ends the text (and is no part of it).
        end: bool,
        /// Log-probabilities, if [`Sampling::report`](crate::llm::Sampling::report) asks for them.
        told: Option<Box<Drawn>>,
    },
    /// The last layers ran, and no token was asked for.
    Nothing,
}

impl<K> Step<'_, K> {
    /// Rows of the pass; only whole ones are counted.
    pub(super) fn rows(&self, config: &Config) -> usize {
        match self.input {
            Input::Tokens(tokens) => tokens.len(),
            Input::Hidden(bytes) => bytes.len() / config.row_bytes(),
        }
    }

    /// Everything that can be said without looking at the session.
    pub(super) fn check(&self, config: &Config) -> Result<(), StepError> {
        if !self.layers.fit(config.layers) {
            return Err(StepError::NotLoaded(self.layers));
        }
        self.check_input(config)?;
        let rows = self.rows(config);
        if rows == 0 || rows > limits::PASS_ROWS {
            return Err(StepError::Rows(rows));
        }
        let end = self.position.saturating_add(rows);
        if end > config.context {
            return Err(StepError::Context(end, config.context));
        }
        if self.draw.is_some() && self.layers.end < config.layers {
            return Err(StepError::Headless(self.layers));
        }
        Ok(())
    }

    fn check_input(&self, config: &Config) -> Result<(), StepError> {
        let layers = self.layers;
        match self.input {
            Input::Tokens(_) if layers.start > 0 => {
                Err(StepError::Kind { layers, takes: "hidden states, not tokens" })
            }
            Input::Hidden(_) if layers.start == 0 => {
                Err(StepError::Kind { layers, takes: "tokens, not hidden states" })
            }
            Input::Hidden(bytes) if !bytes.len().is_multiple_of(config.row_bytes()) => {
                Err(StepError::HiddenSize(bytes.len(), config.row_bytes()))
            }
            Input::Hidden(bytes) => {
                let finite = |four: &[u8; 4]| f32::from_le_bytes(*four).is_finite();
                match bytes.as_chunks::<4>().0.iter().position(|four| !finite(four)) {
                    Some(index) => Err(StepError::NotFinite(index)),
                    None => Ok(()),
                }
            }
            Input::Tokens(tokens) => match tokens.iter().find(|id| **id as usize >= config.vocabulary) {
                Some(id) => Err(StepError::Token(*id, config.vocabulary)),
                None => Ok(()),
            },
        }
    }

    /// A step continues what is there, without gap or repetition.
    pub(super) fn check_position(&self, expected: usize) -> Result<(), StepError> {
        if self.position == expected {
            return Ok(());
        }
        Err(StepError::Position { expected, found: self.position })
    }
}
