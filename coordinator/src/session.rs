//! One job under one lease at one stage: what to run next, and where its result goes.
//!
//! At most `WINDOW` chunks are between a stage and its successor: given to the compute worker, or sent on and not
//! acknowledged. The bulk lane may reorder; a stage runs chunks in the order of their positions.

use crate::ids::{JobId, Layers, Lease, Millis, PeerId};
use crate::io::{Chunk, ChunkInput, ChunkOutput, Output, Stage};
use crate::limits;
use crate::outbox::Outbox;
use crate::wire::{self, Fault, Hidden, Message, Open, Token};
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// See the module.
#[derive(Debug)]
pub struct Session {
    /// Who opened it, and gets its tokens and its faults.
    pub owner: PeerId,
    /// The job.
    pub job: JobId,
    /// The lease.
    pub lease: Lease,
    /// When anything last happened to it.
    pub touched: Millis,
    stages: Vec<Stage>,
    /// This peer's place in `stages`.
    at: usize,
    prompt: u32,
    known: u32,
    until: u32,
    sampling: Vec<u8>,
    /// Stage 0: prompt and answer as far as known.
    tokens: Vec<u32>,
    /// Other stages: what arrived, by position.
    waiting: BTreeMap<u32, Hidden>,
    /// Position of the next chunk to run.
    next: u32,
    /// Given to the compute worker: position and rows.
    running: VecDeque<(u32, u32)>,
    /// Positions sent on and not acknowledged.
    unacked: VecDeque<u32>,
}

impl Session {
    /// A session at peer `me`.
    ///
    /// # Errors
    /// Says what is wrong with the request.
    pub fn new(me: PeerId, now: Millis, owner: PeerId, open: Open) -> Result<Self, String> {
        let at =
            open.stages.iter().position(|stage| stage.peer == me).ok_or("a session without this peer")?;
        let mut next = 0;
        for stage in &open.stages {
            if stage.layers.start != next || stage.layers.is_empty() {
                return Err("a session whose layers have gaps".into());
            }
            next = stage.layers.end;
        }
        let peers: BTreeSet<PeerId> = open.stages.iter().map(|stage| stage.peer).collect();
        if peers.len() != open.stages.len() {
            return Err("a session with a peer in it twice".into());
        }
        if at == 0 && open.tokens.len() != open.known as usize {
            return Err("a session whose tokens do not add up".into());
        }
        Ok(Self {
            owner,
            job: open.job,
            lease: open.lease,
            touched: now,
            stages: open.stages,
            at,
            prompt: open.prompt,
            known: open.known,
            until: open.until,
            sampling: open.sampling,
            tokens: open.tokens,
            waiting: BTreeMap::new(),
            next: 0,
            running: VecDeque::new(),
            unacked: VecDeque::new(),
        })
    }

    /// Takes hidden states from the previous stage.
    ///
    /// # Errors
    /// Says why they are dropped.
    pub fn hidden(
        &mut self,
        now: Millis,
        from: PeerId,
        hidden: Hidden,
        out: &mut Outbox,
    ) -> Result<(), String> {
        if self.previous() != Some(from) {
            return Err("hidden states from a peer that is not the previous stage".into());
        }
        if hidden.position < self.next || hidden.rows == 0 || hidden.position + hidden.rows > self.until {
            return Err("hidden states for a position that is not due".into());
        }
        if self.waiting.len() >= limits::WINDOW {
            return Err("more hidden states than the window allows".into());
        }
        self.touched = now;
        self.waiting.insert(hidden.position, hidden);
        self.pump(out);
        Ok(())
    }

    /// The next stage has run the chunk at `position`.
    ///
    /// # Errors
    /// Says why that is dropped.
    pub fn ack(&mut self, now: Millis, from: PeerId, position: u32, out: &mut Outbox) -> Result<(), String> {
        if self.following() != Some(from) || self.unacked.front() != Some(&position) {
            return Err("an acknowledgement of nothing that was sent".into());
        }
        self.unacked.pop_front();
        self.touched = now;
        self.pump(out);
        Ok(())
    }

    /// Stage 0 feeds the token that the last stage sampled.
    ///
    /// # Errors
    /// Says why it is dropped.
    pub fn token(
        &mut self,
        now: Millis,
        from: PeerId,
        token: &Token,
        out: &mut Outbox,
    ) -> Result<(), String> {
        if !self.is_first() || self.last() != from {
            return Err("a token from a peer that is not the last stage".into());
        }
        if token.position as usize != self.tokens.len() {
            return Err("a token for a position that is not due".into());
        }
        self.touched = now;
        // The very last token is nobody's input.
        if !token.end && token.position + 1 < self.until {
            self.tokens.push(token.token);
            self.pump(out);
        }
        Ok(())
    }

