//! `/room/{name}`: from an HTTP request to a peer with a seat.

use crate::Shared;
use crate::limits::ROOM_NAME;
use crate::outbox::Outbox;
use crate::refusal::Refusal;
use crate::topology::{Greeting, Seat};
use axum::extract::ws::WebSocket;
use axum::extract::{Path, State, WebSocketUpgrade};
use axum::response::{IntoResponse, Response};
use futures::StreamExt;
use matchbox_protocol::PeerId;
use matchbox_signaling::{NoCallbacks, SignalingTopology, WsStateMeta};
use uuid::Uuid;

/// The handler. matchbox_signaling's own would read messages of 64 MiB before anybody could refuse them, so the
/// upgrade is made here, with our bounds.
pub(crate) async fn upgrade(
    State(shared): State<Shared>,
    Path(room): Path<String>,
    upgrade: WebSocketUpgrade,
) -> Response {
    if !is_room_name(&room) {
        shared.rooms.refused(Refusal::RoomName);
        return Refusal::RoomName.into_response();
    }
    let Ok(place) = shared.sockets.clone().try_acquire_owned() else {
        shared.rooms.refused(Refusal::ServerFull);
        return Refusal::ServerFull.into_response();
    };
    let bytes = shared.limits.message_bytes;
    upgrade
        .max_message_size(bytes)
        .max_frame_size(bytes)
        .on_failed_upgrade(|error| tracing::debug!(%error, "no upgrade"))
        .on_upgrade(async move |socket| {
            seat(shared, room, socket).await;
            drop(place);
        })
}

/// Whether `name` names a room: 1 to [`ROOM_NAME`] ASCII letters, digits, `-` or `_`.
#[must_use]
pub fn is_room_name(name: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    (1..=ROOM_NAME).contains(&name.len()) && name.bytes().all(allowed)
}

async fn seat(shared: Shared, room: String, socket: WebSocket) {
    let (sink, receiver) = socket.split();
    let outbox = Outbox::spawn(sink, &shared.limits);
    let seat = Seat {
        rooms: shared.rooms,
        outbox: outbox.clone(),
        limits: shared.limits,
        shutdown: shared.shutdown,
    };
    Greeting::state_machine(WsStateMeta {
        room,
        peer_id: PeerId(Uuid::new_v4()),
        sender: outbox.channel(),
        receiver,
        callbacks: NoCallbacks::default(),
        state: seat,
    })
    .await;
}

#[cfg(test)]
mod tests {
    use super::is_room_name;

    #[test]
    fn room_names() {
        let rows = [
            ("a", true, "shortest"),
            ("Quiet-river_42", true, "every kind of character"),
            (&"x".repeat(64), true, "longest"),
            (&"x".repeat(65), false, "one too long"),
            ("", false, "empty"),
            ("a b", false, "a space"),
            ("a/b", false, "a path"),
            ("..", false, "a directory"),
            ("é", false, "not ASCII"),
            ("a\0", false, "a control character"),
        ];
        for (name, valid, why) in rows {
            assert_eq!(is_room_name(name), valid, "{why}");
        }
    }
}
