//! The settings of an answer as they travel with its job. The coordinator does not look at them; the worker turns
//! them into those of `kernels`, which checks them.

use coordinator::limits;
use serde::{Deserialize, Serialize};

/// How tokens are chosen, and where an answer ends; postcard on the wire. The fields of the same names in
/// `kernels::llm::Sampling` say what each does.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Sampling {
    /// 0 always takes the likeliest token.
    pub temperature: f32,
    /// Only this many of the likeliest tokens; 0 for all.
    pub top_k: u32,
    /// Only the likeliest tokens that together have this probability.
    pub top_p: f32,
    /// Only tokens at least this fraction as likely as the likeliest; 0 for all.
    pub min_p: f32,
    /// Makes recent tokens less likely by this factor; 1 for none.
    pub repetition: f32,
    /// Makes recent tokens less likely by this much; 0 for none.
    pub presence: f32,
    /// The same for each time that they came.
    pub frequency: f32,
    /// Added to the scores of single tokens.
    pub bias: Vec<(u32, f32)>,
    /// The same seed writes the same answer.
    pub seed: u64,
    /// Texts that end the answer; they are no part of it.
    pub stops: Vec<String>,
    /// The prompt is a message, if the model was trained to answer such; else it is the beginning of a text.
    pub chat: bool,
    /// Tell the log-probabilities of each token and of this many likeliest ones; 0 for none.
    pub report: u8,
}

/// What is told of one token of the answer: natural logarithms of probabilities, as the model has them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Likelihood {
    /// Its id.
    pub token: u32,
    /// Of the token itself.
    pub own: f32,
    /// Ids of the likeliest tokens and theirs, the likeliest first.
    pub best: Vec<(u32, f32)>,
}

impl Likelihood {
    /// For the wire.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        postcard::to_stdvec(self).expect("numbers can be written to memory")
    }

    /// From the wire; None if these are other bytes.
    #[must_use]
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        postcard::take_from_bytes(bytes).ok().filter(|(_, rest)| rest.is_empty()).map(|(told, _)| told)
    }
}

impl Default for Sampling {
    /// For stories: lively, but on the subject.
    fn default() -> Self {
        Self {
            temperature: 0.8,
            top_k: 0,
            top_p: 0.95,
            min_p: 0.0,
            repetition: 1.0,
            presence: 0.0,
            frequency: 0.0,
            bias: Vec::new(),
            seed: 0,
            stops: Vec::new(),
            chat: false,
            report: 0,
        }
    }
}

impl Sampling {
    /// For the wire.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        postcard::to_stdvec(self).expect("numbers and texts can be written to memory")
    }

    /// From the wire; None if these are other bytes. The values may be out of range.
    #[must_use]
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        postcard::take_from_bytes(bytes)
            .ok()
            .filter(|(_, rest)| rest.is_empty())
            .map(|(settings, _)| settings)
    }

    /// # Errors
    /// In plain words, if the room cannot carry that much.
    pub fn check_length(&self) -> Result<(), String> {
        let (bytes, most) = (self.to_bytes().len(), limits::SAMPLING_BYTES);
        if bytes <= most {
            return Ok(());
        }
        Err(format!("The stop texts and biases take {bytes} bytes; the room carries {most}: leave some out."))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn travels_whole_or_not_at_all() {
        let settings = Sampling {
            seed: u64::MAX,
            bias: vec![(7, -1.5)],
            stops: vec!["\n\n".into()],
            chat: true,
            ..Sampling::default()
        };
        let bytes = settings.to_bytes();
        assert_eq!(Sampling::from_bytes(&bytes), Some(settings));
        assert_eq!(Sampling::from_bytes(&bytes[..bytes.len() - 1]), None, "cut off");
        assert_eq!(Sampling::from_bytes(&[bytes, vec![0]].concat()), None, "with something behind it");
    }

    /// As many as the engine reports at most.
    const REPORTED: usize = 20;

    #[test]
    fn as_much_as_may_be_told_of_a_token_fits_the_room() {
        let told = Likelihood { token: u32::MAX, own: -1.5, best: vec![(u32::MAX, -2.5); REPORTED] };
        let bytes = told.to_bytes();
        assert!(bytes.len() <= limits::NOTE_BYTES, "{} bytes", bytes.len());
        assert_eq!(Likelihood::from_bytes(&bytes), Some(told));
        assert_eq!(Likelihood::from_bytes(&bytes[..bytes.len() - 1]), None, "cut off");
    }

    #[test]
    fn what_the_room_cannot_carry_is_said() {
        let with = |length| Sampling { stops: vec!["x".repeat(length)], ..Sampling::default() };
        assert_eq!(with(900).check_length(), Ok(()));
        assert!(with(1024).check_length().is_err_and(|why| why.contains("leave some out")));
    }
}
