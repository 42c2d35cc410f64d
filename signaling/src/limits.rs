//! Every bound of the server, with unit and source.

use std::time::Duration;

/// The bounds of one running server. `Default` is what the binary runs with; tests make them small.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Bytes of one message from a peer. Source: a sealed offer with a hundred candidates is about 20 KB.
    pub message_bytes: usize,
    /// Messages one peer may send at once. Source: joining a room of 64 takes about ten to each of 63 peers.
    pub burst: u32,
    /// Messages a second that one peer may send after its burst. Source: guess; ten peers a second can join it.
    pub messages_per_second: u32,
    /// Messages that are not signaling, from one peer, before it is shown out. Source: guess.
    pub nonsense: u32,
    /// Bytes that wait for one peer. Source: twice what 63 newcomers at once send it (63 × 10 × 4 KB).
    pub outbox_bytes: usize,
    /// Peers in one room. Source: guess; each page of a full mesh has a connection to each of the others.
    pub peers_per_room: usize,
    /// Rooms. Source: guess; about 1 KB each while they exist.
    pub rooms: usize,
    /// HTTP connections at once. Source: guess; each lasts for seconds only.
    pub connections: usize,
    /// Sockets at once, in all rooms together. Source: with `connections` inside the 65,536 descriptors of a small VM.
    pub sockets: usize,
    /// For a request's head, and for one message to leave. Source: guess; far more than a slow phone takes.
    pub patience: Duration,
    /// Without a word from a peer. Source: peers say something every 10 s, so that is three in a row lost.
    pub silence: Duration,
    /// For sockets to close in good order at shutdown. Source: one round trip, generously.
    pub shutdown: Duration,
}

/// Characters of a room's name. Source: `RoomLink` makes 16; people type longer ones.
pub const ROOM_NAME: usize = 64;

impl Default for Limits {
    fn default() -> Self {
        Self {
            message_bytes: 64 * 1024,
            burst: 1_000,
            messages_per_second: 100,
            nonsense: 8,
            outbox_bytes: 5 * 1024 * 1024,
            peers_per_room: 64,
            rooms: 10_000,
            connections: 8_192,
            sockets: 32_768,
            patience: Duration::from_secs(15),
            silence: Duration::from_secs(35),
            shutdown: Duration::from_secs(3),
        }
    }
}
