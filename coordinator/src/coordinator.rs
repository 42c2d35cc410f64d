//! The machine itself: takes one input, asks the parts, collects what they have to say.

use crate::book::Book;
use crate::election::Election;
use crate::ids::{Epoch, JobId, Millis, ModelId, PeerId};
use crate::io::{Command, End, Event, Input, Job, ModelSpec, Output, RoomView, Stage};
use crate::leader::Leader;
use crate::limits;
use crate::membership::{Greeting, Members};
use crate::outbox::Outbox;
use crate::owner::{Context, Owner};
use crate::ranges::Ranges;
use crate::stage::{StageSizes, Stages};
use crate::wire::{self, Message, Open, Pulse, RoomPlan};

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
                if self
                    .members
                    .own
                    .model
                    .as_ref()
                    .is_none_or(|old| old.id != model.id)
                {
                    self.lose_compute("its model was changed");
                }
                self.members.own.capability = Some(capability);
                self.members.own.model = Some(bounded(model));
                self.pulse_soon();
            }
            Input::ComputeLost(reason) => {
                self.lose_compute(&reason);
                self.out
                    .event(Event::Notice(format!("This device stopped computing: {reason}")));
                self.pulse_soon();
            }
            Input::Loaded(layers) => {
                self.ranges.loaded(layers);
                self.pulse_soon();
            }
            Input::LoadFailed(layers, reason) => {
                self.ranges
                    .failed(self.now, layers, wire::clip(&reason, limits::REASON_BYTES / 2));
                self.pulse_soon();
            }
            Input::Ran {
                job,
                lease,
                position,
                result,
            } => {
                self.stages
                    .ran(self.now, (job, lease), position, result, &mut self.out);
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
        self.out.send(
            peer,
            Message::Hello {
                version: wire::VERSION,
                oldest: wire::OLDEST,
                name,
            },
        );
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

    fn received(&mut self, from: PeerId, bytes: &[u8]) {
        if !self.members.connected(from) {
            return self.out.dropped(from, "no channel to it is open");
        }
        match wire::decode(bytes) {
            Ok(Message::Hello {
                version,
                oldest,
                name,
            }) => self.hello(from, version, oldest, name),
            Ok(_) if !self.members.greeted(from) => self
                .out
                .dropped(from, "it did not say hello, or in another version"),
            Ok(message) => {
                self.members.heard(self.now, from);
                self.dispatch(from, message);
            }
            Err(error) => self.out.dropped(from, error.to_string()),
        }
    }

    fn hello(&mut self, from: PeerId, version: u8, oldest: u8, name: String) {
        self.members.heard(self.now, from);
        let greeted = self.members.greeted(from);
        if self.members.hello(from, version, oldest, name) == Greeting::OtherVersion && !greeted {
            let name = self.members.name(from);
            let text = format!(
                "{name} has version {version} of Manyhands, this page {}: reload the older one.",
                wire::VERSION
            );
            self.out.event(Event::Notice(text));
        }
        self.stir = true;
    }

    fn dispatch(&mut self, from: PeerId, message: Message) {
        if let Err(reason) = self.act(from, message) {
            self.out.dropped(from, reason);
        }
    }

    fn act(&mut self, from: PeerId, message: Message) -> Result<(), String> {
        let now = self.now;
        match message {
            Message::Hello { .. } => Ok(()),
            Message::Pulse(pulse) => self.pulse(from, *pulse),
            Message::Plan(plan) => self.take_plan(from, plan),
            Message::Whole(whole) => {
                let job = whole.job.id;
                self.stir = true;
                let taken = self.book.whole(now, from, *whole, &self.members, &mut self.out);
                self.book.remind(from, job, &mut self.out);
                taken
            }
            Message::Story(story) => {
                self.stir |= self.book.keeps(story.job);
                self.book.story(now, from, story, &self.members, &mut self.out)
            }
            Message::Missing { job, have } => {
                self.book.missing(from, job, have, &mut self.out);
                Ok(())
            }
            Message::Ask(ask) => match &mut self.leader {
                Some(leader) => leader.ask(now, from, &ask, &self.members, &mut self.out),
                None => Err("it asks a peer that does not lead".into()),
            },
            Message::Standing { epoch, job, standing } => {
                self.check_leader(from, epoch)?;
                self.owned(|owner, cx| owner.standing(job, standing, cx));
                Ok(())
            }
            Message::Grant(running, job) => {
                self.check_leader(from, running.lease.epoch)?;
                self.owned(|owner, cx| owner.grant(job, running, cx))
            }
            Message::Done(job) => {
                let known = self.leader.as_mut().is_some_and(|leader| leader.done(from, job));
                self.stir |= known;
                Ok(())
            }
            Message::Open(open) => self.open(from, *open),
            Message::Opened(job, lease) => self.owned(|owner, cx| owner.opened(from, job, lease, cx)),
            Message::Close(job, lease) => {
                self.stages.close(from, job, lease, &mut self.out);
                self.stir = true;
                Ok(())
            }
            Message::Hidden(hidden) => self.stages.hidden(now, from, hidden, &mut self.out),
            Message::Ack(job, lease, position) => {
                self.stages.ack(now, from, job, lease, position, &mut self.out)
            }
            Message::Token(token) => self.token(from, token),
            Message::Fault(fault) => {
                self.stir = true;
                self.owned(|owner, cx| owner.fault(from, fault, cx))
            }
        }
    }

    fn pulse(&mut self, from: PeerId, pulse: Pulse) -> Result<(), String> {
        let heard = pulse.following;
        self.members.pulse(self.now, from, pulse);
        self.stir = true;
        if let Some(following) = heard
            && self.election.hear(self.now, following)?
        {
            self.office_changed();
        }
        if let (Some(leader), Some(report)) = (&self.leader, self.members.report(from)) {
            leader.remind(from, report, &mut self.out);
        }
        Ok(())
    }

    fn take_plan(&mut self, from: PeerId, plan: RoomPlan) -> Result<(), String> {
        if from != plan.epoch.leader {
            return Err("a plan from a peer that does not lead".into());
        }
        if self.election.epoch().is_none_or(|epoch| plan.epoch > epoch) {
            let heard = wire::Following {
                epoch: plan.epoch,
                beat: 0,
            };
            if self.election.hear(self.now, heard)? {
                self.office_changed();
            }
        }
        if self.election.epoch() != Some(plan.epoch) {
            return Err("a plan of an old epoch".into());
        }
        let old = self.plan.as_ref().map(|known| (known.epoch, known.version));
        if old < Some((plan.epoch, plan.version)) {
            self.members.own.plan = Some((plan.epoch, plan.version));
            self.plan = Some(plan);
            self.stir = true;
        }
        Ok(())
    }

    fn open(&mut self, from: PeerId, open: Open) -> Result<(), String> {
        let requester = open.job.requester;
        if from != requester && self.members.is_live(requester) {
            return Err("a session for the job of a peer that is here".into());
        }
        let obstacle = self.obstacle(&open.stages);
        self.stir = true;
        self.stages.open(self.now, from, open, obstacle, &mut self.out)
    }

    /// Why a session on these stages cannot be, and whose fault that is.
    fn obstacle(&self, stages: &[Stage]) -> Option<(String, Option<PeerId>)> {
        let own = stages.iter().find(|stage| stage.peer == self.me)?;
        if !self.ranges.is_ready(own.layers) {
            return Some((format!("layers {} are not loaded", own.layers), Some(self.me)));
        }
        let last = stages.last().map(|stage| stage.layers.end);
        if last != self.members.own.model.as_ref().map(|model| model.layers) {
            return Some(("the layers do not cover its model".into(), Some(self.me)));
        }
        let unseen = stages.iter().find(|stage| !self.members.is_live(stage.peer))?;
        Some((
            format!("it has no link to {}", self.members.name(unseen.peer)),
            Some(unseen.peer),
        ))
    }

    fn token(&mut self, from: PeerId, token: wire::Token) -> Result<(), String> {
        let feeds = self.stages.feeds(token.job, token.lease);
        if feeds {
            self.stages.token(self.now, from, &token, &mut self.out)?;
        }
        if self.book.keeps(token.job) {
            self.stir |= token.end;
            return self.owned(|owner, cx| owner.token(from, token, cx));
        }
        if feeds {
            Ok(())
        } else {
            Err("a token for a session that is not open here".into())
        }
    }

    fn check_leader(&self, from: PeerId, epoch: Epoch) -> Result<(), String> {
        match self.election.epoch() {
            Some(ours) if ours == epoch && epoch.leader == from => Ok(()),
            _ => Err("it speaks for an epoch that this peer does not follow".into()),
        }
    }

    fn command(&mut self, command: Command) {
        match command {
            Command::Submit {
                text,
                prompt,
                max_new,
                sampling,
            } => self.submit(text, prompt, max_new, sampling),
            Command::Stop(job) if self.book.keeps(job) => {
                self.owned(|owner, cx| owner.finish(job, End::Stopped, cx));
            }
            Command::Stop(_) => self
                .out
                .event(Event::Notice("Only a story's owner can stop it.".into())),
            Command::Rename(name) => self.members.own.name = wire::clip(&name, limits::NAME_BYTES),
            Command::Share(share) => self.members.own.share = share,
            Command::Hidden(hidden) => self.members.own.hidden = hidden,
        }
        self.pulse_soon();
    }

    fn submit(&mut self, text: String, prompt: Vec<u32>, max_new: u32, sampling: Vec<u8>) {
        let (model, context) = match self.room_model() {
            Some(model) => model,
            None => return self.refuse("No device here has loaded a model yet: wait until one is ready."),
        };
        let most = (context as usize).min(limits::JOB_TOKENS);
        if prompt.is_empty() || max_new == 0 {
            return self.refuse("There is nothing to write: the prompt is empty.");
        }
        if prompt.len() >= most || text.len() > limits::PROMPT_BYTES {
            let length = prompt.len();
            return self.refuse(&format!(
                "The prompt has {length} tokens, the model takes fewer than {most}: shorten it."
            ));
        }
        if sampling.len() > limits::SAMPLING_BYTES {
            return self.refuse("The sampling settings are too long.");
        }
        if self.book.open_of(self.me) >= limits::JOBS_PER_PEER {
            let most = limits::JOBS_PER_PEER;
            return self.refuse(&format!(
                "You have {most} stories open already: stop one, or wait until one has ended."
            ));
        }
        self.jobs_submitted += 1;
        let job = Job {
            id: JobId {
                requester: self.me,
                serial: self.jobs_submitted,
            },
            model,
            author: self.members.own.name.clone(),
            text,
            max_new: max_new.min((most - prompt.len()) as u32),
            prompt,
            sampling,
        };
        self.book.submit(self.now, job, &self.members, &mut self.out);
    }

    fn refuse(&mut self, why: &str) {
        self.out.event(Event::Notice(why.to_owned()));
    }

    /// The model to write with, and its context: the room's, or this peer's own.
    fn room_model(&self) -> Option<(ModelId, u32)> {
        let planned = self.plan.as_ref().map(|plan| plan.model);
        let reports = self.members.reports();
        let mut models = reports.values().filter_map(|report| report.model.as_ref());
        let room = planned.and_then(|id| models.find(|model| model.id == id));
        let model = room.or(self.members.own.model.as_ref())?;
        Some((model.id, model.context))
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
            let own = plan
                .stages
                .iter()
                .chain(&plan.next)
                .filter(|stage| stage.peer == self.me);
            wanted.extend(own.map(|stage| stage.layers));
        }
        self.ranges.reconcile(&wanted, &mut self.out);
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
            if plan.stages.is_empty() {
                plan.next.clone()
            } else {
                plan.stages.clone()
            }
        };
        let view = RoomView {
            epoch: self.election.epoch(),
            peers: self.members.view(),
            stages: self.plan.as_ref().map(stages).unwrap_or_default(),
            why: self
                .plan
                .as_ref()
                .map(|plan| plan.why.clone())
                .unwrap_or_default(),
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
