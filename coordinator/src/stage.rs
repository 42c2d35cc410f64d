//! The worker's side: sessions of other peers' (and one's own) jobs on the layers that this peer holds.
//!
//! A session is one unit of a job under one lease; it runs by itself once it is open.
//!
//! ```text
//!   text:     stage 0 --Hidden--> stage 1 --Hidden--> … last --Token--> owner, and stage 0: the next pass
//!                     <---Ack----         <---Ack----
//!   picture:  first <--Blob--> second, Blob --> others;  latents and tiles --Blob--> owner
//! ```

use crate::ids::{JobId, Lease, Millis, PeerId};
use crate::io::{ChunkOutput, Output, Part};
use crate::limits;
use crate::membership::Members;
use crate::mutation::{self, Mutation};
use crate::outbox::Outbox;
use crate::session::Session;
use crate::wire::{Blob, Hidden, Message, Open, OpenPart, Token};
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// All sessions at this peer.
#[derive(Debug)]
pub struct Stages {
    me: PeerId,
    sessions: BTreeMap<(JobId, Lease), Session>,
    /// Leases that are over here: a late copy of their opening is not taken.
    closed: VecDeque<(JobId, Lease)>,
    /// Leases of texts that were opened here, by owner and job.
    opened: VecDeque<((PeerId, JobId), Lease)>,
    /// When the compute worker last gave a sign of life, or had nothing to do.
    answered: Millis,
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

/// Why a session cannot be, or not go on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// In plain words.
    pub reason: String,
    /// Whose fault it is, if that is known.
    pub suspect: Option<PeerId>,
    /// The input that the compute worker refused, if that is why.
    pub refused: Option<u32>,
}

impl Failure {
    /// Not for what any input was like.
    pub fn new(reason: impl Into<String>, suspect: Option<PeerId>) -> Self {
        Self { reason: reason.into(), suspect, refused: None }
    }
}

impl Stages {
    /// No sessions.
    pub const fn new(me: PeerId) -> Self {
        Self {
            me,
            sessions: BTreeMap::new(),
            closed: VecDeque::new(),
            opened: VecDeque::new(),
            answered: Millis(0),
        }
    }

    /// Opens a session, unless there is an `obstacle`; then its owner is told.
    ///
    /// # Errors
    /// Says what is wrong with the request.
    pub fn open(
        &mut self,
        now: Millis,
        owner: PeerId,
        open: Open,
        obstacle: Option<Failure>,
        out: &mut Outbox,
    ) -> Result<(), String> {
        let key = (open.job, open.lease);
        if self.sessions.contains_key(&key) {
            return Err("the session is open already".into());
        }
        if self.closed.contains(&key) && !mutation::on(Mutation::SkipLeaseFence) {
            return Err("the session is over".into());
        }
        let picture = matches!(open.part, OpenPart::Picture(_));
        // A silent link may deliver an old opening after a newer one that came another way.
        let late = |(of, newest): &((PeerId, JobId), Lease)| *of == (owner, key.0) && *newest > key.1;
        if !picture && self.opened.iter().any(late) {
            return Err("its lease is old".into());
        }
        let session = Session::new(self.me, now, owner, open)?;
        if self.opened.len() >= limits::CLOSED {
            self.opened.pop_front();
        }
        self.opened.push_back(((owner, key.0), key.1));
        // A text has one unit: its newer lease ends the older one. Pictures of one job run side by side.
        self.drop_if(out, |old| {
            !picture && old.head.owner == owner && old.head.job == key.0 && old.head.lease < key.1
        });
        if let Some(failure) = obstacle.or_else(|| self.busy(owner)) {
            out.send(owner, session.head.fault(&failure));
            return Ok(());
        }
        if picture || !session.head.is_first() {
            out.send(owner, Message::Opened(key.0, key.1));
        }
        self.sessions.entry(key).or_insert(session).pump(out);
        Ok(())
    }

    /// Ends a session at its owner's word.
    pub fn close(&mut self, from: PeerId, job: JobId, lease: Lease, out: &mut Outbox) {
        self.drop_if(out, |session| session.head.owner == from && session.head.key() == (job, lease));
        self.close_for_good((job, lease));
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
        self.session((hidden.job, hidden.lease))?.hidden(now, from, hidden, out)
    }

    /// The next stage has run the chunk at `position`.
    ///
    /// # Errors
    /// Says why it is dropped.
    pub fn ack(
        &mut self,
        now: Millis,
        from: PeerId,
        key: (JobId, Lease),
        position: u32,
        out: &mut Outbox,
    ) -> Result<(), String> {
        self.session(key)?.ack(now, from, position, out)
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
        self.session((token.job, token.lease))?.token(now, from, token, out)
    }

    /// What a piece of a picture became: another member's, or the latent that the keeper has.
    ///
    /// # Errors
    /// Says why it is dropped.
    pub fn blob(&mut self, now: Millis, from: PeerId, blob: Blob, out: &mut Outbox) -> Result<(), String> {
        let held: usize = self.sessions.values().map(Session::held_bytes).sum();
        if held.saturating_add(blob.bytes.len()) > limits::BLOBS_BYTES {
            return Err("more bytes of pictures than this device can hold at once".into());
        }
        self.session((blob.job, blob.lease))?.blob(now, from, blob, out)
    }

