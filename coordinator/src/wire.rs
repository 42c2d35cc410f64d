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
use crate::limits;
use serde::{Deserialize, Serialize};

/// The version of the messages below.
pub const VERSION: u8 = 1;
/// The oldest version that this one understands.
pub const OLDEST: u8 = 1;

const HELLO: u8 = 0;
const HIDDEN: u8 = 13;
const KINDS: u8 = 17;

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

/// Why bytes are not a message.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WireError {
    /// Nothing, or a version byte alone.
    #[error("the message is empty")]
    Empty,
    /// The sender has a version of Manyhands that does not fit this one: reload the older page.
    #[error("the message has version {0}, this peer understands {OLDEST} to {VERSION}")]
    Version(u8),
    /// A kind of message that this version does not have.
    #[error("there is no message of kind {0}")]
    Kind(u8),
    /// More bytes than `limits` allows for its kind.
    #[error("the message has {bytes} bytes, at most {most} are allowed")]
    TooLong {
        /// Bytes that came.
        bytes: usize,
        /// Bytes allowed.
        most: usize,
    },
    /// Cut off, or not postcard.
    #[error("the message of kind {0} is malformed")]
    Malformed(u8),
    /// A field is longer or larger than `limits` allows.
    #[error("{0} is out of bounds")]
    Bound(&'static str),
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

/// A message as bytes.
///
/// # Panics
/// Never: every message serialises.
#[must_use]
pub fn encode(message: &Message) -> Vec<u8> {
    postcard::to_extend(message, vec![VERSION]).expect("a message has no type that postcard cannot write")
}

/// Bytes as a message, with every bound of `limits` checked.
///
/// # Errors
/// Says why the bytes are not a message; see [`WireError`].
pub fn decode(bytes: &[u8]) -> Result<Message, WireError> {
    let [version, kind, ..] = *bytes else {
        return Err(WireError::Empty);
    };
    if kind != HELLO && !(OLDEST..=VERSION).contains(&version) {
        return Err(WireError::Version(version));
    }
    if kind >= KINDS {
        return Err(WireError::Kind(kind));
    }
    let most = if kind == HIDDEN {
        limits::BULK_BYTES
    } else {
        limits::CONTROL_BYTES
    };
    if bytes.len() > most {
        return Err(WireError::TooLong {
            bytes: bytes.len(),
            most,
        });
    }
    let message = match postcard::take_from_bytes::<Message>(&bytes[1..]) {
        Ok((message, [])) => message,
        _ => return Err(WireError::Malformed(kind)),
    };
    check(&message).map(|()| message)
}

fn check(message: &Message) -> Result<(), WireError> {
    match message {
        Message::Hello { name, .. } => within("the name", name.len(), limits::NAME_BYTES),
        Message::Pulse(pulse) => check_report(&pulse.report),
        Message::Plan(plan) => {
            within("the plan's reason", plan.why.len(), limits::REASON_BYTES)?;
            within(
                "the plan's stages",
                plan.stages.len().max(plan.next.len()),
                limits::STAGES,
            )
        }
        Message::Whole(whole) => check_whole(whole),
        Message::Story(story) => check_story(story),
        Message::Ask(ask) => ask.running.as_ref().map_or(Ok(()), check_running),
        Message::Standing {
            standing: Standing::Waiting(why),
            ..
        } => within("the reason", why.len(), limits::REASON_BYTES),
        Message::Grant(running, _) => check_running(running),
        Message::Open(open) => check_open(open),
        Message::Hidden(hidden) => within("the rows", hidden.rows as usize, limits::PASS_TOKENS)
            .and_then(|()| within("the position", hidden.position as usize, limits::JOB_TOKENS)),
        Message::Fault(fault) => within("the reason", fault.reason.len(), limits::REASON_BYTES),
        _ => Ok(()),
    }
}

fn within(what: &'static str, size: usize, most: usize) -> Result<(), WireError> {
    if size <= most {
        Ok(())
    } else {
        Err(WireError::Bound(what))
    }
}

fn check_running(running: &Running) -> Result<(), WireError> {
    within("the stages", running.stages.len(), limits::STAGES)
}

fn check_report(report: &Report) -> Result<(), WireError> {
    within("the name", report.name.len(), limits::NAME_BYTES)?;
    within("the peers seen", report.sees.len(), limits::PEERS)?;
    within("the ranges", report.ready.len(), limits::RANGES)?;
    within(
        "the trouble",
        report.trouble.as_ref().map_or(0, String::len),
        limits::REASON_BYTES,
    )?;
    let Some(model) = &report.model else { return Ok(()) };
    within("the model's name", model.name.len(), limits::NAME_BYTES)?;
    within(
        "the model's layers",
        model.layers.into(),
        limits::MODEL_LAYERS.into(),
    )
}

fn check_whole(whole: &Whole) -> Result<(), WireError> {
    let job = &whole.job;
    within("the author's name", job.author.len(), limits::NAME_BYTES)?;
    within("the prompt's text", job.text.len(), limits::PROMPT_BYTES)?;
    within(
        "the sampling settings",
        job.sampling.len(),
        limits::SAMPLING_BYTES,
    )?;
    within(
        "the prompt and its answer",
        job.prompt.len() + whole.tokens.len(),
        limits::JOB_TOKENS,
    )?;
    within(
        "the tokens asked for",
        job.prompt.len() + job.max_new as usize,
        limits::JOB_TOKENS,
    )?;
    within("the answer", whole.tokens.len(), job.max_new as usize)?;
    if job.prompt.is_empty() {
        return Err(WireError::Bound("the prompt"));
    }
    check_end(whole.end.as_ref())
}

fn check_story(story: &Story) -> Result<(), WireError> {
    within(
        "the answer",
        (story.from as usize).saturating_add(story.tokens.len()),
        limits::JOB_TOKENS,
    )?;
    check_end(story.end.as_ref())?;
    match &story.state {
        Some(JobState::Waiting(why) | JobState::Recovering(why)) => {
            within("the reason", why.len(), limits::REASON_BYTES)
        }
        Some(JobState::Running(stages)) => within("the stages", stages.len(), limits::STAGES),
        _ => Ok(()),
    }
}

fn check_end(end: Option<&End>) -> Result<(), WireError> {
    match end {
        Some(End::Failed(why)) => within("the reason", why.len(), limits::REASON_BYTES),
        _ => Ok(()),
    }
}

fn check_open(open: &Open) -> Result<(), WireError> {
    within("the stages", open.stages.len(), limits::STAGES)?;
    within(
        "the sampling settings",
        open.sampling.len(),
        limits::SAMPLING_BYTES,
    )?;
    within("the tokens asked for", open.until as usize, limits::JOB_TOKENS)?;
    within("the known tokens", open.known as usize, open.until as usize)?;
    within("the prompt", open.prompt as usize, open.known as usize)?;
    within("the tokens", open.tokens.len(), open.known as usize)?;
    if open.prompt == 0 {
        Err(WireError::Bound("the prompt"))
    } else {
        Ok(())
    }
}

/// `text` cut to at most `bytes` bytes, at a character's end.
pub(crate) fn clip(text: &str, bytes: usize) -> String {
    if text.len() <= bytes {
        return text.to_owned();
    }
    let end = (0..=bytes.saturating_sub(3))
        .rev()
        .find(|&at| text.is_char_boundary(at))
        .unwrap_or(0);
    format!("{}…", &text[..end])
}

#[cfg(test)]
mod tests {
    use super::*;

    const PEER: PeerId = PeerId(7);
    const JOB: JobId = JobId {
        requester: PEER,
        serial: 1,
    };
    const LEASE: Lease = Lease {
        epoch: Epoch {
            term: 1,
            leader: PEER,
        },
        serial: 1,
    };

    fn hello(name: &str) -> Message {
        Message::Hello {
            version: VERSION,
            oldest: OLDEST,
            name: name.into(),
        }
    }

    fn hidden() -> Message {
        Message::Hidden(Hidden {
            job: JOB,
            lease: LEASE,
            position: 64,
            rows: 1,
            bytes: vec![1, 2, 3],
        })
    }

    #[test]
    fn kinds_are_where_the_format_says() {
        assert_eq!(encode(&hello(""))[1], HELLO);
        assert_eq!(encode(&hidden())[1], HIDDEN);
        let last = Message::Fault(Fault {
            job: JOB,
            lease: LEASE,
            reason: String::new(),
            suspect: None,
        });
        assert_eq!(encode(&last)[1] + 1, KINDS);
    }

    #[test]
    fn messages_survive_the_wire() {
        let pulse = Pulse {
            sent: 5,
            echo: None,
            following: None,
            report: Report::default(),
        };
        for message in [
            hello("Ada"),
            hidden(),
            Message::Pulse(Box::new(pulse)),
            Message::Done(JOB),
        ] {
            assert_eq!(decode(&encode(&message)), Ok(message));
        }
    }

    #[test]
    fn bad_bytes_are_named() {
        let with = |at: usize, byte: u8, mut bytes: Vec<u8>| {
            bytes[at] = byte;
            bytes
        };
        let long = Message::Hidden(Hidden {
            job: JOB,
            lease: LEASE,
            position: 0,
            rows: 65,
            bytes: vec![],
        });
        let rows: [(&str, Vec<u8>, WireError); 8] = [
            ("nothing at all", vec![], WireError::Empty),
            ("a version alone", vec![VERSION], WireError::Empty),
            (
                "a version from the future",
                with(0, 9, encode(&hidden())),
                WireError::Version(9),
            ),
            ("a kind from the future", vec![VERSION, 99], WireError::Kind(99)),
            (
                "cut off",
                encode(&hidden())[..6].to_vec(),
                WireError::Malformed(HIDDEN),
            ),
            (
                "bytes after the end",
                [encode(&hello("A")), vec![0]].concat(),
                WireError::Malformed(HELLO),
            ),
            (
                "a name without an end",
                encode(&hello(&"x".repeat(49))),
                WireError::Bound("the name"),
            ),
            (
                "more rows than a pass",
                encode(&long),
                WireError::Bound("the rows"),
            ),
        ];
        for (why, bytes, error) in rows {
            assert_eq!(decode(&bytes), Err(error), "{why}");
        }
        let most = limits::CONTROL_BYTES;
        let big = [encode(&hello("A")), vec![0; most]].concat();
        assert_eq!(
            decode(&big),
            Err(WireError::TooLong {
                bytes: big.len(),
                most
            }),
            "a flood on control"
        );
    }

    #[test]
    fn a_hello_of_any_version_is_understood() {
        let mut bytes = encode(&Message::Hello {
            version: 9,
            oldest: 8,
            name: "Bo".into(),
        });
        bytes[0] = 9;
        assert_eq!(
            decode(&bytes),
            Ok(Message::Hello {
                version: 9,
                oldest: 8,
                name: "Bo".into()
            })
        );
    }

    #[test]
    fn clipped_text_ends_at_a_character() {
        assert_eq!(clip("short", 8), "short");
        assert_eq!(clip("ääää", 6), "ä…");
    }
}
