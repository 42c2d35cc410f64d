//! Decoding that allocates no more than what came can justify.
//!
//! A length on the wire is a claim. Postcard 1.1 checks it against the bytes that are left for texts and byte strings.
//! For a list it passes the claim on as a size hint if as many bytes are left, and serde reserves up to 1 MiB on its
//! word: elements of 32 bytes that may take three on the wire are reserved for every byte that is left. Elements that
//! take no bytes at all may be claimed without end. The functions here let a list grow as its elements arrive, and
//! refuse what has more of them than its bound:
//!
//! ```ignore
//! #[serde(deserialize_with = "bounded::list::<_, _, { limits::STAGES }>")]
//! stages: Vec<Stage>,
//! #[serde(deserialize_with = "bounded::text::<_, { limits::NAME_BYTES }>")]
//! name: String,
//! ```
//!
//! While a list moves to twice its room, both are held: at most three times its elements, or room for four if it has
//! fewer.

use serde::de::{Deserialize, Deserializer, Error, SeqAccess, Visitor};
use std::fmt;
use std::marker::PhantomData;

/// A list of at most `MOST` elements.
///
/// # Errors
/// If there are more, or if one of them is malformed.
pub fn list<'de, D, T, const MOST: usize>(deserializer: D) -> Result<Vec<T>, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de>,
{
    deserializer.deserialize_seq(List::<T, MOST>(PhantomData))
}

/// A text of at most `MOST` bytes.
///
/// # Errors
/// If it is longer, or not UTF-8.
pub fn text<'de, D: Deserializer<'de>, const MOST: usize>(deserializer: D) -> Result<String, D::Error> {
    deserializer.deserialize_str(Text::<MOST>)
}

/// None, or a text of at most `MOST` bytes.
///
/// # Errors
/// As for [`text`].
pub fn optional_text<'de, D, const MOST: usize>(deserializer: D) -> Result<Option<String>, D::Error>
where
    D: Deserializer<'de>,
{
    deserializer.deserialize_option(OptionalText::<MOST>)
}

/// A byte string of at most `MOST` bytes. It reads what `serde_bytes::serialize` writes and, in postcard, what a plain
/// `Vec<u8>` does: they are the same bytes.
///
/// # Errors
/// If it is longer, or cut off.
pub fn bytes<'de, D: Deserializer<'de>, const MOST: usize>(deserializer: D) -> Result<Vec<u8>, D::Error> {
    deserializer.deserialize_bytes(Bytes::<MOST>)
}

struct List<T, const MOST: usize>(PhantomData<T>);

impl<'de, T: Deserialize<'de>, const MOST: usize> Visitor<'de> for List<T, MOST> {
    type Value = Vec<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "at most {MOST} elements")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<Vec<T>, A::Error> {
        // A claim beyond the bound is refused before anything is read, where the format shows it.
        if let Some(claim) = elements.size_hint().filter(|&claim| claim > MOST) {
            return Err(Error::invalid_length(claim, &self));
        }
        let mut list = Vec::new();
        while list.len() < MOST {
            let Some(element) = elements.next_element()? else {
                return Ok(list);
            };
            list.push(element);
        }
        // Only by reading one more can a full list be told from one that is too long; it is not kept.
        match elements.next_element::<T>()? {
            None => Ok(list),
            Some(_) => Err(Error::invalid_length(MOST + 1, &self)),
        }
    }
}

struct Text<const MOST: usize>;

impl<const MOST: usize> Visitor<'_> for Text<MOST> {
    type Value = String;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a text of at most {MOST} bytes")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<String, E> {
        if text.len() <= MOST { Ok(text.to_owned()) } else { Err(E::invalid_length(text.len(), &self)) }
    }
}

struct OptionalText<const MOST: usize>;

impl<'de, const MOST: usize> Visitor<'de> for OptionalText<MOST> {
    type Value = Option<String>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "nothing, or a text of at most {MOST} bytes")
    }

    fn visit_none<E: Error>(self) -> Result<Option<String>, E> {
        Ok(None)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Option<String>, D::Error> {
        text::<D, MOST>(deserializer).map(Some)
    }
}

struct Bytes<const MOST: usize>;

