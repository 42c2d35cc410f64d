//! Texts that end an answer.

use crate::error::Error;
use crate::limits;

/// Ends an answer where one of some texts appears in it. What might be the beginning of one is held back until it is
/// clear. This is for whoever holds the tokenizer; the stages know nothing of it.
#[derive(Debug, Clone, Default)]
pub struct Stops {
    stops: Vec<String>,
    held: String,
}

/// What came of more text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stopping {
    /// To show now; nothing of a stop text.
    pub text: String,
    /// A stop text is complete: the answer ends here.
    pub stopped: bool,
}

impl Stops {
    /// # Errors
    /// [`Error::Sampling`] if there are more than [`limits::STOPS`], or one is empty or longer than
    /// [`limits::STOP_BYTES`].
    pub fn new(stops: Vec<String>) -> Result<Self, Error> {
        let bad = stops.iter().find(|stop| stop.is_empty() || stop.len() > limits::STOP_BYTES);
        if stops.len() > limits::STOPS || bad.is_some() {
            return Err(Error::Sampling(format!(
                "{} stop texts, one of {} bytes; allowed: {} of 1 to {} bytes",
                stops.len(),
                bad.map_or(0, String::len),
                limits::STOPS,
                limits::STOP_BYTES
            )));
        }
        Ok(Self { stops, held: String::new() })
    }

    /// Takes more text.
    pub fn push(&mut self, text: &str) -> Stopping {
        self.held.push_str(text);
        let first = self.stops.iter().filter_map(|stop| self.held.find(stop.as_str())).min();
        if let Some(at) = first {
            self.held.truncate(at);
            return Stopping { text: std::mem::take(&mut self.held), stopped: true };
        }
        let rest = self.held.split_off(self.held.len() - self.begun());
        Stopping { text: std::mem::replace(&mut self.held, rest), stopped: false }
    }

    /// What is held back when the answer ends by itself.
    pub fn finish(&mut self) -> String {
        std::mem::take(&mut self.held)
    }

    /// Bytes at the end that a stop text may begin with.
    fn begun(&self) -> usize {
        let longest = self.stops.iter().map(|stop| stop.len() - 1).max().unwrap_or(0);
        let from = self.held.len().saturating_sub(longest);
        let starts = (from..self.held.len()).filter(|at| self.held.is_char_boundary(*at));
        let mut begun = starts.filter(|at| self.stops.iter().any(|stop| stop.starts_with(&self.held[*at..])));
        begun.next().map_or(0, |at| self.held.len() - at)
    }
}
