//! Little stories from a grammar: the text that the shipped story writer is trained on.
//!
//! A story is a plot (a wish, a lost thing, a rescue, …) told about characters that are drawn once and kept. What
//! happens is drawn from records whose parts belong together, so that the help answers the mishap and the mishap
//! answers the try. Names, kinds, places, sentences and replies vary independently of it: there are far more
//! stories than a model of a few million parameters could learn by heart.
//!
//! # Notation of the grammar files
//! | Written | Means |
//! |---|---|
//! | `name = a \| b` | a rule with one-line alternatives |
//! | `name:` and indented lines | a rule with one alternative a line; `3* ` in front makes it three times as likely |
//! | `{x}` | the value kept under `x`, or else a fresh expansion of rule `x`; slots may be nested: `{kind.{need}}` |
//! | `{x,y:=rule}` | expand `rule` now, split it at ` // ` and keep the parts; says nothing itself |
//! | `{x,y~=rule}` | the same, but each part is expanded anew whenever it is used |
//! | `[a\|b]` | one of them |
//! | `¶` | a new paragraph |
//!
//! The first part that `:=` keeps differs from everything kept before, so that no two characters share a name.
//! Sentences get their capital, and `a` becomes `an`, at the end.

use std::collections::BTreeMap;

use crate::random::philox;

use super::prose;

/// The grammar's files, in any order: they share one name space.
pub(super) const FILES: [&str; 4] = [
    include_str!("grammar/world.txt"),
    include_str!("grammar/wishes.txt"),
    include_str!("grammar/plots.txt"),
    include_str!("grammar/given.txt"),
];

/// How often a value that is already taken is drawn again before it is accepted after all (a guess: the shortest
/// list has four entries).
const REDRAWS: usize = 32;

/// What is wrong with a grammar file. It is part of the program, so that a person never sees one.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum GrammarError {
    /// A line is neither a rule, an alternative nor a comment: mend that line.
    #[error("grammar: cannot read the line {0:?}; write `name = a | b`, `name:` or an indented alternative")]
    Line(String),
    /// A slot names neither a kept value nor a rule: mend its spelling, or write the rule.
    #[error("grammar: nothing is called {0:?}; mend the slot or add the rule")]
    Unknown(String),
    /// A `{` or `[` is never closed: close it.
    #[error("grammar: an opening bracket in {0:?} is never closed")]
    Unclosed(String),
    /// A record has fewer ` // ` parts than the names that want to keep them: add the missing part.
    #[error("grammar: {0:?} has fewer parts than it is asked for")]
    Parts(String),
}

/// A set of rules that stories are drawn from.
pub struct Grammar {
    rules: BTreeMap<&'static str, Vec<Alternative>>,
}

struct Alternative {
    weight: u32,
    text: &'static str,
}

impl Grammar {
    /// The stories of this project.
    ///
    /// # Errors
    /// A [`GrammarError`] where a grammar file cannot be read.
    pub fn stories() -> Result<Self, GrammarError> {
        let mut rules: BTreeMap<&'static str, Vec<Alternative>> = BTreeMap::new();
        for file in FILES {
            read_rules(file, &mut rules)?;
        }
        Ok(Self { rules })
    }

    /// The story with this seed: 100 to 220 words in three to seven paragraphs, the same on every machine. Some begin with
    /// what somebody asks for.
    ///
    /// # Errors
    /// A [`GrammarError`] where a rule that it came upon is not well formed.
    pub fn story(&self, seed: u64) -> Result<String, GrammarError> {
        let mut telling = Telling { grammar: self, kept: BTreeMap::new(), seed, drawn: 0 };
        Ok(prose::tidy(&telling.slot("story")?))
    }
}

/// Adds the rules of one file.
fn read_rules(
    file: &'static str,
    rules: &mut BTreeMap<&'static str, Vec<Alternative>>,
) -> Result<(), GrammarError> {
    let mut open = None;
    for line in file.lines().filter(|line| !line.trim().is_empty() && !line.starts_with('#')) {
        if let Some((name, list)) = line.split_once(" = ").filter(|_| !line.starts_with(' ')) {
            rules.insert(name, list.split(" | ").map(|text| Alternative { weight: 1, text }).collect());
        } else if let Some(name) = line.strip_suffix(':').filter(|_| !line.starts_with(' ')) {
            rules.insert(name, Vec::new());
            open = Some(name);
        } else {
            let rule = open.and_then(|name| rules.get_mut(name)).filter(|_| line.starts_with(' '));
            rule.ok_or_else(|| GrammarError::Line(line.to_owned()))?.push(alternative(line.trim_start()));
        }
    }
    Ok(())
}

