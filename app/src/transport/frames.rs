//! What travels on the two channels: frames, each one SCTP message.
//!
//! A message of a lane is cut into slices of equal size. A receiver acknowledges bytes, not messages, and a sender
//! never has more than a window of them on the way; so neither side buffers without a bound, whatever the other does.

use super::limits::{FRAME_BYTES, HEADER_BYTES, SLICE_MIN};
use coordinator::io::Lane;
use serde::{Deserialize, Serialize};

/// One frame, postcard on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Frame<'a> {
    /// A part of a message of the channel's lane.
    #[serde(borrow)]
    Slice(Slice<'a>),
    /// On the control channel: how many bytes of slices of a lane were taken in since the connection began.
    Ack {
        /// True for the bulk lane.
        bulk: bool,
        /// Whole frames, headers included.
        bytes: u64,
    },
    /// On the control channel: say something.
    Ping,
    /// On the control channel: something.
    Pong,
    /// On the control channel: this connection is over.
    Bye {
        /// True if the peer leaves the room; false if only this connection ends.
        leaves: bool,
    },
}

/// A part of a message: bytes `index * size ..` of its `total`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Slice<'a> {
    /// Counts the messages of a lane and a direction from 0.
    pub message: u64,
    /// Bytes of the whole message.
    pub total: u32,
    /// Bytes of every slice of this message but the last.
    pub size: u16,
    /// Which slice.
    pub index: u16,
    /// The bytes.
    pub payload: &'a [u8],
}

/// What is wrong with a frame. The name is what people see counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Fault {
    /// Larger than any frame may be.
    TooLarge,
    /// Cannot be decoded, or carries more than itself.
    NotAFrame,
    /// Its own numbers, or those of the message that it belongs to, do not fit together.
    Contradiction,
    /// Of a message larger than its lane allows.
    MessageTooLarge,
    /// Came before.
    Duplicate,
    /// Acknowledges what was never sent.
    FalseAck,
    /// Belongs on the control channel.
    WrongChannel,
    /// More bytes on the way than the window allows. Ends the connection.
    WindowExceeded,
    /// More unfinished messages than the receiver keeps. Ends the connection.
    TooMuchUnfinished,
}

impl Fault {
    /// Its name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::TooLarge => "frame too large",
            Self::NotAFrame => "not a frame",
            Self::Contradiction => "frame contradicts its message",
            Self::MessageTooLarge => "message too large",
            Self::Duplicate => "frame repeated",
            Self::FalseAck => "acknowledged what was never sent",
            Self::WrongChannel => "control frame on the bulk channel",
            Self::WindowExceeded => "window exceeded",
            Self::TooMuchUnfinished => "too much unfinished",
        }
    }

    /// Whether the connection cannot go on after it.
    #[must_use]
    pub const fn ends(self) -> bool {
        matches!(self, Self::WindowExceeded | Self::TooMuchUnfinished)
    }
}

impl Frame<'_> {
    /// The frame's bytes.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        // Encoding into a Vec cannot fail: there is no length that the format cannot write.
        postcard::to_stdvec(self).unwrap_or_default()
    }
}

/// Reads a frame that came on `channel`.
///
/// # Errors
/// The [`Fault`] that makes it unusable.
pub fn decode(channel: Lane, bytes: &[u8]) -> Result<Frame<'_>, Fault> {
    if bytes.len() > FRAME_BYTES {
        return Err(Fault::TooLarge);
    }
    let (frame, rest) = postcard::take_from_bytes(bytes).map_err(|_| Fault::NotAFrame)?;
    if !rest.is_empty() {
        return Err(Fault::NotAFrame);
    }
    match (&frame, channel) {
        (Frame::Slice(slice), lane) => slice.check(lane)?,
        (_, Lane::Bulk) => return Err(Fault::WrongChannel),
        (_, Lane::Control) => {}
    }
    Ok(frame)
}

