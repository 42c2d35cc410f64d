//! Every bound of the transport, with unit and source.

use coordinator::io::Lane;
use coordinator::limits::{BULK_BYTES, CONTROL_BYTES};

/// Bytes of the largest frame. Source: measured; larger ones are no faster, and one of 256 KiB blocks the other
/// channel while it is sent (no SCTP interleaving in browsers).
pub const FRAME_BYTES: usize = 16 * 1024;
/// Bytes of the largest frame that carries a part of a hidden state. Source: the issue; four SCTP packets of 1,150
/// bytes, which leave in one burst of a fresh connection.
pub const SLICE_BYTES: usize = 4_600;
/// Bytes of a frame that are not payload, at most. Source: postcard's longest encoding of the fields of a slice.
pub const HEADER_BYTES: usize = 32;
/// Bytes of payload in every slice but a message's last. Source: guess; keeps a hostile sender from cutting a
/// message into millions of pieces.
pub const SLICE_MIN: usize = 1_024;

/// Milliseconds without a word from a peer after which it is asked for one. Source: guess.
pub const PING_MS: u64 = 2_500;
/// Milliseconds without a word after which a peer counts as lost. Source: four pings; a hidden tab answers within
/// one second or two.
pub const SILENT_MS: u64 = 12_000;
/// The same, once the signaling server has said that the peer left it. Source: guess; a living peer answers a ping
/// in one round trip.
pub const DOUBT_MS: u64 = 1_000;
/// Faulty frames after which a peer is shown out. Source: guess.
pub const STRIKES: u32 = 16;

/// Characters of one signaling message. Source: the server's own bound.
pub const SIGNAL_BYTES: usize = 64 * 1024;
/// Bytes of an offer or answer. Source: Chromium's are 2 KB, with a hundred candidates 12 KB.
pub const SDP_BYTES: usize = 32 * 1024;
/// Bytes of one ICE candidate as JSON. Source: real ones are under 400.
pub const CANDIDATE_BYTES: usize = 2 * 1024;
/// ICE candidates of one connection. Source: guess; a laptop with VPNs has 20.
pub const CANDIDATES: u32 = 128;
/// Signaling ids known at once. Source: four times a full room, for those that reconnect.
pub const MEMBERS: usize = 4 * coordinator::limits::PEERS;
/// Peers ever met while the page is open. Source: guess; 100 bytes each.
pub const CONTACTS: usize = 4_096;
/// Connections ever begun while the page is open. Source: measured; Chromium allows 494, and matchbox closes none.
pub const LINKS: usize = 400;
/// Milliseconds that a handshake may take. Source: guess; a TURN server on another continent takes 5 s.
pub const HANDSHAKE_MS: u64 = 15_000;
/// Handshakes with one peer that may fail before it is said. Source: guess.
pub const HANDSHAKE_TRIES: u32 = 3;
/// Milliseconds without a word from the signaling server after which its socket counts as lost. Source: it answers
/// an echo every 10 s, so that is three lost.
pub const SERVER_SILENT_MS: u64 = 35_000;
/// Milliseconds before the second try to reach the signaling server; doubles with each further one.
/// Source: guess.
pub const RETRY_MS: u64 = 500;
/// Milliseconds between two tries at most. Source: guess; a restarted server is found again within half a minute.
pub const RETRY_MAX_MS: u64 = 30_000;
/// Milliseconds for one try. Source: guess.
pub const CONNECT_MS: u64 = 10_000;
/// Notes of the signaling task that wait for the driver. Source: guess; the task waits when it is full.
pub const NOTES: usize = 64;

/// The bounds of one lane between two peers.
#[derive(Clone, Copy, Debug)]
pub struct LaneLimits {
    /// Bytes of one message.
    pub message: usize,
    /// Bytes of one frame.
    pub frame: usize,
    /// Bytes sent and not yet acknowledged.
    pub window: usize,
    /// Messages whose frames are sent in turn. 1 keeps them in order.
    pub open: usize,
    /// Bytes of messages that wait to be sent.
    pub queue: usize,
    /// Bytes of unfinished messages that a receiver keeps.
    pub unfinished: usize,
}

/// Source: an ordered lane, one message at a time; a queue for a burst of 64 large ones.
pub const CONTROL: LaneLimits = LaneLimits {
    message: CONTROL_BYTES,
    frame: FRAME_BYTES,
    window: 256 * 1024,
    open: 1,
    queue: 64 * CONTROL_BYTES,
    unfinished: 2 * CONTROL_BYTES,
};

/// Source: the window is the issue's; 16 messages in turn, so that a small one waits for 16 slices (70 KB) at most;
/// a queue for two of the largest; unfinished: those that a sender has open, and twice as much for those whose last
/// slice was overtaken.
pub const BULK: LaneLimits = LaneLimits {
    message: BULK_BYTES,
    frame: SLICE_BYTES,
    window: 1024 * 1024,
    open: 16,
    queue: 2 * BULK_BYTES,
    unfinished: 3 * BULK_BYTES,
};

/// The limits of `lane`.
#[must_use]
pub const fn of(lane: Lane) -> &'static LaneLimits {
    match lane {
        Lane::Control => &CONTROL,
        Lane::Bulk => &BULK,
    }
}
