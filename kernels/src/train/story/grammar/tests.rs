//! What must be true of every story, over many seeds.

use std::collections::BTreeSet;

use super::*;

/// Seeds of the sweeps below.
const SEEDS: u64 = 3_000;

fn stories() -> impl Iterator<Item = (u64, String)> {
    let grammar = Grammar::stories().expect("the grammar files are readable");
    (0..SEEDS).map(move |seed| (seed, grammar.story(seed).expect("every rule that is named exists")))
}

fn of(text: &'static str) -> Grammar {
    let mut rules = BTreeMap::new();
    read_rules(text, &mut rules).expect("rules");
    Grammar { rules }
}

#[test]
fn the_notation_means_what_its_table_says() {
    let rows = [
        ("story = plain", "Plain", "text is text"),
        ("story = a {x}\nx = owl", "An owl", "a slot is its rule, and the article fits"),
        ("story = {a:=x}{a} {a}\nx = one | two | three", "the same twice", "what is kept stays"),
        ("story = {a,b:=x}{b} {a}\nx = 1 // 2", "2 1", "the parts of a record have names"),
        ("story = {a:=x}{b:=x}{a}{b}\nx = p | q", "both", "two kept values differ"),
        ("story = {k:=kind}{of.{k}}\nkind = cat\nof.cat = purrs", "Purrs", "a slot may be nested"),
        ("story = [left|left]", "Left", "one of several"),
        ("story = x. {y}! z? \"u.\" v \"w?\" asks {Y}\ny = q", "X. Q! Z? \"U.\" V \"w?\" asks Q", "capitals"),
        ("story = a unicorn and a apple ¶ next", "A unicorn and an apple\n\nNext", "sounds, and paragraphs"),
    ];
    for (text, expected, reason) in rows {
        for seed in 0..20 {
            let told = of(text).story(seed).expect(reason);
            match expected {
                "the same twice" => assert_eq!(
                    told.split(' ').next().map(str::to_lowercase).as_deref(),
                    told.split(' ').nth(1),
                    "{reason}"
                ),
                "both" => assert!(told == "Pq" || told == "Qp", "{reason}: {told}"),
                _ => assert_eq!(told, expected, "{reason}"),
            }
        }
    }
}

#[test]
fn a_weight_makes_an_alternative_likelier() {
    let grammar = of("story:\n  9* often\n  1* rarely");
    let often = (0..1000).filter(|seed| grammar.story(*seed).expect("a story") == "Often").count();
    assert!((850..950).contains(&often), "nine in ten, five standard errors around it: {often} of 1000");
}

#[test]
fn mistakes_in_a_grammar_are_named() {
    let rows = [
        ("story = {nobody}", GrammarError::Unknown("nobody".into()), "a slot without a rule"),
        ("story = {a,b:=x}\nx = one", GrammarError::Parts("one".into()), "a record with too few parts"),
        ("story = [open", GrammarError::Unclosed("[open".into()), "a bracket"),
    ];
    for (text, expected, reason) in rows {
        assert_eq!(of(text).story(1), Err(expected), "{reason}");
    }
    let mut rules = BTreeMap::new();
    assert_eq!(read_rules("no rule", &mut rules), Err(GrammarError::Line("no rule".into())), "a stray line");
}

#[test]
fn the_same_seed_tells_the_same_story_and_nearly_no_other_does() {
    let all: Vec<String> = stories().map(|(_, story)| story).collect();
    assert!(stories().map(|(_, story)| story).eq(all.iter().cloned()), "told twice");
    let different: BTreeSet<&String> = all.iter().collect();
    assert_eq!(different.len(), all.len(), "a repeated story among {SEEDS} means that there are far too few");
}

#[test]
fn nothing_of_the_notation_is_left_over() {
    for (seed, story) in stories() {
        let left = story.find(['{', '}', '[', ']', '|', '/', '=', '¶', '*']);
        assert_eq!(left, None, "story {seed}: {story}");
        assert!(!story.contains("  ") && !story.contains(" ."), "blanks in story {seed}: {story}");
    }
}

#[test]
fn a_story_is_neither_a_sentence_nor_a_novel() {
    for (seed, story) in stories() {
        let words = story.split_whitespace().count();
        assert!((60..=250).contains(&words), "story {seed} has {words} words");
        assert!(story.split("\n\n").count() >= 3, "story {seed} has a beginning, a middle and an end");
        assert_eq!(story.matches('"').count() % 2, 0, "story {seed} closes its quotes: {story}");
    }
}

