//! The conversation with one peer over one connection: both lanes both ways, and whether it still lives. Sans-IO.

use super::SendError;
use super::frames::{Fault, Frame, decode};
use super::limits::{DOUBT_MS, PING_MS, SILENT_MS, STRIKES, of};
use super::receiving::Receiving;
use super::sending::Sending;
use bytes::Bytes;
use coordinator::io::Lane;
use std::collections::VecDeque;

/// The conversation.
#[derive(Debug)]
pub struct Session {
    control: (Sending, Receiving),
    bulk: (Sending, Receiving),
    answers: VecDeque<Vec<u8>>,
    /// Whether the peer has said anything: before that it may not listen yet, and what it is told may be lost.
    listens: bool,
    heard: u64,
    pinged: u64,
    dead_at: u64,
    strikes: u32,
}

/// What a packet said, beyond what the session deals with itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Said {
    /// Nothing more.
    Nothing,
    /// The connection is over; true if the peer leaves the room.
    Bye {
        /// See [`Frame::Bye`].
        leaves: bool,
    },
}

impl Session {
    /// Just opened here. The other side may open a moment later, and what comes before that is lost there (seen with native
    /// peers): so each side says one word that does not matter, and everything else waits for the other's first word.
    #[must_use]
    pub fn new(now: u64) -> Self {
        Self {
            control: (Sending::new(of(Lane::Control)), Receiving::new(Lane::Control)),
            bulk: (Sending::new(of(Lane::Bulk)), Receiving::new(Lane::Bulk)),
            answers: VecDeque::from([Frame::Ping.encode()]),
            listens: false,
            heard: now,
            pinged: now,
            dead_at: now + SILENT_MS,
            strikes: 0,
        }
    }

    /// Queues a message.
    ///
    /// # Errors
    /// As [`Sending::push`].
    pub fn send(&mut self, lane: Lane, bytes: Vec<u8>) -> Result<(), SendError> {
        self.lane(lane).0.push(bytes)
    }

    /// A packet came in on a channel.
    ///
    /// # Errors
    /// The [`Fault`]; the packet is dropped. [`Session::strike`] says whether that was one too many.
    pub fn receive(&mut self, now: u64, channel: Lane, packet: Bytes) -> Result<Said, Fault> {
        (self.heard, self.listens) = (now, true);
        self.dead_at = now + SILENT_MS;
        match decode(channel, &packet)? {
            Frame::Slice(_) => self.lane(channel).1.arrive(packet)?,
            Frame::Ack { bulk: true, bytes } => self.bulk.0.acknowledge(bytes)?,
            Frame::Ack { bulk: false, bytes } => self.control.0.acknowledge(bytes)?,
            // One answer waits at most: a flood of pings gets no flood back.
            Frame::Ping if self.answers.is_empty() => self.answers.push_back(Frame::Pong.encode()),
            Frame::Ping | Frame::Pong => {}
            Frame::Bye { leaves } => return Ok(Said::Bye { leaves }),
        }
        Ok(Said::Nothing)
    }

    /// The next whole message, or fault, among what has come in; control first.
    pub fn next_message(&mut self) -> Option<Result<Vec<u8>, Fault>> {
        self.control.1.next_message().or_else(|| self.bulk.1.next_message())
    }

    /// The next packet to send; control first.
    pub fn next_packet(&mut self) -> Option<(Lane, Vec<u8>)> {
        if let Some(frame) = self.answers.pop_front() {
            return Some((Lane::Control, frame));
        }
        if !self.listens {
            return None;
        }
        if let Some(bytes) = self.control.1.acknowledgement() {
            return Some((Lane::Control, Frame::Ack { bulk: false, bytes }.encode()));
        }
        if let Some(bytes) = self.bulk.1.acknowledgement() {
            return Some((Lane::Control, Frame::Ack { bulk: true, bytes }.encode()));
        }
        if let Some(frame) = self.control.0.next_frame() {
            return Some((Lane::Control, frame));
        }
        self.bulk.0.next_frame().map(|frame| (Lane::Bulk, frame))
    }

    /// Counts a fault; true if the connection is to end.
    pub const fn strike(&mut self, fault: Fault) -> bool {
        self.strikes += 1;
        fault.ends() || self.strikes >= STRIKES
    }

    /// Somebody says that the peer is gone: it has to prove otherwise soon.
    pub fn doubt(&mut self, now: u64) {
        self.dead_at = self.dead_at.min(now + DOUBT_MS);
        self.ping(now);
    }

    /// Time passed; true if the peer has been silent for too long.
    pub fn tick(&mut self, now: u64) -> bool {
        if now >= self.heard.max(self.pinged) + PING_MS {
            self.ping(now);
        }
        now >= self.dead_at
    }

    /// When [`Session::tick`] has something to do.
    #[must_use]
    pub fn wake_at(&self) -> u64 {
        (self.heard.max(self.pinged) + PING_MS).min(self.dead_at)
    }

    fn ping(&mut self, now: u64) {
        self.pinged = now;
        self.answers.push_back(Frame::Ping.encode());
    }

