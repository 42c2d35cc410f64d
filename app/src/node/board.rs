//! The [`View`] and how each event changes it. Nothing here decides; it keeps what a face shows.

mod adapting;
mod computing;
mod pictures;
mod weights;

use super::view::{Adapters as AdaptersView, Card, ComputeStatus, SignalingStatus, View, WriteRequest};
use crate::clock;
use crate::compute::{Image, Prompt, Request, Turn};
use crate::sampling::{Likelihood, Sampling};
use crate::transport::Counters;
pub use computing::Computing;
use computing::starting;
use coordinator::io::{End, Event, Job, JobState, Progress, RoomView, Stage, TextWork, Work};
use coordinator::swarm::Sharing;
use coordinator::{JobId, ModelId, PeerId};
use pictures::Sheets;
use std::collections::{BTreeMap, VecDeque};

/// Notices kept. Source: a screenful in the details.
const NOTICES: usize = 50;
/// Named reasons counted apart. Source: guess; reasons are few, this bounds a hostile peer.
const REASONS: usize = 100;
/// Cards kept. Source: as many finished jobs as the coordinator keeps, and the open ones.
const CARDS: usize = coordinator::limits::JOBS_KEPT + coordinator::limits::JOBS_PER_ROOM;
/// Turns of a conversation that a model is told of. Source: guess; the model's context ends long before.
const TURNS: usize = 200;
/// Speed shown while writing is that of this many latest milliseconds.
const SPEED_WINDOW_MS: u64 = 4_000;

/// The view, and what is behind it.
pub struct Board {
    view: View,
    /// By job: what the card alone does not say.
    behind: BTreeMap<JobId, Behind>,
    /// The same of jobs that are painted.
    sheets: BTreeMap<JobId, Sheets>,
    /// What this person is asking for at this moment: a job says less.
    submitting: Option<WriteRequest>,
    /// The model that is here with all the adapters that it had, and without, newest first.
    tongues: Vec<ModelId>,
    dirty: bool,
}

struct Behind {
    model: ModelId,
    prompt: Vec<u32>,
    stops: Vec<String>,
    tokens: Vec<u32>,
    asked_at: u64,
    /// Time and count of tokens at the latest arrivals.
    arrivals: VecDeque<(u64, u32)>,
    first_at: Option<u64>,
    /// Tokens that were there before this peer watched: not part of its speed.
    before: u32,
    /// Why it ended, until the text of its last token is here too.
    ending: Option<End>,
}

impl Board {
    pub fn new(me: PeerId, room: String) -> Self {
        let view = View {
            me,
            room,
            peers: RoomView::default(),
            model: None,
            painter: None,
            compute: starting(),
            chosen: None,
            adapters: AdaptersView::default(),
            fetching: None,
            weights: Vec::new(),
            sharing: Sharing::default(),
            paused: false,
            kept: None,
            signaling: SignalingStatus::Connecting,
            cards: Vec::new(),
            notices: Vec::new(),
            dropped: BTreeMap::new(),
            sent_bytes: 0,
            received_bytes: 0,
        };
        let (behind, sheets, tongues) = (BTreeMap::new(), BTreeMap::new(), Vec::new());
        Self { view, behind, sheets, submitting: None, tongues, dirty: true }
    }

    pub const fn view(&self) -> &View {
        &self.view
    }

    /// True if something to show changed since the last call.
    pub fn take_dirty(&mut self) -> bool {
        std::mem::take(&mut self.dirty)
    }

    /// Shown with the next change: they change all the time.
    pub const fn counters(&mut self, counters: Counters) {
        self.view.sent_bytes = counters.sent;
        self.view.received_bytes = counters.received;
    }

    pub fn signaling(&mut self, status: SignalingStatus) {
        self.dirty |= self.view.signaling != status;
        self.view.signaling = status;
    }

    pub fn notice(&mut self, text: String) {
        self.dirty = true;
        self.view.notices.push((clock::now().0, text));
        let surplus = self.view.notices.len().saturating_sub(NOTICES);
        self.view.notices.drain(..surplus);
    }

