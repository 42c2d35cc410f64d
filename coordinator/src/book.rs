//! Every job of the room and its answer so far, as each peer knows them.
//!
//! Each job has a *keeper*: the requester while it is live, else its heir. The keeper runs the job and tells its story
//! to everyone; the others copy it, so that any of them can carry it on. When a keeper is gone, the live peer with the
//! lowest id inherits, and everyone hands it a copy; the longest counts. Should two peers believe that they inherited,
//! the lower id wins when they meet. That both ran the job meanwhile is harmless: the same seed gives the same tokens.

use crate::ids::{JobId, Millis, PeerId};
use crate::io::{End, Event, Job, JobState, TextWork, Work};
use crate::limits;
use crate::membership::Members;
use crate::mutation::{self, Mutation};
use crate::outbox::Outbox;
use crate::wire::{Message, Story, Whole};
use std::collections::{BTreeMap, VecDeque};

mod heirs;
mod pictures;

pub use pictures::Canvas;

/// One job.
#[derive(Debug)]
pub struct Record {
    /// What was asked for.
    pub job: Job,
    /// The answer so far; empty for pictures.
    pub tokens: Vec<u32>,
    /// Its pictures so far.
    pub pictures: BTreeMap<u16, Canvas>,
    /// How it ended.
    pub end: Option<End>,
    /// How it ended in its keeper's words, and how often this peer has asked for the pixels that are missing.
    ending: Option<(End, u32)>,
    /// Who carries it on.
    pub keeper: PeerId,
    /// What it is doing.
    pub state: Option<JobState>,
    /// The keeper's last word on it.
    heard: Millis,
    /// When this peer last asked for the missing part, or handed over its copy.
    nudged: Millis,
}

impl Record {
    /// The answer to be written, if it is one.
    pub const fn text(&self) -> Option<&TextWork> {
        match &self.job.work {
            Work::Text(text) => Some(text),
            Work::Picture(_) => None,
        }
    }

    /// Tokens of prompt and answer.
    pub fn known(&self) -> u32 {
        (self.text().map_or(0, |text| text.prompt.len()) + self.tokens.len()) as u32
    }

    /// Tokens of prompt and answer at most.
    pub fn until(&self) -> u32 {
        self.text().map_or(0, |text| (text.prompt.len() as u32).saturating_add(text.max_new))
    }

    /// Whether there is nothing left to be made.
    pub fn is_full(&self) -> bool {
        match &self.job.work {
            Work::Text(_) => self.known() >= self.until(),
            Work::Picture(_) => self.open_units() == 0,
        }
    }

    /// One bit per unit that is not done.
    pub fn open_units(&self) -> u64 {
        match &self.job.work {
            Work::Text(_) => u64::from(self.end.is_none()),
            Work::Picture(work) => pictures::open_units(work, &self.pictures),
        }
    }

    /// How it goes on from index `from`.
    pub fn story(&self, from: u32) -> Story {
        let from = from.min(self.tokens.len() as u32);
        let tokens = self.tokens[from as usize..].to_vec();
        Story { job: self.job.id, from, tokens, end: self.end.clone(), state: self.state.clone() }
    }

    fn whole(&self) -> Message {
        let (job, tokens) = (self.job.clone(), self.tokens.clone());
        Message::Whole(Box::new(Whole { job, tokens, end: self.end.clone(), keeper: self.keeper }))
    }
}

/// All jobs.
#[derive(Debug)]
pub struct Book {
    me: PeerId,
    records: BTreeMap<JobId, Record>,
    finished: VecDeque<JobId>,
    forgotten: VecDeque<JobId>,
    /// Unknown jobs asked for lately.
    asked: BTreeMap<JobId, Millis>,
}

impl Book {
    /// An empty one.
    pub const fn new(me: PeerId) -> Self {
        Self {
            me,
            records: BTreeMap::new(),
            finished: VecDeque::new(),
            forgotten: VecDeque::new(),
            asked: BTreeMap::new(),
        }
    }

    /// One job.
    pub fn record(&self, job: JobId) -> Option<&Record> {
        self.records.get(&job)
    }

    /// Whether this peer carries on `job`, which has not ended.
    pub fn keeps(&self, job: JobId) -> bool {
        self.records.get(&job).is_some_and(|record| record.end.is_none() && record.keeper == self.me)
    }

    /// The open jobs that this peer carries on.
    pub fn kept(&self) -> Vec<JobId> {
        self.records.keys().copied().filter(|&job| self.keeps(job)).collect()
    }

    /// Open jobs that `requester` asked for.
    pub fn open_of(&self, requester: PeerId) -> usize {
        self.records.iter().filter(|(id, record)| id.requester == requester && record.end.is_none()).count()
    }

