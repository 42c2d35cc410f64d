//! Laptops whose lid is closed: no clock runs for them, and what arrives waits.

use super::{Sequel, World};
use coordinator::{Input, PeerId};

impl World {
    /// Closes a laptop's lid, or opens it.
    pub fn sleep(&mut self, peer: PeerId, asleep: bool) {
        let Some(sleeper) = self.peers.get_mut(&peer) else {
            return;
        };
        sleeper.asleep = asleep;
        if !asleep {
            for input in std::mem::take(&mut sleeper.inbox) {
                self.feed(peer, input);
            }
            self.feed(peer, Input::Tick);
        }
    }

    pub(super) fn nap(&mut self, peer: PeerId) {
        self.sleep(peer, true);
        let ms = self.dice.range(500, 12_000);
        self.then(ms, Sequel::WakeUp(peer));
    }

    /// Minutes. Mostly the others' browsers give its channels up meanwhile (after 15 to 30 s, the consent checks of
    /// RFC 7675), and it connects again when it wakes.
    pub(super) fn long_sleep(&mut self, peer: PeerId) {
        self.sleep(peer, true);
        let ms = self.dice.range(60_000, 300_000);
        if self.dice.chance(75) {
            let pairs: Vec<_> = self.alive().into_iter().map(|other| (peer, other)).collect();
            pairs.iter().for_each(|&(a, b)| self.cut(a, b, (15_000, 30_000)));
            self.then(ms + 500, Sequel::Relink(pairs));
        }
        self.then(ms, Sequel::WakeUp(peer));
    }
}
