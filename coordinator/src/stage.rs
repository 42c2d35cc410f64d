//! The worker's side: sessions of other peers' (and one's own) jobs on the layers that this peer holds.
//!
//! A session is one job under one lease. Stage 0 cuts the known tokens into passes: the prompt in `PASS_TOKENS` at
//! fixed positions, the answer one token at a time. A replay after a loss makes exactly the passes of the first run,
//! so its caches, and the tokens that follow, are the same to the bit.
//!
//! ```text
//!   stage 0 --Hidden--> stage 1 --Hidden--> … last --Token--> owner, and stage 0: the next pass
//!           <---Ack----         <---Ack----
//! ```
//!
//! At most `WINDOW` chunks of a session are between a stage and its successor: given to the compute worker, or sent
//! and not acknowledged. The bulk lane may reorder; a stage runs chunks in the order of their positions.

use crate::ids::{JobId, Layers, Lease, Millis, PeerId};
use crate::io::{Chunk, ChunkInput, ChunkOutput, Output, Stage};
use crate::limits;
use crate::outbox::Outbox;
use crate::wire::{self, Fault, Hidden, Message, Open, Token};
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// All sessions at this peer.
#[derive(Debug)]
pub struct Stages {
    me: PeerId,
    sessions: BTreeMap<(JobId, Lease), Session>,
}

#[derive(Debug)]
struct Session {
    owner: PeerId,
    job: JobId,
    lease: Lease,
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
    touched: Millis,
}

/// How much a peer's sessions hold; see [`Coordinator::sizes`](crate::Coordinator::sizes).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StageSizes {
    /// Open sessions.
    pub sessions: usize,
    /// Chunks given to the compute worker and not answered.
    pub running: usize,
    /// Most chunks of one session that wait for their turn.
    pub waiting: usize,
    /// Most chunks of one session between this stage and the next.
    pub window: usize,
}

impl Stages {
    /// No sessions.
    pub const fn new(me: PeerId) -> Self {
        Self {
            me,
            sessions: BTreeMap::new(),
        }
    }

    /// Opens a session.
    ///
    /// # Errors
    /// Says what is wrong with the request; a request that is right but cannot be met is answered with a fault.
    pub fn open(
        &mut self,
        now: Millis,
        owner: PeerId,
        open: Open,
        obstacle: Option<(String, Option<PeerId>)>,
        out: &mut Outbox,
    ) -> Result<(), String> {
        let key = (open.job, open.lease);
        if self.sessions.contains_key(&key) {
            return Err("the session is open already".into());
        }
        let session = Session::parse(self.me, now, owner, open)?;
        self.drop_if(out, |old| {
            old.owner == owner && old.job == key.0 && old.lease < key.1
        });
        let full = self.sessions.len() >= limits::SESSIONS;
        let busy = full.then(|| (format!("has {} sessions open already", limits::SESSIONS), None));
        if let Some((reason, suspect)) = obstacle.or(busy) {
            out.send(owner, session.fault(&reason, suspect));
            return Ok(());
        }
        if session.at > 0 {
            out.send(owner, Message::Opened(key.0, key.1));
        }
        self.sessions.entry(key).or_insert(session).pump(out);
        Ok(())
    }

    /// Ends a session at its owner's word.
    pub fn close(&mut self, from: PeerId, job: JobId, lease: Lease, out: &mut Outbox) {
        self.drop_if(out, |session| {
            session.owner == from && session.job == job && session.lease == lease
        });
    }

