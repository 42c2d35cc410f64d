//! The machine itself: takes one input, asks the parts, collects what they have to say.
//!
//! Messages are cheap: what follows from them for the whole room (reports, plans, views) gathers for `GATHER_MS` and is
//! done at once. What cannot wait, such as a lost peer or a new leader, is done before `handle` returns.

use crate::book::Book;
use crate::credit::{self, Ledger};
use crate::election::Election;
use crate::health::{Meter, Work};
use crate::ids::{Epoch, JobId, Lease, Millis, ModelId, PeerId};
use crate::io::{Event, Input, ModelSpec, Output, Part, RoomView, Speed};
use crate::leader::{self, Leader, Room};
use crate::limits;
use crate::membership::Members;
use crate::outbox::Outbox;
use crate::owner::{Context, Owner};
use crate::planner::{self, PictureShape, Verdict};
use crate::ranges::Ranges;
use crate::relay::Relays;
use crate::stage::{StageSizes, Stages};
use crate::wire::{self, Choice, Message, Report, RoomPlan};
use std::collections::BTreeMap;

mod beat;
mod commands;
mod compute;
mod messages;

/// What a coordinator needs to know at its start.
#[derive(Clone, Debug)]
pub struct Config {
    /// This peer's id, as the others see it.
    pub me: PeerId,
    /// The person's name.
    pub name: String,
    /// For every random choice.
    pub seed: u64,
}

/// One peer's state machine. See the [crate's](crate) one rule of use.
#[derive(Debug)]
pub struct Coordinator {
    me: PeerId,
    now: Millis,
    out: Outbox,
    members: Members,
    relays: Relays,
    election: Election,
    /// Some while this peer leads.
    leader: Option<Leader>,
    /// The newest plan of the leader that this peer follows, or of the one before.
    plan: Option<RoomPlan>,
    /// How the room's people want the work to be shared.
    choice: Choice,
    ranges: Ranges,
    stages: Stages,
    /// What the probe measured, by model.
    probed: BTreeMap<ModelId, Speed>,
    meter: Meter,
    /// Layers that its latest tokens went through at a time.
    decode_layers: u16,
    book: Book,
    owner: Owner,
    ledger: Ledger,
    jobs_submitted: u32,
    pulse_at: Millis,
    /// When what has gathered is done.
    review_at: Option<Millis>,
    /// Something happened that cannot wait.
    stir: bool,
    /// What this peer said of itself last.
    told: Report,
    /// Everybody's credit, and when it was worked out.
    credits: BTreeMap<PeerId, u64>,
    scored_at: Millis,
    /// When the links that this peer has may be told again.
    links_at: Millis,
    /// Chunks at the compute worker: when they were given to it, and how large they are.
    given: BTreeMap<(JobId, Lease, u32), (Millis, Work, ModelId)>,
    view: RoomView,
}

/// How much a coordinator holds; each number is bounded by the constant of [`limits`] that it names.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sizes {
    /// `PEERS`
    pub peers: usize,
    /// `JOBS_PER_ROOM`
    pub open_jobs: usize,
    /// `JOBS_PER_ROOM` + `JOBS_KEPT`
    pub all_jobs: usize,
    /// `JOBS_PER_ROOM`
    pub owned_jobs: usize,
    /// `JOBS_PER_ROOM`
    pub queued_jobs: usize,
    /// `RANGES`
    pub ranges: usize,
    /// `SESSIONS`, `CHUNKS_WAITING`, `WINDOW` for text and `BLOBS` for pictures, `WINDOW`
    pub stage: StageSizes,
}

