//! One answer under one lease at one stage: which pass to run next, and where its result goes.
//!
//! Stage 0 cuts the known tokens into passes of `PASS_TOKENS`, and each new token is a pass of its own. A replay after a
//! loss is a prefill of prompt and answer: a row's bits do not depend on the rows that share its pass, which kernels
//! promise, so its caches, and the tokens that follow, are the same. At most `WINDOW` chunks are between a stage and its successor: given to the compute worker,
//! or sent on and not acknowledged. The bulk lane may reorder; a stage runs chunks in the order of their positions.

use super::{Head, WRONG_ANSWER};
use crate::ids::PeerId;
use crate::io::{ChunkOutput, Rows, Sample, Task};
use crate::limits;
use crate::mutation::{self, Mutation};
use crate::outbox::Outbox;
use crate::stage::Failure;
use crate::wire::{Hidden, Message, OpenText, Token};
use std::collections::{BTreeMap, VecDeque};

/// See the module.
#[derive(Debug)]
pub struct TextSession {
    known: u32,
    until: u32,
    sampling: Vec<u8>,
    /// Stage 0: prompt and answer as far as known. The last stage, if it is another: the end of that.
    tokens: Vec<u32>,
    /// Positions whose tokens the last stage was told of or drew.
    covered: u32,
    /// Other stages: what arrived, by position.
    waiting: BTreeMap<u32, Hidden>,
    /// Position of the next chunk to run.
    next: u32,
    /// Given to the compute worker: position and rows.
    running: VecDeque<(u32, u32)>,
    /// Sent on and not acknowledged: position and rows.
    unacked: VecDeque<(u32, u32)>,
}