    /// Hidden states from the previous stage.
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
        let session = self.session(hidden.job, hidden.lease)?;
        if session.previous() != Some(from) {
            return Err("hidden states from a peer that is not the previous stage".into());
        }
        if hidden.position < session.next || hidden.rows == 0 || hidden.position + hidden.rows > session.until
        {
            return Err("hidden states for a position that is not due".into());
        }
        if session.waiting.len() >= limits::WINDOW {
            return Err("more hidden states than the window allows".into());
        }
        session.touched = now;
        session.waiting.insert(hidden.position, hidden);
        session.pump(out);
        Ok(())
    }

    /// The next stage has run a chunk.
    ///
    /// # Errors
    /// Says why it is dropped.
    pub fn ack(
        &mut self,
        now: Millis,
        from: PeerId,
        job: JobId,
        lease: Lease,
        position: u32,
        out: &mut Outbox,
    ) -> Result<(), String> {
        let session = self.session(job, lease)?;
        if session.following() != Some(from) || session.unacked.front() != Some(&position) {
            return Err("an acknowledgement of nothing that was sent".into());
        }
        session.unacked.pop_front();
        session.touched = now;
        session.pump(out);
        Ok(())
    }

    /// The last stage sampled a token: stage 0 feeds it.
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
        let session = self.session(token.job, token.lease)?;
        if session.at != 0 || session.last() != from {
            return Err("a token from a peer that is not the last stage".into());
        }
        if token.position as usize != session.tokens.len() {
            return Err("a token for a position that is not due".into());
        }
        session.touched = now;
        // The very last token is nobody's input.
        if !token.end && token.position + 1 < session.until {
            session.tokens.push(token.token);
            session.pump(out);
        }
        Ok(())
    }

    /// Whether a session of this job under this lease is open here and starts here.
    pub fn feeds(&self, job: JobId, lease: Lease) -> bool {
        self.sessions
            .get(&(job, lease))
            .is_some_and(|session| session.at == 0)
    }

    /// The compute worker's answer. Chunks of sessions that are gone meanwhile are of no interest.
    pub fn ran(
        &mut self,
        now: Millis,
        key: (JobId, Lease),
        position: u32,
        result: Result<ChunkOutput, String>,
        out: &mut Outbox,
    ) {
        let Some(session) = self.sessions.get_mut(&key) else {
            return;
        };
        let Some((_, rows)) = session
            .running
            .pop_front_if(|(expected, _)| *expected == position)
        else {
            return;
        };
        session.touched = now;
        let last = session.following().is_none();
        let samples = last && position + rows >= session.known;
        let trouble = match result {
            Ok(ChunkOutput::Hidden(bytes)) if !last => {
                session.pass_on(position, rows, bytes, out);
                None
            }
            Ok(ChunkOutput::Token { token, end }) if samples => {
                session.announce(position + rows, token, end, out);
                None
            }
            Ok(ChunkOutput::Nothing) if last && !samples => None,
            Ok(_) => Some("its compute worker gave the wrong kind of answer".to_owned()),
            Err(reason) => Some(reason),
        };
        if let Some(reason) = trouble {
            let suspect = Some(self.me);
            return self.fail(out, &reason, suspect, |session| {
                (session.job, session.lease) == key
            });
        }
        if let Some(previous) = session.previous() {
            out.send(previous, Message::Ack(key.0, key.1, position));
        }
        session.pump(out);
    }

    /// The layers of these sessions are gone.
    pub fn lost(&mut self, reason: &str, out: &mut Outbox) {
        let me = self.me;
        self.fail(out, reason, Some(me), |_| true);
    }

    /// The link to a peer closed: its own sessions end, those that need it as a neighbour fail.
    pub fn down(&mut self, peer: PeerId, name: &str, out: &mut Outbox) {
        self.drop_if(out, |session| session.owner == peer);
        let reason = format!("lost its link to {name}");
        self.fail(out, &reason, Some(peer), |session| {
            session.neighbours().any(|neighbour| neighbour == peer)
        });
    }

    /// Forgets sessions that nothing happened to for `SESSION_IDLE_MS`.
    pub fn expire(&mut self, now: Millis, out: &mut Outbox) {
        self.drop_if(out, |session| {
            now.since(session.touched) > limits::SESSION_IDLE_MS
        });
    }

    /// The layer ranges that open sessions need.
    pub fn needed(&self) -> BTreeSet<Layers> {
        self.sessions.values().map(Session::layers).collect()
    }

    /// How much they hold.
    pub fn sizes(&self) -> StageSizes {
        let all = || self.sessions.values();
        StageSizes {
            sessions: self.sessions.len(),
            running: all().map(|session| session.running.len()).sum(),
            waiting: all().map(|session| session.waiting.len()).max().unwrap_or(0),
            window: all().map(Session::in_flight).max().unwrap_or(0),
        }
    }

    fn session(&mut self, job: JobId, lease: Lease) -> Result<&mut Session, String> {
        self.sessions
            .get_mut(&(job, lease))
            .ok_or_else(|| "no such session is open, or its lease is old".into())
    }

    fn drop_if(&mut self, out: &mut Outbox, which: impl Fn(&Session) -> bool) {
        self.sessions.retain(|&(job, lease), session| {
            let gone = which(session);
            if gone {
                out.push(Output::Forget(job, lease));
            }
            !gone
        });
    }

    fn fail(
        &mut self,
        out: &mut Outbox,
        reason: &str,
        suspect: Option<PeerId>,
        which: impl Fn(&Session) -> bool,
    ) {
        for session in self.sessions.values().filter(|session| which(session)) {
            out.send(session.owner, session.fault(reason, suspect));
        }
        self.drop_if(out, which);
    }
}