    /// For whom a session runs.
    pub fn owner(&self, job: JobId, lease: Lease) -> Option<PeerId> {
        self.sessions.get(&(job, lease)).map(|session| session.head.owner)
    }

    /// Whether a session of this job under this lease is open here and starts here.
    pub fn feeds(&self, job: JobId, lease: Lease) -> bool {
        self.sessions.get(&(job, lease)).is_some_and(|session| session.head.is_first())
    }

    /// The compute worker is at it still.
    pub const fn working(&mut self, now: Millis) {
        self.answered = now;
    }

    /// The compute worker's answer. Chunks of sessions that are gone meanwhile are of no interest.
    pub fn ran(
        &mut self,
        now: Millis,
        key: (JobId, Lease),
        number: u32,
        result: Result<ChunkOutput, String>,
        out: &mut Outbox,
    ) {
        self.answered = now;
        let Some(session) = self.sessions.get_mut(&key) else {
            return;
        };
        if let Err(failure) = session.ran(now, number, result, out) {
            self.fail(out, &failure, |session| session.head.key() == key);
        }
    }

    /// The layers of all sessions are gone.
    pub fn lost(&mut self, reason: &str, out: &mut Outbox) {
        let failure = Failure::new(reason, Some(self.me));
        self.fail(out, &failure, |_| true);
    }

    /// The link to a peer closed: its own sessions end, those that need it as a neighbour fail.
    pub fn down(&mut self, peer: PeerId, name: &str, out: &mut Outbox) {
        self.drop_if(out, |session| session.head.owner == peer);
        let failure = Failure::new(format!("lost its link to {name}"), Some(peer));
        self.fail(out, &failure, |session| session.neighbours().contains(&peer));
    }

    /// Gives up sessions of which a neighbour has fallen silent.
    pub fn check(&mut self, members: &Members, out: &mut Outbox) {
        let silent = |session: &Session| {
            session.neighbours().into_iter().find(|neighbour| !members.is_live(*neighbour))
        };
        let lost: BTreeSet<PeerId> = self.sessions.values().filter_map(silent).collect();
        for peer in lost {
            let failure = Failure::new(format!("hears nothing of {}", members.name(peer)), Some(peer));
            self.fail(out, &failure, |session| session.neighbours().contains(&peer));
        }
    }

    /// Forgets sessions that nothing happened to for `SESSION_IDLE_MS`, and gives all up if the compute worker has given no sign
    /// of life for `patience_ms`.
    pub fn expire(&mut self, now: Millis, patience_ms: u64, out: &mut Outbox) {
        if self.sizes().running == 0 {
            self.answered = now;
        } else if now.since(self.answered) > patience_ms {
            self.lost("its compute worker does not answer", out);
        }
        let idle = |session: &Session| now.since(session.head.touched) > limits::SESSION_IDLE_MS;
        self.drop_if(out, |session| session.running() == 0 && idle(session));
    }

    /// What open sessions need in memory.
    pub fn needed(&self) -> BTreeSet<Part> {
        self.sessions.values().map(|session| session.head.part()).collect()
    }

    /// How much they hold.
    pub fn sizes(&self) -> StageSizes {
        let all = || self.sessions.values();
        StageSizes {
            sessions: self.sessions.len(),
            running: all().map(Session::running).sum(),
            waiting: all().map(Session::waiting).max().unwrap_or(0),
            window: all().map(Session::in_flight).max().unwrap_or(0),
        }
    }

    fn busy(&self, owner: PeerId) -> Option<Failure> {
        let theirs = self.sessions.values().filter(|session| session.head.owner == owner).count();
        let full = self.sessions.len() >= limits::SESSIONS || theirs >= limits::SESSIONS_PER_PEER;
        full.then(|| Failure::new(format!("has {} sessions open already", self.sessions.len()), None))
    }

    fn session(&mut self, key: (JobId, Lease)) -> Result<&mut Session, String> {
        self.sessions.get_mut(&key).ok_or_else(|| "no such session is open, or its lease is old".into())
    }

    fn close_for_good(&mut self, key: (JobId, Lease)) {
        if self.closed.len() >= limits::CLOSED {
            self.closed.pop_front();
        }
        self.closed.push_back(key);
    }

    fn drop_if(&mut self, out: &mut Outbox, which: impl Fn(&Session) -> bool) {
        let gone: Vec<(JobId, Lease)> =
            self.sessions.iter().filter(|(_, session)| which(session)).map(|(&key, _)| key).collect();
        for (job, lease) in gone {
            self.sessions.remove(&(job, lease));
            self.close_for_good((job, lease));
            out.push(Output::Forget(job, lease));
        }
    }

    fn fail(&mut self, out: &mut Outbox, failure: &Failure, which: impl Fn(&Session) -> bool) {
        for session in self.sessions.values().filter(|session| which(session)) {
            out.send(session.head.owner, session.head.fault(failure));
        }
        self.drop_if(out, which);
    }
}

#[cfg(test)]
mod tests;