impl Sizes {
    /// The first that is over its bound, as a sentence.
    #[must_use]
    pub fn over(&self) -> Option<String> {
        let rows = [
            ("peers", self.peers, limits::PEERS),
            ("open jobs", self.open_jobs, limits::JOBS_PER_ROOM),
            ("jobs", self.all_jobs, limits::JOBS_PER_ROOM + limits::JOBS_KEPT),
            ("owned jobs", self.owned_jobs, limits::JOBS_PER_ROOM),
            ("queued jobs", self.queued_jobs, limits::JOBS_PER_ROOM),
            ("layer ranges", self.ranges, limits::RANGES),
            ("sessions", self.stage.sessions, limits::SESSIONS),
            ("chunks at the worker", self.stage.running, limits::CHUNKS_WAITING),
            ("chunks that wait", self.stage.waiting, limits::WINDOW.max(limits::BLOBS)),
            ("chunks in the window", self.stage.window, limits::WINDOW),
        ];
        let (what, size, most) = rows.into_iter().find(|(_, size, most)| size > most)?;
        Some(format!("{size} {what}, at most {most} are allowed"))
    }
}

impl Coordinator {
    /// A peer that has just opened the room and knows nobody yet.
    #[must_use]
    pub fn new(config: Config, now: Millis) -> Self {
        let me = config.me;
        Self {
            me,
            now,
            out: Outbox::new(me),
            members: Members::new(me, &config.name, now),
            relays: Relays::default(),
            election: Election::new(me, config.seed, now),
            leader: None,
            plan: None,
            choice: Choice::default(),
            ranges: Ranges::default(),
            stages: Stages::new(me),
            probed: BTreeMap::new(),
            meter: Meter::default(),
            decode_layers: 0,
            book: Book::new(me),
            owner: Owner::default(),
            ledger: Ledger::new(now, me),
            jobs_submitted: 0,
            pulse_at: now,
            review_at: None,
            stir: true,
            told: Report::default(),
            credits: BTreeMap::new(),
            scored_at: now,
            links_at: now,
            given: BTreeMap::new(),
            view: RoomView::default(),
        }
    }

    /// Takes one input at time `now` and says what is to be done, in order. Time never runs backwards: an earlier
    /// `now` counts as the last one.
    pub fn handle(&mut self, now: Millis, input: Input) -> Vec<Output> {
        self.advance(now);
        match input {
            Input::Tick => {}
            Input::PeerUp(peer) => self.peer_up(peer),
            Input::PeerDown(peer) => self.peer_down(peer),
            Input::Received { from, bytes } => self.received(from, &bytes),
            Input::Command(command) => self.command(command),
            Input::ComputeReady { capability, offers } => self.compute_ready(capability, offers),
            Input::ComputeLost(reason) => {
                self.lose_compute(&reason);
                self.out.event(Event::Notice(format!("This device stopped computing: {reason}")));
            }
            Input::Loaded(part) => {
                self.ranges.loaded(part);
                self.stir = true;
            }
            Input::LoadFailed(part, reason) => {
                self.ranges.failed(self.now, part, wire::clip(&reason, limits::REASON_BYTES / 2));
                self.stir = true;
            }
            Input::Working => self.stages.working(self.now),
            Input::Ran { job, lease, number, result } => self.ran(job, lease, number, result),
        }
        self.settle();
        let outputs = self.out.take();
        self.note_runs(&outputs);
        outputs
    }

    /// When to hand in [`Input::Tick`], if nothing else happens before.
    #[must_use]
    pub fn wake_at(&self) -> Option<Millis> {
        let claim = self.election.wake_at(self.now, &self.members);
        let others = [claim, self.review_at, self.members.wake_at()];
        Some(others.into_iter().flatten().fold(self.pulse_at, Millis::min))
    }

    /// How much it holds, for the details panel and for tests.
    #[must_use]
    pub fn sizes(&self) -> Sizes {
        let (open_jobs, all_jobs) = self.book.sizes();
        Sizes {
            peers: self.members.len() + 1,
            open_jobs,
            all_jobs,
            owned_jobs: self.owner.len(),
            queued_jobs: self.leader.as_ref().map_or(0, Leader::jobs),
            ranges: self.ranges.len(),
            stage: self.stages.sizes(),
        }
    }