impl TextSession {
    /// A session at the stage that `head` names.
    ///
    /// # Errors
    /// Says what is wrong with the request.
    pub fn new(head: &Head, open: OpenText) -> Result<Self, String> {
        let mut next = 0;
        for stage in &head.stages {
            if stage.layers.start != next || stage.layers.is_empty() {
                return Err("a session whose layers have gaps".into());
            }
            next = stage.layers.end;
        }
        let known = open.known as usize;
        let told = match (head.is_first(), head.following()) {
            (true, _) => known,
            (false, None) => known.min(limits::RECENT),
            (false, Some(_)) => 0,
        };
        if open.tokens.len() != told {
            return Err("a session whose tokens do not add up".into());
        }
        Ok(Self {
            known: open.known,
            until: open.until,
            sampling: open.sampling,
            tokens: open.tokens,
            covered: open.known,
            waiting: BTreeMap::new(),
            next: if mutation::on(Mutation::SkipReplay) { open.known - 1 } else { 0 },
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
        head: &Head,
        from: PeerId,
        hidden: Hidden,
        out: &mut Outbox,
    ) -> Result<(), String> {
        if head.previous() != Some(from) {
            return Err("hidden states from a peer that is not the previous stage".into());
        }
        if hidden.position < self.next || hidden.rows == 0 || hidden.position + hidden.rows > self.until {
            return Err("hidden states for a position that is not due".into());
        }
        if head.following().is_none() && hidden.position + hidden.rows > self.covered {
            // Stage 0 was opened when more was known; drawn without it, the next token might be another. A new lease mends it.
            return Err("hidden states beyond the tokens that are known here".into());
        }
        if self.waiting.len() >= window() {
            return Err("more hidden states than the window allows".into());
        }
        self.waiting.insert(hidden.position, hidden);
        self.pump(head, out);
        Ok(())
    }

    /// The next stage has run the chunk at `position`.
    ///
    /// # Errors
    /// Says why that is dropped.
    pub fn ack(&mut self, head: &Head, from: PeerId, position: u32, out: &mut Outbox) -> Result<(), String> {
        if head.following() != Some(from) || self.unacked.front().map(|(sent, _)| *sent) != Some(position) {
            return Err("an acknowledgement of nothing that was sent".into());
        }
        self.unacked.pop_front();
        self.pump(head, out);
        Ok(())
    }

    /// Stage 0 feeds the token that the last stage sampled.
    ///
    /// # Errors
    /// Says why it is dropped.
    pub fn token(
        &mut self,
        head: &Head,
        from: PeerId,
        token: &Token,
        out: &mut Outbox,
    ) -> Result<(), String> {
        if !head.is_first() || head.last() != from {
            return Err("a token from a peer that is not the last stage".into());
        }
        if token.position as usize != self.tokens.len() {
            return Err("a token for a position that is not due".into());
        }
        // The very last token is nobody's input.
        if !token.end && token.position + 1 < self.until {
            self.tokens.push(token.token);
            self.pump(head, out);
        }
        Ok(())
    }

    /// Takes the compute worker's answer; one that was not asked for is ignored.
    ///
    /// # Errors
    /// Says why the session cannot go on.
    pub fn ran(
        &mut self,
        head: &Head,
        position: u32,
        result: Result<ChunkOutput, String>,
        out: &mut Outbox,
    ) -> Result<(), Failure> {
        let Some((_, rows)) = self.running.pop_front_if(|(expected, _)| *expected == position) else {
            return Ok(());
        };
        let samples = self.samples(head, position + rows);
        match (result.map_err(|reason| head.own_failure(reason))?, head.following()) {
            (ChunkOutput::Hidden(bytes), Some(next)) => {
                self.unacked.push_back((position, rows));
                let (job, lease) = head.key();
                out.send(next, Message::Hidden(Hidden { job, lease, position, rows, bytes }));
            }
            (ChunkOutput::Token { token, end, mut note }, None) if samples => {
                if !head.is_first() {
                    self.remember(token);
                }
                note.truncate(limits::NOTE_BYTES);
                let (job, lease) = head.key();
                announce(head, Token { job, lease, position: position + rows, token, end, note }, out);
            }
            (ChunkOutput::Nothing, None) if !samples => {}
            // A prompt is not another's work, so the first stage refuses nothing.
            (ChunkOutput::Refused { reason, .. }, _) if !head.is_first() => {
                let maker = head.previous().unwrap_or(head.owner);
                return Err(head.refusal(maker, position, &reason));
            }
            _ => return Err(head.own_failure(WRONG_ANSWER)),
        }
        if let Some(previous) = head.previous() {
            out.send(previous, Message::Ack(head.job, head.lease, position));
        }
        self.pump(head, out);
        Ok(())
    }

    /// Gives the compute worker whatever is due, as far as the window allows.
    pub fn pump(&mut self, head: &Head, out: &mut Outbox) {
        while self.in_flight() < window() {
            let Some((input, rows)) = self.due(head) else { return };
            let position = self.next;
            self.next += rows;
            self.running.push_back((position, rows));
            let sample = self.samples(head, self.next).then(|| self.sample());
            head.run(position, Task::Pass { position, input, sample }, out);
        }
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

    /// The next pass, if it is there: of known tokens, or of what arrived.
    fn due(&mut self, head: &Head) -> Option<(Rows, u32)> {
        if !head.is_first() {
            let hidden = self.waiting.remove(&self.next)?;
            return Some((Rows::Hidden(hidden.bytes), hidden.rows));
        }
        let tokens = self.tokens.get(self.next as usize..)?;
        let tokens =
            tokens.get(..tokens.len().min(limits::PASS_TOKENS)).filter(|tokens| !tokens.is_empty())?;
        Some((Rows::Tokens(tokens.to_vec()), tokens.len() as u32))
    }

    /// The last stage sampled a token: the next one may depend on it.
    fn remember(&mut self, token: u32) {
        self.covered += 1;
        self.tokens.push(token);
        self.tokens.drain(..self.tokens.len().saturating_sub(limits::RECENT));
    }

    /// With what the row before the next is sampled: every token up to it is known by then.
    fn sample(&self) -> Sample {
        let recent = self.tokens[self.tokens.len().saturating_sub(limits::RECENT)..].to_vec();
        Sample { settings: self.sampling.clone(), recent }
    }

    /// Whether the pass that ends before position `end` is to be sampled, here.
    fn samples(&self, head: &Head, end: u32) -> bool {
        head.following().is_none() && end >= self.known
    }
}

/// Chunks that may be between a stage and the next.
fn window() -> usize {
    if mutation::on(Mutation::UnboundedWindow) { usize::MAX } else { limits::WINDOW }
}

fn announce(head: &Head, token: Token, out: &mut Outbox) {
    let first = head.stages[0].peer;
    if first != head.owner {
        out.send(first, Message::Token(Token { note: Vec::new(), ..token.clone() }));
    }
    out.send(head.owner, Message::Token(token));
}

#[cfg(test)]
mod tests;
