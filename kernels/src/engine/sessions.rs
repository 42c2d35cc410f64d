//! Whose caches are here: of sessions that run, and of some that ended, for whoever goes on from where they did.
//!
//! What a session was fed is kept as a mark per row. A session that is fed what another one was fed before takes over
//! that one's rows, to the bit what it would have computed, and computes only the rest.

use super::step::{Input, Step};
use crate::error::{Error, StepError};
use crate::limits;
use crate::llm::{Attached, Budget, Cache, CacheFormat, Config, Layers, Pool};
use burn::tensor::Device;
use sha2::{Digest, Sha256};
use std::collections::{BTreeMap, VecDeque};

/// What a row was fed: a token, or 128 bits of the SHA-256 of a hidden state. Peers send those, so a collision must not
/// be easy to make.
type Mark = u128;

/// One sequence.
#[derive(Debug)]
pub(super) struct Session {
    pub cache: Cache,
    pub adapters: Vec<Attached>,
    marks: Vec<Mark>,
    /// What the rows became, as sent, where another stage follows.
    outputs: Vec<u8>,
}

/// All sequences, and the memory for them.
#[derive(Debug)]
pub(super) struct Sessions<K> {
    running: BTreeMap<K, Session>,
    /// Of sessions that ended, the least recently used first.
    kept: VecDeque<Session>,
    pools: Vec<Pool>,
    format: CacheFormat,
    pub budget: Budget,
    /// Rows that sessions were given instead of computing them.
    pub reused: u64,
}

impl Session {
    /// What rows `from..` became, in bytes of `row` each.
    pub fn outputs(&self, from: usize, row: usize) -> &[u8] {
        &self.outputs[from * row..]
    }

    /// Rows have run, and became `outputs`.
    pub fn became(&mut self, outputs: &[u8]) {
        self.outputs.extend_from_slice(outputs);
    }

    /// The first `rows` rows as a session of their own.
    fn prefix(&self, rows: usize) -> Self {
        let row = self.outputs.len() / self.cache.rows().max(1);
        let (marks, outputs) = (self.marks[..rows].to_vec(), self.outputs[..rows * row].to_vec());
        Self { cache: self.cache.prefix(rows), adapters: self.adapters.clone(), marks, outputs }
    }

    /// Whether what it computed would be the same for a session through these layers and adapters.
    fn is_like(&self, layers: Layers, adapters: &[Attached]) -> bool {
        self.cache.layers() == layers && self.adapters == adapters
    }

    /// Rows that `fed` and this have in common from the beginning.
    fn common<'a>(&self, fed: impl Iterator<Item = &'a Mark>) -> usize {
        self.marks.iter().zip(fed).take_while(|(a, b)| a == b).count()
    }
}

impl<K: Ord + Clone> Sessions<K> {
    pub fn new(format: CacheFormat, budget: u64) -> Self {
        let (running, kept) = (BTreeMap::new(), VecDeque::new());
        Self { running, kept, pools: Vec::new(), format, budget: Budget::new(budget), reused: 0 }
    }

    pub fn running(&self) -> usize {
        self.running.len()
    }

    /// A session that runs.
    pub fn find(&self, session: &K) -> Option<&Session> {
        self.running.get(session)
    }

    /// Puts back what was taken.
    pub fn put(&mut self, name: K, session: Session) {
        self.running.insert(name, session);
    }

    /// Ends a session; what it computed is kept for a while.
    pub fn end(&mut self, session: &K) {
        let Some(ended) = self.running.remove(session).filter(|ended| ended.cache.rows() > 0) else { return };
        // What goes on in this one need not be there twice.
        let goes_on = |kept: &Session| {
            kept.is_like(ended.cache.layers(), &ended.adapters)
                && ended.common(kept.marks.iter()) == kept.marks.len()
        };
        self.kept.retain(|kept| !goes_on(kept));
        self.kept.push_back(ended);
        if self.kept.len() > limits::KEPT {
            self.kept.pop_front();
        }
    }

    /// Forgets everything that ran on any of `layers`.
    pub fn unload(&mut self, layers: Layers) {
        let apart = |ran: Layers| ran.end <= layers.start || layers.end <= ran.start;
        self.running.retain(|_, session| apart(session.cache.layers()));
        self.kept.retain(|session| apart(session.cache.layers()));
        self.pools.retain(|pool| apart(pool.layers()));
    }