    /// What this room could do with a model, before anybody fetches anything: whether it fits, how fast it would be, and
    /// what each device would have to fetch. `shape` is a picture that somebody may ask for.
    #[must_use]
    pub fn verdict(&self, model: &ModelSpec, shape: Option<&PictureShape>) -> Verdict {
        let (workers, links) = (leader::survey(model, &self.members), leader::links(&self.members));
        let hidden_bytes = model.hidden_bytes.into();
        let room = planner::Room { model, workers: &workers, links: &links, hidden_bytes };
        planner::verdict(&room, self.me, 1, shape)
    }

    /// The epoch that this peer follows.
    #[must_use]
    pub fn epoch(&self) -> Option<Epoch> {
        self.election.epoch()
    }

    fn advance(&mut self, now: Millis) {
        let slept = now.since(self.wake_at().unwrap_or(now));
        self.now = self.now.max(now);
        // Past its own deadline by long: this device was asleep, and heard nobody for that reason.
        if slept > limits::PULSE_MS {
            self.members.forgive(slept);
            self.election.forgive(slept);
            self.meter.woke(self.now);
            self.stir = true;
        }
    }

    fn peer_up(&mut self, peer: PeerId) {
        if self.members.connected(peer) {
            self.peer_down(peer);
        }
        if !self.members.up(self.now, peer) {
            return self.out.dropped(peer, "the room is full");
        }
        let name = self.members.own.name.clone();
        self.out.send_direct(peer, &Message::Hello { version: wire::VERSION, oldest: wire::OLDEST, name });
        self.out.send_direct(peer, &Message::Report(Box::new(self.members.own.clone())));
        self.send_pulse(peer);
        self.book.welcome(peer, &self.members, &mut self.out);
        self.soon();
    }

    fn peer_down(&mut self, peer: PeerId) {
        let name = self.members.name(peer);
        if !self.members.down(peer) {
            return;
        }
        self.members.refresh(self.now);
        self.members.find_relays(self.now);
        self.out.set_routes(self.members.routes());
        if !self.members.is_live(peer) {
            self.election.down(self.now, peer);
        }
        self.stages.down(peer, &name, &mut self.out);
        self.stir = true;
    }

    /// What follows for the whole room is looked at in a moment.
    fn soon(&mut self) {
        let at = self.now.after(limits::GATHER_MS);
        self.review_at = Some(self.review_at.map_or(at, |known| known.min(at)));
    }

    /// Everything that follows from the input, until nothing more does.
    fn settle(&mut self) {
        if self.election.check(self.now, &self.members) {
            self.office_changed();
        }
        let due = self.now >= self.pulse_at;
        let silent = self.members.wake_at().is_some_and(|at| self.now >= at);
        if due || silent {
            self.stir |= self.members.refresh(self.now);
        }
        if due {
            self.housekeeping();
        }
        self.take_own();
        let gathered = self.review_at.is_some_and(|at| self.now >= at);
        if gathered {
            self.review_at = None;
        }
        if std::mem::take(&mut self.stir) || gathered {
            self.review();
            if gathered || self.review_at.is_none() {
                self.show();
            }
        }
        if due {
            self.send_pulses();
        }
    }

    fn take_own(&mut self) {
        for _ in 0..limits::OWN_MESSAGES {
            let Some(message) = self.out.next_own() else { return };
            self.dispatch(self.me, message);
        }
        self.soon();
    }

    /// What is done once a second.
    fn housekeeping(&mut self) {
        self.stages.expire(self.now, self.worker_patience_ms(), &mut self.out);
        self.book.nudge(self.now, &self.members, &mut self.out);
        self.book.gossip(self.now, &self.members, &mut self.out);
        self.relays.refill();
        self.remind_of_choice();
        for job in self.book.kept() {
            self.book.tell(job, &self.members, &mut self.out);
        }
        self.owned(|owner, cx| {
            owner.check(cx);
            owner.ask_all(cx);
        });
        if self.owner.len() == 0 {
            self.election.asks_nothing();
        }
        if self.now.since(self.scored_at) >= limits::SCORE_MS {
            self.score();
        }
        self.own_speed();
        self.soon();
    }

