//! What can go wrong in a room, and how it all heals.

use super::{Happening, Weather, World};
use coordinator::{Command, Input, PeerId};

impl World {
    /// A peer goes; the others hear of it after `notice` milliseconds each, drawn anew.
    pub fn leave(&mut self, peer: PeerId, notice: (u64, u64)) {
        if let Some(gone) = self.peers.get_mut(&peer) {
            gone.alive = false;
        }
        for other in self.alive() {
            self.cut(peer, other, notice);
        }
    }

    /// A link closes; its ends hear of it after `notice` milliseconds each.
    pub fn cut(&mut self, a: PeerId, b: PeerId, notice: (u64, u64)) {
        if self.network.close(a, b) {
            for (peer, other) in [(a, b), (b, a)] {
                let at = self.dice.range(notice.0, notice.1);
                self.later(at, Happening::Learn(peer, other));
            }
        }
    }

    /// A link carries nothing for now, or carries everything again.
    pub fn silence(&mut self, a: PeerId, b: PeerId, silent: bool) {
        for parcel in self.network.silence(a, b, silent) {
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

    /// A device is lost, and ready again after `back` milliseconds.
    pub fn lose_device(&mut self, peer: PeerId, back: u64) {
        let Some(loser) = self.peers.get_mut(&peer).filter(|peer| peer.device.working) else {
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

    /// Everything ordinary from now on: all links open, everybody awake.
    pub fn heal(&mut self) {
        self.weather = Weather::default();
        let alive = self.alive();
        for &peer in &alive {
            self.sleep(peer, false);
            self.command(peer, Command::Share(true));
            self.command(peer, Command::Hidden(false));
            self.peers.entry(peer).and_modify(|peer| peer.device.layer_micros = peer.spec.layer_micros);
        }
        for (at, &a) in alive.iter().enumerate() {
            for &b in &alive[at + 1..] {
                self.silence(a, b, false);
                self.link(a, b);
            }
        }
    }
}
