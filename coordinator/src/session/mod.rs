//! One unit of a job under one lease at one peer of its team.
//!
//! What every session has is its [`Head`]; what it does is text ([`text`]) or a picture ([`picture`]).

use crate::ids::{JobId, Layers, Lease, Millis, ModelId, PeerId};
use crate::io::{Chunk, ChunkOutput, Output, Part, Stage, Task};
use crate::limits;
use crate::outbox::Outbox;
use crate::stage::Failure;
use crate::wire::{self, Blob, Fault, Hidden, Message, Open, OpenPart, Token};
use std::collections::BTreeSet;

mod picture;
mod text;

use picture::PictureSession;
use text::TextSession;

/// See the module.
#[derive(Debug)]
pub struct Session {
    /// What every session has.
    pub head: Head,
    body: Body,
}

/// What every session has.
#[derive(Debug)]
pub struct Head {
    /// Who opened it, and gets its tokens, its pixels and its faults.
    pub owner: PeerId,
    /// The job.
    pub job: JobId,
    /// The lease.
    pub lease: Lease,
    /// The model.
    pub model: ModelId,
    /// When anything last happened to it.
    pub touched: Millis,
    /// The team.
    pub stages: Vec<Stage>,
    /// This peer's place in it.
    pub at: usize,
}

#[derive(Debug)]
enum Body {
    Text(TextSession),
    Picture(PictureSession),
}

impl Session {
    /// A session at peer `me`.
    ///
    /// # Errors
    /// Says what is wrong with the request.
    pub fn new(me: PeerId, now: Millis, owner: PeerId, open: Open) -> Result<Self, String> {
        let at =
            open.stages.iter().position(|stage| stage.peer == me).ok_or("a session without this peer")?;
        let peers: BTreeSet<PeerId> = open.stages.iter().map(|stage| stage.peer).collect();
        if peers.len() != open.stages.len() {
            return Err("a session with a peer in it twice".into());
        }
        let Open { job, lease, model, stages, part } = open;
        let head = Head { owner, job, lease, model, touched: now, stages, at };
        let body = match part {
            OpenPart::Text(text) => Body::Text(TextSession::new(&head, text)?),
            OpenPart::Picture(picture) => Body::Picture(PictureSession::new(&head, picture)?),
        };
        Ok(Self { head, body })
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
        let Body::Text(text) = &mut self.body else { return Err(WRONG_KIND.into()) };
        text.hidden(&self.head, from, hidden, out)?;
        self.head.touched = now;
        Ok(())
    }

    /// The next stage has run the chunk at `position`.
    ///
    /// # Errors
    /// Says why that is dropped.
    pub fn ack(&mut self, now: Millis, from: PeerId, position: u32, out: &mut Outbox) -> Result<(), String> {
        let Body::Text(text) = &mut self.body else { return Err(WRONG_KIND.into()) };
        text.ack(&self.head, from, position, out)?;
        self.head.touched = now;
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
        let Body::Text(text) = &mut self.body else { return Err(WRONG_KIND.into()) };
        text.token(&self.head, from, token, out)?;
        self.head.touched = now;
        Ok(())
    }

    /// What a piece became, from another member or from the keeper.
    ///
    /// # Errors
    /// Says why it is dropped.
    pub fn blob(&mut self, now: Millis, from: PeerId, blob: Blob, out: &mut Outbox) -> Result<(), String> {
        let Body::Picture(picture) = &mut self.body else { return Err(WRONG_KIND.into()) };
        picture.blob(&self.head, from, blob, out)?;
        self.head.touched = now;
        Ok(())
    }

    /// Takes the compute worker's answer; one that was not asked for is ignored.
    ///
    /// # Errors
    /// Says why the session cannot go on.
    pub fn ran(
        &mut self,
        now: Millis,
        number: u32,
        result: Result<ChunkOutput, String>,
        out: &mut Outbox,
    ) -> Result<(), Failure> {
        self.head.touched = now;
        match &mut self.body {
            Body::Text(text) => text.ran(&self.head, number, result, out),
            Body::Picture(picture) => picture.ran(&self.head, number, result, out),
        }
    }

    /// Gives the compute worker whatever is due.
    pub fn pump(&mut self, out: &mut Outbox) {
        match &mut self.body {
            Body::Text(text) => text.pump(&self.head, out),
            Body::Picture(picture) => picture.pump(&self.head, out),
        }
    }

    /// The peers that it exchanges messages with, its owner aside.
    pub fn neighbours(&self) -> Vec<PeerId> {
        match &self.body {
            Body::Text(_) => self.head.ring().into_iter().flatten().collect(),
            Body::Picture(_) => self.head.stages.iter().map(|stage| stage.peer).collect(),
        }
    }

    /// Chunks at the compute worker.
    pub fn running(&self) -> usize {
        match &self.body {
            Body::Text(text) => text.running(),
            Body::Picture(picture) => picture.running(),
        }
    }

    /// Messages that arrived before their turn.
    pub fn waiting(&self) -> usize {
        match &self.body {
            Body::Text(text) => text.waiting(),
            Body::Picture(picture) => picture.waiting(),
        }
    }

    /// Bytes of parts of a picture that wait.
    pub fn held_bytes(&self) -> usize {
        match &self.body {
            Body::Text(_) => 0,
            Body::Picture(picture) => picture.held_bytes(),
        }
    }

    /// Chunks between this stage and the next.
    pub fn in_flight(&self) -> usize {
        match &self.body {
            Body::Text(text) => text.in_flight(),
            Body::Picture(picture) => picture.running(),
        }
    }
}

const WRONG_KIND: &str = "a message for another kind of work";
const WRONG_ANSWER: &str = "its compute worker gave the wrong kind of answer";

impl Head {
    /// Job and lease.
    pub const fn key(&self) -> (JobId, Lease) {
        (self.job, self.lease)
    }

    /// What it needs in memory.
    pub fn part(&self) -> Part {
        Part { model: self.model, layers: self.layers() }
    }

    /// The layers that it runs on.
    pub fn layers(&self) -> Layers {
        self.stages[self.at].layers
    }

    /// Whether this is stage 0.
    pub const fn is_first(&self) -> bool {
        self.at == 0
    }

    /// Why it cannot go on, as a message.
    pub fn fault(&self, why: &Failure) -> Message {
        let reason = wire::clip(&why.reason, limits::REASON_BYTES);
        let (suspect, refused) = (why.suspect, why.refused);
        Message::Fault(Fault { job: self.job, lease: self.lease, reason, suspect, refused })
    }

    /// Something went wrong at this peer itself.
    fn own_failure(&self, reason: impl Into<String>) -> Failure {
        Failure { reason: reason.into(), suspect: Some(self.me()), refused: None }
    }

    /// The compute worker refused the input `number`, which came from `maker`.
    fn refusal(&self, maker: PeerId, number: u32, reason: &str) -> Failure {
        let reason = format!("cannot work with what it was given: {reason}");
        Failure { reason, suspect: Some(maker), refused: Some(number) }
    }

    fn me(&self) -> PeerId {
        self.stages[self.at].peer
    }

    /// Gives the compute worker a chunk.
    fn run(&self, number: u32, task: Task, out: &mut Outbox) {
        let (job, lease, model, layers) = (self.job, self.lease, self.model, self.layers());
        out.push(Output::Run(Chunk { job, lease, number, model, layers, task }));
    }

    fn ring(&self) -> [Option<PeerId>; 3] {
        let closing = match self.at {
            0 => Some(self.last()),
            at if at + 1 == self.stages.len() => Some(self.stages[0].peer),
            _ => None,
        };
        [self.previous(), self.following(), closing]
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