#[test]
fn articles_and_capitals_agree_everywhere() {
    let wrong = [
        (" a a", "article before a vowel"),
        (" a e", "article before a vowel"),
        (" a i", "article before a vowel"),
        (" a ow", "article before a vowel"),
        (" an b", "article before a consonant"),
        (" an c", "consonant"),
        (" an d", "consonant"),
        (" an m", "consonant"),
        (" an s", "consonant"),
        (" an uni", "sounds like you-ni"),
        (" he was were", "two verbs"),
        (". he ", "capital after a full stop"),
        (". she ", "capital"),
        (". a ", "capital"),
        ("! they ", "capital"),
        (".\" she ", "capital after a speech that ends"),
    ];
    for (seed, story) in stories() {
        for (part, reason) in wrong {
            assert!(!story.contains(part), "{reason} ({part:?}) in story {seed}: {story}");
        }
        assert!(story.starts_with(char::is_uppercase), "story {seed}");
        assert!(story.ends_with(['.', '!', '?', '"']), "story {seed} ends with a sentence");
    }
}

/// A girl's or a boy's story in which only heroes of one sex appear must not use the other's pronouns.
#[test]
fn pronouns_agree_with_those_whom_they_stand_for() {
    let grammar = Grammar::stories().expect("grammar");
    let mut seen = [0_u32; 2];
    for seed in 0..SEEDS {
        let mut telling = Telling { grammar: &grammar, kept: BTreeMap::new(), seed, drawn: 0 };
        telling.slot("story").expect("a story");
        let story = grammar.story(seed).expect("a story");
        let (hero, helper) = (telling.kept["he"].as_str(), telling.kept["hhe"].as_str());
        if hero != helper || story.contains("mother") || story.contains("grand") || story.contains("old cat")
        {
            continue;
        }
        let wrong: &[&str] = if hero == "he" { &["she", "her", "hers"] } else { &["him", "his", "himself"] };
        let words: BTreeSet<&str> = story.split(|letter: char| !letter.is_alphabetic()).collect();
        let found = wrong.iter().find(|word| words.contains(**word));
        // A goat's farmer, the giant, the king and the man in the market are men whoever the hero is.
        if !["farmer", "giant", "man", "queen", "king"].iter().any(|other| words.contains(other)) {
            assert_eq!(found, None, "story {seed} of a {hero}: {story}");
            seen[usize::from(hero == "she")] += 1;
        }
    }
    assert!(seen.iter().all(|count| *count > 300), "too few stories were looked at: {seen:?}");
}

#[test]
fn characters_are_kept_to_the_end() {
    let grammar = Grammar::stories().expect("grammar");
    for seed in 0..SEEDS {
        let mut telling = Telling { grammar: &grammar, kept: BTreeMap::new(), seed, drawn: 0 };
        let told = telling.slot("story").expect("a story");
        let (hero, helper) = (&telling.kept["hero"], &telling.kept["helper"]);
        assert_ne!(hero, helper, "story {seed}: two characters share a name");
        // Now and then "the fox" stands for the name.
        let called = told.matches(hero.as_str()).count() + told.matches(&telling.kept["kind"]).count();
        assert!(called >= 4 && told.contains(hero.as_str()), "story {seed} forgets {hero}: {told}");
        assert!(told.matches(helper.as_str()).count() >= 2, "story {seed} forgets {helper}: {told}");
    }
}

#[test]
fn what_an_opening_gives_is_needed_at_the_end() {
    let grammar = Grammar::stories().expect("grammar");
    let (mut things, mut traits, mut paid) = (0, 0, 0);
    for seed in 0..SEEDS {
        let mut telling = Telling { grammar: &grammar, kept: BTreeMap::new(), seed, drawn: 0 };
        let told = telling.slot("story").expect("a story");
        let paragraphs: Vec<&str> = told.split('¶').collect();
        if let Some(noun) = telling.kept.get("noun") {
            things += 1;
            let end = paragraphs[paragraphs.len() - 2..].concat();
            assert!(end.contains(noun.as_str()), "story {seed} forgets the {noun}: {told}");
            assert!(told.matches(noun.as_str()).count() >= 4, "story {seed} hardly needs the {noun}: {told}");
        }
        if let Some(payoff) = telling.kept.get("payoff").cloned() {
            traits += 1;
            let expected = telling.expand(&payoff).expect("a payoff");
            paid += u64::from(told.contains(&expected));
        }
    }
    assert!(things > SEEDS / 3, "a third of all stories are given a thing: {things}");
    assert!(traits > SEEDS / 3 && paid * 3 > traits, "{traits} traits were told, {paid} led to something");
}
