//! One lane's way in from one peer: a window kept by us, and messages put together again in whatever order their
//! slices come. Everything here is fed by the peer; everything is bounded.

use super::frames::{Fault, Frame, Slice, decode};
use super::limits::{LaneLimits, SLICE_MIN};
use bytes::Bytes;
use coordinator::io::Lane;
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// Messages on their way from one peer on one lane.
#[derive(Debug)]
pub struct Receiving {
    lane: Lane,
    limits: &'static LaneLimits,
    inbox: VecDeque<Bytes>,
    arrived: u64,
    taken: u64,
    acknowledged: u64,
    unfinished: BTreeMap<u64, Unfinished>,
    kept: usize,
    finished: Finished,
}

#[derive(Debug)]
struct Unfinished {
    total: u32,
    size: u16,
    slices: BTreeMap<u16, Bytes>,
}

/// The numbers of finished messages: all below a floor, and some above it.
#[derive(Debug, Default)]
struct Finished {
    floor: u64,
    above: BTreeSet<u64>,
}

impl Receiving {
    /// Nothing received yet.
    #[must_use]
    pub fn new(lane: Lane) -> Self {
        Self {
            lane,
            limits: super::limits::of(lane),
            inbox: VecDeque::new(),
            arrived: 0,
            taken: 0,
            acknowledged: 0,
            unfinished: BTreeMap::new(),
            kept: 0,
            finished: Finished::default(),
        }
    }

    /// A slice frame came in; it waits until [`Receiving::next_message`] takes it.
    ///
    /// # Errors
    /// [`Fault::WindowExceeded`] if the peer has more on the way than was acknowledged to it.
    pub fn arrive(&mut self, frame: Bytes) -> Result<(), Fault> {
        self.arrived += frame.len() as u64;
        if self.arrived - self.acknowledged > self.limits.window as u64 {
            return Err(Fault::WindowExceeded);
        }
        self.inbox.push_back(frame);
        Ok(())
    }

    /// Takes waiting slices until one makes a message whole, or is at fault; None once none waits.
    pub fn next_message(&mut self) -> Option<Result<Vec<u8>, Fault>> {
        while let Some(frame) = self.inbox.pop_front() {
            self.taken += frame.len() as u64;
            match self.take(&frame) {
                Ok(None) => {}
                Ok(Some(message)) => return Some(Ok(message)),
                Err(fault) => return Some(Err(fault)),
            }
        }
        None
    }

    /// The figure to acknowledge, once enough has been taken in since the last one.
    pub fn acknowledgement(&mut self) -> Option<u64> {
        let due = self.taken - self.acknowledged >= self.limits.window as u64 / 16;
        due.then(|| {
            self.acknowledged = self.taken;
            self.taken
        })
    }

    fn take(&mut self, frame: &Bytes) -> Result<Option<Vec<u8>>, Fault> {
        let Frame::Slice(slice) = decode(self.lane, frame)? else {
            return Err(Fault::NotAFrame);
        };
        if self.finished.contains(slice.message) {
            return Err(Fault::Duplicate);
        }
        if Slice::count(slice.total as usize, slice.size.into()) == 1 {
            return self.single(&slice);
        }
        if !self.unfinished.contains_key(&slice.message) && self.unfinished.len() >= self.most_unfinished() {
            return Err(Fault::TooMuchUnfinished);
        }
        let unfinished = self.unfinished.entry(slice.message).or_insert_with(|| Unfinished {
            total: slice.total,
            size: slice.size,
            slices: BTreeMap::new(),
        });
        if (unfinished.total, unfinished.size) != (slice.total, slice.size) {
            return Err(Fault::Contradiction);
        }
        if unfinished.slices.contains_key(&slice.index) {
            return Err(Fault::Duplicate);
        }
        self.kept += slice.payload.len();
        if self.kept > self.limits.unfinished {
            return Err(Fault::TooMuchUnfinished);
        }
        unfinished.slices.insert(slice.index, frame.slice_ref(slice.payload));
        self.finish(slice.message)
    }

    fn single(&mut self, slice: &Slice<'_>) -> Result<Option<Vec<u8>>, Fault> {
        if self.unfinished.contains_key(&slice.message) {
            return Err(Fault::Contradiction);
        }
        self.finished.insert(slice.message, self.limits)?;
        Ok(Some(slice.payload.to_vec()))
    }

    fn finish(&mut self, number: u64) -> Result<Option<Vec<u8>>, Fault> {
        let whole = |it: &Unfinished| it.slices.len() == Slice::count(it.total as usize, it.size.into());
        if !self.unfinished.get(&number).is_some_and(whole) {
            return Ok(None);
        }
        let Some(unfinished) = self.unfinished.remove(&number) else {
            return Ok(None);
        };
        self.kept -= unfinished.total as usize;
        self.finished.insert(number, self.limits)?;
        let mut message = Vec::with_capacity(unfinished.total as usize);
        for slice in unfinished.slices.values() {
            message.extend_from_slice(slice);
        }
        Ok(Some(message))
    }

    /// Messages that an honest sender may have begun: those that take turns, and those of which a slice is still
    /// on the way.
    fn most_unfinished(&self) -> usize {
        self.limits.open + self.limits.window / SLICE_MIN
    }
}