    /// Open jobs, and all jobs.
    pub fn sizes(&self) -> (usize, usize) {
        (self.records.values().filter(|record| record.end.is_none()).count(), self.records.len())
    }

    /// Starts a job of this peer.
    pub fn submit(&mut self, now: Millis, job: Job, members: &Members, out: &mut Outbox) {
        let record = self.insert(now, job, Vec::new(), self.me, out);
        let message = record.whole();
        out.broadcast(members.known(), &message);
    }

    /// The answer grows by one token.
    pub fn append(&mut self, job: JobId, token: u32, members: &Members, out: &mut Outbox) {
        let Some(record) = self.records.get_mut(&job) else {
            return;
        };
        let from = record.tokens.len() as u32;
        record.tokens.push(token);
        out.event(Event::Tokens { job, from, tokens: vec![token] });
        if mutation::on(Mutation::LoseProgress) && from % 16 == 15 {
            return;
        }
        out.broadcast(members.known(), &Message::Story(record.story(from)));
    }

    /// A job that this peer keeps has ended.
    pub fn finish(&mut self, job: JobId, end: End, members: &Members, out: &mut Outbox) {
        self.end(job, end, out);
        self.tell(job, members, out);
        self.trim();
    }

    /// A job that this peer keeps does something else now. True if that is news.
    pub fn state(&mut self, job: JobId, state: JobState, members: &Members, out: &mut Outbox) -> bool {
        let Some(record) = self.records.get_mut(&job).filter(|record| record.end.is_none()) else {
            return false;
        };
        let news = record.state.as_ref() != Some(&state);
        if news {
            record.state = Some(state.clone());
            out.event(Event::State { job, state });
            self.tell(job, members, out);
        }
        news
    }

    /// Tells everyone how far a job is; every second, so that nobody misses anything for long.
    pub fn tell(&self, job: JobId, members: &Members, out: &mut Outbox) {
        if let Some(record) = self.records.get(&job) {
            out.broadcast(members.known(), &Message::Story(record.story(u32::MAX)));
        }
    }

    /// Takes a copy of a job.
    ///
    /// # Errors
    /// Says why it is not believed, or which bound it breaks.
    pub fn whole(
        &mut self,
        now: Millis,
        from: PeerId,
        whole: Whole,
        members: &Members,
        out: &mut Outbox,
    ) -> Result<(), String> {
        let id = whole.job.id;
        if self.records.contains_key(&id) {
            let claimed = whole.keeper == from;
            let (tokens, end) = (whole.tokens, whole.end);
            let story = Story { job: id, from: 0, tokens, end, state: None };
            return match claimed {
                true => self.story(now, from, story, members, out),
                false => self.inherit(from, story, members, out),
            };
        }
        if self.forgotten.contains(&id) {
            return Ok(());
        }
        if id.requester == self.me {
            return Err("it claims a job of this peer that this peer does not know".into());
        }
        if from != id.requester && members.is_live(id.requester) {
            return Err("it tells the job of a peer that is here".into());
        }
        self.admit(&whole)?;
        let heir = if whole.keeper == self.me || members.is_live(whole.keeper) { whole.keeper } else { from };
        let keeper = if from == id.requester { from } else { heir };
        self.insert(now, whole.job, whole.tokens, keeper, out);
        if let Some(end) = whole.end {
            self.end_when_whole(now, id, end, out);
        }
        if keeper == self.me {
            // Perhaps nobody else heard of it before the requester left.
            self.tell(id, members, out);
        }
        Ok(())
    }

    /// Takes a part of a job's answer.
    ///
    /// # Errors
    /// Says why it is not believed.
    pub fn story(
        &mut self,
        now: Millis,
        from: PeerId,
        story: Story,
        members: &Members,
        out: &mut Outbox,
    ) -> Result<(), String> {
        if story.end.is_some() && self.take_ended(story.job, members, out) {
            return Ok(());
        }
        let Some(record) = self.records.get_mut(&story.job) else {
            self.ask_for(now, from, story.job, members, out);
            return Ok(());
        };
        let requester = story.job.requester;
        if requester == self.me || (from != requester && members.is_live(requester)) {
            // An heir that has not noticed yet that the requester is back.
            return Ok(());
        }
        if record.keeper == self.me && from > self.me && record.end.is_none() {
            out.send(from, Message::Story(record.story(u32::MAX)));
            return self.learn_end(now, from, story, out);
        }
        if from != requester && from > record.keeper && members.is_live(record.keeper) {
            return Ok(());
        }
        if record.end.is_none() {
            record.keeper = from;
        }
        record.heard = now;
        self.merge(now, from, story, out)
    }

