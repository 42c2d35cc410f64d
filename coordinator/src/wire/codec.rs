//! Messages to bytes and back, with every bound of `limits` checked on the way in.

use super::{Message, OLDEST, Open, Report, Running, Standing, Story, VERSION, Whole};
use crate::io::{End, JobState};
use crate::limits;

const HELLO: u8 = 0;
const HIDDEN: u8 = 13;
const KINDS: u8 = 17;

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
    let most = if kind == HIDDEN { limits::BULK_BYTES } else { limits::CONTROL_BYTES };
    if bytes.len() > most {
        return Err(WireError::TooLong { bytes: bytes.len(), most });
    }
    let Ok((message, [])) = postcard::take_from_bytes::<Message>(&bytes[1..]) else {
        return Err(WireError::Malformed(kind));
    };
    check(&message).map(|()| message)
}

fn check(message: &Message) -> Result<(), WireError> {
    match message {
        Message::Hello { name, .. } => within("the name", name.len(), limits::NAME_BYTES),
        Message::Pulse(pulse) => check_report(&pulse.report),
        Message::Plan(plan) => {
            within("the plan's reason", plan.why.len(), limits::REASON_BYTES)?;
            within("the plan's stages", plan.stages.len().max(plan.next.len()), limits::STAGES)
        }
        Message::Whole(whole) => check_whole(whole),
        Message::Story(story) => check_story(story),
        Message::Ask(ask) => ask.running.as_ref().map_or(Ok(()), check_running),
        Message::Standing { standing: Standing::Waiting(why), .. } => {
            within("the reason", why.len(), limits::REASON_BYTES)
        }
        Message::Grant(running, _) => check_running(running),
        Message::Open(open) => check_open(open),
        Message::Hidden(hidden) => within("the rows", hidden.rows as usize, limits::PASS_TOKENS)
            .and_then(|()| within("the position", hidden.position as usize, limits::JOB_TOKENS)),
        Message::Fault(fault) => within("the reason", fault.reason.len(), limits::REASON_BYTES),
        _ => Ok(()),
    }
}

fn within(what: &'static str, size: usize, most: usize) -> Result<(), WireError> {
    if size <= most { Ok(()) } else { Err(WireError::Bound(what)) }
}

fn check_running(running: &Running) -> Result<(), WireError> {
    within("the stages", running.stages.len(), limits::STAGES)
}

fn check_report(report: &Report) -> Result<(), WireError> {
    within("the name", report.name.len(), limits::NAME_BYTES)?;
    within("the peers seen", report.sees.len(), limits::PEERS)?;
    within("the ranges", report.ready.len(), limits::RANGES)?;
    within("the trouble", report.trouble.as_ref().map_or(0, String::len), limits::REASON_BYTES)?;
    let Some(model) = &report.model else { return Ok(()) };
    within("the model's name", model.name.len(), limits::NAME_BYTES)?;
    within("the model's layers", model.layers.into(), limits::MODEL_LAYERS.into())
}

fn check_whole(whole: &Whole) -> Result<(), WireError> {
    let job = &whole.job;
    within("the author's name", job.author.len(), limits::NAME_BYTES)?;
    within("the prompt's text", job.text.len(), limits::PROMPT_BYTES)?;
    within("the sampling settings", job.sampling.len(), limits::SAMPLING_BYTES)?;
    within("the prompt and its answer", job.prompt.len() + whole.tokens.len(), limits::JOB_TOKENS)?;
    within("the tokens asked for", job.prompt.len() + job.max_new as usize, limits::JOB_TOKENS)?;
    within("the answer", whole.tokens.len(), job.max_new as usize)?;
    if job.prompt.is_empty() {
        return Err(WireError::Bound("the prompt"));
    }
    check_end(whole.end.as_ref())
}

