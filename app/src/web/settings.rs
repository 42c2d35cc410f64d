//! What a person chose for their answers, as it is kept between visits.

use crate::node::view::WriteRequest;
use crate::sampling::Sampling;
use coordinator::JobId;
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
    /// Only this many of the likeliest tokens; 0 for all.
    pub top_k: u32,
    /// Only tokens at least this fraction as likely as the likeliest.
    pub min_p: f32,
    /// Makes what came lately less likely; 1 does nothing.
    pub repetition: f32,
    /// Ends the answer; as typed, with `\n` for a new line. Empty for none.
    pub stop: String,
    /// Talk to a model that knows conversations, instead of beginning a text.
    pub chat: bool,
    /// What a model that knows conversations is told before each; empty for nothing.
    pub system: String,
}

impl Default for Settings {
    fn default() -> Self {
        let Sampling { temperature, top_k, top_p, min_p, repetition, .. } = Sampling::default();
        let [seed, stop, system] = [const { String::new() }; 3];
        Self { length: 320, temperature, top_p, seed, top_k, min_p, repetition, stop, chat: true, system }
    }
}

/// Fewest new tokens to ask for.
pub const LENGTH_MIN: u32 = 16;
/// Most new tokens to ask for, where the model's context allows it. Source: guess; some pages of text.
pub const LENGTH_MAX: u32 = 2048;
/// Highest temperature offered. Source: beyond it small models write noise.
pub const TEMPERATURE_MAX: f32 = 2.0;
/// Most tokens to choose among. Source: guess; more are as good as all.
pub const TOP_K_MAX: u32 = 200;
/// Highest `min_p` offered. Source: half as likely as the likeliest is nearly greedy.
pub const MIN_P_MAX: f32 = 0.5;
/// Strongest penalty offered. Source: beyond it models avoid their commonest words.
pub const REPETITION_MAX: f32 = 1.5;

impl Settings {
    /// The request for `prompt`, or what a person has to change. `random` becomes the seed if none is set; `talks` says
    /// whether the model knows conversations, `follows` which answer this goes on from.
    ///
    /// # Errors
    /// A sentence for people: the prompt is empty or too long, or the seed is not a number.
    pub fn request(
        &self,
        prompt: &str,
        random: u64,
        talks: bool,
        follows: Option<JobId>,
    ) -> Result<WriteRequest, String> {
        const MOST: usize = coordinator::limits::PROMPT_BYTES;
        let chat = self.chat && talks;
        // A text can go on without another word.
        if prompt.trim().is_empty() && (chat || follows.is_none()) {
            return Err("Write how the story begins; a few words are enough.".to_owned());
        }
        if prompt.len() > MOST {
            return Err(format!(
                "This prompt has {} bytes; the room carries {MOST} at most. Shorten it.",
                prompt.len()
            ));
        }
        let seed = seed(&self.seed, random)?;
        let sampling = Sampling {
            temperature: self.temperature.clamp(0.0, TEMPERATURE_MAX),
            top_k: self.top_k.min(TOP_K_MAX),
            top_p: self.top_p.clamp(0.05, 1.0),
            min_p: self.min_p.clamp(0.0, MIN_P_MAX),
            repetition: self.repetition.clamp(1.0, REPETITION_MAX),
            seed,
            stops: Some(self.stop.replace("\\n", "\n")).filter(|stop| !stop.is_empty()).into_iter().collect(),
            chat,
            ..Sampling::default()
        };
        let max_new = self.length.clamp(LENGTH_MIN, LENGTH_MAX);
        let system = if chat { self.system.clone() } else { String::new() };
        Ok(WriteRequest { prompt: prompt.to_owned(), follows, system, max_new, sampling })
    }
}

/// The seed that was typed, or a new one if none was.
///
/// # Errors
/// A sentence for people: what was typed is no seed.
pub fn seed(typed: &str, random: u64) -> Result<u64, String> {
    match typed.trim() {
        "" => Ok(random),
        typed => typed.parse().map_err(|_| {
            format!(
                "A seed is a whole number from 0 to {}. Leave it empty for a new one each time.",
                u64::MAX
            )
        }),
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
            assert_eq!(
                settings.request(prompt, 42, false, None).ok().map(|r| r.sampling.seed),
                expected,
                "{why}"
            );
        }
    }

    #[test]
    fn stored_settings_are_not_trusted() {
        let stored: Settings =
            serde_json::from_str(r#"{"length":9000000,"temperature":-4,"top_p":0}"#).unwrap();
        let WriteRequest { max_new, sampling, .. } = stored.request("Once", 1, false, None).unwrap();
        assert_eq!((max_new, sampling.temperature, sampling.top_p), (LENGTH_MAX, 0.0, 0.05));
    }

    #[test]
    fn stop_texts_and_chat_are_what_was_meant() {
        let settings = Settings { stop: "a\\nb".into(), ..Settings::default() };
        let asked = |settings: &Settings, talks| settings.request("Once", 1, talks, None).unwrap().sampling;
        assert_eq!(asked(&settings, true).stops, ["a\nb"]);
        assert_eq!(asked(&Settings::default(), true).stops, [""; 0]);
        assert!(
            asked(&settings, true).chat && !asked(&settings, false).chat,
            "only with a model that knows how"
        );
        assert!(!asked(&Settings { chat: false, ..settings }, true).chat, "and only if wanted");
    }

    #[test]
    fn a_text_goes_on_without_a_word_but_a_conversation_does_not() {
        let earlier = Some(JobId { requester: coordinator::PeerId(1), serial: 1 });
        let settings = Settings { system: "Be brief.".into(), ..Settings::default() };
        let asked = |talks, follows| settings.request("", 1, talks, follows);
        assert_eq!(
            asked(false, earlier).map(|request| (request.follows, request.system)),
            Ok((earlier, String::new()))
        );
        assert!(asked(false, None).is_err(), "nothing to begin with");
        assert!(asked(true, earlier).is_err(), "nothing was said");
        assert_eq!(settings.request("Why?", 1, true, earlier).unwrap().system, "Be brief.");
    }

    #[test]
    fn settings_of_an_older_version_are_completed() {
        let stored: Settings = serde_json::from_str(r#"{"length":64}"#).unwrap();
        assert_eq!(stored, Settings { length: 64, ..Settings::default() });
    }
}