impl Session {
    fn parse(me: PeerId, now: Millis, owner: PeerId, open: Open) -> Result<Self, String> {
        let at = open
            .stages
            .iter()
            .position(|stage| stage.peer == me)
            .ok_or("a session without this peer")?;
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
            touched: now,
        })
    }

    fn layers(&self) -> Layers {
        self.stages[self.at].layers
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

    fn neighbours(&self) -> impl Iterator<Item = PeerId> {
        let closing = match self.at {
            0 => Some(self.last()),
            at if at + 1 == self.stages.len() => Some(self.stages[0].peer),
            _ => None,
        };
        [self.previous(), self.following(), closing].into_iter().flatten()
    }

    fn in_flight(&self) -> usize {
        self.running.len() + self.unacked.len()
    }

    /// Gives the compute worker whatever is due, as far as the window allows.
    fn pump(&mut self, out: &mut Outbox) {
        while self.in_flight() < limits::WINDOW {
            let Some((input, rows)) = self.due() else { return };
            let position = self.next;
            let samples = self.following().is_none() && position + rows >= self.known;
            self.next += rows;
            self.running.push_back((position, rows));
            out.push(Output::Run(Chunk {
                job: self.job,
                lease: self.lease,
                layers: self.layers(),
                position,
                input,
                sample: samples.then(|| self.sampling.clone()),
            }));
        }
    }

    fn due(&mut self) -> Option<(ChunkInput, u32)> {
        if self.at > 0 {
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

    fn pass_on(&mut self, position: u32, rows: u32, bytes: Vec<u8>, out: &mut Outbox) {
        let Some(next) = self.following() else { return };
        self.unacked.push_back(position);
        out.send(
            next,
            Message::Hidden(Hidden {
                job: self.job,
                lease: self.lease,
                position,
                rows,
                bytes,
            }),
        );
    }

    fn announce(&self, position: u32, token: u32, end: bool, out: &mut Outbox) {
        let message = Message::Token(Token {
            job: self.job,
            lease: self.lease,
            position,
            token,
            end,
        });
        let first = self.stages[0].peer;
        if first != self.owner {
            out.send(first, message.clone());
        }
        out.send(self.owner, message);
    }

    fn fault(&self, reason: &str, suspect: Option<PeerId>) -> Message {
        let reason = wire::clip(reason, limits::REASON_BYTES);
        Message::Fault(Fault {
            job: self.job,
            lease: self.lease,
            reason,
            suspect,
        })
    }
}
