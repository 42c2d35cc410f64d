//! What peers say to each other: versioned, bounded postcard messages.
//!
//! ```text
//! byte 0: the sender's version    byte 1: kind    rest: postcard
//! ```
//!
//! [`Message::Hello`] is kind 0 in every version and its layout never changes, so that two versions can always tell
//! that they differ. What carries tensors, pixels or weights ([`Message::Hidden`], [`Message::Blob`], [`Message::Picture`], some of
//! [`Message::Swarm`]) travels on the bulk lane, everything else on control; what is relayed keeps its lane.

use crate::health::Share;
use crate::ids::{Epoch, JobId, Lease, ModelId, PeerId};
use crate::io::{Capability, Lane, Offer, Part, Spread, Stage};
use crate::swarm;
use serde::{Deserialize, Serialize};

pub mod bounded;
mod codec;
pub(crate) mod fields;
mod jobs;

pub use jobs::*;

pub use codec::{WireError, agree, decode, encode, encode_as, is_activation, is_swarm};
pub(crate) use codec::{check_work, clip, is_bulk};

/// The version of the messages below.
pub const VERSION: u8 = 1;
/// The oldest version that this one understands.
pub const OLDEST: u8 = 1;

/// One message. New kinds go to the end, with the version that brings them in `codec::since`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Message {
    /// The first message on a new connection.
    Hello {
        /// The sender's version.
        version: u8,
        /// The oldest version that the sender understands.
        oldest: u8,
        /// The person's name.
        #[serde(deserialize_with = "fields::name")]
        name: String,
    },
    /// Sent to everyone every second.
    Pulse(Pulse),
    /// What a peer says of itself: on a new connection, on change, and to whoever wants it.
    Report(Box<Report>),
    /// The receiver's newest report is missing here.
    Want,
    /// Leader to everyone: who holds which layers.
    Plan(RoomPlan),
    /// A job with everything known of it: to everyone when it starts, to newcomers, and to an heir.
    Whole(Box<Whole>),
    /// Keeper to everyone: how a job goes on. Empty ones are sent every second.
    Story(Story),
    /// Watcher to keeper: send what is missing.
    Missing {
        /// Which job.
        job: JobId,
        /// How many tokens of the answer are known; None if not even the job is.
        have: Option<u32>,
    },
    /// Keeper to everyone, on the bulk lane: how a picture gets on.
    Picture(Picture),
    /// Keeper to leader, every second while a job is open: this job wants to run, or runs.
    Ask(Box<Ask>),
    /// Leader to keeper: the answer to every [`Message::Ask`].
    Standing {
        /// Who says so.
        epoch: Epoch,
        /// Which job.
        job: JobId,
        /// Where it stands.
        standing: Standing,
    },
    /// Leader to keeper: run this unit of the job on these stages. A newer lease takes an older one's place.
    Grant(JobId, Running),
    /// Keeper to leader: this job has ended.
    Done(JobId),
    /// Keeper to stage: a session begins.
    Open(Box<Open>),
    /// Stage to keeper: the session is open. Stage 0 is opened last, when all others have said this.
    Opened(JobId, Lease),
    /// Keeper to stage: the session is over.
    Close(JobId, Lease),
    /// Stage to next stage, on the bulk lane: hidden states.
    Hidden(Hidden),
    /// Stage to previous stage: the chunk at this position has run; the window has room for another.
    Ack(JobId, Lease, u32),
    /// Last stage to keeper and to stage 0.
    Token(Token),
    /// On the bulk lane, to whoever needs it: what a piece of a picture became.
    Blob(Blob),
    /// Stage to keeper: the session cannot go on.
    Fault(Fault),
    /// To the leader: somebody wants the work to be shared in this way.
    Choose(Choice),
    /// To a peer that both sides see: pass this on.
    Relay {
        /// To whom.
        to: PeerId,
        /// A whole message.
        #[serde(deserialize_with = "fields::payload", serialize_with = "serde_bytes::serialize")]
        bytes: Vec<u8>,
    },
    /// Passed on.
    Relayed {
        /// From whom it comes, as the one that passes it on says.
        from: PeerId,
        /// A whole message.
        #[serde(deserialize_with = "fields::payload", serialize_with = "serde_bytes::serialize")]
        bytes: Vec<u8>,
    },
    /// About weights: not for the coordinator, and never relayed.
    Swarm(swarm::Message),
}