    /// The same again is no news.
    pub fn trouble(&mut self, text: String) {
        if !self.view.notices.iter().any(|(_, said)| *said == text) {
            self.notice(text);
        }
    }

    /// What people call a peer.
    pub fn name_of(&self, peer: PeerId) -> String {
        let known = self.view.peers.peers.iter().find(|one| one.id == peer);
        known.map_or_else(|| format!("Peer {peer}"), |peer| peer.name.clone())
    }

    pub fn dropped(&mut self, reason: String) {
        self.dirty = true;
        let known = self.view.dropped.contains_key(&reason) || self.view.dropped.len() < REASONS;
        let reason = if known { reason } else { "other".into() };
        *self.view.dropped.entry(reason).or_default() += 1;
    }

    pub fn text(&mut self, id: JobId, restart: bool, text: &str, last: bool) {
        let Some(card) = self.view.cards.iter_mut().find(|card| card.id == id) else { return };
        self.dirty = true;
        if restart {
            card.text.clear();
        }
        card.text.push_str(text);
        if last && let Some(end) = self.behind.get_mut(&id).and_then(|behind| behind.ending.take()) {
            finish(card, end);
        }
    }

    /// The next job of this peer is this one.
    pub fn submits(&mut self, request: Option<WriteRequest>) {
        self.submitting = request;
    }

    /// What the model is to read: the request, and what it goes on from as far as this peer knows it.
    pub fn prompt(&self, request: &WriteRequest) -> Prompt {
        let card = |id: JobId| self.view.cards.iter().find(|card| card.id == id);
        let newest = request.follows.and_then(card);
        let mut before: Vec<Turn> =
            std::iter::successors(newest, |later| later.request.follows.and_then(card))
                .take(TURNS)
                .map(|card| Turn { prompt: card.prompt.clone(), answer: card.text.clone() })
                .collect();
        before.reverse();
        Prompt { system: request.system.clone(), before, text: request.prompt.clone() }
    }

    /// The worker is new: the text of every answer that its model writes is to be made afresh, and images that are missing.
    pub fn decode_everything(&mut self) -> Vec<Request> {
        let painter = self.view.painter.as_ref().map(|painter| painter.id);
        let mut requests = Vec::new();
        for sheets in self.sheets.values_mut().filter(|sheets| Some(sheets.model) == painter) {
            requests.extend(sheets.afresh());
        }
        for card in &mut self.view.cards {
            let Some(behind) = self.behind.get(&card.id) else { continue };
            let speaks = self.tongues.contains(&behind.model);
            card.foreign = !speaks && (card.text.is_empty() || card.end.is_none());
            if speaks {
                requests.push(behind.decode_all(card.id, card.end.is_some() || behind.ending.is_some()));
            }
        }
        requests
    }

    /// Changes the view; returns what the worker is to turn into text.
    pub fn event(&mut self, event: Event) -> Vec<Request> {
        self.dirty = true;
        match event {
            Event::Room(room) => self.view.peers = room,
            Event::Job { job, tokens } => return self.job(job, tokens),
            Event::Tokens { job, from, tokens } => {
                return self.tokens(job, from, &tokens).into_iter().collect();
            }
            Event::Picture { job, unit, progress } => {
                return self.painted(job, unit, progress).into_iter().collect();
            }
            Event::Note { job, at, note } => self.note(job, at, &note),
            Event::State { job, state } => self.state(job, state),
            Event::Ended { job, end } => return self.ended(job, end).into_iter().collect(),
            Event::Notice(text) => self.notice(text),
            Event::Dropped { reason, .. } => self.dropped(reason),
        }
        Vec::new()
    }

