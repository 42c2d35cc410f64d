//! Who is in which room, and what went wrong how often: everything that the server knows.

use crate::limits::Limits;
use crate::outbox::Outbox;
use crate::refusal::Refusal;
use axum::extract::ws::Message;
use matchbox_protocol::{JsonPeerEvent, PeerId};
use serde::Serialize;
use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The rooms of one server; cheap to clone. A room exists while somebody is in it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Rooms {
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    rooms: Mutex<HashMap<String, HashMap<PeerId, Outbox>>>,
    refused: [AtomicU64; Refusal::ALL.len()],
}

/// Counts for `/api/health`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Counts {
    /// Rooms with somebody in them.
    pub rooms: usize,
    /// Sockets in rooms.
    pub peers: usize,
    /// Refusals since the start, by name; only those that happened.
    pub refused: BTreeMap<&'static str, u64>,
}

impl Rooms {
    /// Adds a peer and tells the others of its room, who are to greet it.
    pub(crate) fn join(
        &self,
        room: &str,
        peer: PeerId,
        outbox: Outbox,
        limits: &Limits,
    ) -> Result<(), Refusal> {
        let mut rooms = self.lock();
        if !rooms.contains_key(room) && rooms.len() >= limits.rooms {
            return Err(Refusal::ServerFull);
        }
        let members = rooms.entry(room.to_owned()).or_default();
        if members.len() >= limits.peers_per_room {
            return Err(Refusal::RoomFull);
        }
        tell(members, &JsonPeerEvent::NewPeer(peer));
        members.insert(peer, outbox);
        Ok(())
    }

    /// Removes a peer, tells the others, and forgets the room if it was the last.
    pub(crate) fn leave(&self, room: &str, peer: PeerId) {
        let mut rooms = self.lock();
        let Some(members) = rooms.get_mut(room) else {
            return;
        };
        if members.remove(&peer).is_none() {
            return;
        }
        if members.is_empty() {
            rooms.remove(room);
        } else {
            tell(members, &JsonPeerEvent::PeerLeft(peer));
        }
    }

    /// Hands a message to a peer of this room. A receiver that is not in the room is no error: it has just left.
    pub(crate) fn relay(&self, room: &str, receiver: PeerId, event: &JsonPeerEvent) {
        let outbox = self.lock().get(room).and_then(|members| members.get(&receiver)).cloned();
        if let Some(outbox) = outbox {
            outbox.push(text(event));
        }
    }

    /// Counts a refusal.
    pub(crate) fn refused(&self, refusal: Refusal) {
        self.shared.refused[refusal.index()].fetch_add(1, Ordering::Relaxed);
    }

    /// Everything that may be told about the server.
    pub(crate) fn counts(&self) -> Counts {
        let rooms = self.lock();
        let counted = |refusal: Refusal| self.shared.refused[refusal.index()].load(Ordering::Relaxed);
        Counts {
            rooms: rooms.len(),
            peers: rooms.values().map(HashMap::len).sum(),
            refused: Refusal::ALL
                .into_iter()
                .map(|refusal| (refusal.name(), counted(refusal)))
                .filter(|(_, count)| *count > 0)
                .collect(),
        }
    }

    // A panic elsewhere while the lock was held cannot have left a room half changed: use it all the same.
    fn lock(&self) -> MutexGuard<'_, HashMap<String, HashMap<PeerId, Outbox>>> {
        self.shared.rooms.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// An event as a message.
pub(crate) fn text(event: &JsonPeerEvent) -> Message {
    Message::Text(event.to_string().into())
}

fn tell(members: &HashMap<PeerId, Outbox>, event: &JsonPeerEvent) {
    let message = text(event);
    for outbox in members.values() {
        outbox.push(message.clone());
    }
}