impl Slice<'_> {
    /// How many slices a message of `total` bytes has.
    #[must_use]
    pub fn count(total: usize, size: usize) -> usize {
        total.div_ceil(size.max(1)).max(1)
    }

    fn check(&self, lane: Lane) -> Result<(), Fault> {
        let (total, size, index) = (self.total as usize, usize::from(self.size), usize::from(self.index));
        if total > super::limits::of(lane).message {
            return Err(Fault::MessageTooLarge);
        }
        let count = Self::count(total, size);
        let expected = if index + 1 == count { total - index * size } else { size };
        let sane = size >= SLICE_MIN && index < count && self.payload.len() == expected;
        if sane { Ok(()) } else { Err(Fault::Contradiction) }
    }
}

/// Bytes of payload that fit a frame of `frame` bytes.
#[must_use]
pub const fn payload_bytes(frame: usize) -> usize {
    frame - HEADER_BYTES
}

#[cfg(test)]
mod tests {
    use super::{Fault, Frame, HEADER_BYTES, Slice, decode};
    use coordinator::io::Lane::{self, Bulk, Control};

    fn slice(total: u32, size: u16, index: u16, payload: usize) -> Vec<u8> {
        let payload = vec![7; payload];
        Frame::Slice(Slice { message: 1, total, size, index, payload: &payload }).encode()
    }

    #[test]
    fn what_is_taken_and_what_is_not() {
        let with_tail = [Frame::Ping.encode(), vec![0]].concat();
        let cut = slice(100, 1024, 0, 100)[..50].to_vec();
        let rows: Vec<(&str, Lane, Vec<u8>, Option<Fault>)> = vec![
            ("a whole message", Control, slice(100, 1024, 0, 100), None),
            ("an empty message", Control, slice(0, 1024, 0, 0), None),
            ("the first of two", Bulk, slice(1500, 1024, 0, 1024), None),
            ("the last of two", Bulk, slice(1500, 1024, 1, 476), None),
            ("an exact fit", Bulk, slice(2048, 1024, 1, 1024), None),
            ("an acknowledgement", Control, Frame::Ack { bulk: true, bytes: u64::MAX }.encode(), None),
            ("nothing", Control, vec![], Some(Fault::NotAFrame)),
            ("garbage", Control, vec![0xff; 40], Some(Fault::NotAFrame)),
            ("cut off", Bulk, cut, Some(Fault::NotAFrame)),
            ("with a tail", Control, with_tail, Some(Fault::NotAFrame)),
            ("too large", Bulk, vec![0; 16 * 1024 + 1], Some(Fault::TooLarge)),
            ("control on bulk", Bulk, Frame::Ping.encode(), Some(Fault::WrongChannel)),
            ("shorter than it says", Bulk, slice(1500, 1024, 1, 475), Some(Fault::Contradiction)),
            ("longer than it says", Bulk, slice(1500, 1024, 1, 477), Some(Fault::Contradiction)),
            ("past the end", Bulk, slice(1500, 1024, 2, 0), Some(Fault::Contradiction)),
            ("far past the end", Bulk, slice(1500, 1024, u16::MAX, 0), Some(Fault::Contradiction)),
            ("in crumbs", Bulk, slice(1500, 1, 0, 1), Some(Fault::Contradiction)),
            ("slices of nothing", Bulk, slice(1500, 0, 0, 0), Some(Fault::Contradiction)),
            (
                "more than control carries",
                Control,
                slice(65_537, 1024, 0, 1024),
                Some(Fault::MessageTooLarge),
            ),
            ("more than bulk carries", Bulk, slice(u32::MAX, 1024, 0, 1024), Some(Fault::MessageTooLarge)),
        ];
        for (why, channel, bytes, fault) in rows {
            assert_eq!(decode(channel, &bytes).err(), fault, "{why}");
        }
    }

    #[test]
    fn a_header_fits_its_allowance() {
        let payload = vec![0; 4_000];
        let slice =
            Slice { message: u64::MAX, total: u32::MAX, size: u16::MAX, index: u16::MAX, payload: &payload };
        assert!(Frame::Slice(slice).encode().len() <= payload.len() + HEADER_BYTES);
    }
}
