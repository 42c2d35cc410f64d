//! What peers say to each other: versioned, bounded postcard messages.
//!
//! ```text
//! byte 0: the sender's version    byte 1: kind    rest: postcard
//! ```
//!
//! [`Message::Hello`] is kind 0 in every version and its layout never changes, so that two versions can always tell
//! that they differ. [`Message::Hidden`] travels on the bulk lane, everything else on control.

use crate::ids::{Epoch, JobId, Layers, Lease, ModelId, PeerId};
use crate::io::{Capability, End, Job, JobState, Lane, ModelSpec, Stage};
use serde::{Deserialize, Serialize};

mod codec;

pub(crate) use codec::clip;
pub use codec::{WireError, decode, encode};

/// The version of the messages below.
pub const VERSION: u8 = 1;
/// The oldest version that this one understands.
pub const OLDEST: u8 = 1;

/// One message.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Message {
    /// The first message on a new connection.
    Hello {
        /// The sender's version.
        version: u8,
        /// The oldest version that the sender understands.
        oldest: u8,
        /// The person's name.
        name: String,
    },
    /// Sent to everyone every second and on change.
    Pulse(Box<Pulse>),
    /// Leader to everyone: who holds which layers.
    Plan(RoomPlan),
    /// A job with everything known of it: to everyone when it starts, to newcomers, and to an heir.
    Whole(Box<Whole>),
    /// Keeper to everyone: how a job's answer goes on. Empty ones are sent every second.
    Story(Story),
    /// Watcher to keeper: send what is missing.
    Missing {
        /// Which job.
        job: JobId,
        /// How many tokens of the answer are known; None if not even the job is.
        have: Option<u32>,
    },
    /// Keeper to leader, every second while a job is open: this job wants to run, or runs.
    Ask(Ask),
    /// Leader to keeper: the answer to an [`Message::Ask`] that cannot be granted yet.
    Standing {
        /// Who says so.
        epoch: Epoch,
        /// Which job.
        job: JobId,
        /// Where it stands.
        standing: Standing,
    },
    /// Leader to keeper: run this job on these stages.
    Grant(Running, JobId),
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
    /// Stage to keeper: the session cannot go on.
    Fault(Fault),
}

/// A peer's heartbeat: what it is, what it sees, whom it follows.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Pulse {
    /// The sender's clock, in milliseconds; comes back in [`Echo`].
    pub sent: u64,
    /// The receiver's own last pulse, for the round trip.
    pub echo: Option<Echo>,
    /// The leader whose beat the sender believes in.
    pub following: Option<Following>,
    /// About the sender.
    pub report: Report,
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
    /// The person's name.
    pub name: String,
    /// None until the compute worker is ready.
    pub capability: Option<Capability>,
    /// The model whose layers it can load.
    pub model: Option<ModelSpec>,
    /// Whether it computes for the room.
    pub share: bool,
    /// Whether the tab is hidden.
    pub hidden: bool,
    /// Peers it has a live link to.
    pub sees: Vec<PeerId>,
    /// Seconds since it started.
    pub age_s: u32,
    /// Layers in memory.
    pub ready: Vec<Layers>,
    /// Why its last load failed, while that counts.
    pub trouble: Option<String>,
    /// The epoch and version of the plan it knows.
    pub plan: Option<(Epoch, u32)>,
}

/// Who holds which layers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RoomPlan {
    /// Who says so.
    pub epoch: Epoch,
    /// Counts this leader's plans.
    pub version: u32,
    /// The model.
    pub model: ModelId,
    /// The plan in force, in order; empty if there is none.
    pub stages: Vec<Stage>,
    /// The plan that is being loaded and will take its place; empty if there is none.
    pub next: Vec<Stage>,
    /// In plain words.
    pub why: String,
}

/// A job with everything known of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Whole {
    /// The job.
    pub job: Job,
    /// The answer so far.
    pub tokens: Vec<u32>,
    /// How it ended, if it has.
    pub end: Option<End>,
    /// Who carries it on, in the sender's eyes: the requester, or its heir.
    pub keeper: PeerId,
}

/// How an answer goes on. The tokens reach to the end of what the sender knows.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Story {
    /// The job.
    pub job: JobId,
    /// Index in the answer of the first token.
    pub from: u32,
    /// Token ids.
    pub tokens: Vec<u32>,
    /// How it ended, if it has.
    pub end: Option<End>,
    /// What it is doing.
    pub state: Option<JobState>,
}

/// A keeper's request to have a job run, and the renewal of its lease.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Ask {
    /// The job.
    pub job: JobId,
    /// Its model.
    pub model: ModelId,
    /// Under which lease and where it runs, if it does.
    pub running: Option<Running>,
    /// The newest lease that the keeper has seen for it; if that one does not run any more, it is broken.
    pub seen: Option<Lease>,
    /// The peer to blame for a broken lease.
    pub suspect: Option<PeerId>,
}

/// A job's lease and its stages.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Running {
    /// The lease.
    pub lease: Lease,
    /// The stages, in order.
    pub stages: Vec<Stage>,
}

/// Where a job stands that does not run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Standing {
    /// Place in the queue, 0 is next.
    Queued(u32),
    /// What is missing.
    Waiting(String),
}

/// A session's beginning.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Open {
    /// The job.
    pub job: JobId,
    /// The lease.
    pub lease: Lease,
    /// All stages, in order; the receiver is one of them.
    pub stages: Vec<Stage>,
    /// Tokens of the prompt.
    pub prompt: u32,
    /// Tokens of prompt and answer that are known; the row before this position is the first to be sampled.
    pub known: u32,
    /// Tokens of prompt and answer at most.
    pub until: u32,
    /// To stage 0 only: the known tokens.
    pub tokens: Vec<u32>,
    /// To the last stage only: the sampling settings.
    pub sampling: Vec<u8>,
}

/// Hidden states of one pass.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Hidden {
    /// The job.
    pub job: JobId,
    /// The lease.
    pub lease: Lease,
    /// Position of the first row.
    pub position: u32,
    /// Rows.
    pub rows: u32,
    /// Rows × width little-endian f32.
    #[serde(with = "serde_bytes")]
    pub bytes: Vec<u8>,
}

/// A sampled token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Token {
    /// The job.
    pub job: JobId,
    /// The lease.
    pub lease: Lease,
    /// Its position in prompt and answer.
    pub position: u32,
    /// Its id.
    pub token: u32,
    /// True for an end-of-text token, which is not part of the answer.
    pub end: bool,
}

/// Why a session cannot go on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fault {
    /// The job.
    pub job: JobId,
    /// The lease.
    pub lease: Lease,
    /// In plain words.
    pub reason: String,
    /// Whose fault it is, if the sender knows.
    pub suspect: Option<PeerId>,
}

impl Message {
    /// The channel that it takes.
    #[must_use]
    pub const fn lane(&self) -> Lane {
        match self {
            Self::Hidden(_) => Lane::Bulk,
            _ => Lane::Control,
        }
    }
}
