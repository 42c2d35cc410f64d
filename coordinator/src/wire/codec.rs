//! Messages to bytes and back, with every bound of `limits` checked on the way in.

use super::{Demand, Message, OLDEST, OpenPart, Running, VERSION};
use crate::io::{Shape, Work};
use crate::limits;
use crate::swarm::BULK_FROM;

/// Kinds that travel on the bulk lane, and those that carry another message.
const HELLO: u8 = 0;
const PICTURE: u8 = 8;
const HIDDEN: u8 = 16;
const BLOB: u8 = 19;
const RELAY: u8 = 22;
const RELAYED: u8 = 23;
const SWARM: u8 = 24;
const KINDS: u8 = 25;
/// Bytes around a relayed message, or a block of weights.
const HEAD: usize = 64;

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

/// The version that two peers speak, given what the other one says: the newest that both understand; None if there is
/// none.
#[must_use]
pub fn agree(version: u8, oldest: u8) -> Option<u8> {
    let common = version.min(VERSION);
    (common >= oldest.max(OLDEST)).then_some(common)
}

/// A message as bytes, in this peer's own version.
#[must_use]
pub fn encode(message: &Message) -> Vec<u8> {
    encode_as(message, VERSION).unwrap_or_default()
}

/// A message as bytes for a peer with which `version` was agreed; None if that version does not know the message.
///
/// # Panics
/// Never: every message serialises.
#[must_use]
pub fn encode_as(message: &Message, version: u8) -> Option<Vec<u8>> {
    let bytes = postcard::to_extend(message, vec![version]);
    let bytes = bytes.expect("a message has no type that postcard cannot write");
    (since(bytes[1]) <= version).then_some(bytes)
}

/// The version that brought a kind of message in.
const fn since(kind: u8) -> u8 {
    match kind {
        0..KINDS => 1,
        _ => u8::MAX,
    }
}

/// Bytes as a message, with every bound of `limits` checked. What is allocated on the way is at most a small multiple
/// of the bytes given; `tests/allocation.rs` measures it.
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
    let most = most_bytes(bytes);
    if bytes.len() > most {
        return Err(WireError::TooLong { bytes: bytes.len(), most });
    }
    let Ok((message, [])) = postcard::take_from_bytes::<Message>(&bytes[1..]) else {
        return Err(WireError::Malformed(kind));
    };
    check(&message).map(|()| message)
}

/// Whether an encoded message travels on the bulk lane.
pub(crate) fn is_bulk(bytes: &[u8]) -> bool {
    matches!(bytes, [_, PICTURE | HIDDEN | BLOB, ..] | [_, SWARM, BULK_FROM..=u8::MAX, ..])
}

/// Whether an encoded message is about weights: it is for [`Swarm`](crate::swarm::Swarm), not for the coordinator.
#[must_use]
pub const fn is_swarm(bytes: &[u8]) -> bool {
    matches!(bytes, [_, SWARM, ..])
}

/// Whether an encoded message is what somebody computes on, or what came of it.
#[must_use]
pub const fn is_activation(bytes: &[u8]) -> bool {
    matches!(bytes, [_, HIDDEN | BLOB, ..])
}

const fn most_bytes(bytes: &[u8]) -> usize {
    match bytes {
        [_, PICTURE | HIDDEN | BLOB, ..] => limits::BULK_BYTES,
        [_, RELAY | RELAYED, ..] => limits::BULK_BYTES + HEAD,
        [_, SWARM, BULK_FROM..=u8::MAX, ..] => limits::BLOCK_BYTES + HEAD,
        _ => limits::CONTROL_BYTES,
    }
}

/// What no field can see of itself.
fn check(message: &Message) -> Result<(), WireError> {
    match message {
        Message::Report(report) => report.offers.iter().try_for_each(|offer| {
            within("the model's layers", offer.model.layers.into(), limits::MODEL_LAYERS.into())
        }),
        Message::Whole(whole) => {
            check_work(&whole.job.work)?;
            let (prompt, most) = match &whole.job.work {
                Work::Text(text) => (text.prompt.len(), text.max_new as usize),
                Work::Picture(_) => (0, 0),
            };
            within("the answer", whole.tokens.len(), most)?;
            within("the prompt and its answer", prompt + whole.tokens.len(), limits::JOB_TOKENS)
        }
        Message::Story(story) => {
            within("the answer", (story.from as usize).saturating_add(story.tokens.len()), limits::JOB_TOKENS)
        }
        Message::Open(open) => check_open(&open.part),
        Message::Hidden(hidden) => within("the rows", hidden.rows as usize, limits::PASS_TOKENS)
            .and_then(|()| within("the position", hidden.position as usize, limits::JOB_TOKENS)),
        Message::Ask(ask) => {
            ask.running.iter().try_for_each(check_running)?;
            match ask.demand {
                Demand::Picture(shape) => check_shape(shape),
                Demand::Text { .. } => Ok(()),
            }
        }
        Message::Grant(_, running) => check_running(running),
        Message::Plan(plan) => {
            let mut teams = plan.models.iter().flat_map(|plan| &plan.teams);
            let empty = teams.any(|team| team.stages.is_empty());
            if empty { Err(WireError::Bound("a team's stages")) } else { Ok(()) }
        }
        Message::Relay { bytes, .. } | Message::Relayed { bytes, .. } => {
            let nested = matches!(bytes.as_slice(), [_, RELAY | RELAYED, ..]);
            if nested { Err(WireError::Bound("the relays on the way")) } else { Ok(()) }
        }
        _ => Ok(()),
    }
}

fn check_running(running: &Running) -> Result<(), WireError> {
    within("the unit", running.unit.into(), limits::UNITS - 1)
}

