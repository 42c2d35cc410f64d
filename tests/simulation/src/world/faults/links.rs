//! Links that close, fall silent in one direction or both, and flap.

use super::{Fault, Sequel, World};
use coordinator::{Input, PeerId};

impl World {
    /// A link closes; its ends hear of it after `notice` milliseconds each.
    pub fn cut(&mut self, a: PeerId, b: PeerId, notice: (u64, u64)) {
        if self.network.close(a, b) {
            for (peer, other) in [(a, b), (b, a)] {
                let ms = self.dice.range(notice.0, notice.1);
                self.later(ms, super::Happening::Learn(peer, other));
            }
        }
    }

    /// Nothing gets from one peer to the other for now, or everything does again.
    pub fn silence(&mut self, from: PeerId, to: PeerId, silent: bool) {
        for parcel in self.network.silence(from, to, silent) {
            let fate = self.network.resend(self.now, parcel, &mut self.dice);
            self.on_its_way(fate);
        }
    }

    /// Opens a link if both are there and it is closed.
    pub fn link(&mut self, a: PeerId, b: PeerId) {
        if !self.is_alive(a) || !self.is_alive(b) {
            return;
        }
        let Some(late) = self.network.open(a, b, &mut self.dice) else {
            return;
        };
        for (peer, other) in late {
            self.feed(peer, Input::PeerDown(other));
        }
        self.feed(a, Input::PeerUp(b));
        self.feed(b, Input::PeerUp(a));
    }

    /// Two peers find no way to each other until all heals. To be said before the second of them enters.
    pub fn keep_apart(&mut self, a: PeerId, b: PeerId) {
        self.network.keep_apart(a, b);
    }

    /// The room falls into two halves that do not reach each other for a while.
    pub(super) fn split(&mut self, alive: &[PeerId], how: Fault) {
        let (left, right): (Vec<PeerId>, Vec<PeerId>) = alive.iter().partition(|_| self.dice.chance(50));
        let pairs: Vec<_> = left.iter().flat_map(|&a| right.iter().map(move |&b| (a, b))).collect();
        let ms = self.dice.range(500, 15_000);
        if how == Fault::SplitByClosing {
            pairs.iter().for_each(|&(a, b)| self.cut(a, b, (0, 3_000)));
            return self.then(ms, Sequel::Relink(pairs));
        }
        let both: Vec<_> = pairs.into_iter().flat_map(|(a, b)| [(a, b), (b, a)]).collect();
        both.iter().for_each(|&(from, to)| self.silence(from, to, true));
        self.then(ms, Sequel::Speak(both));
    }

    pub(super) fn break_one_link(&mut self, alive: &[PeerId]) {
        if let Some((a, b)) = self.pair(alive) {
            self.cut(a, b, (0, 3_000));
            let ms = self.dice.range(500, 15_000);
            self.then(ms, Sequel::Relink(vec![(a, b)]));
        }
    }

    /// One direction falls silent. Either it speaks again, or the channel gives up, and closes.
    pub(super) fn one_way(&mut self, alive: &[PeerId]) {
        let Some((from, to)) = self.pair(alive) else { return };
        self.silence(from, to, true);
        let ms = self.dice.range(500, 20_000);
        if self.dice.chance(50) {
            return self.then(ms, Sequel::Speak(vec![(from, to)]));
        }
        self.then(ms, Sequel::Flap { a: from, b: to, left: 1 });
    }

    pub(super) fn flap(&mut self, alive: &[PeerId]) {
        if let Some((a, b)) = self.pair(alive) {
            let left = self.dice.range(2, 12);
            self.flap_on(a, b, left);
        }
    }

    /// The link closes if it is open, opens if it is closed, and does so again, until it is open for the last time.
    pub(super) fn flap_on(&mut self, a: PeerId, b: PeerId, left: u64) {
        let open = self.network.is_open(a, b);
        if open {
            self.cut(a, b, (0, 500));
        } else {
            self.link(a, b);
        }
        if open || left > 1 {
            let ms = self.dice.range(300, 3_000);
            self.then(ms, Sequel::Flap { a, b, left: left.saturating_sub(1) });
        }
    }

    fn pair(&mut self, alive: &[PeerId]) -> Option<(PeerId, PeerId)> {
        let a = self.dice.pick(alive)?;
        let others: Vec<PeerId> = alive.iter().copied().filter(|&other| other != a).collect();
        Some((a, self.dice.pick(&others)?))
    }

    pub(super) fn pair_with_link(&mut self, alive: &[PeerId]) -> Option<(PeerId, PeerId)> {
        self.pair(alive).filter(|&(a, b)| self.network.is_open(a, b))
    }
}
