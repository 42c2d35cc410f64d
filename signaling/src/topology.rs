//! What one peer's socket does from its first message to its last.
//!
//! matchbox's own full mesh clones the state of all rooms for every join and never frees a room; this topology
//! speaks the same protocol. A newcomer is announced to those who are there, and they greet it: who dials whom is
//! for the peers to decide, because the server cannot read who they are.

use crate::bucket::Bucket;
use crate::limits::Limits;
use crate::outbox::Outbox;
use crate::refusal::Refusal;
use crate::rooms::{Rooms, text};
use async_trait::async_trait;
use axum::extract::ws::{Message, WebSocket};
use futures::StreamExt;
use futures::stream::SplitStream;
use matchbox_protocol::{JsonPeerEvent, PeerId, PeerRequest};
use matchbox_signaling::common_logic::parse_request;
use matchbox_signaling::{ClientRequestError, NoCallbacks, SignalingState, SignalingTopology, WsStateMeta};
use std::sync::Arc;
use std::time::Instant;
use tokio::sync::watch;
use tokio::time::timeout;

/// One peer's place at the server.
#[derive(Clone, Debug)]
pub(crate) struct Seat {
    pub(crate) rooms: Rooms,
    pub(crate) outbox: Outbox,
    pub(crate) limits: Arc<Limits>,
    pub(crate) shutdown: watch::Receiver<bool>,
}

impl SignalingState for Seat {}

/// The topology: a room whose peers may each write to any other.
#[derive(Debug)]
pub(crate) struct Greeting;

#[async_trait]
impl SignalingTopology<NoCallbacks, Seat> for Greeting {
    async fn state_machine(upgrade: WsStateMeta<NoCallbacks, Seat>) {
        let WsStateMeta { room, peer_id, receiver, state: seat, .. } = upgrade;
        seat.outbox.push(text(&JsonPeerEvent::IdAssigned(peer_id)));
        let ended = match seat.rooms.join(&room, peer_id, seat.outbox.clone(), &seat.limits) {
            Ok(()) => attend(&seat, &room, peer_id, receiver).await,
            Err(refusal) => Some(refusal),
        };
        seat.rooms.leave(&room, peer_id);
        if let Some(refusal) = ended {
            seat.rooms.refused(refusal);
            tracing::info!(peer = %peer_id, why = refusal.name(), "socket ended");
            seat.outbox.push(refusal.close());
        }
    }
}

/// Runs until the peer leaves (None) or is shown out.
async fn attend(
    seat: &Seat,
    room: &str,
    peer: PeerId,
    mut incoming: SplitStream<WebSocket>,
) -> Option<Refusal> {
    let limits = &seat.limits;
    let mut bucket = Bucket::new(limits.burst, limits.messages_per_second, Instant::now());
    let mut nonsense = 0;
    let mut shutdown = seat.shutdown.clone();
    loop {
        let message = tokio::select! {
            message = timeout(limits.silence, incoming.next()) => message,
            full = seat.outbox.ended() => return full.then_some(Refusal::TooSlow),
            _ = shutdown.wait_for(|now| *now) => return Some(Refusal::Shutdown),
        };
        let Ok(message) = message else {
            return Some(Refusal::Silent);
        };
        if !bucket.take(Instant::now()) {
            return Some(Refusal::TooFast);
        }
        match heard(message?) {
            Heard::Signal(receiver, data) => {
                let event = JsonPeerEvent::Signal { sender: peer, data };
                seat.rooms.relay(room, receiver, &event);
            }
            Heard::Nothing => {}
            Heard::Nonsense if nonsense < limits.nonsense => nonsense += 1,
            Heard::Nonsense => return Some(Refusal::Nonsense),
            Heard::TooLarge => return Some(Refusal::TooLarge),
            Heard::End => return None,
        }
    }
}

enum Heard {
    Signal(PeerId, serde_json::Value),
    Nothing,
    Nonsense,
    TooLarge,
    End,
}

fn heard(message: Result<Message, axum::Error>) -> Heard {
    match parse_request(message) {
        Ok(PeerRequest::Signal { receiver, data }) => Heard::Signal(receiver, data),
        Ok(PeerRequest::KeepAlive) => Heard::Nothing,
        Err(ClientRequestError::UnsupportedType(Message::Ping(_) | Message::Pong(_))) => Heard::Nothing,
        Err(ClientRequestError::UnsupportedType(_) | ClientRequestError::Json(_)) => Heard::Nonsense,
        Err(ClientRequestError::Axum(error)) if too_large(&error) => Heard::TooLarge,
        Err(ClientRequestError::Axum(_) | ClientRequestError::Close) => Heard::End,
    }
}

// axum wraps tungstenite's error without naming its type.
fn too_large(error: &axum::Error) -> bool {
    error.to_string().contains("too long")
}
