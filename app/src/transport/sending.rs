//! One lane's way out to one peer: a bounded queue, a window, and turns.

use super::SendError;
use super::frames::{Fault, Frame, Slice, payload_bytes};
use super::limits::LaneLimits;
use std::collections::VecDeque;

/// Messages on their way to one peer on one lane.
#[derive(Debug)]
pub struct Sending {
    limits: &'static LaneLimits,
    waiting: VecDeque<Message>,
    open: VecDeque<Message>,
    open_bytes: usize,
    queued: usize,
    next: u64,
    sent: u64,
    acknowledged: u64,
}

#[derive(Debug)]
struct Message {
    number: u64,
    bytes: Vec<u8>,
    index: usize,
}

impl Sending {
    /// An empty queue.
    #[must_use]
    pub const fn new(limits: &'static LaneLimits) -> Self {
        Self {
            limits,
            waiting: VecDeque::new(),
            open: VecDeque::new(),
            open_bytes: 0,
            queued: 0,
            next: 0,
            sent: 0,
            acknowledged: 0,
        }
    }

    /// Queues a message.
    ///
    /// # Errors
    /// [`SendError::TooLarge`] or [`SendError::Full`]; nothing is queued then.
    pub fn push(&mut self, bytes: Vec<u8>) -> Result<(), SendError> {
        if bytes.len() > self.limits.message {
            return Err(SendError::TooLarge { bytes: bytes.len(), limit: self.limits.message });
        }
        if self.queued + bytes.len() > self.limits.queue {
            return Err(SendError::Full);
        }
        self.queued += bytes.len();
        self.waiting.push_back(Message { number: self.next, bytes, index: 0 });
        self.next += 1;
        Ok(())
    }

    /// The next frame, if there is one and the window is open. Open messages take turns, so that a small one is
    /// not stuck behind a large one.
    pub fn next_frame(&mut self) -> Option<Vec<u8>> {
        let unacknowledged = usize::try_from(self.sent - self.acknowledged).unwrap_or(usize::MAX);
        if unacknowledged + self.limits.frame > self.limits.window {
            return None;
        }
        self.admit();
        let mut message = self.open.pop_front()?;
        let size = payload_bytes(self.limits.frame);
        let start = message.index * size;
        let end = message.bytes.len().min(start + size);
        let frame = Frame::Slice(Slice {
            message: message.number,
            total: message.bytes.len() as u32,
            size: size as u16,
            index: message.index as u16,
            payload: &message.bytes[start..end],
        })
        .encode();
        self.sent += frame.len() as u64;
        message.index += 1;
        if end == message.bytes.len() {
            self.open_bytes -= message.bytes.len();
            self.queued -= message.bytes.len();
        } else {
            self.open.push_back(message);
        }
        Some(frame)
    }

    /// The receiver has taken in `bytes` in all.
    ///
    /// # Errors
    /// [`Fault::FalseAck`] if that is more than was sent. A smaller figure than before is merely late.
    pub fn acknowledge(&mut self, bytes: u64) -> Result<(), Fault> {
        if bytes > self.sent {
            return Err(Fault::FalseAck);
        }
        self.acknowledged = self.acknowledged.max(bytes);
        Ok(())
    }

    fn admit(&mut self) {
        while self.open.len() < self.limits.open
            && let Some(message) = self.waiting.front()
            && (self.open.is_empty() || self.open_bytes + message.bytes.len() <= self.limits.message)
        {
            self.open_bytes += message.bytes.len();
            self.open.extend(self.waiting.pop_front());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::frames::{Fault, Frame, decode};
    use super::super::limits::{BULK, CONTROL};
    use super::{SendError, Sending};
    use coordinator::io::Lane;

    fn number(frame: &[u8]) -> u64 {
        match decode(Lane::Bulk, frame) {
            Ok(Frame::Slice(slice)) => slice.message,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn the_window_closes_and_opens_again() {
        let mut sending = Sending::new(&BULK);
        sending.push(vec![0; 2 * BULK.window]).expect("queued");
        let first: usize = std::iter::from_fn(|| sending.next_frame()).map(|frame| frame.len()).sum();
        assert!(first <= BULK.window && first > BULK.window - 2 * BULK.frame, "{first}");
        sending.acknowledge(first as u64).expect("a true figure");
        assert!(sending.next_frame().is_some());
    }

    #[test]
    fn false_acknowledgements_open_nothing() {
        let mut sending = Sending::new(&BULK);
        sending.push(vec![0; 100]).expect("queued");
        assert_eq!(sending.acknowledge(1), Err(Fault::FalseAck), "nothing was sent yet");
        let sent = sending.next_frame().expect("a frame").len() as u64;
        assert_eq!(sending.acknowledge(sent + 1), Err(Fault::FalseAck), "more than was sent");
        assert_eq!(sending.acknowledge(sent), Ok(()));
        assert_eq!(sending.acknowledge(0), Ok(()), "late, not false");
    }

    #[test]
    fn a_small_bulk_message_overtakes_a_large_one_but_control_keeps_order() {
        for (limits, overtakes) in [(&BULK, true), (&CONTROL, false)] {
            let mut sending = Sending::new(limits);
            sending.push(vec![0; 60_000]).expect("queued");
            sending.push(vec![1; 10]).expect("queued");
            let numbers: Vec<u64> = std::iter::from_fn(|| sending.next_frame()).map(|f| number(&f)).collect();
            assert_eq!(numbers[1] == 1, overtakes, "{numbers:?}");
            assert_eq!(numbers.last() == Some(&1), !overtakes, "{numbers:?}");
        }
    }

    #[test]
    fn a_full_queue_and_a_large_message_are_refused_by_name() {
        let mut sending = Sending::new(&CONTROL);
        let large = CONTROL.message + 1;
        let too_large = SendError::TooLarge { bytes: large, limit: CONTROL.message };
        assert_eq!(sending.push(vec![0; large]), Err(too_large));
        for _ in 0..64 {
            sending.push(vec![0; CONTROL.message]).expect("within the bound");
        }
        assert_eq!(sending.push(vec![0]), Err(SendError::Full));
        sending.next_frame().expect("a frame");
        assert_eq!(
            sending.push(vec![0]),
            Err(SendError::Full),
            "a message leaves the queue when its last slice has"
        );
    }
}
