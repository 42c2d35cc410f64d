//! The last touch on a generated story: capitals, articles, blanks and paragraphs.

/// Puts a told story into the form in which it is printed. `¶` becomes an empty line.
pub(super) fn tidy(told: &str) -> String {
    let paragraphs = told.split('¶').map(|paragraph| {
        let blanks: Vec<&str> = paragraph.split_whitespace().collect();
        with_articles(&with_capitals(&blanks.join(" ")))
    });
    paragraphs.filter(|paragraph| !paragraph.is_empty()).collect::<Vec<_>>().join("\n\n")
}

/// The text with a capital first letter.
pub(super) fn capitalised(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}

/// A capital at the start, after `.`, `!` and `?`, and after `."`. After `!"` and `?"` the sentence may go on
/// (`"Who?" asked Mia`), so that there the grammar itself writes the capital.
fn with_capitals(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let (mut due, mut in_speech) = (true, false);
    for letter in text.chars() {
        match letter {
            '.' | '!' | '?' => due = true,
            '"' => {
                due = due && (!in_speech || out.ends_with('.'));
                in_speech = !in_speech;
            }
            _ if letter.is_alphanumeric() && due => {
                out.extend(letter.to_uppercase());
                due = false;
                continue;
            }
            _ => {}
        }
        out.push(letter);
    }
    out
}

/// `a` before a vowel sound is `an`.
fn with_articles(text: &str) -> String {
    let words: Vec<&str> = text.split(' ').collect();
    let fixed = words.iter().enumerate().map(|(at, word)| {
        let before_vowel = words.get(at + 1).is_some_and(|next| sounds_like_vowel(next));
        match word.trim_start_matches('"') {
            "a" | "A" if before_vowel => format!("{word}n"),
            _ => (*word).to_owned(),
        }
    });
    fixed.collect::<Vec<_>>().join(" ")
}

/// By spelling, with the exceptions that the grammar's words need.
fn sounds_like_vowel(word: &str) -> bool {
    let word = word.trim_start_matches('"').to_lowercase();
    word.starts_with(['a', 'e', 'i', 'o', 'u'])
        && !["uni", "use", "one"].iter().any(|start| word.starts_with(start))
}