    /// Takes the session of `step` out, with room for the step's rows, to be run and put back; and how many of these rows
    /// need not run, because the same were run before. The last one always does, if its scores are wanted.
    ///
    /// # Errors
    /// [`StepError::Memory`] if there is no room: all sessions that run are as they were. [`Error::Device`].
    pub fn take(
        &mut self,
        step: &Step<'_, K>,
        config: &Config,
        device: &Device,
    ) -> Result<(Session, usize), Error> {
        let fed = marks(&step.input, config.row_bytes());
        let end = step.position + fed.len();
        let held = self.running.remove(&step.session);
        let (known, ran) = (self.known(step, held.as_ref(), &fed), held.is_some());
        let (mut session, spare) = match (known, held) {
            (Some(known), held) => (known, held),
            (None, Some(held)) => (held, None),
            (None, None) => {
                let cache = Cache::new(self.pool(step.layers, config, device));
                let adapters = step.adapters.to_vec();
                (Session { cache, adapters, marks: Vec::new(), outputs: Vec::new() }, None)
            }
        };
        let skipped = session.cache.rows() - step.position;
        match self.reserve(&mut session.cache, end) {
            Ok(()) => {
                session.marks.extend(&fed[skipped..]);
                self.reused += skipped as u64;
                Ok((session, skipped))
            }
            Err(error) => {
                let as_it_was = spare.or(Some(session)).filter(|_| ran);
                as_it_was.into_iter().for_each(|held| self.put(step.session.clone(), held));
                Err(error)
            }
        }
    }

    /// As much of what `held` was fed and now will be as another session was fed, if that is more than `held` has.
    fn known(&mut self, step: &Step<'_, K>, held: Option<&Session>, fed: &[Mark]) -> Option<Session> {
        let most = step.position + fed.len() - usize::from(step.draw.is_some());
        // As an answer is written there is nothing to find: no looking for it then.
        if most <= step.position || fed.len() == 1 {
            return None;
        }
        let common = |other: &Session| {
            let before = held.map_or(&[][..], |held| held.marks.as_slice()).iter();
            let rows = other.common(before.chain(fed)).min(most);
            (rows > step.position && other.is_like(step.layers, step.adapters)).then_some(rows)
        };
        let running = self.running.values().filter_map(|other| Some((common(other)?, other)));
        let running = running.max_by_key(|(rows, _)| *rows);
        let kept = self.kept.iter().enumerate().filter_map(|(index, other)| Some((common(other)?, index)));
        let kept = kept.max_by_key(|(rows, _)| *rows);
        if let Some((rows, other)) = running.filter(|(rows, _)| kept.is_none_or(|(most, _)| most < *rows)) {
            return Some(other.prefix(rows));
        }
        let (rows, index) = kept?;
        let used = self.kept.remove(index)?;
        let known = used.prefix(rows);
        self.kept.push_back(used);
        Some(known)
    }

    /// Makes room up to `end` rows, of what is kept if it must be.
    fn reserve(&mut self, cache: &mut Cache, end: usize) -> Result<(), Error> {
        loop {
            match cache.reserve(end - cache.rows()) {
                Err(Error::Step(StepError::Memory { .. })) if self.give_up_something() => {}
                done => return done,
            }
        }
    }

    fn give_up_something(&mut self) -> bool {
        if self.kept.pop_front().is_some() {
            return true;
        }
        let pools = self.pools.len();
        self.pools.retain(|pool| !pool.is_idle());
        self.pools.len() < pools
    }

    fn pool(&mut self, layers: Layers, config: &Config, device: &Device) -> Pool {
        if let Some(pool) = self.pools.iter().find(|pool| pool.layers() == layers) {
            return pool.clone();
        }
        let output = if layers.end < config.layers { config.row_bytes() } else { 0 };
        let beside = size_of::<Mark>() + output;
        let pool = Pool::new(config, layers, self.format, &self.budget, beside, device);
        self.pools.push(pool.clone());
        pool
    }
}

fn marks(input: &Input<'_>, row_bytes: usize) -> Vec<Mark> {
    match input {
        Input::Tokens(tokens) => tokens.iter().map(|token| Mark::from(*token)).collect(),
        Input::Hidden(bytes) => bytes.chunks_exact(row_bytes).map(digest).collect(),
    }
}

fn digest(row: &[u8]) -> Mark {
    let hash = Sha256::digest(row);
    hash.iter().take(size_of::<Mark>()).fold(0, |mark, byte| mark << 8 | Mark::from(*byte))
}