    fn job(&mut self, job: Job, tokens: Vec<u32>) -> Vec<Request> {
        let requests = match job.work.clone() {
            Work::Text(work) => self.answer(job, work, tokens),
            Work::Picture(work) => {
                if let Some((sheets, painting)) = Sheets::new(&job, &work) {
                    let foreign = !self.paints_with(job.model) && self.view.painter.is_some();
                    self.sheets.insert(job.id, sheets);
                    self.put(Card { painting: Some(painting), foreign, ..self.card(job) });
                }
                Vec::new()
            }
        };
        self.forget_oldest();
        requests
    }

    /// A card about which nothing is known yet but who asked for what.
    fn card(&self, job: Job) -> Card {
        Card {
            id: job.id,
            mine: job.id.requester == self.view.me,
            author: job.author,
            prompt: job.text,
            text: String::new(),
            tokens: 0,
            tokens_per_second: None,
            first_token_ms: None,
            state: Some(JobState::Waiting(String::new())),
            workers: Vec::new(),
            stages: Vec::new(),
            end: None,
            request: WriteRequest::default(),
            painting: None,
            foreign: false,
            likelihoods: BTreeMap::new(),
        }
    }

    fn put(&mut self, card: Card) {
        match self.view.cards.iter_mut().find(|known| known.id == card.id) {
            Some(known) => *known = card,
            None => self.view.cards.push(card),
        }
    }

    fn paints_with(&self, model: ModelId) -> bool {
        self.view.painter.as_ref().is_some_and(|own| own.id == model)
    }

    fn answer(&mut self, job: Job, work: TextWork, tokens: Vec<u32>) -> Vec<Request> {
        let count = u32::try_from(tokens.len()).unwrap_or(u32::MAX);
        let now = clock::now().0;
        let sampling = Sampling::from_bytes(&work.sampling).unwrap_or_default();
        let speaks = self.speaks(job.model);
        let foreign = !speaks && self.view.model.is_some();
        let behind = Behind {
            model: job.model,
            prompt: work.prompt,
            stops: sampling.stops.clone(),
            tokens,
            asked_at: now,
            arrivals: VecDeque::new(),
            first_at: None,
            before: count,
            ending: None,
        };
        let request_text = behind.decode_all(job.id, false);
        self.behind.insert(job.id, behind);
        let mine = job.id.requester == self.view.me;
        let told = || WriteRequest { prompt: job.text.clone(), sampling, ..WriteRequest::default() };
        let request = self.submitting.take().filter(|_| mine).unwrap_or_else(told);
        let request = WriteRequest { max_new: work.max_new, ..request };
        self.put(Card { tokens: count, request, foreign, ..self.card(job) });
        if speaks { vec![request_text] } else { Vec::new() }
    }

    fn painted(&mut self, id: JobId, unit: u16, progress: Progress) -> Option<Request> {
        let shows = self.paints_with(self.sheets.get(&id)?.model);
        let painting = self.view.cards.iter_mut().find(|card| card.id == id)?.painting.as_mut()?;
        let asked = self.sheets.get_mut(&id)?.progress(painting, unit, progress);
        // Without that model here nobody answers; a new worker is asked again.
        asked.filter(|_| shows)
    }

    /// The worker made an image of a picture.
    pub fn image(
        &mut self,
        id: JobId,
        unit: u16,
        whole: bool,
        image: Result<Image, String>,
    ) -> Option<Request> {
        let image = image.map_err(|why| self.notice(format!("A picture cannot be shown: {why}."))).ok();
        self.dirty = true;
        let painting = self.view.cards.iter_mut().find(|card| card.id == id)?.painting.as_mut()?;
        self.sheets.get_mut(&id)?.image(painting, unit, whole, image)
    }

    fn forget_oldest(&mut self) {
        while self.view.cards.len() > CARDS {
            let gone = self.view.cards.remove(0);
            self.behind.remove(&gone.id);
            self.sheets.remove(&gone.id);
        }
    }