    const fn lane(&mut self, lane: Lane) -> &mut (Sending, Receiving) {
        match lane {
            Lane::Control => &mut self.control,
            Lane::Bulk => &mut self.bulk,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::frames::{Fault, Frame};
    use super::super::limits::{DOUBT_MS, PING_MS, SILENT_MS, STRIKES};
    use super::{Said, Session};
    use bytes::Bytes;
    use coordinator::io::Lane::{Bulk, Control};

    fn packet(frame: Frame<'_>) -> Bytes {
        frame.encode().into()
    }

    /// Two that have heard each other.
    fn met() -> (Session, Session) {
        let (mut one, mut two) = (Session::new(0), Session::new(0));
        while carry(&mut one, &mut two, 0) + carry(&mut two, &mut one, 0) > 0 {}
        (one, two)
    }

    /// Carries everything from one session to another.
    fn carry(from: &mut Session, to: &mut Session, now: u64) -> usize {
        let packets: Vec<_> = std::iter::from_fn(|| from.next_packet()).collect();
        for (lane, bytes) in &packets {
            to.receive(now, *lane, Bytes::copy_from_slice(bytes)).expect("no fault");
        }
        packets.len()
    }

    #[test]
    fn messages_larger_than_the_window_pass_in_both_directions() {
        let (mut one, mut two) = met();
        let big: Vec<u8> = (0..2 * 1024 * 1024).map(|byte| byte as u8).collect();
        one.send(Bulk, big.clone()).expect("queued");
        two.send(Bulk, big.clone()).expect("queued");
        one.send(Control, b"small".to_vec()).expect("queued");
        let (mut at_one, mut at_two) = (Vec::new(), Vec::new());
        while carry(&mut one, &mut two, 0) + carry(&mut two, &mut one, 0) > 0 {
            at_one.extend(std::iter::from_fn(|| one.next_message()));
            at_two.extend(std::iter::from_fn(|| two.next_message()));
        }
        assert_eq!(at_two, [Ok(b"small".to_vec()), Ok(big.clone())]);
        assert_eq!(at_one, [Ok(big)]);
    }

    #[test]
    fn silence_is_asked_about_and_ends_the_session() {
        let (mut session, _) = met();
        assert!(!session.tick(PING_MS - 1) && session.next_packet().is_none());
        assert!(!session.tick(PING_MS));
        assert_eq!(session.next_packet(), Some((Control, Frame::Ping.encode())));
        assert!(session.tick(SILENT_MS), "nobody answered");
        session.receive(SILENT_MS, Control, packet(Frame::Pong)).expect("no fault");
        assert!(!session.tick(SILENT_MS + 1), "somebody did");
        session.doubt(SILENT_MS + 1);
        assert!(!session.tick(SILENT_MS + DOUBT_MS));
        assert!(session.tick(SILENT_MS + 1 + DOUBT_MS), "in doubt it has less time");
    }

    #[test]
    fn nothing_is_said_to_who_does_not_listen_yet() {
        let (mut early, mut late) = (Session::new(0), Session::new(0));
        early.send(Control, b"hello".to_vec()).expect("queued");
        early.send(Bulk, b"large".to_vec()).expect("queued");
        let lost: Vec<_> = std::iter::from_fn(|| early.next_packet()).collect();
        assert_eq!(lost, [(Control, Frame::Ping.encode())], "the other side is not open: this is lost");
        while carry(&mut late, &mut early, 0) + carry(&mut early, &mut late, 0) > 0 {}
        let heard: Vec<_> = std::iter::from_fn(|| late.next_message()).collect();
        assert_eq!(heard, [Ok(b"hello".to_vec()), Ok(b"large".to_vec())]);
    }

    #[test]
    fn a_first_word_that_is_lost_is_said_again() {
        let (mut one, mut two) = (Session::new(0), Session::new(0));
        let lost = |session: &mut Session| std::iter::from_fn(|| session.next_packet()).count();
        assert_eq!((lost(&mut one), lost(&mut two)), (1, 1), "nobody hears anybody");
        one.send(Control, b"hello".to_vec()).expect("queued");
        assert!(!one.tick(PING_MS) && !two.tick(PING_MS));
        while carry(&mut one, &mut two, PING_MS) + carry(&mut two, &mut one, PING_MS) > 0 {}
        assert_eq!(two.next_message(), Some(Ok(b"hello".to_vec())));
    }

    #[test]
    fn hostile_packets_are_named_and_are_too_many_one_day() {
        let (mut session, _) = met();
        let rows = [
            (Control, Bytes::from_static(&[9, 9, 9]), Err(Fault::NotAFrame), "garbage"),
            (Control, packet(Frame::Ack { bulk: true, bytes: 1 }), Err(Fault::FalseAck), "a false figure"),
            (
                Bulk,
                packet(Frame::Bye { leaves: true }),
                Err(Fault::WrongChannel),
                "farewell on the wrong channel",
            ),
            (Control, packet(Frame::Bye { leaves: true }), Ok(Said::Bye { leaves: true }), "farewell"),
        ];
        for (channel, bytes, expected, why) in rows {
            assert_eq!(session.receive(0, channel, bytes), expected, "{why}");
        }
        for _ in 0..1_000 {
            session.receive(0, Control, packet(Frame::Ping)).expect("no fault");
        }
        assert_eq!(std::iter::from_fn(|| session.next_packet()).count(), 1, "one answer to a thousand pings");
        let strikes = (1..).find(|_| session.strike(Fault::NotAFrame)).expect("an end");
        assert_eq!(strikes, STRIKES);
        assert!(Session::new(0).strike(Fault::WindowExceeded), "at once");
    }
}
