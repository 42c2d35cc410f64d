//! Where a streamed text may be read aloud: at the ends of sentences, so that a screen reader gets sentences and
//! not tokens.

/// The byte index after the last whole sentence (and the space behind it) of `text`, at or after `from`; `from`
/// itself if none has ended yet.
#[must_use]
pub fn spoken_until(text: &str, from: usize) -> usize {
    let Some(rest) = text.get(from..) else {
        return from.min(text.len());
    };
    let mut end = from;
    let mut closed = false;
    for (index, c) in rest.char_indices() {
        if c == '\n' || (closed && c.is_whitespace()) {
            end = from + index + c.len_utf8();
        }
        closed = match c {
            '.' | '!' | '?' | '…' | '。' | '！' | '？' => true,
            '"' | '\'' | '”' | '’' | ')' => closed,
            _ => false,
        };
    }
    end
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sentences_end_where_people_breathe() {
        let rows = [
            ("The owl", 0, 0, "nothing has ended"),
            ("The owl flew.", 0, 0, "it may still be 3.14 or an ellipsis"),
            ("The owl flew. It", 0, 14, "one whole sentence"),
            ("\"Come!\" she said. Then", 0, 18, "a quotation mark closes with its sentence"),
            ("He paid 3.14 for it", 0, 0, "a point inside a number ends nothing"),
            ("Title\nOnce", 0, 6, "a line break ends a line"),
            ("One. Two. Th", 5, 10, "what was read is not read again"),
            ("Une fée. Là", 0, 10, "indices are bytes on character boundaries"),
            ("short", 99, 5, "a text that became shorter is not an error"),
        ];
        for (text, from, expected, why) in rows {
            assert_eq!(spoken_until(text, from), expected, "{why}: {text:?}");
        }
    }
}
