//! The machine itself: takes one input, asks the parts, collects what they have to say.

use crate::book::Book;
use crate::election::Election;
use crate::ids::{Epoch, Millis, PeerId};
use crate::io::{Event, Input, ModelSpec, Output, RoomView};
use crate::leader::Leader;
use crate::limits;
use crate::membership::Members;
use crate::outbox::Outbox;
use crate::owner::{Context, Owner};
use crate::ranges::Ranges;
use crate::stage::{StageSizes, Stages};
use crate::wire::{self, Message, Pulse, RoomPlan};

mod commands;
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
    election: Election,
    /// Some while this peer leads.
    leader: Option<Leader>,
    /// The newest plan of the leader that this peer follows, or of the one before.
    plan: Option<RoomPlan>,
    ranges: Ranges,
    stages: Stages,
    book: Book,
    owner: Owner,
    jobs_submitted: u32,
    pulse_at: Millis,
    /// Something happened that plan, keepers or the view may depend on.
    stir: bool,
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
    /// `SESSIONS`, `CHUNKS_WAITING`, `WINDOW`, `WINDOW`
    pub stage: StageSizes,
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
            election: Election::new(me, config.seed, now),
            leader: None,
            plan: None,
            ranges: Ranges::default(),
            stages: Stages::new(me),
            book: Book::new(me),
            owner: Owner::default(),
            jobs_submitted: 0,
            pulse_at: now,
            stir: true,
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
            Input::ComputeReady { capability, model } => {
                if self.members.own.model.as_ref().is_none_or(|old| old.id != model.id) {
                    self.lose_compute("its model was changed");
                }
                self.members.own.capability = Some(capability);
                self.members.own.model = Some(bounded(model));
                self.pulse_soon();
            }
            Input::ComputeLost(reason) => {
                self.lose_compute(&reason);
                self.out.event(Event::Notice(format!("This device stopped computing: {reason}")));
                self.pulse_soon();
            }
            Input::Loaded(layers) => {
                self.ranges.loaded(layers);
                self.pulse_soon();
            }
            Input::LoadFailed(layers, reason) => {
                self.ranges.failed(self.now, layers, wire::clip(&reason, limits::REASON_BYTES / 2));
                self.pulse_soon();
            }
            Input::Ran { job, lease, position, result } => {
                self.stages.ran(self.now, (job, lease), position, result, &mut self.out);
            }
        }
        self.settle();
        self.out.take()
    }

    /// When to hand in [`Input::Tick`], if nothing else happens before.
    #[must_use]
    pub fn wake_at(&self) -> Option<Millis> {
        let claim = self.election.wake_at(&self.members);
        Some(claim.map_or(self.pulse_at, |claim| claim.min(self.pulse_at)))
    }

    /// How much it holds, for the details panel and for tests.
    #[must_use]
    pub fn sizes(&self) -> Sizes {
        let (open_jobs, all_jobs) = self.book.sizes();
        Sizes {
            peers: self.members.all().len() + 1,
            open_jobs,
            all_jobs,
            owned_jobs: self.owner.len(),
            queued_jobs: self.leader.as_ref().map_or(0, Leader::jobs),
            ranges: self.ranges.len(),
            stage: self.stages.sizes(),
        }
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
        self.out.send(peer, Message::Hello { version: wire::VERSION, oldest: wire::OLDEST, name });
        self.send_pulse(peer);
        self.book.welcome(peer, &self.members, &mut self.out);
        self.stir = true;
    }

    fn peer_down(&mut self, peer: PeerId) {
        let name = self.members.name(peer);
        if !self.members.down(peer) {
            return;
        }
        self.members.refresh(self.now);
        self.election.down(self.now, peer);
        self.stages.down(peer, &name, &mut self.out);
        self.stir = true;
    }

    fn lose_compute(&mut self, reason: &str) {
        self.ranges.clear();
        self.stages.lost(reason, &mut self.out);
        self.members.own.capability = None;
        self.stir = true;
    }

    fn pulse_soon(&mut self) {
        self.pulse_at = self.now;
        self.stir = true;
    }

    /// Everything that follows from the input, until nothing more does.
    fn settle(&mut self) {
        if self.election.check(self.now, &self.members) {
            self.office_changed();
        }
        let due = self.now >= self.pulse_at;
        if due {
            self.housekeeping();
        }
        self.take_own();
        if std::mem::take(&mut self.stir) {
            self.review();
            self.show();
        }
        if due {
            self.send_pulses();
        }
    }

    fn take_own(&mut self) {
        while let Some(message) = self.out.next_own() {
            self.dispatch(self.me, message);
        }
    }

    /// What is done once a second.
    fn housekeeping(&mut self) {
        self.stages.expire(self.now, &mut self.out);
        self.members.refresh(self.now);
        self.book.nudge(self.now, &mut self.out);
        for job in self.book.kept() {
            self.book.tell(job, &self.members, &mut self.out);
        }
        self.owned(Owner::ask_all);
        self.stir = true;
    }

    /// Brings membership, keepers, running jobs, the plan and the loaded layers in line with each other.
    fn review(&mut self) {
        // Each round may give the next one something to do (a grant opens a session, a session needs layers).
        for _ in 0..4 {
            self.members.own.ready = self.ranges.ready();
            self.members.own.trouble = self.ranges.trouble(self.now).map(str::to_owned);
            self.members.refresh(self.now);
            self.book.rekeep(self.now, &self.members, &mut self.out);
            self.owned(|owner, cx| {
                owner.adopt(cx);
                owner.check(cx);
            });
            if let Some(leader) = &mut self.leader {
                leader.review(self.now, &self.members, &mut self.out);
            }
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
        let ours = self.members.own.model.as_ref().map(|model| model.id);
        if let Some(plan) = self.plan.as_ref().filter(|plan| Some(plan.model) == ours) {
            let own = plan.stages.iter().chain(&plan.next).filter(|stage| stage.peer == self.me);
            wanted.extend(own.map(|stage| stage.layers));
        }
        self.ranges.reconcile(&wanted, &mut self.out);
        self.members.own.ready = self.ranges.ready();
    }

    fn office_changed(&mut self) {
        match self.election.epoch().filter(|_| self.election.leads()) {
            Some(epoch) => match &mut self.leader {
                Some(leader) if leader.epoch() != epoch => leader.renew(epoch),
                Some(_) => {}
                None => self.leader = Some(Leader::new(epoch, self.plan.as_ref(), &self.members)),
            },
            None => self.leader = None,
        }
        self.owned(Owner::ask_all);
        self.pulse_soon();
    }

    fn send_pulses(&mut self) {
        self.pulse_at = self.now.after(limits::PULSE_MS);
        self.election.beat(self.now);
        for peer in self.members.all() {
            self.send_pulse(peer);
        }
    }

    fn send_pulse(&mut self, peer: PeerId) {
        let pulse = Pulse {
            sent: self.now.0,
            echo: self.members.echo(self.now, peer),
            following: self.election.current(),
            report: self.members.own.clone(),
        };
        self.out.send(peer, Message::Pulse(Box::new(pulse)));
    }

    fn show(&mut self) {
        let stages = |plan: &RoomPlan| {
            if plan.stages.is_empty() { plan.next.clone() } else { plan.stages.clone() }
        };
        let view = RoomView {
            epoch: self.election.epoch(),
            peers: self.members.view(),
            stages: self.plan.as_ref().map(stages).unwrap_or_default(),
            why: self.plan.as_ref().map(|plan| plan.why.clone()).unwrap_or_default(),
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
            book: &mut self.book,
            out: &mut self.out,
        };
        act(&mut self.owner, &mut context)
    }
}

/// A model whose name the wire can carry.
fn bounded(mut model: ModelSpec) -> ModelSpec {
    model.name = wire::clip(&model.name, limits::NAME_BYTES);
    model
}
