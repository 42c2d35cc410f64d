//! What goes into the swarm and what comes out.

use super::blocks::Blocks;
use super::message::Message;
use crate::ids::PeerId;
use serde::{Deserialize, Serialize};
use std::fmt;

/// A model by its content: the hash of its manifest's root.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Content(pub [u8; 32]);

impl fmt::Debug for Content {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().take(4).try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// One of the places outside the room that a content's files can be read from, as the caller counts them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct OriginId(pub u8);

/// Where a block comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Source {
    /// Somebody in the room.
    Peer(PeerId),
    /// A place outside.
    Origin(OriginId),
}

/// What the person allows to be given away.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Sharing {
    /// Nothing, and nobody is told what is here.
    Off,
    /// Whatever others ask for.
    #[default]
    On,
    /// As much as this in a second.
    Metered {
        /// Bytes a second.
        bytes_per_s: u64,
    },
}

/// What became of a block that was to be checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Verdict {
    /// It is what its hash says, and it is in the store.
    Kept,
    /// It is not what its hash says.
    Wrong,
    /// It is, but the store has no room.
    NoRoom,
    /// It is, but nobody wants it any more.
    Unwanted,
}

/// Everything that can happen.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Input {
    /// Time passed; nothing else happened.
    Tick,
    /// A data channel to this peer is open.
    PeerUp(PeerId),
    /// The data channel to this peer is closed.
    PeerDown(PeerId),
    /// A message arrived. It may be hostile.
    Received {
        /// Who sent it.
        from: PeerId,
        /// What.
        message: Message,
    },
    /// This peer wants to open a content, and needs its root.
    Seek(Content),
    /// What came of [`Output::CheckRoot`].
    RootChecked {
        /// Of which content.
        content: Content,
        /// Who sent it.
        from: PeerId,
        /// Whether it is what the content's name says.
        right: bool,
    },
    /// This peer takes part in a content.
    Open {
        /// Which.
        content: Content,
        /// One past the last number of its pages and blocks.
        numbers: u32,
        /// Bytes that a block of it has at most.
        block_bytes: u32,
        /// What of it is in the store already.
        have: Blocks,
    },
    /// The store turns out to have these as well.
    Found {
        /// Of which content.
        content: Content,
        /// Which.
        blocks: Blocks,
    },
    /// It takes part no longer. What is in the store stays there.
    Close(Content),
    /// The blocks that are needed; they take the place of what was needed before.
    Want {
        /// Of which content.
        content: Content,
        /// Which.
        blocks: Blocks,
    },
    /// How many blocks beyond its own needs this peer may fetch so that they do not get lost to the room; 0 at first.
    Spare {
        /// Of which content.
        content: Content,
        /// How many.
        blocks: u32,
    },
    /// An origin can be reached, or not any more.
    Origin {
        /// For which content.
        content: Content,
        /// Which of its origins.
        origin: OriginId,
        /// Whether it can be reached.
        up: bool,
        /// True if the room shares its cost: each block is fetched by one peer. False for a person's own files.
        shared: bool,
    },
    /// What came of [`Output::Fetch`]. [`Input::Checked`] follows if a block came: whoever reads it checks it as well.
    Fetched {
        /// Of which content.
        content: Content,
        /// From where.
        origin: OriginId,
        /// Which block.
        number: u32,
        /// How many bytes came, or why there are none.
        result: Result<u32, String>,
    },
    /// What came of [`Output::Check`].
    Checked {
        /// Of which content.
        content: Content,
        /// Which block.
        number: u32,
        /// Where it came from.
        from: Source,
        /// What became of it.
        verdict: Verdict,
    },
    /// What came of [`Output::Serve`]: the block is with the transport, or could not be read.
    Served {
        /// For whom.
        to: PeerId,
        /// Of which content.
        content: Content,
        /// Which block.
        number: u32,
        /// How many bytes; None if it is not in the store after all.
        bytes: Option<u32>,
    },
    /// The store let these go.
    Evicted {
        /// Of which content.
        content: Content,
        /// Which.
        blocks: Blocks,
    },
    /// What the person allows to be given away.
    Sharing(Sharing),
    /// Whether the person wants nothing new to be fetched for now. What is on its way still comes.
    Pause(bool),
    /// Whether activations are on their way: nothing new is sent then.
    Busy(bool),
}

/// Everything that the caller has to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    /// Send a message on [`Message::lane`].
    Send {
        /// To whom.
        to: PeerId,
        /// What.
        message: Message,
    },
    /// Read a block from an origin; answer with [`Input::Fetched`], compare it with its hash and store it, and answer with
    /// [`Input::Checked`].
    Fetch {
        /// Of which content.
        content: Content,
        /// From where.
        origin: OriginId,
        /// Which block.
        number: u32,
    },
    /// Stop reading it; an answer is not needed any more.
    Abort {
        /// Of which content.
        content: Content,
        /// From where.
        origin: OriginId,
        /// Which block.
        number: u32,
    },
    /// Compare a block with its hash and store it; answer with [`Input::Checked`].
    Check {
        /// Of which content.
        content: Content,
        /// Which block.
        number: u32,
        /// Where it came from.
        from: Source,
        /// As they came.
        bytes: Vec<u8>,
    },
    /// Read a block from the store and send it as [`Message::Block`]; answer with [`Input::Served`] when the transport has
    /// taken it.
    Serve {
        /// To whom.
        to: PeerId,
        /// Of which content.
        content: Content,
        /// Which block.
        number: u32,
    },
    /// Compare what came with the content's name, and answer with [`Input::RootChecked`].
    CheckRoot {
        /// Of which content.
        content: Content,
        /// Who sent it.
        from: PeerId,
        /// As they came.
        bytes: Vec<u8>,
    },
    /// Send the content's root as [`Message::Root`].
    ServeRoot {
        /// To whom.
        to: PeerId,
        /// Of which content.
        content: Content,
    },
    /// Tell the person.
    Event(Event),
}

/// What the person may want to see.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// So many of the others take part in a content now.
    Held {
        /// In which.
        content: Content,
        /// How many.
        peers: u32,
    },
    /// A block is in the store.
    Got {
        /// Of which content.
        content: Content,
        /// Which.
        number: u32,
        /// Where it came from.
        from: Source,
        /// How many bytes.
        bytes: u32,
    },
    /// Nothing that is wanted is missing.
    Complete(Content),
    /// A source sent what its hash does not say. It is not asked again.
    Lied {
        /// Which.
        source: Source,
        /// Of which content.
        content: Content,
        /// Which block; None for its root.
        number: Option<u32>,
    },
    /// A source did not answer in time. It is not asked for a while.
    Stalled {
        /// Which.
        source: Source,
        /// For how many milliseconds.
        rests_ms: u64,
    },
    /// An origin failed, and why.
    Failed {
        /// Which.
        origin: OriginId,
        /// In plain words.
        reason: String,
    },
    /// The store has no room for what is wanted.
    NoRoom(Content),
    /// A message was dropped, and why.
    Dropped {
        /// Who sent it.
        from: PeerId,
        /// Named reason.
        reason: &'static str,
    },
}
