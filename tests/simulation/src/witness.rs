//! What the person at one peer saw.

use coordinator::io::{Job, JobState, RoomView};
use coordinator::{Event, JobId, io::End};
use std::collections::BTreeMap;

/// One person's screen.
#[derive(Debug, Default)]
pub struct Witness {
    /// Every job that appeared.
    pub jobs: BTreeMap<JobId, Seen>,
    /// The room, last seen.
    pub room: RoomView,
    /// What must not happen on a screen: gaps, repetitions, a second end.
    pub broken: Vec<String>,
    /// Dropped messages by reason.
    pub dropped: BTreeMap<String, u32>,
    /// Notices.
    pub notices: Vec<String>,
}

/// One job on a screen.
#[derive(Clone, Debug)]
pub struct Seen {
    /// What was asked for.
    pub job: Job,
    /// The answer so far.
    pub tokens: Vec<u32>,
    /// How it ended.
    pub end: Option<End>,
    /// What it is doing.
    pub state: Option<JobState>,
}

impl Witness {
    /// Takes note of an event.
    pub fn see(&mut self, event: Event) {
        match event {
            Event::Room(room) => self.room = room,
            Event::Job { job, tokens } => {
                let id = job.id;
                let seen = Seen { job, tokens, end: None, state: None };
                if self.jobs.insert(id, seen).is_some() {
                    self.broken.push(format!("{id:?} appeared twice"));
                }
            }
            Event::Tokens { job, from, tokens } => self.grow(job, from, &tokens),
            Event::State { job, state } => match self.jobs.get_mut(&job) {
                Some(seen) if seen.end.is_none() => seen.state = Some(state),
                _ => self.broken.push(format!("{job:?}: a state before it appeared, or after its end")),
            },
            Event::Ended { job, end } => match self.jobs.get_mut(&job) {
                Some(seen) if seen.end.is_none() => seen.end = Some(end),
                _ => self.broken.push(format!("{job:?}: an end before it appeared, or a second one")),
            },
            Event::Notice(text) => self.notices.push(text),
            Event::Dropped { reason, .. } => *self.dropped.entry(reason).or_default() += 1,
        }
    }

    fn grow(&mut self, job: JobId, from: u32, tokens: &[u32]) {
        match self.jobs.get_mut(&job) {
            Some(seen) if seen.end.is_some() => self.broken.push(format!("{job:?}: tokens after its end")),
            Some(seen) if seen.tokens.len() != from as usize => {
                self.broken.push(format!("{job:?}: tokens from {from}, but {} are known", seen.tokens.len()));
            }
            Some(seen) => seen.tokens.extend_from_slice(tokens),
            None => self.broken.push(format!("{job:?}: tokens before it appeared")),
        }
    }
}