    fn merge(&mut self, now: Millis, from: PeerId, story: Story, out: &mut Outbox) -> Result<(), String> {
        let Some(record) = self.records.get_mut(&story.job) else {
            return Ok(());
        };
        if record.end.is_some() {
            return Ok(());
        }
        let (have, start) = (record.tokens.len(), story.from as usize);
        if start > have {
            if now.since(record.nudged) >= limits::CLAIM_MS && !mutation::on(Mutation::LoseProgress) {
                record.nudged = now;
                out.send(from, Message::Missing { job: story.job, have: Some(have as u32) });
            }
            return Ok(());
        }
        let overlap = story.tokens.len().min(have - start);
        if record.tokens[start..start + overlap] != story.tokens[..overlap] {
            return Err("its answer differs from the one known".into());
        }
        let news = &story.tokens[overlap..];
        if have + news.len() > record.text().map_or(0, |text| text.max_new as usize) {
            return Err("its answer is longer than asked for".into());
        }
        if !news.is_empty() {
            record.tokens.extend_from_slice(news);
            out.event(Event::Tokens { job: story.job, from: have as u32, tokens: news.to_vec() });
        }
        if let Some(state) = story.state.filter(|state| record.state.as_ref() != Some(state)) {
            record.state = Some(state.clone());
            out.event(Event::State { job: story.job, state });
        }
        if let Some(end) = story.end {
            self.end_when_whole(now, story.job, end, out);
        }
        Ok(())
    }

    /// Answers a watcher that misses a part.
    pub fn missing(&self, from: PeerId, job: JobId, have: Option<u32>, out: &mut Outbox) {
        if let Some(record) =
            self.records.get(&job).filter(|record| record.keeper == self.me || record.end.is_some())
        {
            out.send(from, have.map_or_else(|| record.whole(), |have| Message::Story(record.story(have))));
            record.send_pictures(from, out);
        }
    }

    /// Answers a peer that handed over a job which has ended long ago.
    pub fn remind(&self, from: PeerId, job: JobId, out: &mut Outbox) {
        if let Some(record) = self.records.get(&job).filter(|record| record.end.is_some()) {
            out.send(from, Message::Story(record.story(0)));
        }
    }

    /// Asks for a job that this peer has never heard of, once a second at most.
    fn ask_for(&mut self, now: Millis, from: PeerId, job: JobId, members: &Members, out: &mut Outbox) {
        self.asked.retain(|_, at| now.since(*at) < limits::PULSE_MS);
        let known =
            self.forgotten.contains(&job) || self.asked.contains_key(&job) || job.requester == self.me;
        if !known && self.asked.len() < limits::JOBS_PER_ROOM {
            self.asked.insert(job, now);
            // While the requester is here only its own word counts.
            let teller = if members.is_live(job.requester) { job.requester } else { from };
            out.send(teller, Message::Missing { job, have: None });
        }
    }

    fn admit(&self, whole: &Whole) -> Result<(), String> {
        let (open, _) = self.sizes();
        match () {
            () if whole.end.is_some() => Ok(()),
            () if open >= limits::JOBS_PER_ROOM => {
                Err(format!("the room has {} jobs open already", limits::JOBS_PER_ROOM))
            }
            () if self.open_of(whole.job.id.requester) >= limits::JOBS_PER_PEER => {
                Err(format!("its requester has {} jobs open already", limits::JOBS_PER_PEER))
            }
            () => Ok(()),
        }
    }

    fn insert(
        &mut self,
        now: Millis,
        job: Job,
        tokens: Vec<u32>,
        keeper: PeerId,
        out: &mut Outbox,
    ) -> &Record {
        let id = job.id;
        out.event(Event::Job { job: job.clone(), tokens: tokens.clone() });
        let record = Record {
            job,
            tokens,
            pictures: BTreeMap::new(),
            end: None,
            ending: None,
            keeper,
            state: None,
            heard: now,
            nudged: now,
        };
        self.records.entry(id).or_insert(record)
    }

    fn end(&mut self, job: JobId, end: End, out: &mut Outbox) {
        let Some(record) = self.records.get_mut(&job).filter(|record| record.end.is_none()) else {
            return;
        };
        record.end = Some(end.clone());
        record.ending = None;
        record.state = None;
        out.event(Event::Ended { job, end });
        self.finished.push_back(job);
        if self.finished.len() > limits::JOBS_KEPT
            && let Some(oldest) = self.finished.pop_front()
        {
            self.records.remove(&oldest);
            self.forgotten.push_back(oldest);
        }
        if self.forgotten.len() > limits::JOBS_REMEMBERED {
            self.forgotten.pop_front();
        }
    }
}

#[cfg(test)]
mod tests;