impl<const MOST: usize> Visitor<'_> for Bytes<MOST> {
    type Value = Vec<u8>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "at most {MOST} bytes")
    }

    fn visit_bytes<E: Error>(self, bytes: &[u8]) -> Result<Vec<u8>, E> {
        if bytes.len() <= MOST { Ok(bytes.to_vec()) } else { Err(E::invalid_length(bytes.len(), &self)) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::Serialize;
    use std::cell::Cell;

    /// One of each, as a message would have them.
    #[derive(Debug, PartialEq, Serialize, serde::Deserialize)]
    struct Letter {
        #[serde(deserialize_with = "list::<_, _, 3>")]
        tokens: Vec<u32>,
        #[serde(deserialize_with = "text::<_, 4>")]
        name: String,
        #[serde(deserialize_with = "optional_text::<_, 4>")]
        trouble: Option<String>,
        #[serde(serialize_with = "serde_bytes::serialize", deserialize_with = "bytes::<_, 4>")]
        sampling: Vec<u8>,
        #[serde(deserialize_with = "bytes::<_, 4>")]
        plain: Vec<u8>,
    }

    fn full() -> Letter {
        Letter {
            tokens: vec![1, 2, u32::MAX],
            name: "Ädä".chars().take(2).chain(['!']).collect(),
            trouble: Some("hot!".into()),
            sampling: vec![0; 4],
            plain: vec![255; 4],
        }
    }

    #[test]
    fn what_fits_is_read_and_what_is_longer_is_not() {
        let rows: [(&str, Letter, bool); 8] = [
            ("everything as long as allowed", full(), true),
            ("no trouble", Letter { trouble: None, ..full() }, true),
            ("nothing in the list", Letter { tokens: vec![], ..full() }, true),
            ("a list too long", Letter { tokens: vec![1; 4], ..full() }, false),
            ("a name too long", Letter { name: "Ädää".into(), ..full() }, false),
            ("a trouble too long", Letter { trouble: Some("burns".into()), ..full() }, false),
            ("bytes too long", Letter { sampling: vec![0; 5], ..full() }, false),
            ("plain bytes too long", Letter { plain: vec![0; 5], ..full() }, false),
        ];
        for (why, letter, fits) in rows {
            let bytes = postcard::to_allocvec(&letter).expect("a letter serialises");
            let read = postcard::from_bytes::<Letter>(&bytes);
            assert_eq!(read.as_ref() == Ok(&letter), fits, "{why}: {read:?}");
        }
    }

    thread_local! {
        static READ: Cell<usize> = const { Cell::new(0) };
    }

    /// An element that takes no byte of the message, and counts how often it was read.
    struct Nothing;

    impl<'de> Deserialize<'de> for Nothing {
        fn deserialize<D: Deserializer<'de>>(_: D) -> Result<Self, D::Error> {
            READ.set(READ.get() + 1);
            Ok(Self)
        }
    }

    #[test]
    fn a_claim_is_not_believed() {
        #[derive(serde::Deserialize)]
        struct Endless(#[serde(deserialize_with = "list::<_, _, 8>")] Vec<Nothing>);
        #[derive(serde::Deserialize)]
        struct Wide(#[serde(deserialize_with = "list::<_, _, 100_000>")] Vec<[u64; 4]>);

        let endless = postcard::from_bytes::<Endless>(&[0xff, 0xff, 0xff, 0xff, 0x0f]);
        assert!(endless.is_err() && READ.get() <= 9, "four billion nothings: {} were read", READ.get());
        let eight = postcard::from_bytes::<Endless>(&[8]).expect("as many as allowed");
        assert_eq!(eight.0.len(), 8);

        let honest = [&[5][..], &[0; 20]].concat();
        let wide = postcard::from_bytes::<Wide>(&honest).expect("five elements of four bytes");
        assert!(wide.0.len() == 5 && wide.0.capacity() <= 8, "room for {}", wide.0.capacity());
        let cut = [&[0xe8, 0x07][..], &[0; 1_000]].concat();
        assert!(postcard::from_bytes::<Wide>(&cut).is_err(), "a thousand claimed, a quarter there");
    }
}