impl Finished {
    fn contains(&self, number: u64) -> bool {
        number < self.floor || self.above.contains(&number)
    }

    /// Numbers may leave gaps only as wide as a window of the smallest frames.
    fn insert(&mut self, number: u64, limits: &LaneLimits) -> Result<(), Fault> {
        self.above.insert(number);
        while self.above.remove(&self.floor) {
            self.floor += 1;
        }
        if self.above.len() > limits.window / 4 { Err(Fault::TooMuchUnfinished) } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::super::frames::{Fault, Frame, Slice};
    use super::super::limits::{BULK, of};
    use super::super::sending::Sending;
    use super::Receiving;
    use bytes::Bytes;
    use coordinator::io::Lane;
    use proptest::prelude::*;

    fn frame(message: u64, total: u32, index: u16, payload: usize) -> Bytes {
        let payload = vec![index as u8; payload];
        Frame::Slice(Slice { message, total, size: 1024, index, payload: &payload }).encode().into()
    }

    fn give(receiving: &mut Receiving, frame: Bytes) -> Option<Result<usize, Fault>> {
        receiving.arrive(frame).expect("within the window");
        receiving.next_message().map(|it| it.map(|message| message.len()))
    }

    #[test]
    fn duplicates_and_lies_are_named_and_the_message_still_arrives() {
        let mut receiving = Receiving::new(Lane::Bulk);
        let rows = [
            ("the last slice first", frame(0, 3_000, 2, 952), None),
            ("the same again", frame(0, 3_000, 2, 952), Some(Err(Fault::Duplicate))),
            ("another length", frame(0, 4_000, 0, 1_024), Some(Err(Fault::Contradiction))),
            ("a single slice in its name", frame(0, 10, 0, 10), Some(Err(Fault::Contradiction))),
            ("a small message between", frame(1, 10, 0, 10), Some(Ok(10))),
            ("the small one again", frame(1, 10, 0, 10), Some(Err(Fault::Duplicate))),
            ("the first slice", frame(0, 3_000, 0, 1_024), None),
            ("the middle makes it whole", frame(0, 3_000, 1, 1_024), Some(Ok(3_000))),
            ("and again", frame(0, 3_000, 1, 1_024), Some(Err(Fault::Duplicate))),
        ];
        for (why, frame, expected) in rows {
            assert_eq!(give(&mut receiving, frame), expected, "{why}");
        }
        assert_eq!(receiving.kept, 0, "nothing is left behind");
    }

    #[test]
    fn a_sender_without_regard_for_the_window_is_found_out() {
        let mut receiving = Receiving::new(Lane::Bulk);
        let flood = (0u64..).map(|number| receiving.arrive(frame(number, 1_000, 0, 1_000)));
        let accepted = flood.take_while(Result::is_ok).count();
        assert!(accepted * 1_000 <= BULK.window, "{accepted}");
    }

    #[test]
    fn beginning_and_never_finishing_is_bounded() {
        let mut receiving = Receiving::new(Lane::Bulk);
        let mut begun = 0u64;
        let fault = loop {
            receiving.arrive(frame(begun, 1_000_000, 0, 1_024)).expect("within the window");
            if let Some(result) = receiving.next_message() {
                break result.expect_err("never a whole message");
            }
            receiving.acknowledgement();
            begun += 1;
        };
        assert_eq!(fault, Fault::TooMuchUnfinished);
        assert!(begun < 1_100, "{begun}");
    }

    proptest! {
        /// Whatever the sizes and the order in which slices arrive, every message arrives once and whole.
        #[test]
        fn every_message_arrives_once_and_whole(
            sizes in prop::collection::vec(0usize..40_000, 1..30),
            order in prop::collection::vec(any::<prop::sample::Index>(), 1..400),
        ) {
            let mut sending = Sending::new(of(Lane::Bulk));
            let mut receiving = Receiving::new(Lane::Bulk);
            let mut on_the_way: Vec<Vec<u8>> = Vec::new();
            let mut received = Vec::new();
            for (number, size) in sizes.iter().enumerate() {
                sending.push(vec![number as u8; *size]).expect("fits");
            }
            let mut order = order.iter().cycle();
            loop {
                on_the_way.extend(std::iter::from_fn(|| sending.next_frame()));
                if on_the_way.is_empty() {
                    break;
                }
                let pick = order.next().expect("cycle").index(on_the_way.len());
                receiving.arrive(on_the_way.swap_remove(pick).into()).expect("window");
                while let Some(message) = receiving.next_message() {
                    received.push(message.expect("no fault"));
                }
                if let Some(bytes) = receiving.acknowledgement() {
                    sending.acknowledge(bytes).expect("true");
                }
            }
            let mut expected: Vec<Vec<u8>> =
                sizes.iter().enumerate().map(|(number, size)| vec![number as u8; *size]).collect();
            expected.sort();
            received.sort();
            prop_assert_eq!(received, expected);
            prop_assert_eq!(receiving.kept, 0);
        }

        /// No bytes at all make the receiver panic.
        #[test]
        fn any_bytes_are_survived(frames in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..60), 0..50)) {
            let mut receiving = Receiving::new(Lane::Control);
            for bytes in frames {
                let _ = receiving.arrive(bytes.into());
                while receiving.next_message().is_some() {}
            }
        }
    }
}