    /// Takes the compute worker's answer; one that was not asked for is ignored.
    ///
    /// # Errors
    /// Says why the session cannot go on.
    pub fn ran(
        &mut self,
        now: Millis,
        position: u32,
        result: Result<ChunkOutput, String>,
        out: &mut Outbox,
    ) -> Result<(), String> {
        let Some((_, rows)) = self.running.pop_front_if(|(expected, _)| *expected == position) else {
            return Ok(());
        };
        self.touched = now;
        let samples = self.samples(position + rows);
        match (result?, self.following()) {
            (ChunkOutput::Hidden(bytes), Some(next)) => {
                self.unacked.push_back(position);
                let (job, lease) = (self.job, self.lease);
                out.send(next, Message::Hidden(Hidden { job, lease, position, rows, bytes }));
            }
            (ChunkOutput::Token { token, end }, None) if samples => {
                self.announce(position + rows, token, end, out);
            }
            (ChunkOutput::Nothing, None) if !samples => {}
            _ => return Err("its compute worker gave the wrong kind of answer".into()),
        }
        if let Some(previous) = self.previous() {
            out.send(previous, Message::Ack(self.job, self.lease, position));
        }
        self.pump(out);
        Ok(())
    }

    /// Gives the compute worker whatever is due, as far as the window allows.
    pub fn pump(&mut self, out: &mut Outbox) {
        while self.in_flight() < limits::WINDOW {
            let Some((input, rows)) = self.due() else { return };
            let position = self.next;
            self.next += rows;
            self.running.push_back((position, rows));
            out.push(Output::Run(Chunk {
                job: self.job,
                lease: self.lease,
                layers: self.layers(),
                position,
                input,
                sample: self.samples(self.next).then(|| self.sampling.clone()),
            }));
        }
    }

    /// Its fault, as a message.
    pub fn fault(&self, reason: &str, suspect: Option<PeerId>) -> Message {
        let reason = wire::clip(reason, limits::REASON_BYTES);
        Message::Fault(Fault { job: self.job, lease: self.lease, reason, suspect })
    }

    /// The layers that it runs on.
    pub fn layers(&self) -> Layers {
        self.stages[self.at].layers
    }

    /// Whether this is stage 0.
    pub const fn is_first(&self) -> bool {
        self.at == 0
    }

    /// The peers that it exchanges messages with, its owner aside.
    pub fn neighbours(&self) -> impl Iterator<Item = PeerId> {
        let closing = match self.at {
            0 => Some(self.last()),
            at if at + 1 == self.stages.len() => Some(self.stages[0].peer),
            _ => None,
        };
        [self.previous(), self.following(), closing].into_iter().flatten()
    }

    /// Chunks at the compute worker.
    pub fn running(&self) -> usize {
        self.running.len()
    }

    /// Chunks that arrived before their turn.
    pub fn waiting(&self) -> usize {
        self.waiting.len()
    }

    /// Chunks between this stage and the next.
    pub fn in_flight(&self) -> usize {
        self.running.len() + self.unacked.len()
    }

    /// The next pass, if it is there: known tokens cut as they always are, or what arrived.
    fn due(&mut self) -> Option<(ChunkInput, u32)> {
        if !self.is_first() {
            let hidden = self.waiting.remove(&self.next)?;
            return Some((ChunkInput::Hidden(hidden.bytes), hidden.rows));
        }
        let rows = match self.prompt.saturating_sub(self.next) {
            0 => 1,
            left => left.min(limits::PASS_TOKENS as u32),
        };
        let tokens = self.tokens.get(self.next as usize..(self.next + rows) as usize)?;
        Some((ChunkInput::Tokens(tokens.to_vec()), rows))
    }

    /// Whether the pass that ends before position `end` is to be sampled, here.
    fn samples(&self, end: u32) -> bool {
        self.following().is_none() && end >= self.known
    }

    fn announce(&self, position: u32, token: u32, end: bool, out: &mut Outbox) {
        let message = Message::Token(Token { job: self.job, lease: self.lease, position, token, end });
        let first = self.stages[0].peer;
        if first != self.owner {
            out.send(first, message.clone());
        }
        out.send(self.owner, message);
    }

    fn previous(&self) -> Option<PeerId> {
        self.at.checked_sub(1).map(|at| self.stages[at].peer)
    }

    fn following(&self) -> Option<PeerId> {
        self.stages.get(self.at + 1).map(|stage| stage.peer)
    }

    fn last(&self) -> PeerId {
        self.stages[self.stages.len() - 1].peer
    }
}

#[cfg(test)]
mod tests;
