//! Peers that go: one by one, or all at once.

use super::World;
use coordinator::PeerId;

impl World {
    /// A peer goes; the others hear of it after `notice` milliseconds each, drawn anew.
    pub fn leave(&mut self, peer: PeerId, notice: (u64, u64)) {
        self.leave_together(&[peer], notice);
    }

    /// Several go in the same moment: none of them hears of the others.
    pub fn leave_together(&mut self, peers: &[PeerId], notice: (u64, u64)) {
        for peer in peers {
            self.peers.entry(*peer).and_modify(|gone| gone.alive = false);
        }
        let left = self.alive();
        for &peer in peers {
            left.iter().for_each(|&other| self.cut(peer, other, notice));
        }
    }

    /// All but one or two go, closing their channels or not.
    pub(super) fn exodus(&mut self, alive: &[PeerId]) {
        let stays = [self.dice.pick(alive), self.dice.pick(alive)];
        let goes: Vec<PeerId> = alive.iter().copied().filter(|peer| !stays.contains(&Some(*peer))).collect();
        let notice = if self.dice.chance(50) { (0, 300) } else { (5_000, 30_000) };
        self.leave_together(&goes, notice);
    }
}
