//! Bytes between the peers of a room, over WebRTC data channels; the same natively and in a browser.
//!
//! ```text
//! driver ── Transport ── webrtc ── session (per peer) ── sending, receiving ── frames      the two channels
//!                           └──── rendezvous ── introductions ── contacts, seal, sdp       the signaling server
//!                                      └─────── line ── ws
//! ```
//!
//! Peers are named by ids of their own, [`JoinOptions::me`], which last as long as the page; what the signaling
//! server or matchbox call them stays in here. Everything left of the arrows to the outside (`session`, `sending`,
//! `receiving`, `frames`, `introductions`, `contacts`, `seal`, `sdp`) is sans-IO and tested without a network.
//!
//! What matchbox 0.15 cannot do, and what is done about it: it cannot end a connection (it is ignored from then on,
//! and said goodbye to, so that the other side ignores it too); its inner queues have no bound (a sender holds back
//! what is not acknowledged, and whoever does not is shown out); it panics on a bad description (`sdp` is strict)
//! and on a second dialling of an id (every dialling has an id of its own); its handshakes never time out (they
//! are abandoned and tried again, up to `limits::LINKS` in the life of a page).

mod contacts;
mod frames;
#[cfg(all(test, not(target_arch = "wasm32")))]
mod hostile_tests;
mod introductions;
pub mod limits;
mod line;
mod receiving;
mod rendezvous;
mod sdp;
mod seal;
mod sending;
mod session;
mod webrtc;
mod wires;
mod ws;

pub use webrtc::WebRtc;

/// Flow control alone, without a network, for the benches.
#[doc(hidden)]
pub mod flow {
    pub use super::receiving::Receiving;
    pub use super::sending::Sending;
}

use crate::link::RoomLink;
use coordinator::PeerId;
use coordinator::io::Lane;
use std::future::Future;

/// How to join a room.
#[derive(Clone, Debug)]
pub struct JoinOptions {
    /// The room, its key, and where its signaling server is.
    pub link: RoomLink,
    /// This peer's id: random, made by the caller, new for every page or process.
    pub me: PeerId,
    /// STUN and TURN servers; none is right for one machine or one LAN, and asks nobody outside.
    pub ice: IceServers,
}

/// STUN and TURN servers, as WebRTC takes them; TURN needs name and credential.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct IceServers {
    /// Such as `stun:host:3478` or `turn:host:3478`.
    pub urls: Vec<String>,
    /// For TURN.
    pub username: Option<String>,
    /// For TURN.
    pub credential: Option<String>,
}

/// What a transport tells its driver.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NetEvent {
    /// Both channels to this peer are open.
    Up(PeerId),
    /// They are closed, or it is silent. What was sent and had not arrived is lost. It may come up again.
    Down(PeerId),
    /// A whole message arrived: on the control lane in the order of sending, on the bulk lane in any order.
    /// It may be hostile.
    Message {
        /// Who sent it.
        from: PeerId,
        /// As it was sent.
        bytes: Vec<u8>,
    },
    /// The signaling server. Peers that are up stay up whatever it does.
    Signaling(SignalingState),
    /// Something unusable came in and was dropped, one event for each.
    Dropped {
        /// Who sent it, if that is certain.
        from: Option<PeerId>,
        /// Its name, one of a few dozen; `not sealed with this room's key` means that somebody in this room has
        /// a link with another key.
        reason: &'static str,
    },
}

/// The signaling server, as seen from here. The transport reconnects for ever, by itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SignalingState {
    /// The first connection is being made.
    Connecting,
    /// Newcomers can join.
    Open,
    /// Lost, or never reached.
    Lost {
        /// Milliseconds until the next try.
        retry_ms: u32,
    },
    /// The server refuses, and says why; tried again later.
    Refused(String),
}

/// Why a message was not taken. Nothing of it was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SendError {
    /// The peer is not up. Cure: drop what was meant for it.
    #[error("this peer is not connected")]
    NotConnected,
    /// Longer than `coordinator::limits` allows on this lane. Cure: split it.
    #[error("{bytes} bytes are more than the {limit} that one message may have")]
    TooLarge {
        /// What was given.
        bytes: usize,
        /// What is allowed.
        limit: usize,
    },
    /// The peer takes in less than it is sent. Cure: send less, or later.
    #[error("too much waits to be sent to this peer")]
    Full,
}

/// Why a room cannot be joined.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum JoinError {
    /// The system gave no random bytes. Cure: none but another browser or machine.
    #[error("this system gives no random numbers: {0}")]
    NoRandomness(String),
    /// The system gave no thread. Cure: close other programs.
    #[error("cannot start the network thread: {0}")]
    NoThread(String),
}

/// Bytes to and from all peers since joining, headers of frames included, those of WebRTC not.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Handed to WebRTC.
    pub sent: u64,
    /// Taken from WebRTC.
    pub received: u64,
}

/// The peers of one room, as the node's driver loop sees them.
pub trait Transport {
    /// The next event. Dropping the future loses nothing, so that it can stand in a `select!`. It must be polled
    /// for anything to move, sending included. After [`Transport::leave`] it never resolves.
    fn next(&mut self) -> impl Future<Output = NetEvent>;

    /// Queues a message for a peer that is up; never waits.
    ///
    /// # Errors
    /// See [`SendError`].
    fn send(&mut self, to: PeerId, lane: Lane, bytes: Vec<u8>) -> Result<(), SendError>;

    /// Says goodbye to everybody and to the server. Peers see [`NetEvent::Down`] at once.
    fn leave(&mut self);

    /// What went over the network so far.
    fn counters(&self) -> Counters;
}
