//! Passing messages on between peers that have no channel to each other.
//!
//! One hop only, on the word of the peer in between: it could make things up in the other's name, as could any member
//! of the room in its own. What matters to fairness, receipts, is not taken from relayed reports.

use crate::ids::PeerId;
use crate::limits;
use std::collections::BTreeMap;

/// How much this peer has passed on for each other one lately.
#[derive(Debug, Default)]
pub struct Relays {
    bytes: BTreeMap<PeerId, usize>,
}

impl Relays {
    /// Whether so many more bytes of `origin` may pass within this second.
    pub fn admit(&mut self, origin: PeerId, bytes: usize) -> bool {
        let sum = self.bytes.entry(origin).or_default();
        *sum = sum.saturating_add(bytes);
        *sum <= limits::RELAY_BYTES_PER_S
    }

    /// A new second.
    pub fn refill(&mut self) {
        self.bytes.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_is_relayed_without_end() {
        let mut relays = Relays::default();
        let (flood, calm) = (PeerId(1), PeerId(2));
        let passed = (0..100).filter(|_| relays.admit(flood, limits::RELAY_BYTES_PER_S / 10)).count();
        assert_eq!(passed, 10);
        assert!(relays.admit(calm, 100), "each has its own share");
        relays.refill();
        assert!(relays.admit(flood, 100), "a new second");
    }
}
