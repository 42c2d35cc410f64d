//! What a person wrote, as models that paint were told of pictures.

/// Lower case, single blanks, plain quotes and dashes: the part of diffusers' `TextPreprocessor` (after DeepFloyd IF) that
/// changes what people type. What it does beyond that mends text scraped from pages.
#[must_use]
pub fn clean(text: &str) -> String {
    let plain = text.chars().map(|character| match character {
        '\u{2018}' | '\u{2019}' | '\u{b4}' | '`' => '\'',
        '\u{201c}' | '\u{201d}' | '\u{ab}' | '\u{bb}' | '\u{201e}' => '"',
        '\u{2010}'..='\u{2015}' | '\u{2212}' => '-',
        other => other,
    });
    let lower = plain.collect::<String>().to_lowercase();
    lower.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::clean;

    #[test]
    fn what_people_type_becomes_plain() {
        let rows = [
            ("  A red\n Circle ", "a red circle"),
            ("\u{201c}Ship\u{201d} \u{2014} the captain\u{2019}s", "\"ship\" - the captain's"),
            ("", ""),
            ("日本 Ä", "日本 ä"),
        ];
        for (typed, expected) in rows {
            assert_eq!(clean(typed), expected);
        }
    }
}
