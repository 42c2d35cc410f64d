//! What the node's swarm and the worker's keeper of weights say to each other: the swarm decides who fetches which block from
//! whom, the keeper has the store, the hashes and the origins.

use coordinator::PeerId;
use coordinator::swarm::{Content, Input, OriginId, Output, Source};
use serde::{Deserialize, Serialize};

/// What the keeper is asked to do: the [`Output`]s of the swarm that take a store, a hash or an origin. Each is answered as is
/// said there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Errand {
    /// See [`Output::Check`].
    Check {
        /// Of which content.
        content: Content,
        /// Which block.
        number: u32,
        /// Where it came from.
        from: Source,
        /// As they came.
        #[serde(with = "serde_bytes")]
        bytes: Vec<u8>,
    },
    /// See [`Output::Serve`].
    Serve {
        /// To whom.
        to: PeerId,
        /// Of which content.
        content: Content,
        /// Which block.
        number: u32,
    },
    /// See [`Output::Fetch`].
    Fetch {
        /// Of which content.
        content: Content,
        /// From where.
        origin: OriginId,
        /// Which block.
        number: u32,
    },
    /// See [`Output::Abort`].
    Abort {
        /// Of which content.
        content: Content,
        /// From where.
        origin: OriginId,
        /// Which block.
        number: u32,
    },
    /// See [`Output::CheckRoot`].
    CheckRoot {
        /// Of which content.
        content: Content,
        /// Who sent it.
        from: PeerId,
        /// As they came.
        #[serde(with = "serde_bytes")]
        bytes: Vec<u8>,
    },
    /// See [`Output::ServeRoot`].
    ServeRoot {
        /// To whom.
        to: PeerId,
        /// Of which content.
        content: Content,
    },
    /// The person allows so many bytes to be kept; answered by [`News::Kept`].
    Allow(u64),
    /// The person wants nothing to be kept any more; answered by [`News::Kept`].
    Clear,
}

impl TryFrom<Output> for Errand {
    type Error = Output;

    /// Gives back what is for others to do.
    fn try_from(output: Output) -> Result<Self, Output> {
        Ok(match output {
            Output::Check { content, number, from, bytes } => Self::Check { content, number, from, bytes },
            Output::Serve { to, content, number } => Self::Serve { to, content, number },
            Output::Fetch { content, origin, number } => Self::Fetch { content, origin, number },
            Output::Abort { content, origin, number } => Self::Abort { content, origin, number },
            Output::CheckRoot { content, from, bytes } => Self::CheckRoot { content, from, bytes },
            Output::ServeRoot { to, content } => Self::ServeRoot { to, content },
            other @ (Output::Send { .. } | Output::Event(_)) => return Err(other),
        })
    }
}

/// What the keeper says.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum News {
    /// For the swarm.
    Input(Input),
    /// The answer to [`Errand::Serve`]: for a peer, and then for the swarm.
    Block {
        /// To whom.
        to: PeerId,
        /// Of which content.
        content: Content,
        /// Which.
        number: u32,
        /// Its bytes; None if they are not here after all.
        bytes: Option<serde_bytes::ByteBuf>,
    },
    /// The answer to [`Errand::ServeRoot`], if it is here.
    Root {
        /// To whom.
        to: PeerId,
        /// Of which content.
        content: Content,
        /// Its bytes.
        #[serde(with = "serde_bytes")]
        bytes: Vec<u8>,
    },
    /// What a content is: for people, as whoever made its manifest says.
    About {
        /// Which.
        content: Content,
        /// What.
        about: About,
    },
    /// What is kept on this device.
    Kept(Usage),
    /// How far a content is that is open here.
    Progress {
        /// Which.
        content: Content,
        /// How far.
        progress: Progress,
    },
}

/// A content for people.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct About {
    /// What it is called.
    pub name: String,
    /// Its licence; empty if nobody said.
    pub licence: String,
    /// Where its files come from; empty if nobody said.
    pub source: String,
    /// Bytes of all of its files.
    pub bytes: u64,
    /// What it changes, if it is an adapter and no model.
    pub adapts: Option<Adapts>,
}

/// What an adapter says of itself.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Adapts {
    /// The largest rank of its matrices.
    pub rank: u32,
    /// What whoever trained it calls the model that it changes; empty if nobody said.
    pub model: String,
}

/// Bytes of a content that this device wants.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Progress {
    /// In all.
    pub wanted: u64,
    /// Of these, here.
    pub here: u64,
    /// Of these, here when they were first wanted: in the store, or in the person's own files.
    pub found: u64,
}

/// What a store keeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Usage {
    /// Whether it outlives the program.
    pub durable: bool,
    /// Bytes that blocks take.
    pub used: u64,
    /// Bytes that they may take.
    pub quota: u64,
}

/// Where blocks stay between runs.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Keep {
    /// Natively, the folder; None to keep them for as long as the program runs. A browser has a place of its own.
    pub folder: Option<String>,
    /// Bytes at most; None for as many as the store takes by itself.
    pub quota: Option<u64>,
}
