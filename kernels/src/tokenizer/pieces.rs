//! What each id writes, as bytes: half characters are bytes too, so that streams can put them together.

use crate::error::Error;
use crate::limits;

/// The bytes of every id. Ids that stand for no text (the start of one, the end of a turn) have none.
#[derive(Debug, Clone, Default)]
pub(super) struct Pieces {
    bytes: Vec<u8>,
    /// Where each id's bytes end.
    ends: Vec<u32>,
    /// The first blank of a text is none: it was put there so that first words look like all others.
    pub(super) strip_first_blank: bool,
}

/// How the texts of a vocabulary spell bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Spelling {
    /// One letter per byte (GPT-2): printable bytes are themselves, the others lie from U+0100 on.
    ByteLevel,
    /// `▁` is a blank and `<0x0A>` a byte (SentencePiece).
    Metaspace,
    /// As it stands.
    Plain,
    /// No text.
    Silent,
}

impl Pieces {
    pub(super) fn new(strip_first_blank: bool) -> Self {
        Self { strip_first_blank, ..Self::default() }
    }

    /// Appends the next id.
    ///
    /// # Errors
    /// [`Error::Tokenizer`] if there are more than [`limits::VOCABULARY`], or too many bytes in all.
    pub(super) fn push(&mut self, text: &str, spelling: Spelling) -> Result<(), Error> {
        match spelling {
            Spelling::ByteLevel => self.push_byte_level(text),
            Spelling::Metaspace => self.push_metaspace(text),
            Spelling::Plain => self.bytes.extend_from_slice(text.as_bytes()),
            Spelling::Silent => {}
        }
        if self.bytes.len() > limits::TOKENIZER_BYTES || self.ends.len() == limits::VOCABULARY {
            let reason = format!("the vocabulary has more than {} entries or too long ones", self.ends.len());
            return Err(Error::Tokenizer(reason));
        }
        self.ends.push(self.bytes.len() as u32);
        Ok(())
    }

    /// Ids that there are.
    pub(super) const fn len(&self) -> usize {
        self.ends.len()
    }

    /// The bytes of one id; none for ids that do not exist.
    pub(super) fn of(&self, id: u32) -> &[u8] {
        let index = id as usize;
        let Some(end) = self.ends.get(index) else { return &[] };
        let start = if index == 0 { 0 } else { self.ends[index - 1] };
        &self.bytes[start as usize..*end as usize]
    }

    /// All bytes of a text from its start.
    pub(super) fn all(&self, ids: &[u32]) -> Vec<u8> {
        let mut bytes: Vec<u8> = ids.iter().flat_map(|id| self.of(*id)).copied().collect();
        if self.strip_first_blank && bytes.first() == Some(&b' ') {
            bytes.remove(0);
        }
        bytes
    }

    fn push_byte_level(&mut self, text: &str) {
        let before = self.bytes.len();
        for letter in text.chars() {
            let Some(byte) = byte_of(letter) else {
                // Not in the alphabet, so that this text was never spelled in it.
                self.bytes.truncate(before);
                self.bytes.extend_from_slice(text.as_bytes());
                return;
            };
            self.bytes.push(byte);
        }
    }

    fn push_metaspace(&mut self, text: &str) {
        match hex_byte(text) {
            Some(byte) => self.bytes.push(byte),
            None => self.bytes.extend_from_slice(text.replace('▁', " ").as_bytes()),
        }
    }
}

/// The byte that `<0x0A>` names.
pub(super) fn hex_byte(text: &str) -> Option<u8> {
    let digits = text.strip_prefix("<0x")?.strip_suffix('>')?;
    let valid = digits.len() == 2 && digits.bytes().all(|digit| digit.is_ascii_hexdigit());
    valid.then(|| u8::from_str_radix(digits, 16).ok())?
}

/// The byte that a letter of GPT-2's alphabet stands for. Source: Radford et al. 2019, `bytes_to_unicode`.
fn byte_of(letter: char) -> Option<u8> {
    const fn printable(code: u32) -> bool {
        matches!(code, 0x21..=0x7E | 0xA1..=0xAC | 0xAE..=0xFF)
    }
    let code = letter as u32;
    if printable(code) {
        return Some(code as u8);
    }
    // The others follow U+0100 in their own order.
    let index = code.checked_sub(0x100)? as usize;
    (0..=255u8).filter(|byte| !printable(u32::from(*byte))).nth(index)
}

/// Bytes at the end that may become a character with what follows: 0 to 3.
pub(super) fn unfinished(bytes: &[u8]) -> usize {
    let tail = &bytes[bytes.len().saturating_sub(3)..];
    (0..tail.len())
        .find(|start| match std::str::from_utf8(&tail[*start..]) {
            Err(error) => error.valid_up_to() == 0 && error.error_len().is_none(),
            Ok(_) => false,
        })
        .map_or(0, |start| tail.len() - start)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_alphabet_spells_every_byte_once() {
        let mut bytes: Vec<u8> = ('\0'..='\u{200}').filter_map(byte_of).collect();
        bytes.sort_unstable();
        assert_eq!(bytes, (0..=255).collect::<Vec<u8>>());
        assert_eq!(byte_of('Ġ'), Some(b' '), "the best known of them");
        assert_eq!(byte_of('Ċ'), Some(b'\n'));
    }

    /// Rows: text, spelling, bytes, why.
    #[test]
    fn texts_are_spelled() {
        let rows: [(&str, Spelling, &[u8], &str); 8] = [
            ("Ġa", Spelling::ByteLevel, b" a", "a blank"),
            ("ðŁ", Spelling::ByteLevel, &[0xF0, 0x9F], "half a character"),
            ("<｜User｜>", Spelling::ByteLevel, "<｜User｜>".as_bytes(), "not of the alphabet"),
            ("▁a▁", Spelling::Metaspace, b" a ", "blanks"),
            ("<0x0A>", Spelling::Metaspace, b"\n", "a byte"),
            ("<0x+A>", Spelling::Metaspace, b"<0x+A>", "no byte, only looks like one"),
            ("▁", Spelling::Plain, "▁".as_bytes(), "as it stands"),
            ("<s>", Spelling::Silent, b"", "no text"),
        ];
        let mut pieces = Pieces::new(false);
        for (text, spelling, ..) in rows {
            pieces.push(text, spelling).unwrap();
        }
        for (id, (_, _, bytes, why)) in rows.iter().enumerate() {
            assert_eq!(pieces.of(id as u32), *bytes, "{why}");
        }
        assert_eq!(pieces.of(8), b"", "an id that does not exist");
        assert_eq!(pieces.of(u32::MAX), b"");
    }

    /// Rows: bytes, how many may still become a character, why.
    #[test]
    fn unfinished_characters_are_found() {
        let rows: [(&[u8], usize, &str); 9] = [
            (b"", 0, "nothing"),
            (b"abc", 0, "whole"),
            ("é".as_bytes(), 0, "whole"),
            (&[b'a', 0xC3], 1, "the first of two"),
            (&[0xE4, 0xBD], 2, "two of three"),
            (&[0xF0, 0x9F, 0x98], 3, "three of four"),
            (&[0xF0, 0x9F, 0x98, 0x81], 0, "all four"),
            (&[0x80, 0x80], 0, "never a character"),
            (&[0xF0, 0x41], 0, "broken off by a letter"),
        ];
        for (bytes, count, why) in rows {
            assert_eq!(unfinished(bytes), count, "{why}");
        }
    }
}
