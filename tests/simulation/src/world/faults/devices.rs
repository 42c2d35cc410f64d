//! Devices that are lost, hang, get slow, never have the same speed for long, or compute nonsense.

use super::super::agenda::Happening;
use super::{Sequel, World};
use coordinator::{Input, PeerId};

impl World {
    /// A device is lost, and ready again after `back` milliseconds. Not under a closed lid: that machine could not be
    /// told before it had answered what came meanwhile.
    pub fn lose_device(&mut self, peer: PeerId, back: u64) {
        let Some(loser) = self.peers.get_mut(&peer).filter(|peer| peer.device.working && !peer.asleep) else {
            return;
        };
        loser.device.lose();
        let generation = loser.device.generation;
        self.feed(peer, Input::ComputeLost("its GPU was reset".into()));
        self.later(back, Happening::Ready(peer, generation));
    }

    /// A device answers nothing for `ms` milliseconds.
    pub fn hang_device(&mut self, peer: PeerId, ms: u64) {
        let until = self.now + ms;
        self.peers.entry(peer).and_modify(|peer| peer.device.hangs_until = until);
    }

    /// A device makes numbers that are none for `ms` milliseconds.
    pub fn spoil_device(&mut self, peer: PeerId, ms: u64) {
        let until = self.now + ms;
        self.nonsense = true;
        self.peers.entry(peer).and_modify(|peer| peer.device.nonsense_until = until);
    }

    pub(super) fn slow_down(&mut self, peer: PeerId) {
        let slow = self.dice.range(1_000, 40_000);
        self.peers.entry(peer).and_modify(|peer| peer.device.layer_micros = slow);
    }

    pub(super) fn drift(&mut self, peer: PeerId) {
        let left = self.dice.range(2, 10);
        self.drift_on(peer, left);
    }

    /// A quarter to four times its own speed, for a while; then the next, and its own in the end.
    pub(super) fn drift_on(&mut self, peer: PeerId, left: u64) {
        let percent = if left == 0 { 100 } else { self.dice.range(25, 400) };
        self.peers
            .entry(peer)
            .and_modify(|peer| peer.device.layer_micros = peer.spec.layer_micros * percent / 100);
        if left > 0 {
            let ms = self.dice.range(500, 4_000);
            self.then(ms, Sequel::Drift { peer, left: left - 1 });
        }
    }
}
