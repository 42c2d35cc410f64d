//! From scores to a token, the same one wherever it is drawn.

mod draw;
mod stop;
#[cfg(test)]
mod tests;

pub use draw::{Drawn, Scratch};
pub use stop::{Stopping, Stops};

use crate::error::Error;
use crate::limits;
use serde::{Deserialize, Serialize};

/// How the next token is chosen.
///
/// What is set works in this order, which is that of Hugging Face's `transformers` where it has the same: `bias`,
/// `repetition`, `frequency` and `presence`, `temperature`, `top_k`, `top_p`, `min_p`. Unlike there, of tokens that
/// score the same the lower ids come first, so that `top_k` never keeps more than it says.
///
/// On the wire it is a version (one byte, [`Sampling::VERSION`]) and these fields in postcard, in all at most
/// [`limits::SAMPLING_BYTES`] long.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Sampling {
    /// Scores are divided by it: 0 always takes the best token, 2 is nearly random.
    pub temperature: f32,
    /// Only this many best tokens are considered; 0 considers all.
    pub top_k: u32,
    /// Of those, only the best ones that together have this probability (Holtzman et al. 2020); 1 keeps all.
    pub top_p: f32,
    /// Of those, only tokens at least this fraction as probable as the best (Nguyen et al. 2024); 0 keeps all.
    pub min_p: f32,
    /// Scores of recent tokens are divided by it if above 0, else multiplied (Keskar et al. 2019); 1 is off.
    pub repetition: f32,
    /// Taken from the scores of recent tokens; 0 is off.
    pub presence: f32,
    /// Taken from the scores of recent tokens as often as they are there; 0 is off.
    pub frequency: f32,
    /// How many of the last tokens, the prompt's included, count as recent; [`limits::RECENT`] at most.
    pub window: u16,
    /// Added to the scores of single tokens.
    pub bias: Vec<(u32, f32)>,
    /// Report the log-probabilities of this many best tokens, and of the one drawn; 0 reports none.
    pub report: u8,
    /// The same seed draws the same text.
    pub seed: u64,
}

impl Default for Sampling {
    /// Lively, but on the subject.
    fn default() -> Self {
        Self { temperature: 0.7, top_k: 40, top_p: 0.95, ..Self::greedy() }
    }
}

impl Sampling {
    /// The form on the wire.
    pub const VERSION: u8 = 1;
    /// Hottest temperature. Source: beyond it every vocabulary is noise.
    pub const HOTTEST: f32 = 10.0;
    /// Tokens that count as recent unless said otherwise. Source: llama.cpp's default.
    pub const WINDOW: u16 = 64;

    /// Always the best token.
    #[must_use]
    pub const fn greedy() -> Self {
        Self {
            temperature: 0.0,
            top_k: 0,
            top_p: 1.0,
            min_p: 0.0,
            repetition: 1.0,
            presence: 0.0,
            frequency: 0.0,
            window: Self::WINDOW,
            bias: Vec::new(),
            report: 0,
            seed: 0,
        }
    }

    /// True if the draw depends on the tokens before it, so that whoever draws has to know them.
    #[must_use]
    pub fn looks_back(&self) -> bool {
        self.window > 0 && (self.repetition != 1.0 || self.presence != 0.0 || self.frequency != 0.0)
    }

    /// Checks every field against its range.
    ///
    /// # Errors
    /// [`Error::Sampling`] names the field.
    pub fn check(&self) -> Result<(), Error> {
        let within = |value: f32, low: f32, high: f32| (low..=high).contains(&value);
        let rows = [
            ("temperature", self.temperature, within(self.temperature, 0.0, Self::HOTTEST), "0 to 10"),
            ("top_p", self.top_p, self.top_p > 0.0 && self.top_p <= 1.0, "above 0, up to 1"),
            ("min_p", self.min_p, within(self.min_p, 0.0, 1.0), "0 to 1"),
            ("repetition", self.repetition, within(self.repetition, 0.1, 10.0), "0.1 to 10"),
            ("presence", self.presence, within(self.presence, -10.0, 10.0), "-10 to 10"),
            ("frequency", self.frequency, within(self.frequency, -10.0, 10.0), "-10 to 10"),
            ("window", self.window.into(), usize::from(self.window) <= limits::RECENT, "0 to 256"),
            ("report", self.report.into(), usize::from(self.report) <= limits::REPORTED, "0 to 20"),
            ("entries of bias", self.bias.len() as f32, self.bias.len() <= limits::BIASES, "0 to 64"),
        ];
        let biases =
            self.bias.iter().map(|(_, value)| ("bias", *value, within(*value, -100.0, 100.0), "-100 to 100"));
        match rows.into_iter().chain(biases).find(|(_, _, good, _)| !good) {
            Some((name, value, _, range)) => {
                Err(Error::Sampling(format!("{name} is {value}; allowed: {range}")))
            }
            None => Ok(()),
        }
    }

    /// For the wire.
    ///
    /// # Errors
    /// [`Error::Sampling`] as [`Sampling::check`].
    pub fn to_bytes(&self) -> Result<Vec<u8>, Error> {
        self.check()?;
        postcard::to_stdvec(&(Self::VERSION, self)).map_err(|e| Error::Sampling(e.to_string()))
    }

    /// From the wire; the bytes may be hostile.
    ///
    /// # Errors
    /// [`Error::Sampling`] if they are too many, of another version, not these fields, or out of range.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, Error> {
        if bytes.len() > limits::SAMPLING_BYTES {
            let reason = format!("{} bytes, {} at most", bytes.len(), limits::SAMPLING_BYTES);
            return Err(Error::Sampling(reason));
        }
        let Some((&Self::VERSION, fields)) = bytes.split_first() else {
            let reason = format!("of version {:?}; known here: {}", bytes.first(), Self::VERSION);
            return Err(Error::Sampling(reason));
        };
        let (sampling, rest): (Self, _) =
            postcard::take_from_bytes(fields).map_err(|e| Error::Sampling(format!("not readable: {e}")))?;
        if !rest.is_empty() {
            return Err(Error::Sampling(format!("{} bytes too many", rest.len())));
        }
        sampling.check()?;
        Ok(sampling)
    }

    /// The token for `position` of the sequence, given the scores of all, with nothing before it: for draws that do
    /// not look back. See [`Sampling::draw`].
    ///
    /// # Errors
    /// As [`Sampling::draw`].
    pub fn sample(&self, scores: &[f32], position: u64) -> Result<u32, Error> {
        Ok(self.draw(scores, position, &[], &mut Scratch::default())?.token)
    }
}
