//! What one call of `handle` has to say: outputs for the caller, and messages of this peer to itself.

use crate::ids::PeerId;
use crate::io::{Event, Output};
use crate::wire::{self, Message};
use std::collections::VecDeque;

/// Collects outputs. A message to this peer never leaves it; the coordinator takes it in before it returns.
#[derive(Debug)]
pub struct Outbox {
    me: PeerId,
    outputs: Vec<Output>,
    own: VecDeque<Message>,
}

impl Outbox {
    /// An empty one for peer `me`.
    pub const fn new(me: PeerId) -> Self {
        Self { me, outputs: Vec::new(), own: VecDeque::new() }
    }

    /// Sends `message` to one peer, which may be this one.
    pub fn send(&mut self, to: PeerId, message: Message) {
        if to == self.me {
            self.own.push_back(message);
        } else {
            self.outputs.push(Output::Send { to, lane: message.lane(), bytes: wire::encode(&message) });
        }
    }

    /// Sends `message` to each of `peers`, encoded once; this peer is left out.
    pub fn broadcast(&mut self, peers: impl IntoIterator<Item = PeerId>, message: &Message) {
        let bytes = wire::encode(message);
        for to in peers.into_iter().filter(|&to| to != self.me) {
            self.outputs.push(Output::Send { to, lane: message.lane(), bytes: bytes.clone() });
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
}
