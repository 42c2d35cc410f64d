//! What one call of `handle` has to say: outputs for the caller, and messages of this peer to itself.
//!
//! Whoever sends names a peer; how it is reached is the outbox's to know: over its channel, or wrapped up for a relay.

use crate::ids::PeerId;
use crate::io::{Event, Output};
use crate::wire::{self, Message};
use std::collections::{BTreeMap, VecDeque};

/// Collects outputs. A message to this peer never leaves it; the coordinator takes it in before it returns.
#[derive(Debug)]
pub struct Outbox {
    me: PeerId,
    outputs: Vec<Output>,
    own: VecDeque<Message>,
    /// Peers behind a relay, and which.
    routes: BTreeMap<PeerId, PeerId>,
    /// Peers that an older version was agreed with.
    versions: BTreeMap<PeerId, u8>,
}

impl Outbox {
    /// An empty one for peer `me`.
    pub const fn new(me: PeerId) -> Self {
        Self {
            me,
            outputs: Vec::new(),
            own: VecDeque::new(),
            routes: BTreeMap::new(),
            versions: BTreeMap::new(),
        }
    }

    /// How to reach those without a channel.
    pub fn set_routes(&mut self, routes: BTreeMap<PeerId, PeerId>) {
        self.routes = routes;
    }

    /// The version to speak to a peer in.
    pub fn set_version(&mut self, peer: PeerId, version: u8) {
        if version == wire::VERSION {
            self.versions.remove(&peer);
        } else {
            self.versions.insert(peer, version);
        }
    }

    /// Sends `message` to one peer, which may be this one.
    pub fn send(&mut self, to: PeerId, message: Message) {
        if to == self.me {
            self.own.push_back(message);
        } else if let Some(bytes) = wire::encode_as(&message, self.version(to)) {
            self.route(to, bytes);
        }
    }

    /// Sends `message` over the peer's own channel, whatever the routes say: that is how a channel is found to be alive
    /// again.
    pub fn send_direct(&mut self, to: PeerId, message: &Message) {
        if let Some(bytes) = wire::encode_as(message, self.version(to)) {
            self.outputs.push(Output::Send { to, lane: message.lane(), bytes });
        }
    }

    /// Sends `message` to each of `peers`, encoded once per version; this peer is left out.
    pub fn broadcast(&mut self, peers: impl IntoIterator<Item = PeerId>, message: &Message) {
        let bytes = wire::encode(message);
        let me = self.me;
        for to in peers.into_iter().filter(|&to| to != me) {
            match self.version(to) {
                wire::VERSION => self.route(to, bytes.clone()),
                older => {
                    if let Some(bytes) = wire::encode_as(message, older) {
                        self.route(to, bytes);
                    }
                }
            }
        }
    }

    /// Adds an output.
    pub fn push(&mut self, output: Output) {
        self.outputs.push(output);
    }

    /// Tells the person.
    pub fn event(&mut self, event: Event) {
        self.outputs.push(Output::Event(event));
    }

    /// Says that something of `from` was dropped.
    pub fn dropped(&mut self, from: PeerId, reason: impl Into<String>) {
        self.event(Event::Dropped { from, reason: reason.into() });
    }

    /// The next message of this peer to itself.
    pub fn next_own(&mut self) -> Option<Message> {
        self.own.pop_front()
    }

    /// Everything collected so far.
    pub fn take(&mut self) -> Vec<Output> {
        std::mem::take(&mut self.outputs)
    }

    fn version(&self, peer: PeerId) -> u8 {
        self.versions.get(&peer).copied().unwrap_or(wire::VERSION)
    }

    fn route(&mut self, to: PeerId, bytes: Vec<u8>) {
        match self.routes.get(&to).copied() {
            Some(relay) => self.send_direct(relay, &Message::Relay { to, bytes }),
            None => self.outputs.push(Output::Send { to, lane: wire::lane_of(&bytes), bytes }),
        }
    }
}