/// `3* text` is three times as likely as `text`.
fn alternative(line: &'static str) -> Alternative {
    let weighted = line.split_once("* ").and_then(|(weight, text)| Some((weight.parse().ok()?, text)));
    let (weight, text) = weighted.unwrap_or((1, line));
    Alternative { weight, text }
}

/// One story in the making.
struct Telling<'g> {
    grammar: &'g Grammar,
    kept: BTreeMap<String, String>,
    seed: u64,
    drawn: u32,
}

impl Telling<'_> {
    /// The text with every slot and every choice in it carried out.
    fn expand(&mut self, text: &str) -> Result<String, GrammarError> {
        let mut out = String::with_capacity(text.len());
        let mut rest = text;
        while let Some(at) = rest.find(['{', '[']) {
            out.push_str(&rest[..at]);
            let (inside, after) =
                bracketed(&rest[at..]).ok_or_else(|| GrammarError::Unclosed(text.to_owned()))?;
            let said = if rest[at..].starts_with('{') { self.slot(inside)? } else { self.choice(inside)? };
            out.push_str(&said);
            rest = after;
        }
        out.push_str(rest);
        Ok(out)
    }

    /// What stands for `{slot}`.
    fn slot(&mut self, slot: &str) -> Result<String, GrammarError> {
        let slot = &self.expand(slot)?;
        if let Some((names, rule)) = slot.split_once(":=") {
            self.keep_expanded(names, rule)?;
            return Ok(String::new());
        }
        if let Some((names, rule)) = slot.split_once("~=") {
            let text = self.draw(rule)?;
            self.keep(names, text)?;
            return Ok(String::new());
        }
        let name = slot.to_lowercase();
        let text = match self.kept.get(&name) {
            Some(kept) => kept.clone(),
            None => self.draw(&name)?.to_owned(),
        };
        let said = self.expand(&text)?;
        Ok(if name == *slot { said } else { prose::capitalised(&said) })
    }

    /// One of the alternatives between `[` and `]`.
    fn choice(&mut self, inside: &str) -> Result<String, GrammarError> {
        let alternatives = split_outside_brackets(inside);
        let chosen = alternatives[self.below(alternatives.len() as u32) as usize];
        self.expand(chosen)
    }

    /// `{names:=rule}`: its first part is one that nothing else in the story is called.
    fn keep_expanded(&mut self, names: &str, rule: &str) -> Result<(), GrammarError> {
        let mut text = String::new();
        for _ in 0..REDRAWS {
            let drawn = self.draw(rule)?;
            text = self.expand(drawn)?;
            let first = text.split(" // ").next();
            if !self.kept.values().any(|kept| Some(kept.as_str()) == first) {
                break;
            }
        }
        self.keep(names, &text)
    }

    fn keep(&mut self, names: &str, text: &str) -> Result<(), GrammarError> {
        let mut parts = text.split(" // ");
        for name in names.split(',') {
            let part = parts.next().ok_or_else(|| GrammarError::Parts(text.to_owned()))?;
            self.kept.insert(name.to_owned(), part.to_owned());
        }
        Ok(())
    }

    /// An alternative of the rule, as it is written.
    fn draw(&mut self, rule: &str) -> Result<&'static str, GrammarError> {
        let unknown = || GrammarError::Unknown(rule.to_owned());
        let grammar = self.grammar;
        let alternatives = grammar.rules.get(rule).ok_or_else(unknown)?;
        let mut left = self.below(alternatives.iter().map(|one| one.weight).sum());
        for one in alternatives {
            if left < one.weight {
                return Ok(one.text);
            }
            left -= one.weight;
        }
        Err(unknown())
    }

    /// A number in `0..bound` by Lemire's multiplication (its bias, at most `bound / 2^32`, does not matter here).
    fn below(&mut self, bound: u32) -> u32 {
        let [bits, ..] = philox([self.seed as u32, (self.seed >> 32) as u32], [self.drawn, 0, 0, 0]);
        self.drawn += 1;
        ((u64::from(bits) * u64::from(bound)) >> 32) as u32
    }
}

/// What the bracket at the start of `text` encloses, and what follows it.
fn bracketed(text: &str) -> Option<(&str, &str)> {
    let mut depth = 0_u32;
    for (at, letter) in text.char_indices() {
        match letter {
            '{' | '[' => depth += 1,
            '}' | ']' => depth = depth.checked_sub(1)?,
            _ => {}
        }
        if depth == 0 {
            return Some((&text[1..at], &text[at + 1..]));
        }
    }
    None
}

/// The parts between the `|` that stand in no inner bracket.
fn split_outside_brackets(text: &str) -> Vec<&str> {
    let mut depth = 0_i32;
    text.split(|letter| {
        match letter {
            '{' | '[' => depth += 1,
            '}' | ']' => depth -= 1,
            _ => {}
        }
        letter == '|' && depth == 0
    })
    .collect()
}

#[cfg(test)]
mod tests;
