//! Why the server says no: one name, one sentence and one code for each reason.

use axum::Json;
use axum::extract::ws::{CloseFrame, Message};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::Serialize;

/// A reason to refuse a peer or to end its socket.
///
/// Before the upgrade it becomes an HTTP answer. After it, a close frame, because that is all that a browser shows
/// to a page; therefore what a person can mend (a full room) is always told after the upgrade.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The room's name is not 1 to 64 letters, digits, `-` or `_`. Cure: use the link as it was given.
    RoomName,
    /// The room holds as many peers as it may. Cure: wait, or open another room.
    RoomFull,
    /// The server holds as many rooms, or sockets, as it may. Cure: come back later, or run another server.
    ServerFull,
    /// A message was larger than the bound. Cure: none for people; the client is broken.
    TooLarge,
    /// More messages a second than the bound. Cure: reconnect after a while.
    TooFast,
    /// Too many messages that are not signaling. Cure: none for people; the client is broken.
    Nonsense,
    /// The peer does not read what it is sent. Cure: reconnect.
    TooSlow,
    /// Nothing was heard of the peer for too long. Cure: reconnect.
    Silent,
    /// The server shuts down. Cure: reconnect in a moment.
    Shutdown,
}

impl Refusal {
    /// All of them, in the order of [`Refusal::index`].
    pub const ALL: [Self; 9] = [
        Self::RoomName,
        Self::RoomFull,
        Self::ServerFull,
        Self::TooLarge,
        Self::TooFast,
        Self::Nonsense,
        Self::TooSlow,
        Self::Silent,
        Self::Shutdown,
    ];

    /// Its place in [`Refusal::ALL`].
    #[must_use]
    pub const fn index(self) -> usize {
        self as usize
    }

    /// Its name in health, logs and JSON.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::RoomName => "room-name",
            Self::RoomFull => "room-full",
            Self::ServerFull => "server-full",
            Self::TooLarge => "message-too-large",
            Self::TooFast => "too-many-messages",
            Self::Nonsense => "not-signaling",
            Self::TooSlow => "reads-too-slowly",
            Self::Silent => "silent",
            Self::Shutdown => "shutting-down",
        }
    }

    /// What happened and what to do, for people.
    #[must_use]
    pub const fn reason(self) -> &'static str {
        match self {
            Self::RoomName => {
                "A room's name is 1 to 64 letters, digits, - or _. Use the link as it was given."
            }
            Self::RoomFull => "The room is full. Wait until somebody leaves, or open another room.",
            Self::ServerFull => "This server is full. Try again later.",
            Self::TooLarge => "A message was too large.",
            Self::TooFast => "Too many messages. Reconnect in a moment.",
            Self::Nonsense => "This does not speak the signaling protocol.",
            Self::TooSlow => "Messages were not read in time. Reconnect.",
            Self::Silent => "Nothing was heard for too long. Reconnect.",
            Self::Shutdown => "The server restarts. Reconnect in a moment.",
        }
    }

    /// The close code: those that RFC 6455 names, else one of its private range.
    #[must_use]
    pub const fn close_code(self) -> u16 {
        match self {
            Self::TooLarge => 1009,
            Self::Shutdown => 1001,
            Self::RoomName => 4000,
            Self::RoomFull => 4001,
            Self::ServerFull => 4002,
            Self::TooFast => 4003,
            Self::Nonsense => 4004,
            Self::TooSlow => 4005,
            Self::Silent => 4006,
        }
    }

    /// The close frame that tells it.
    pub(crate) fn close(self) -> Message {
        Message::Close(Some(CloseFrame { code: self.close_code(), reason: self.reason().into() }))
    }
}

#[derive(Serialize)]
struct Body {
    error: &'static str,
    reason: &'static str,
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let body = Body { error: self.name(), reason: self.reason() };
        let status = match self {
            Self::RoomName => StatusCode::BAD_REQUEST,
            _ => StatusCode::SERVICE_UNAVAILABLE,
        };
        (status, Json(body)).into_response()
    }
}

#[cfg(test)]
mod tests {
    use super::Refusal;

    #[test]
    fn every_refusal_has_its_own_name_and_code_and_fits_a_close_frame() {
        for (index, one) in Refusal::ALL.into_iter().enumerate() {
            assert_eq!(one.index(), index, "{}", one.name());
            assert!(one.reason().len() <= 123, "RFC 6455: 125 bytes less the code; {}", one.name());
            for other in Refusal::ALL.into_iter().skip(index + 1) {
                assert_ne!(one.name(), other.name());
                assert_ne!(one.close_code(), other.close_code());
            }
        }
    }
}
