//! The name of a model: the hash of what it is made of.

use crate::llm::{Attached, CacheFormat};
use crate::weights::Header;
use sha2::{Digest, Sha256};
use std::fmt;

/// SHA-256 over configuration, tokenizer and what is known of the weights. Peers with different ids never mix.
///
/// SHA-256, because that is the hash under which the Hugging Face hub lists every large file: a weight's hash can be
/// compared with the publisher's without downloading it first.
///
/// [`ModelId::of_files`] covers every byte of the weights. [`ModelId::of_header`] covers their names, shapes, places
/// and total length, but **not their values**: it tells models apart by mistake, not by malice.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ModelId(pub [u8; 32]);

impl ModelId {
    /// From the SHA-256 of the whole weights file.
    #[must_use]
    pub fn of_files(config: &[u8], tokenizer: &[u8], weights_sha256: [u8; 32]) -> Self {
        Self::of("manyhands model, whole weights", [config, tokenizer, &weights_sha256])
    }

    /// From the bytes of the weights' header, where hashing the whole file would mean downloading it.
    #[must_use]
    pub fn of_header(config: &[u8], tokenizer: &[u8], head: &[u8], header: &Header) -> Self {
        let length = header.file_bytes().to_le_bytes();
        // Weights that were quantised on loading are other weights.
        let quantised = header.quantisation().map(|format| format!("{format:?}")).unwrap_or_default();
        let weights = [head, &length, quantised.as_bytes()].concat();
        Self::of("manyhands model, weights by header", [config, tokenizer, &weights])
    }

    /// From the ids of a picture model's parts, its tokenizer, and how it is sampled.
    #[must_use]
    pub fn of_pictures(parts: &[u8], tokenizer: &[u8], habits: &[u8]) -> Self {
        Self::of("manyhands picture model", [parts, tokenizer, habits])
    }

    /// The same weights with caches in `format`: what it rounds is part of what a model writes.
    #[must_use]
    pub fn with_caches(self, format: CacheFormat) -> Self {
        match format {
            CacheFormat::F32 => self,
            CacheFormat::F16 => Self::of("manyhands model, f16 caches", [&self.0, &[], &[]]),
        }
    }

    /// The same weights with one more adapter after those that they have.
    #[must_use]
    pub fn with_adapter(self, attached: Attached) -> Self {
        match attached.weight {
            0.0 => self,
            weight => Self::of("manyhands model, adapter", [&self.0, &attached.id.0, &weight.to_le_bytes()]),
        }
    }

    /// Each part is hashed by itself, so that bytes cannot wander from one to the next.
    fn of(kind: &str, parts: [&[u8]; 3]) -> Self {
        let mut hash = Sha256::new_with_prefix(kind);
        for part in parts {
            hash.update(Sha256::digest(part));
        }
        Self(hash.finalize().into())
    }
}

impl fmt::Display for ModelId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for ModelId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::weights::manifest::Hash;

    #[test]
    fn every_part_counts_and_none_can_stand_in_for_another() {
        let id = |config: &[u8], tokenizer: &[u8], last: u8| ModelId::of_files(config, tokenizer, [last; 32]);
        let all = [
            id(b"ab", b"c", 0),
            id(b"a", b"bc", 0),
            id(b"ab", b"d", 0),
            id(b"ab", b"c", 1),
            id(b"c", b"ab", 0),
        ];
        for (i, one) in all.iter().enumerate() {
            assert!(all[..i].iter().all(|other| other != one), "row {i} equals an earlier one");
        }
        assert_eq!(all[0], id(b"ab", b"c", 0));
        assert_eq!(all[0].to_string().len(), 64);
    }

    #[test]
    fn adapters_make_another_model_by_weight_and_order() {
        let base = ModelId([1; 32]);
        let [a, b] = [2, 3].map(|id| Attached { id: Hash([id; 32]), weight: 1.0 });
        let half = Attached { weight: 0.5, ..a };
        let one = base.with_adapter(a);
        let two = [one.with_adapter(b), base.with_adapter(b).with_adapter(a)];
        let all = [base, one, base.with_adapter(half), two[0], two[1]];
        for (i, one) in all.iter().enumerate() {
            assert!(all[..i].iter().all(|other| other != one), "row {i} equals an earlier one");
        }
        let nothing = Attached { weight: 0.0, ..b };
        assert_eq!(one.with_adapter(nothing), one);
    }
}