fn check_story(story: &Story) -> Result<(), WireError> {
    within("the answer", (story.from as usize).saturating_add(story.tokens.len()), limits::JOB_TOKENS)?;
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
    within("the sampling settings", open.sampling.len(), limits::SAMPLING_BYTES)?;
    within("the tokens asked for", open.until as usize, limits::JOB_TOKENS)?;
    within("the known tokens", open.known as usize, open.until as usize)?;
    within("the prompt", open.prompt as usize, open.known as usize)?;
    within("the tokens", open.tokens.len(), open.known as usize)?;
    if open.prompt == 0 { Err(WireError::Bound("the prompt")) } else { Ok(()) }
}

/// `text` cut to at most `bytes` bytes, at a character's end.
pub(crate) fn clip(text: &str, bytes: usize) -> String {
    if text.len() <= bytes {
        return text.to_owned();
    }
    let end = (0..=bytes.saturating_sub(3)).rev().find(|&at| text.is_char_boundary(at)).unwrap_or(0);
    format!("{}…", &text[..end])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::{Epoch, JobId, Lease, PeerId};
    use crate::wire::{Fault, Hidden, Pulse};

    const PEER: PeerId = PeerId(7);
    const JOB: JobId = JobId { requester: PEER, serial: 1 };
    const LEASE: Lease = Lease { epoch: Epoch { term: 1, leader: PEER }, serial: 1 };

    fn hello(name: &str) -> Message {
        Message::Hello { version: VERSION, oldest: OLDEST, name: name.into() }
    }

    fn hidden() -> Message {
        Message::Hidden(Hidden { job: JOB, lease: LEASE, position: 64, rows: 1, bytes: vec![1, 2, 3] })
    }

    #[test]
    fn kinds_are_where_the_format_says() {
        assert_eq!(encode(&hello(""))[1], HELLO);
        assert_eq!(encode(&hidden())[1], HIDDEN);
        let last = Message::Fault(Fault { job: JOB, lease: LEASE, reason: String::new(), suspect: None });
        assert_eq!(encode(&last)[1] + 1, KINDS);
    }

    #[test]
    fn messages_survive_the_wire() {
        let pulse = Pulse { sent: 5, echo: None, following: None, report: Report::default() };
        for message in [hello("Ada"), hidden(), Message::Pulse(Box::new(pulse)), Message::Done(JOB)] {
            assert_eq!(decode(&encode(&message)), Ok(message));
        }
    }

    #[test]
    fn bad_bytes_are_named() {
        let with = |at: usize, byte: u8, mut bytes: Vec<u8>| {
            bytes[at] = byte;
            bytes
        };
        let long = Message::Hidden(Hidden { job: JOB, lease: LEASE, position: 0, rows: 65, bytes: vec![] });
        let rows: [(&str, Vec<u8>, WireError); 8] = [
            ("nothing at all", vec![], WireError::Empty),
            ("a version alone", vec![VERSION], WireError::Empty),
            ("a version from the future", with(0, 9, encode(&hidden())), WireError::Version(9)),
            ("a kind from the future", vec![VERSION, 99], WireError::Kind(99)),
            ("cut off", encode(&hidden())[..6].to_vec(), WireError::Malformed(HIDDEN)),
            ("bytes after the end", [encode(&hello("A")), vec![0]].concat(), WireError::Malformed(HELLO)),
            ("a name without an end", encode(&hello(&"x".repeat(49))), WireError::Bound("the name")),
            ("more rows than a pass", encode(&long), WireError::Bound("the rows")),
        ];
        for (why, bytes, error) in rows {
            assert_eq!(decode(&bytes), Err(error), "{why}");
        }
        let most = limits::CONTROL_BYTES;
        let big = [encode(&hello("A")), vec![0; most]].concat();
        assert_eq!(decode(&big), Err(WireError::TooLong { bytes: big.len(), most }), "a flood on control");
    }

    #[test]
    fn a_hello_of_any_version_is_understood() {
        let mut bytes = encode(&Message::Hello { version: 9, oldest: 8, name: "Bo".into() });
        bytes[0] = 9;
        assert_eq!(decode(&bytes), Ok(Message::Hello { version: 9, oldest: 8, name: "Bo".into() }));
    }

    #[test]
    fn clipped_text_ends_at_a_character() {
        assert_eq!(clip("short", 8), "short");
        assert_eq!(clip("ääää", 6), "ä…");
    }
}
