//! What peers say to each other about blocks.

use super::blocks::Blocks;
use super::io::Content;
use crate::io::Lane;
use crate::limits;
use crate::wire::bounded;
use serde::{Deserialize, Serialize};

/// One message. The last two, which carry contents, travel on the bulk lane, all others on control.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Message {
    /// The sender takes part in this content: tell it everything from now on.
    Join(Content),
    /// The sender takes part no longer.
    Leave(Content),
    /// Something about the sender.
    Tell {
        /// Of what.
        content: Content,
        /// What it says of them.
        fact: Fact,
        /// Which blocks.
        blocks: Blocks,
    },
    /// Send these blocks, in any order. Each is answered once, by [`Message::Block`] or [`Message::Refuse`].
    Ask {
        /// Of what.
        content: Content,
        /// Which; `SWARM_WINDOW` at most are open at a time.
        blocks: Blocks,
    },
    /// These are not needed any more, unless they are on their way already.
    Withdraw {
        /// Of what.
        content: Content,
        /// Which.
        blocks: Blocks,
    },
    /// The sender does not send these.
    Refuse {
        /// Of what.
        content: Content,
        /// Which.
        blocks: Blocks,
        /// Why not.
        why: Refusal,
    },
    /// Send the content's root. Answered by [`Message::Root`] or [`Message::NoRoot`].
    AskRoot(Content),
    /// The sender does not send it, or not now.
    NoRoot(Content),
    /// The root of a content, whose hash is the content's name.
    Root {
        /// Of what.
        content: Content,
        /// Its bytes.
        #[serde(deserialize_with = "root_bytes", serialize_with = "serde_bytes::serialize")]
        bytes: Vec<u8>,
    },
    /// A block.
    Block {
        /// Of what.
        content: Content,
        /// Which.
        number: u32,
        /// Its bytes.
        #[serde(deserialize_with = "bytes", serialize_with = "serde_bytes::serialize")]
        bytes: Vec<u8>,
    },
}

/// The first of the variants on the bulk lane, as it is encoded; those behind it are as well.
pub const BULK: u8 = 8;

fn root_bytes<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Vec<u8>, D::Error> {
    bounded::bytes::<D, { limits::ROOT_BYTES }>(deserializer)
}

fn bytes<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Vec<u8>, D::Error> {
    bounded::bytes::<D, { limits::BLOCK_BYTES }>(deserializer)
}

/// What a peer says of itself and some blocks. Facts add up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Fact {
    /// It has them, and gives them away.
    Has,
    /// It has them no longer.
    Lost,
    /// It wants them, and can reach the origin for them.
    Seeks,
    /// It does not any more.
    Rests,
    /// It is fetching them from the origin right now. Said again while it lasts.
    Fetches,
}

/// Why a peer does not send what it was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Refusal {
    /// It does not have it.
    Gone,
    /// Its line is busy, or its person's limit is reached: later, perhaps.
    Busy,
}

impl Message {
    /// The channel that it takes.
    #[must_use]
    pub const fn lane(&self) -> Lane {
        match self {
            Self::Root { .. } | Self::Block { .. } => Lane::Bulk,
            _ => Lane::Control,
        }
    }

    /// What it is about.
    #[must_use]
    pub const fn content(&self) -> Content {
        match self {
            Self::Join(content)
            | Self::Leave(content)
            | Self::AskRoot(content)
            | Self::NoRoot(content)
            | Self::Root { content, .. }
            | Self::Tell { content, .. }
            | Self::Ask { content, .. }
            | Self::Withdraw { content, .. }
            | Self::Refuse { content, .. }
            | Self::Block { content, .. } => *content,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_fit_their_lanes() {
        let content = Content([7; 32]);
        let worst: Blocks = (0..limits::SWARM_RUNS as u32).map(|run| run * 300..run * 300 + 150).collect();
        let tell = Message::Tell { content, fact: Fact::Has, blocks: worst };
        let bytes = postcard::to_stdvec(&tell).unwrap();
        assert!(bytes.len() < limits::CONTROL_BYTES, "{} bytes of runs", bytes.len());
        assert_eq!(postcard::from_bytes::<Message>(&bytes).unwrap(), tell);
        let block = |bytes| Message::Block { content, number: u32::MAX, bytes: vec![1; bytes] };
        let fitting = postcard::to_stdvec(&block(limits::BLOCK_BYTES)).unwrap();
        assert!(fitting.len() < limits::BULK_BYTES, "a block is one bulk message");
        assert_eq!(postcard::from_bytes::<Message>(&fitting).unwrap(), block(limits::BLOCK_BYTES));
        let long = postcard::to_stdvec(&block(limits::BLOCK_BYTES + 1)).unwrap();
        assert!(postcard::from_bytes::<Message>(&long).is_err(), "a block without an end");
        let root = |bytes| Message::Root { content, bytes: vec![1; bytes] };
        let bytes = postcard::to_stdvec(&root(limits::ROOT_BYTES)).unwrap();
        assert_eq!(postcard::from_bytes::<Message>(&bytes).unwrap(), root(limits::ROOT_BYTES));
        let long = postcard::to_stdvec(&root(limits::ROOT_BYTES + 1)).unwrap();
        assert!(postcard::from_bytes::<Message>(&long).is_err(), "a root without an end");
        let (ask, no) = (Message::AskRoot(content), Message::NoRoot(content));
        for (message, tag) in [(tell, 2), (ask, 6), (no, 7), (root(1), BULK), (block(1), BULK + 1)] {
            let bytes = postcard::to_stdvec(&message).unwrap();
            assert_eq!((bytes[0], message.lane() == Lane::Bulk), (tag, tag >= BULK), "{message:?}");
        }
    }
}
