//! What a person chose for their answers, as it is kept between visits.

use crate::node::view::WriteRequest;
use serde::{Deserialize, Serialize};

/// Settings of the next answer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Settings {
    /// Most new tokens.
    pub length: u32,
    /// 0 is greedy.
    pub temperature: f32,
    /// Nucleus, 0 < p <= 1.
    pub top_p: f32,
    /// As typed; empty draws a new one each time.
    pub seed: String,
}

impl Default for Settings {
    fn default() -> Self {
        Self { length: 320, temperature: 0.8, top_p: 0.95, seed: String::new() }
    }
}

/// Fewest new tokens to ask for.
pub const LENGTH_MIN: u32 = 16;
/// Most new tokens to ask for, where the model's context allows it. Source: guess; some pages of text.
pub const LENGTH_MAX: u32 = 2048;
/// Highest temperature offered. Source: beyond it small models write noise.
pub const TEMPERATURE_MAX: f32 = 2.0;

impl Settings {
    /// The request for `prompt`, or what a person has to change. `random` becomes the seed if none is set.
    ///
    /// # Errors
    /// A sentence for people: the prompt is empty or too long, or the seed is not a number.
    pub fn request(&self, prompt: &str, random: u64) -> Result<WriteRequest, String> {
        const MOST: usize = coordinator::limits::PROMPT_BYTES;
        if prompt.trim().is_empty() {
            return Err("Write how the story begins; a few words are enough.".to_owned());
        }
        if prompt.len() > MOST {
            return Err(format!(
                "This prompt has {} bytes; the room carries {MOST} at most. Shorten it.",
                prompt.len()
            ));
        }
        let seed = match self.seed.trim() {
            "" => random,
            typed => typed.parse().map_err(|_| {
                format!(
                    "A seed is a whole number from 0 to {}. Leave it empty for a new one each time.",
                    u64::MAX
                )
            })?,
        };
        Ok(WriteRequest {
            prompt: prompt.to_owned(),
            max_new: self.length.clamp(LENGTH_MIN, LENGTH_MAX),
            temperature: self.temperature.clamp(0.0, TEMPERATURE_MAX),
            top_p: self.top_p.clamp(0.05, 1.0),
            seed,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_asked_is_explained() {
        let long = "x".repeat(coordinator::limits::PROMPT_BYTES + 1);
        let rows = [
            ("Once", "", Some(42), "an empty seed is drawn"),
            ("Once", " 7 ", Some(7), "a typed seed counts"),
            ("Once", "18446744073709551615", Some(u64::MAX), "the largest"),
            ("Once", "-1", None, "not a seed"),
            ("Once", "18446744073709551616", None, "one too many"),
            ("  \n", "", None, "nothing to begin with"),
            (&long, "", None, "longer than the room carries"),
        ];
        for (prompt, seed, expected, why) in rows {
            let settings = Settings { seed: seed.to_owned(), ..Settings::default() };
            assert_eq!(settings.request(prompt, 42).ok().map(|r| r.seed), expected, "{why}");
        }
    }

    #[test]
    fn stored_settings_are_not_trusted() {
        let stored: Settings =
            serde_json::from_str(r#"{"length":9000000,"temperature":-4,"top_p":0}"#).unwrap();
        let request = stored.request("Once", 1).unwrap();
        assert_eq!((request.max_new, request.temperature, request.top_p), (LENGTH_MAX, 0.0, 0.05));
    }

    #[test]
    fn settings_of_an_older_version_are_completed() {
        let stored: Settings = serde_json::from_str(r#"{"length":64}"#).unwrap();
        assert_eq!(stored, Settings { length: 64, ..Settings::default() });
    }
}