    /// Everybody's credit, as this peer sees it.
    fn score(&mut self) {
        self.scored_at = self.now;
        self.members.own.receipts = self.ledger.own_receipts();
        let scores = self.ledger.scores();
        if let Some(leader) = &mut self.leader {
            leader.set_scores(&scores);
        }
        self.credits = scores.into_iter().map(|(peer, score)| (peer, score / credit::CREDIT)).collect();
    }

    /// Plan, keepers and layers after something changed.
    fn review(&mut self) {
        // What one part does may concern another (a lost stage breaks a lease, a lease opens a session, a session needs
        // layers), but not for ever.
        for _ in 0..4 {
            self.members.own.ready = self.ranges.ready();
            self.members.own.trouble = self.ranges.trouble(self.now).map(str::to_owned);
            if self.members.find_relays(self.now) {
                self.out.set_routes(self.members.routes());
            }
            self.tell_report();
            self.stages.check(&self.members, &mut self.out);
            self.book.rekeep(self.now, &self.members, &mut self.out);
            self.owned(|owner, cx| {
                owner.adopt(cx);
                owner.check(cx);
            });
            self.lead(Leader::review);
            self.stir = false;
            self.take_own();
            self.load();
            if !self.stir {
                break;
            }
        }
        self.stir = false;
    }

    fn load(&mut self) {
        if self.members.own.capability.is_none() || self.ranges.trouble(self.now).is_some() {
            return;
        }
        let mut wanted = self.stages.needed();
        for plan in self.plan.iter().flat_map(|plan| &plan.models) {
            if !self.probed.contains_key(&plan.model) {
                continue;
            }
            let own = plan.teams.iter().flat_map(|team| &team.stages).filter(|stage| stage.peer == self.me);
            wanted.extend(own.map(|stage| Part { model: plan.model, layers: stage.layers }));
        }
        self.ranges.reconcile(&wanted, &mut self.out);
        let ready = self.ranges.ready();
        self.stir |= ready != self.members.own.ready;
    }

    fn office_changed(&mut self) {
        match self.election.epoch().filter(|_| self.election.leads()) {
            Some(epoch) => match &mut self.leader {
                Some(leader) if leader.epoch() != epoch => leader.renew(epoch),
                Some(_) => {}
                None => {
                    self.leader =
                        Some(Leader::new(self.now, epoch, self.plan.as_ref(), self.choice, &self.members));
                }
            },
            None => self.leader = None,
        }
        self.owned(Owner::ask_all);
        self.pulse_at = self.now;
        self.stir = true;
    }

    fn show(&mut self) {
        let view = RoomView {
            epoch: self.election.epoch(),
            peers: self.members.view(&self.credits),
            models: self.plan.as_ref().map(|plan| plan.models.clone()).unwrap_or_default(),
            spread: self.plan.as_ref().map(|plan| plan.choice.spread).unwrap_or_default(),
        };
        if view != self.view {
            self.view = view.clone();
            self.out.event(Event::Room(view));
        }
    }

    fn owned<T>(&mut self, act: impl FnOnce(&mut Owner, &mut Context<'_>) -> T) -> T {
        let mut context = Context {
            now: self.now,
            members: &self.members,
            leader: self.election.leader(),
            election: &mut self.election,
            book: &mut self.book,
            ledger: &mut self.ledger,
            out: &mut self.out,
        };
        act(&mut self.owner, &mut context)
    }

    /// Does something as the leader, if this peer leads.
    fn lead<T>(&mut self, act: impl FnOnce(&mut Leader, &mut Room<'_>) -> T) -> Option<T> {
        let leader = self.leader.as_mut()?;
        let mut room = Room { now: self.now, members: &self.members, out: &mut self.out };
        Some(act(leader, &mut room))
    }
}
