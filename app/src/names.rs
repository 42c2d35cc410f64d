//! Names that people find filled in: a colour and an animal. The colour is also how their device is drawn.

/// The colour words, each with its hue in degrees of OKLCH: few and far apart, so that neighbours at a table are
/// told apart at a glance.
pub const COLOURS: [(&str, u16); 8] = [
    ("Rose", 8),
    ("Copper", 50),
    ("Olive", 105),
    ("Fern", 148),
    ("Teal", 192),
    ("Azure", 238),
    ("Iris", 282),
    ("Plum", 328),
];

/// Animals that are quick to say and hard to confuse.
pub const ANIMALS: [&str; 48] = [
    "Badger", "Bear", "Beaver", "Bison", "Camel", "Crane", "Curlew", "Deer", "Dolphin", "Eagle", "Falcon",
    "Finch", "Fox", "Gecko", "Gull", "Hare", "Heron", "Ibex", "Ibis", "Jay", "Koala", "Lark", "Lemur",
    "Lynx", "Magpie", "Marten", "Mole", "Moth", "Newt", "Otter", "Owl", "Panda", "Pony", "Puffin", "Quail",
    "Raven", "Robin", "Seal", "Stork", "Swan", "Tapir", "Tiger", "Toad", "Turtle", "Vole", "Walrus", "Wolf",
    "Wren",
];

/// The name that belongs to 64 random bits, such as "Teal Otter".
#[must_use]
pub fn name(random: u64) -> String {
    let (colour, _) = COLOURS[(random % COLOURS.len() as u64) as usize];
    let animal = ANIMALS[(random >> 32) as usize % ANIMALS.len()];
    format!("{colour} {animal}")
}

/// True if [`name`] may have made this name, so that nobody chose it.
#[must_use]
pub fn is_made(name: &str) -> bool {
    let (colour, animal) = name.split_once(' ').unwrap_or_default();
    COLOURS.iter().any(|(known, _)| *known == colour) && ANIMALS.contains(&animal)
}

/// What a typed name becomes: no control characters, single spaces, at most [`coordinator::limits::NAME_BYTES`].
/// None if nothing is left.
#[must_use]
pub fn tidy(typed: &str) -> Option<String> {
    let words: Vec<&str> = typed.split(|c: char| c.is_whitespace() || c.is_control()).collect();
    let mut tidy = String::new();
    for word in words.into_iter().filter(|word| !word.is_empty()) {
        if !tidy.is_empty() {
            tidy.push(' ');
        }
        tidy.push_str(word);
    }
    let end = (0..=tidy.len().min(coordinator::limits::NAME_BYTES)).rev().find(|&i| tidy.is_char_boundary(i));
    tidy.truncate(end.unwrap_or(0));
    let tidy = tidy.trim_end().to_owned();
    (!tidy.is_empty()).then_some(tidy)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_random_number_has_a_name_that_fits() {
        for random in [0, 1, u64::from(u32::MAX), u64::MAX, 0x9e37_79b9_7f4a_7c15] {
            let name = name(random);
            assert_eq!(tidy(&name).as_deref(), Some(name.as_str()), "{random}");
            assert!(is_made(&name), "{name}");
        }
    }

    #[test]
    fn chosen_names_are_told_from_made_ones() {
        for name in ["", "Ada", "Teal", "Otter Teal", "teal otter", "Teal Otter II"] {
            assert!(!is_made(name), "{name:?}");
        }
    }

    #[test]
    fn both_halves_of_the_randomness_count() {
        assert_ne!(name(0), name(1), "the low bits choose the colour");
        assert_ne!(name(0), name(1 << 32), "the high bits choose the animal");
    }

    #[test]
    fn typed_names_are_tidied() {
        let long = "é".repeat(60);
        let rows = [
            ("  Teal   Otter ", Some("Teal Otter"), "spaces are people's slips"),
            ("a\nb\u{7}c", Some("a b c"), "a name is one line"),
            (" \t ", None, "nothing was typed"),
            (long.as_str(), Some(&long[..48]), "cut on a character boundary"),
        ];
        for (typed, expected, why) in rows {
            assert_eq!(tidy(typed).as_deref(), expected, "{why}");
        }
    }
}