/// A peer's heartbeat: that it lives, what it knows, whom it follows. Small, because everyone sends it to everyone.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Pulse {
    /// The sender's clock, in milliseconds; comes back in [`Echo`].
    pub sent: u64,
    /// The receiver's own last pulse, for the round trip.
    pub echo: Option<Echo>,
    /// The leader whose beat the sender believes in.
    pub following: Option<Following>,
    /// Whether that leader answers the sender's asks.
    pub trust: Trust,
    /// The epoch and version of the plan that the sender knows.
    pub plan: Option<(Epoch, u32)>,
    /// Counts the sender's reports.
    pub report: u32,
    /// Seconds since the sender started.
    pub age_s: u32,
}

/// Whether a leader answers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Trust {
    /// Nothing was asked.
    #[default]
    Unknown,
    /// It does.
    Answered,
    /// It does not, although its beat rises.
    Ignored,
}

/// The receiver's last pulse, sent back.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Echo {
    /// Its [`Pulse::sent`].
    pub sent: u64,
    /// Milliseconds between its arrival and this message.
    pub held: u64,
}

/// A leader and the newest of its beats that the sender knows. Only the leader raises the beat, so a beat that
/// still rises is a leader that still lives, over whatever path one hears of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Following {
    /// Who leads, and in which term.
    pub epoch: Epoch,
    /// Counts the leader's pulses.
    pub beat: u64,
}

/// What a peer says of itself.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// Counts the sender's reports.
    pub version: u32,
    /// The person's name.
    #[serde(deserialize_with = "fields::name")]
    pub name: String,
    /// None until the compute worker is ready.
    pub capability: Option<Capability>,
    /// The models that it can load parts of, with its speed as it is now.
    #[serde(deserialize_with = "fields::offers")]
    pub offers: Vec<Offer>,
    /// Whether its person lets it compute for the room.
    pub share: bool,
    /// How much work its device is fit for.
    pub fitness: Share,
    /// Whether its person is looking at something else.
    pub hidden: bool,
    /// Peers it has a live, direct, two-way link to.
    #[serde(deserialize_with = "fields::peers")]
    pub sees: Vec<PeerId>,
    /// The round trips to them in milliseconds, in the same order; 0 if not measured yet.
    #[serde(deserialize_with = "fields::round_trips")]
    pub round_trips_ms: Vec<u16>,
    /// What is in its memory, ready to run.
    #[serde(deserialize_with = "fields::parts")]
    pub ready: Vec<Part>,
    /// Why its last load failed, while that counts.
    #[serde(deserialize_with = "fields::maybe_reason")]
    pub trouble: Option<String>,
    /// Work received, by who did it; see [`crate::credit`].
    #[serde(deserialize_with = "fields::receipts")]
    pub receipts: Vec<(PeerId, u64)>,
}

/// How somebody wants the work to be shared. The highest one stands, whoever leads: everybody remembers it, and reminds
/// a leader that does not know it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Choice {
    /// One more than that of the choice that it replaces.
    pub edition: u64,
    /// Who chose, which decides between two at once; None before anybody did.
    pub by: Option<PeerId>,
    /// What was chosen.
    pub spread: Spread,
}

impl Choice {
    /// What `by` puts in its place.
    #[must_use]
    pub const fn next(self, by: PeerId, spread: Spread) -> Self {
        Self { edition: self.edition.saturating_add(1), by: Some(by), spread }
    }
}

/// Who holds which layers of which model.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RoomPlan {
    /// Who says so.
    pub epoch: Epoch,
    /// Counts this leader's plans.
    pub version: u32,
    /// How the work is shared.
    pub choice: Choice,
    /// One entry per model.
    #[serde(deserialize_with = "fields::models")]
    pub models: Vec<ModelPlan>,
}

/// Who holds which layers of one model.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ModelPlan {
    /// The model.
    pub model: ModelId,
    /// Its teams, the fastest first.
    #[serde(deserialize_with = "fields::teams")]
    pub teams: Vec<Team>,
    /// In plain words.
    #[serde(deserialize_with = "fields::reason")]
    pub why: String,
}

/// Peers that together hold a whole model.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Team {
    /// In order of the layers.
    #[serde(deserialize_with = "fields::stages")]
    pub stages: Vec<Stage>,
    /// Whether jobs are granted on it; if not, it is being loaded, or goes.
    pub serves: bool,
}

impl Message {
    /// The channel that it takes.
    #[must_use]
    pub fn lane(&self) -> Lane {
        match self {
            Self::Hidden(_) | Self::Blob(_) | Self::Picture(_) => Lane::Bulk,
            Self::Relay { bytes, .. } | Self::Relayed { bytes, .. } if is_bulk(bytes) => Lane::Bulk,
            Self::Swarm(message) => message.lane(),
            _ => Lane::Control,
        }
    }
}

/// The channel of an encoded message.
pub(crate) fn lane_of(bytes: &[u8]) -> Lane {
    if is_bulk(bytes) { Lane::Bulk } else { Lane::Control }
}