/// Whether a job is within bounds.
pub(crate) fn check_work(work: &Work) -> Result<(), WireError> {
    match work {
        Work::Text(text) if text.prompt.is_empty() => Err(WireError::Bound("the prompt")),
        Work::Text(text) => {
            let most = text.prompt.len().saturating_add(text.max_new as usize);
            within("the tokens asked for", most, limits::JOB_TOKENS)
        }
        Work::Picture(picture) => check_shape(picture.shape),
    }
}

fn check_shape(shape: Shape) -> Result<(), WireError> {
    within("the pictures asked for", shape.count.into(), limits::UNITS)?;
    within("the steps", shape.steps.into(), limits::PICTURE_STEPS.into())?;
    within("the tiles", shape.tiles.into(), limits::TILES.into())?;
    if shape.count == 0 || shape.steps == 0 || shape.tiles == 0 {
        return Err(WireError::Bound("the picture's size"));
    }
    Ok(())
}

fn check_open(part: &OpenPart) -> Result<(), WireError> {
    match part {
        OpenPart::Text(text) => {
            within("the tokens asked for", text.until as usize, limits::JOB_TOKENS)?;
            within("the known tokens", text.known as usize, text.until as usize)?;
            within("the tokens", text.tokens.len(), text.known as usize)?;
            if text.known == 0 { Err(WireError::Bound("the prompt")) } else { Ok(()) }
        }
        OpenPart::Picture(picture) => {
            check_shape(picture.shape)?;
            within("the picture", picture.unit.into(), usize::from(picture.shape.count) - 1)?;
            within("the steps done", picture.done.into(), picture.shape.steps.into())
        }
    }
}

fn within(what: &'static str, size: usize, most: usize) -> Result<(), WireError> {
    if size <= most { Ok(()) } else { Err(WireError::Bound(what)) }
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
    use crate::io::Progress;
    use crate::swarm::{self, Content};
    use crate::wire::{Blob, Hidden, Picture, Pulse, Trust};

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
        let blob = Blob { job: JOB, lease: LEASE, number: 0, bytes: vec![] };
        assert_eq!(encode(&Message::Blob(blob))[1], BLOB);
        let progress = Progress::Tile { tile: 0, pixels: vec![] };
        assert_eq!(encode(&Message::Picture(Picture { job: JOB, unit: 0, progress }))[1], PICTURE);
        assert_eq!(encode(&Message::Relay { to: PEER, bytes: vec![] })[1], RELAY);
        assert_eq!(encode(&Message::Relayed { from: PEER, bytes: vec![] })[1], RELAYED);
        let swarm = |message| encode(&Message::Swarm(message));
        let content = Content([7; 32]);
        let rows = [
            (swarm(swarm::Message::NoRoot(content)), false),
            (swarm(swarm::Message::Root { content, bytes: vec![] }), true),
            (swarm(swarm::Message::Block { content, number: 0, bytes: vec![] }), true),
        ];
        for (bytes, bulk) in rows {
            assert_eq!((bytes[1], is_bulk(&bytes), is_swarm(&bytes)), (SWARM, bulk, true));
        }
        assert!(is_activation(&encode(&hidden())) && !is_activation(&encode(&hello(""))));
        assert_eq!(SWARM + 1, KINDS, "the last one");
    }

    #[test]
    fn messages_survive_the_wire() {
        let (echo, following, plan) = (None, None, None);
        let pulse = Pulse { sent: 5, echo, following, trust: Trust::Ignored, plan, report: 1, age_s: 2 };
        let root = swarm::Message::Root { content: Content([7; 32]), bytes: vec![1, 2] };
        let (done, root) = (Message::Done(JOB), Message::Swarm(root));
        for message in [hello("Ada"), hidden(), Message::Pulse(pulse), done, root] {
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
            ("a name without an end", encode(&hello(&"x".repeat(49))), WireError::Malformed(HELLO)),
            ("more rows than a pass", encode(&long), WireError::Bound("the rows")),
        ];
        for (why, bytes, error) in rows {
            assert_eq!(decode(&bytes), Err(error), "{why}");
        }
        let most = limits::CONTROL_BYTES;
        let big = [encode(&hello("A")), vec![0; most]].concat();
        assert_eq!(decode(&big), Err(WireError::TooLong { bytes: big.len(), most }), "a flood on control");
        let swarm = |message| Message::Swarm(message);
        let content = Content([7; 32]);
        let block = |bytes| swarm::Message::Block { content, number: 9, bytes: vec![1; bytes] };
        assert!(decode(&encode(&swarm(block(limits::BLOCK_BYTES)))).is_ok(), "a block is no flood");
        let long = encode(&swarm(block(limits::BLOCK_BYTES + 100)));
        assert!(matches!(decode(&long), Err(WireError::TooLong { .. })), "a longer one is");
    }

    #[test]
    fn the_newest_common_version_is_spoken() {
        let rows = [
            (VERSION, OLDEST, Some(VERSION), "the same"),
            (VERSION + 3, VERSION, Some(VERSION), "a newer one that still understands ours"),
            (VERSION + 3, VERSION + 1, None, "a newer one that gave ours up"),
            (OLDEST - 1, 0, None, "one older than anything that we understand"),
        ];
        for (version, oldest, want, why) in rows {
            assert_eq!(agree(version, oldest), want, "{why}");
        }
        assert_eq!(
            encode_as(&hidden(), VERSION - 1),
            None,
            "what an older version does not know is not sent"
        );
    }

    #[test]
    fn relays_are_not_nested() {
        let inner = encode(&Message::Relayed { from: PEER, bytes: encode(&hidden()) });
        let outer = encode(&Message::Relay { to: PEER, bytes: inner });
        assert_eq!(decode(&outer), Err(WireError::Bound("the relays on the way")));
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
