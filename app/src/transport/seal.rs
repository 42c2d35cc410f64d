//! The seal on everything that goes through the signaling server.
//!
//! The key is derived from the room key in the link, which the server never sees, and from the room's name. The
//! server's own ids of sender and receiver are bound in, so that it cannot hand a message to another peer, or
//! back; the counters and sessions inside (see `introductions`) keep it from handing one over twice or later.

use crate::link::RoomKey;
use base64::Engine;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use chacha20poly1305::aead::{Aead, KeyInit, Payload};
use chacha20poly1305::{XChaCha20Poly1305, XNonce};
use hkdf::Hkdf;
use sha2::{Digest, Sha256};
use uuid::Uuid;

/// Names the protocol, so that a key used for anything else, or by another version, fits nothing here.
const PROTOCOL: &[u8] = b"manyhands signaling 1";
const NONCE_BYTES: usize = 24;

/// Seals and opens the messages of one room.
pub struct Seal(XChaCha20Poly1305);

impl std::fmt::Debug for Seal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Seal(..)")
    }
}

impl Seal {
    /// The seal of the room called `room` with this key: HKDF-SHA256, the protocol's name as salt, the room's as info.
    #[must_use]
    pub fn new(key: &RoomKey, room: &str) -> Self {
        let mut derived = [0; 32];
        // 32 bytes are one block of SHA-256: the only error, too long an output, cannot occur.
        let expanded = Hkdf::<Sha256>::new(Some(PROTOCOL), key.bytes()).expand(room.as_bytes(), &mut derived);
        debug_assert!(expanded.is_ok());
        Self(XChaCha20Poly1305::new(&derived.into()))
    }

    /// Seals `plain` for `receiver`. The nonce must be random. None if it is too long to seal (never, here).
    #[must_use]
    pub fn seal(
        &self,
        nonce: [u8; NONCE_BYTES],
        sender: Uuid,
        receiver: Uuid,
        plain: &[u8],
    ) -> Option<String> {
        let bound = bound(sender, receiver);
        let payload = Payload { msg: plain, aad: &bound };
        let sealed = self.0.encrypt(XNonce::from_slice(&nonce), payload).ok()?;
        Some(STANDARD_NO_PAD.encode([&nonce[..], &sealed].concat()))
    }

    /// Opens what `sender` sealed for `receiver`; None for anything else.
    #[must_use]
    pub fn open(&self, sender: Uuid, receiver: Uuid, text: &str) -> Option<Vec<u8>> {
        let bytes = STANDARD_NO_PAD.decode(text).ok()?;
        let (nonce, sealed) = bytes.split_at_checked(NONCE_BYTES)?;
        let bound = bound(sender, receiver);
        self.0.decrypt(XNonce::from_slice(nonce), Payload { msg: sealed, aad: &bound }).ok()
    }
}

fn bound(sender: Uuid, receiver: Uuid) -> Vec<u8> {
    [PROTOCOL, sender.as_bytes(), receiver.as_bytes()].concat()
}

/// Random ids and nonces from one seed: SHA-256 over seed and a counter, so that tests can repeat a run.
#[derive(Clone)]
pub struct Random {
    seed: [u8; 32],
    count: u64,
}

impl std::fmt::Debug for Random {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Random(..)")
    }
}

impl Random {
    /// From a seed that must be secret and used once, outside tests.
    #[must_use]
    pub const fn new(seed: [u8; 32]) -> Self {
        Self { seed, count: 0 }
    }

    /// Fresh bytes, 32 at most.
    pub fn bytes<const N: usize>(&mut self) -> [u8; N] {
        const { assert!(N <= 32) };
        self.count += 1;
        let block = Sha256::new().chain_update(self.seed).chain_update(self.count.to_le_bytes()).finalize();
        std::array::from_fn(|index| block[index])
    }

    /// A fresh id.
    pub fn id(&mut self) -> u128 {
        u128::from_le_bytes(self.bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::{Random, Seal};
    use crate::link::RoomLink;
    use uuid::Uuid;

    fn seal(room: &str, key: &str) -> Seal {
        let link = RoomLink::parse(&format!("http://h/#room={room}&key={key}")).expect("a link");
        Seal::new(link.key(), link.room())
    }

    #[test]
    fn only_the_right_receiver_in_the_right_room_opens_it() {
        let (one, two, three) = (Uuid::from_u128(1), Uuid::from_u128(2), Uuid::from_u128(3));
        let key = "AAECAwQFBgcICQoLDA0ODw";
        let ours = seal("r", key);
        let text = ours.seal([5; 24], one, two, b"offer").expect("sealed");
        let flipped = text.replacen(&text[50..51], if &text[50..51] == "A" { "B" } else { "A" }, 1);
        let rows = [
            ("as it was sealed", &ours, one, two, &*text, true),
            ("another key", &seal("r", "AQECAwQFBgcICQoLDA0ODw"), one, two, &text, false),
            ("another room with the same key", &seal("s", key), one, two, &text, false),
            ("another receiver", &ours, one, three, &text, false),
            ("another sender", &ours, three, two, &text, false),
            ("reflected", &ours, two, one, &text, false),
            ("cut off", &ours, one, two, &text[..text.len() - 4], false),
            ("shorter than a nonce", &ours, one, two, &text[..8], false),
            ("changed", &ours, one, two, &flipped, false),
            ("not base64", &ours, one, two, "{\"Offer\":\"v=0\"}", false),
            ("nothing", &ours, one, two, "", false),
        ];
        for (why, seal, sender, receiver, text, opens) in rows {
            assert_eq!(seal.open(sender, receiver, text).is_some(), opens, "{why}");
        }
        assert_eq!(ours.open(one, two, &text).as_deref(), Some(&b"offer"[..]));
    }

    #[test]
    fn random_never_repeats() {
        let mut random = Random::new([1; 32]);
        let ids: std::collections::BTreeSet<u128> = (0..1_000).map(|_| random.id()).collect();
        assert_eq!(ids.len(), 1_000);
        assert_ne!(Random::new([2; 32]).id(), Random::new([1; 32]).id());
    }
}
