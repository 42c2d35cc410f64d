//! What can be done to others by way of a relay.

use crate::dropped;
use crate::room::{BO, EVE, ME, Room, pulse, sees};
use coordinator::wire::{self, Message};
use coordinator::{Event, Input, Output, PeerId, limits};

/// A peer that only Eve says she sees.
const CY: PeerId = PeerId(9);

fn relayed(from: PeerId, message: &Message) -> Message {
    Message::Relayed { from, bytes: wire::encode(message) }
}

fn hello(version: u8) -> Message {
    Message::Hello { version, oldest: version, name: "x".into() }
}

/// A room in which Eve sees everybody, and Cy besides.
fn room() -> Room {
    let mut room = Room::new();
    room.receive(EVE, &sees(&[ME, BO, CY]));
    room
}

/// How many messages go out to `peer`.
fn to(peer: PeerId, outputs: &[Output]) -> usize {
    outputs.iter().filter(|output| matches!(output, Output::Send { to, .. } if *to == peer)).count()
}

#[test]
fn who_may_pass_on_what() {
    let nested = relayed(CY, &relayed(BO, &hello(wire::VERSION)));
    let forged = Message::Relay { to: BO, bytes: wire::encode(&relayed(ME, &hello(wire::VERSION))) };
    let rows = [
        (relayed(CY, &hello(wire::VERSION)), "", "a peer that she sees"),
        (relayed(PeerId(77), &hello(wire::VERSION)), "does not see", "one that she does not"),
        (relayed(ME, &hello(wire::VERSION)), "does not see", "this peer's own word"),
        (nested, "relays on the way", "a relayed message in another"),
        (forged, "relays on the way", "one made to look as if this peer had passed it on"),
        (Message::Relay { to: CY, bytes: vec![] }, "not seen here", "to a peer that this one does not see"),
        (Message::Relay { to: PeerId(77), bytes: vec![] }, "not seen here", "or that nobody sees"),
        (Message::Relayed { from: CY, bytes: vec![1, 99, 0] }, "no message of kind", "rubbish"),
    ];
    for (message, name, why) in rows {
        let mut room = room();
        let outputs = room.receive(EVE, &message);
        let reason = dropped(&outputs).unwrap_or_default();
        let same = if name.is_empty() { reason.is_empty() } else { reason.contains(name) };
        assert!(same, "{why}: dropped as {reason:?}, not as {name:?}");
    }
}

#[test]
fn a_relay_has_a_budget_for_each_peer() {
    const BYTES: usize = 48 * 1024;
    let mut room = room();
    let flood = Message::Relay { to: BO, bytes: vec![0; BYTES] };
    let passed: usize = (0..200).map(|_| to(BO, &room.receive(EVE, &flood))).sum();
    assert_eq!(passed, limits::RELAY_BYTES_PER_S / BYTES, "then it is enough");
    let small = Message::Relay { to: EVE, bytes: wire::encode(&hello(wire::VERSION)) };
    assert_eq!(to(EVE, &room.receive(BO, &small)), 1, "Bo has a budget of its own");
    room.wait(limits::PULSE_MS);
    assert_eq!(to(BO, &room.receive(EVE, &flood)), 1, "and a new second has come");
}

#[test]
fn a_relayed_peer_talks_only_while_the_relay_does() {
    let mut room = room();
    room.wait(limits::RELAY_AFTER_MS);
    room.receive(EVE, &relayed(CY, &hello(wire::VERSION)));
    let outputs = room.receive(EVE, &relayed(CY, &Message::Pulse(pulse())));
    assert_eq!(dropped(&outputs), None, "it is greeted");
    let outputs = room.give(Input::Received { from: CY, bytes: wire::encode(&Message::Pulse(pulse())) });
    let unknown = |output: &Output| matches!(output, Output::Event(Event::Dropped { from: CY, .. }));
    assert!(outputs.iter().any(unknown), "there is no channel to it");
    room.give(Input::PeerDown(EVE));
    let outputs = room.receive(EVE, &relayed(CY, &Message::Pulse(pulse())));
    assert!(dropped(&outputs).is_some_and(|reason| reason.contains("no channel")), "nor to the relay");
}
