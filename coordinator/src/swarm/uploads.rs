//! What others asked for, and whose turn it is: each in turn, as fast as the person allows, and never while activations
//! are on their way.

use super::blocks::Blocks;
use super::io::{Content, Output, Sharing};
use super::message::{Message, Refusal};
use crate::ids::{Millis, PeerId};
use crate::limits;
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// Everything that goes out.
#[derive(Debug, Default)]
pub struct Uploads {
    /// What the person allows.
    pub sharing: Sharing,
    /// Whether activations are on their way.
    pub busy: bool,
    waiting: BTreeMap<PeerId, Queue>,
    sending: BTreeSet<(PeerId, Content, u32)>,
    /// Counts what was sent: who was served longest ago is next.
    turn: u64,
    /// Bytes that may be sent now under a limit; less than none after a block that was larger.
    allowance: i64,
    metered: Millis,
}

#[derive(Debug, Default)]
struct Queue {
    asks: VecDeque<(Content, u32, Millis)>,
    /// When it was served last, in turns.
    served: u64,
}

impl Uploads {
    /// Whether something waits for its turn.
    pub fn is_active(&self) -> bool {
        self.waiting.values().any(|queue| !queue.asks.is_empty())
    }

    /// A peer asks for blocks, all of them here. False if it has more asks open than it may have.
    pub fn ask(&mut self, now: Millis, from: PeerId, content: Content, blocks: &Blocks) -> bool {
        let sending: usize = self.sending.iter().filter(|(to, ..)| *to == from).count();
        let turn = self.turn;
        let queue = self.waiting.entry(from).or_insert_with(|| Queue { served: turn, ..Queue::default() });
        let known = |number: u32| queue.asks.iter().any(|ask| (ask.0, ask.1) == (content, number));
        let new: Vec<u32> = blocks
            .iter()
            .filter(|&number| !known(number) && !self.sending.contains(&(from, content, number)))
            .collect();
        let fits = queue.asks.len() + sending + new.len() <= limits::SWARM_WINDOW as usize;
        if fits {
            queue.asks.extend(new.into_iter().map(|number| (content, number, now)));
        }
        fits
    }

    /// A peer does not need these any more.
    pub fn withdraw(&mut self, from: PeerId, content: Content, blocks: &Blocks) {
        if let Some(queue) = self.waiting.get_mut(&from) {
            queue.asks.retain(|ask| ask.0 != content || !blocks.contains(ask.1));
        }
    }

    /// A peer is gone.
    pub fn forget(&mut self, peer: PeerId) {
        self.waiting.remove(&peer);
        self.sending.retain(|(to, ..)| *to != peer);
    }

    /// A content is not shared any more.
    pub fn close(&mut self, content: Content) {
        self.waiting.values_mut().for_each(|queue| queue.asks.retain(|ask| ask.0 != content));
        self.sending.retain(|(_, of, _)| *of != content);
    }

    /// A block is with the transport, or could not be read.
    pub fn served(&mut self, to: PeerId, content: Content, number: u32, bytes: Option<u32>) {
        if self.sending.remove(&(to, content, number)) && matches!(self.sharing, Sharing::Metered { .. }) {
            self.allowance -= i64::from(bytes.unwrap_or(0));
        }
    }

    /// Sends what may be sent now, and refuses what has waited too long.
    pub fn pump(&mut self, now: Millis, out: &mut Vec<Output>) {
        self.earn(now);
        while self.may_send() {
            let sending = &self.sending;
            let free =
                |to: PeerId| sending.iter().filter(|one| one.0 == to).count() < limits::SWARM_UPLOADS_EACH;
            let waiting = self.waiting.iter_mut().filter(|(to, queue)| !queue.asks.is_empty() && free(**to));
            let Some((&to, queue)) = waiting.min_by_key(|(_, queue)| queue.served) else { break };
            let Some((content, number, _)) = queue.asks.pop_front() else { break };
            self.turn += 1;
            queue.served = self.turn;
            self.sending.insert((to, content, number));
            out.push(Output::Serve { to, content, number });
        }
        // Those behind a line that moves wait their turn; those behind one that stands still are told.
        let off = matches!(self.sharing, Sharing::Off | Sharing::Metered { bytes_per_s: 0 });
        if off || self.busy || self.allowance < 0 {
            let late = |asked: Millis| off || now.since(asked) >= limits::SWARM_HOLD_MS;
            for (&to, queue) in &mut self.waiting {
                refuse(to, queue, late, out);
            }
        }
    }

    fn may_send(&self) -> bool {
        let allowed = match self.sharing {
            Sharing::Off => false,
            Sharing::On => true,
            // One at a time, for what is on its way is counted when it is sent.
            Sharing::Metered { bytes_per_s } => {
                bytes_per_s > 0 && self.allowance >= 0 && self.sending.is_empty()
            }
        };
        allowed && !self.busy && self.sending.len() < limits::SWARM_UPLOADS
    }

    /// What a limit allows grows with time, up to a second's worth.
    fn earn(&mut self, now: Millis) {
        let Sharing::Metered { bytes_per_s } = self.sharing else {
            (self.allowance, self.metered) = (0, now);
            return;
        };
        let rate = i64::try_from(bytes_per_s).unwrap_or(i64::MAX);
        let ms = i64::try_from(now.since(self.metered)).unwrap_or(i64::MAX);
        let earned = rate.saturating_mul(ms) / 1000;
        // Not before there is a whole byte, or a slow trickle would be rounded away.
        if earned > 0 {
            self.allowance = self.allowance.saturating_add(earned).min(rate);
            self.metered = now;
        }
    }
}

fn refuse(to: PeerId, queue: &mut Queue, late: impl Fn(Millis) -> bool, out: &mut Vec<Output>) {
    let mut refused: BTreeMap<Content, Vec<u32>> = BTreeMap::new();
    for &(content, number, _) in queue.asks.iter().filter(|ask| late(ask.2)) {
        refused.entry(content).or_default().push(number);
    }
    queue.asks.retain(|ask| !late(ask.2));
    for (content, numbers) in refused {
        let blocks = numbers.into_iter().collect();
        out.push(Output::Send { to, message: Message::Refuse { content, blocks, why: Refusal::Busy } });
    }
}
