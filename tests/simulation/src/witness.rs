//! What the person at one peer saw.

use coordinator::io::{Job, JobState, Progress, RoomView};
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
    /// The tiles of its pictures so far.
    pub tiles: BTreeMap<(u16, u16), Vec<u8>>,
    /// How it ended.
    pub end: Option<End>,
    /// What it is doing.
    pub state: Option<JobState>,
    /// When each of its tokens came, in virtual milliseconds.
    pub came: Vec<u64>,
    /// When it appeared, in virtual milliseconds.
    pub appeared: u64,
    /// When it first ran, in virtual milliseconds.
    pub began: Option<u64>,
}

impl Seen {
    /// A job that appears.
    #[must_use]
    pub fn new(now: u64, job: Job, tokens: Vec<u32>) -> Self {
        let came = vec![now; tokens.len()];
        Self { job, tokens, tiles: BTreeMap::new(), end: None, state: None, came, appeared: now, began: None }
    }
}

impl Witness {
    /// Takes note of an event at `now` virtual milliseconds.
    pub fn see(&mut self, now: u64, event: Event) {
        match event {
            Event::Room(room) => self.room = room,
            Event::Job { job, tokens } => {
                let id = job.id;
                let seen = Seen::new(now, job, tokens);
                if self.jobs.insert(id, seen).is_some() {
                    self.broken.push(format!("{id:?} appeared twice"));
                }
            }
            Event::Tokens { job, from, tokens } => self.grow(now, job, from, &tokens),
            Event::Note { job, at, note } => {
                let token = self.jobs.get(&job).and_then(|seen| seen.tokens.get(at as usize));
                if token.is_none_or(|token| token.to_le_bytes() != *note) {
                    self.broken.push(format!("{job:?}: something told of token {at} that is not its own"));
                }
            }
            Event::Picture { job, unit, progress } => self.paint(job, unit, progress),
            Event::State { job, state } => match self.jobs.get_mut(&job) {
                Some(seen) if seen.end.is_none() => {
                    if matches!(state, JobState::Running(_)) {
                        seen.began.get_or_insert(now);
                    }
                    seen.state = Some(state);
                }
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

    fn paint(&mut self, job: JobId, unit: u16, progress: Progress) {
        match (self.jobs.get_mut(&job), progress) {
            (Some(seen), _) if seen.end.is_some() => {
                self.broken.push(format!("{job:?}: pixels after its end"))
            }
            (Some(seen), Progress::Tile { tile, pixels }) => {
                if seen.tiles.insert((unit, tile), pixels).is_some() {
                    self.broken.push(format!("{job:?}: tile {tile} of picture {unit} came twice"));
                }
            }
            (Some(_), Progress::Step { .. }) => {}
            (None, _) => self.broken.push(format!("{job:?}: pixels before it appeared")),
        }
    }

    fn grow(&mut self, now: u64, job: JobId, from: u32, tokens: &[u32]) {
        match self.jobs.get_mut(&job) {
            Some(seen) if seen.end.is_some() => self.broken.push(format!("{job:?}: tokens after its end")),
            Some(seen) if seen.tokens.len() != from as usize => {
                self.broken.push(format!("{job:?}: tokens from {from}, but {} are known", seen.tokens.len()));
            }
            Some(seen) => {
                seen.tokens.extend_from_slice(tokens);
                seen.came.resize(seen.tokens.len(), now);
            }
            None => self.broken.push(format!("{job:?}: tokens before it appeared")),
        }
    }
}