    fn tokens(&mut self, id: JobId, from: u32, tokens: &[u32]) -> Option<Request> {
        let speaks = self.speaks(self.behind.get(&id)?.model);
        let behind = self.behind.get_mut(&id)?;
        let card = self.view.cards.iter_mut().find(|card| card.id == id)?;
        let now = clock::now().0;
        behind.tokens.truncate(from as usize);
        behind.tokens.extend_from_slice(tokens);
        card.tokens = u32::try_from(behind.tokens.len()).unwrap_or(u32::MAX);
        behind.arrivals.push_back((now, card.tokens));
        while behind.arrivals.front().is_some_and(|(at, _)| now - at > SPEED_WINDOW_MS) {
            behind.arrivals.pop_front();
        }
        if behind.first_at.is_none() {
            behind.first_at = Some(now);
            card.first_token_ms = (behind.before == 0).then_some(now - behind.asked_at);
        }
        card.tokens_per_second = speed(behind.arrivals.front().copied(), (now, card.tokens));
        if !speaks {
            return None;
        }
        Some(if from == 0 { behind.decode_all(id, false) } else { decode(id, tokens.to_vec(), false) })
    }

    fn note(&mut self, id: JobId, at: u32, note: &[u8]) {
        let card = self.view.cards.iter_mut().find(|card| card.id == id);
        if let (Some(card), Some(told)) = (card, Likelihood::from_bytes(note)) {
            card.likelihoods.insert(at, told);
        }
    }

    fn state(&mut self, id: JobId, state: JobState) {
        let Some(card) = self.view.cards.iter_mut().find(|card| card.id == id) else { return };
        if let JobState::Running(stages) = &state {
            self.sheets.get_mut(&id).into_iter().for_each(|sheets| sheets.watched = true);
            card.stages.clone_from(stages);
            remember_workers(card, stages, &self.view.peers);
        }
        card.state = Some(state);
    }

    fn ended(&mut self, id: JobId, end: End) -> Option<Request> {
        if self.sheets.contains_key(&id) {
            self.view
                .cards
                .iter_mut()
                .find(|card| card.id == id)
                .into_iter()
                .for_each(|card| finish(card, end.clone()));
            return None;
        }
        let speaks = self.speaks(self.behind.get(&id)?.model);
        let card = self.view.cards.iter_mut().find(|card| card.id == id)?;
        let behind = self.behind.get_mut(&id)?;
        let all = (clock::now().0, card.tokens);
        card.tokens_per_second = speed(behind.first_at.map(|at| (at, behind.before + 1)), all);
        if !speaks || !matches!(self.view.compute, ComputeStatus::Ready { .. }) {
            finish(card, end);
            return None;
        }
        behind.ending = Some(end);
        Some(if card.tokens == 0 { behind.decode_all(id, true) } else { decode(id, Vec::new(), true) })
    }
}

fn finish(card: &mut Card, end: End) {
    card.state = None;
    card.end = Some(end);
}

impl Behind {
    fn decode_all(&self, job: JobId, last: bool) -> Request {
        let (prompt, stops, tokens) = (self.prompt.clone(), self.stops.clone(), self.tokens.clone());
        Request::Begin { job, prompt, stops, tokens, last }
    }
}

/// How an answer goes on.
const fn decode(job: JobId, tokens: Vec<u32>, last: bool) -> Request {
    Request::Decode { job, tokens, last }
}

/// Tokens per second between two (time, count) points, if time passed.
fn speed(earlier: Option<(u64, u32)>, later: (u64, u32)) -> Option<f32> {
    let (at, count) = earlier?;
    let elapsed = later.0.saturating_sub(at);
    (elapsed > 0 && later.1 > count).then(|| (later.1 - count) as f32 * 1000.0 / elapsed as f32)
}

fn remember_workers(card: &mut Card, stages: &[Stage], room: &RoomView) {
    for stage in stages {
        if card.workers.iter().all(|(peer, _)| *peer != stage.peer) {
            let name = room
                .peers
                .iter()
                .find(|peer| peer.id == stage.peer)
                .map_or_else(|| stage.peer.to_string(), |peer| peer.name.clone());
            card.workers.push((stage.peer, name));
        }
    }
}
