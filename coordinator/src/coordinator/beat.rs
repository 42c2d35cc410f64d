//! What this peer tells everyone: that it lives, and what it is.

use super::Coordinator;
use crate::ids::PeerId;
use crate::limits;
use crate::wire::{self, Message, Pulse};

impl Coordinator {
    /// Tells everyone what this peer says of itself, if that has changed. It goes before any pulse, so that whoever
    /// hears that this peer knows a plan has heard what it holds.
    pub(super) fn tell_report(&mut self) {
        self.members.report_fitness();
        // Links open and close by the dozen when people come and go.
        if self.now >= self.links_at && self.members.report_links(self.now) {
            self.links_at = self.now.after(limits::LINKS_MS);
        }
        if self.members.own == self.told {
            return;
        }
        self.members.own.version = self.members.own.version.wrapping_add(1);
        self.told = self.members.own.clone();
        self.out.broadcast(self.members.known(), &Message::Report(Box::new(self.told.clone())));
    }

    pub(super) fn send_pulses(&mut self) {
        self.pulse_at = self.now.after(limits::PULSE_MS);
        self.election.beat(self.now);
        self.tell_report();
        for peer in self.members.all() {
            self.pulse_to(peer);
        }
        for peer in self.members.routes().into_keys() {
            self.send_pulse_by_relay(peer);
        }
    }

    /// A pulse over the peer's own channel.
    pub(super) fn send_pulse(&mut self, peer: PeerId) {
        self.tell_report();
        self.pulse_to(peer);
    }

    fn pulse_to(&mut self, peer: PeerId) {
        let pulse = self.pulse_for(peer, false);
        self.members.sent(self.now, peer, false);
        self.out.send_direct(peer, &Message::Pulse(pulse));
    }

    /// A relay may come and go, so every pulse over it is preceded by a Hello.
    pub(super) fn send_pulse_by_relay(&mut self, peer: PeerId) {
        let name = self.members.own.name.clone();
        self.out.send(peer, Message::Hello { version: wire::VERSION, oldest: wire::OLDEST, name });
        let pulse = self.pulse_for(peer, true);
        self.members.sent(self.now, peer, true);
        self.out.send(peer, Message::Pulse(pulse));
    }

    fn pulse_for(&self, peer: PeerId, relayed: bool) -> Pulse {
        Pulse {
            sent: self.now.0,
            echo: self.members.echo(self.now, peer, relayed),
            following: self.election.current(),
            trust: self.election.trust(self.now),
            plan: self.members.own_plan,
            report: self.members.own.version,
            age_s: self.members.age_s(self.now, self.me),
        }
    }
}
