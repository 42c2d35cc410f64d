//! Messages about jobs: copies, leases, sessions, and what they make.

use super::fields;
use crate::ids::{JobId, Lease, ModelId, PeerId};
use crate::io::{End, Job, JobState, Progress, Shape, Stage};
use serde::{Deserialize, Serialize};

/// A job with everything known of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Whole {
    /// The job.
    pub job: Job,
    /// The answer so far; empty for pictures.
    #[serde(deserialize_with = "fields::tokens")]
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
    #[serde(deserialize_with = "fields::tokens")]
    pub tokens: Vec<u32>,
    /// How it ended, if it has.
    pub end: Option<End>,
    /// What it is doing.
    pub state: Option<JobState>,
}

/// How a picture gets on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Picture {
    /// The job.
    pub job: JobId,
    /// Which picture of it.
    pub unit: u16,
    /// How far it is.
    pub progress: Progress,
}

/// A keeper's request to have a job's units run, and the renewal of their leases.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Ask {
    /// The job.
    pub job: JobId,
    /// Its model.
    pub model: ModelId,
    /// What it takes.
    pub demand: Demand,
    /// What runs, and under which lease.
    #[serde(deserialize_with = "fields::running")]
    pub running: Vec<Running>,
    /// One bit per unit that waits to run.
    pub waiting: u64,
    /// The newest lease that the keeper has seen for it; one up to that which does not run any more is broken.
    pub seen: Option<Lease>,
    /// The peer to blame for a broken lease.
    pub suspect: Option<PeerId>,
}

/// What one unit of a job takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Demand {
    /// An answer.
    Text {
        /// Tokens of the prompt.
        prompt: u32,
        /// Tokens of prompt and answer that are known.
        known: u32,
        /// New tokens at most.
        left: u32,
        /// Median milliseconds between tokens under the present lease; 0 if not known yet.
        gap_ms: u32,
    },
    /// A picture.
    Picture(Shape),
}

/// A unit's lease and its stages.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Running {
    /// The lease.
    pub lease: Lease,
    /// The unit.
    pub unit: u16,
    /// The stages, in order. For a picture the first steers; what the others do, see [`crate::pieces::Split`].
    #[serde(deserialize_with = "fields::stages")]
    pub stages: Vec<Stage>,
    /// Pictures: how many of them, the first ones, run a band of rows each with stale neighbours; 0 for none, and for text.
    pub bands: u8,
}

/// Where a job stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Standing {
    /// All of its units run that can.
    Runs,
    /// In the queue.
    Queued {
        /// 0 is next.
        place: u32,
        /// Until it starts, as far as that can be told.
        wait_ms: Option<u32>,
    },
    /// What is missing.
    Waiting(#[serde(deserialize_with = "fields::reason")] String),
}

/// A session's beginning.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Open {
    /// The job.
    pub job: JobId,
    /// The lease.
    pub lease: Lease,
    /// The model.
    pub model: ModelId,
    /// All stages, in order; the receiver is one of them.
    #[serde(deserialize_with = "fields::stages")]
    pub stages: Vec<Stage>,
    /// What they do.
    pub part: OpenPart,
}

/// See [`Open::part`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum OpenPart {
    /// An answer.
    Text(OpenText),
    /// A picture.
    Picture(OpenPicture),
}

/// An answer's session.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OpenText {
    /// Tokens of prompt and answer that are known; the row before this position is the first to be sampled.
    pub known: u32,
    /// Tokens of prompt and answer at most.
    pub until: u32,
    /// To stage 0: the known tokens. To the last stage, if that is another: the last
    /// [`RECENT`](crate::limits::RECENT) of them.
    #[serde(deserialize_with = "fields::tokens")]
    pub tokens: Vec<u32>,
    /// To the last stage only: the sampling settings.
    #[serde(deserialize_with = "fields::settings", serialize_with = "serde_bytes::serialize")]
    pub sampling: Vec<u8>,
}

/// A picture's session.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OpenPicture {
    /// Which picture of the job.
    pub unit: u16,
    /// What it takes.
    pub shape: Shape,
    /// Steps done already: a [`Blob`] with the latent follows unless it is 0.
    pub done: u16,
    /// One bit per tile that the keeper has already.
    pub tiles: u64,
    /// As [`Running::bands`].
    pub bands: u8,
    /// The job's settings.
    #[serde(deserialize_with = "fields::settings", serialize_with = "serde_bytes::serialize")]
    pub settings: Vec<u8>,
}

/// What a piece of a picture became.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Blob {
    /// The job.
    pub job: JobId,
    /// The lease.
    pub lease: Lease,
    /// The piece's number; see [`crate::pieces`].
    pub number: u32,
    /// Opaque.
    #[serde(deserialize_with = "fields::payload", serialize_with = "serde_bytes::serialize")]
    pub bytes: Vec<u8>,
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
    #[serde(deserialize_with = "fields::payload", serialize_with = "serde_bytes::serialize")]
    pub bytes: Vec<u8>,
}

/// A sampled token.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
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
    /// What the settings asked to be told of it, such as log-probabilities; opaque, and nothing to the first stage.
    #[serde(deserialize_with = "fields::note", serialize_with = "serde_bytes::serialize")]
    pub note: Vec<u8>,
}

/// Why a session cannot go on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fault {
    /// The job.
    pub job: JobId,
    /// The lease.
    pub lease: Lease,
    /// In plain words.
    #[serde(deserialize_with = "fields::reason")]
    pub reason: String,
    /// Whose fault it is, if the sender knows.
    pub suspect: Option<PeerId>,
    /// The number of the input that the sender's compute worker refused, if that is why: a piece's, or a position.
    pub refused: Option<u32>,
}
