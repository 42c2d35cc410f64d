//! Whether stories keep to what their prompt gives them, which the loss does not say.
//!
//! Every prompt gives a name, a kind of creature and a thing. What counts is the text behind the prompt: a story that
//! forgets the silver key uses the word nowhere again.

use std::collections::BTreeSet;

use super::TrainError;
use super::sample::{Writer, Written};
use crate::llm::Sampling;

/// Which words the prompts are made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Words {
    /// Words that the first version's grammar knew as well, so that both versions can be compared.
    Known,
    /// Words that no grammar has, as people will use them.
    Unknown,
}

/// Names, kinds and things of eight prompts each.
type Lists = [[&'static str; 8]; 3];

const KNOWN: Lists = [
    ["Mia", "Tom", "Hazel", "Bruno", "Ivy", "Oscar", "Nora", "Finn"],
    ["fox", "rabbit", "dragon", "bear", "mouse", "otter", "turtle", "kitten"],
    ["key", "drum", "whistle", "mirror", "hat", "blanket", "scarf", "marble"],
];
const UNKNOWN: Lists = [
    ["Zelda", "Bertram", "Quentin", "Sibyl", "Osric", "Wilma", "Gideon", "Thora"],
    ["walrus", "ferret", "zebra", "lobster", "kangaroo", "gorilla", "pelican", "hippo"],
    ["teapot", "violin", "compass", "wagon", "puzzle", "accordion", "telescope", "saddle"],
];
const LOOKS: [&str; 5] = ["red", "silver", "little", "blue", "pretty"];
/// Ways of giving the three, in different orders. None of them is a line of the grammar.
const FORMS: [&str; 6] = [
    "NAME the KIND had a LOOK THING and",
    "Once upon a time, there was a KIND named NAME who carried a LOOK THING.",
    "A KIND named NAME found a LOOK THING.",
    "NAME was a KIND. NAME loved a LOOK THING.",
    "Tell me a story about a LOOK THING and a KIND named NAME.",
    "There was a LOOK THING that belonged to a KIND called NAME.",
];

/// The beginning of a story, and what it gives.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Prompt {
    /// The beginning.
    pub text: String,
    /// Name, kind and thing.
    pub gives: [&'static str; 3],
}

/// `count` prompts of these words: the same ones every time, up to 48 different ones.
#[must_use]
pub fn prompts(words: Words, count: usize) -> Vec<Prompt> {
    let lists = match words {
        Words::Known => KNOWN,
        Words::Unknown => UNKNOWN,
    };
    (0..count).map(|at| prompt(&lists, at)).collect()
}

fn prompt([names, kinds, things]: &Lists, at: usize) -> Prompt {
    let (name, kind, thing) = (names[at % 8], kinds[(at + at / 8) % 8], things[(3 * at + at / 8) % 8]);
    let text = FORMS[at % FORMS.len()].replace("NAME", name).replace("KIND", kind);
    let text = text.replace("LOOK", LOOKS[at % LOOKS.len()]).replace("THING", thing);
    Prompt { text, gives: [name, kind, thing] }
}

/// Shares of stories, between 0 and 1, and how long they are.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Adherence {
    /// Stories that were looked at.
    pub stories: usize,
    /// Those that use the name, the kind, the thing again.
    pub uses: [f64; 3],
    /// Those that use all three again.
    pub uses_all: f64,
    /// Those that end by themselves, with a whole sentence.
    pub ends: f64,
    /// Those of ten sentences or more.
    pub ten: f64,
    /// Sentences of a story, on average, its prompt included.
    pub sentences: f64,
}

/// Has a story written for every prompt, story `i` with seed `i`, and looks at them.
///
/// # Errors
/// As [`Writer::write`].
pub async fn judge(
    writer: &mut Writer,
    prompts: &[Prompt],
    temperature: f32,
) -> Result<Adherence, TrainError> {
    let mut sum = Adherence::default();
    for (seed, prompt) in prompts.iter().enumerate() {
        let sampling = Sampling { temperature, seed: seed as u64, ..Sampling::default() };
        sum.add(prompt, &writer.write(&prompt.text, sampling).await?);
    }
    Ok(sum.over(prompts.len()))
}

impl Adherence {
    fn add(&mut self, prompt: &Prompt, written: &Written) {
        let behind = written.text.strip_prefix(&prompt.text).unwrap_or(&written.text);
        let words: BTreeSet<String> =
            behind.split(|letter: char| !letter.is_alphanumeric()).map(str::to_lowercase).collect();
        let used = prompt.gives.map(|word| words.contains(&word.to_lowercase()));
        let sentences = sentences(&written.text);
        self.stories += 1;
        for (sum, used) in self.uses.iter_mut().zip(used) {
            *sum += f64::from(u8::from(used));
        }
        self.uses_all += f64::from(u8::from(used == [true; 3]));
        self.ends += f64::from(u8::from(written.ended && behind.trim_end().ends_with(['.', '!', '?', '"'])));
        self.ten += f64::from(u8::from(sentences >= 10));
        self.sentences += sentences as f64;
    }

    fn over(self, stories: usize) -> Self {
        let count = stories.max(1) as f64;
        Self {
            uses: self.uses.map(|sum| sum / count),
            uses_all: self.uses_all / count,
            ends: self.ends / count,
            ten: self.ten / count,
            sentences: self.sentences / count,
            ..self
        }
    }
}

/// Places where a sentence ends: a full stop, an exclamation or a question mark, perhaps a quote, then a blank or nothing.
fn sentences(text: &str) -> usize {
    let words = text.split_whitespace().map(|word| word.trim_end_matches('"'));
    words.filter(|word| word.ends_with(['.', '!', '?'])).count()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::train::story::grammar::FILES;

    #[test]
    fn prompts_are_different_and_give_what_they_say() {
        for words in [Words::Known, Words::Unknown] {
            let all = prompts(words, 48);
            let texts: BTreeSet<&str> = all.iter().map(|prompt| prompt.text.as_str()).collect();
            assert_eq!(texts.len(), 48, "{words:?}");
            for Prompt { text, gives } in &all {
                assert!(gives.iter().all(|word| text.contains(word)), "{text}: {gives:?}");
                assert!(!["NAME", "KIND", "LOOK", "THING"].iter().any(|slot| text.contains(slot)), "{text}");
            }
        }
    }

    #[test]
    fn no_grammar_has_the_unknown_words() {
        for word in UNKNOWN.iter().flatten() {
            let lower = word.to_lowercase();
            assert!(
                !FILES.iter().any(|file| file.to_lowercase().contains(&lower)),
                "{word} is in the grammar"
            );
        }
    }

    #[test]
    fn what_is_used_again_and_how_it_ends() {
        let prompt = Prompt { text: "Mia the fox had a key and".into(), gives: ["Mia", "fox", "key"] };
        let all = "Mia the fox had a key and lost it. \"My key!\" said the fox. Mia cried.";
        let rows = [
            (all, true, [1.0, 1.0, 1.0], 1.0, 1.0, 4.0, "everything, and speech ends like a sentence"),
            (
                "Mia the fox had a key and lost it.",
                true,
                [0.0; 3],
                0.0,
                1.0,
                1.0,
                "the prompt itself does not count",
            ),
            ("Mia the fox had a key and keys. Foxes!", true, [0.0; 3], 0.0, 1.0, 2.0, "whole words only"),
            (
                "Mia the fox had a key and Mia sat",
                true,
                [1.0, 0.0, 0.0],
                0.0,
                0.0,
                0.0,
                "half a sentence is no end",
            ),
            (all, false, [1.0, 1.0, 1.0], 1.0, 0.0, 4.0, "it was cut off"),
        ];
        for (text, ended, uses, uses_all, ends, sentences, reason) in rows {
            let mut found = Adherence::default();
            found.add(&prompt, &Written { text: text.into(), ended });
            let expected = Adherence { stories: 1, uses, uses_all, ends, ten: 0.0, sentences };
            assert_eq!(found.over(1), expected, "{reason}");
        }
    }
}
