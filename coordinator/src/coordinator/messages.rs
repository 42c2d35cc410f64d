//! What other peers say, and this one to itself: each message goes to the part that it concerns.

use super::Coordinator;
use crate::ids::{Epoch, PeerId};
use crate::io::{Event, Part, Stage};
use crate::leader::Leader;
use crate::limits;
use crate::membership::Greeting;
use crate::mutation::{self, Mutation};
use crate::stage::Failure;
use crate::wire::{self, Blob, Choice, Message, Open, Pulse, Report, RoomPlan};

impl Coordinator {
    pub(super) fn received(&mut self, from: PeerId, bytes: &[u8]) {
        if !self.members.connected(from) {
            return self.out.dropped(from, "no channel to it is open");
        }
        match wire::decode(bytes) {
            Ok(message) => {
                // Whoever counts as live again may lead, plan or keep again.
                self.stir |= self.members.heard(self.now, from);
                self.take(from, None, message);
            }
            Err(error) => self.out.dropped(from, error.to_string()),
        }
    }

    /// A message over the sender's own channel, or over the relay `via`.
    fn take(&mut self, from: PeerId, via: Option<PeerId>, message: Message) {
        let greeted = self.members.greeted(from);
        let taken = match message {
            Message::Hello { version, oldest, name } => {
                self.hello(from, version, oldest, name);
                Ok(())
            }
            _ if !greeted => Err("it did not say hello, or in another version".into()),
            Message::Pulse(pulse) => self.pulse(from, via, pulse),
            Message::Report(report) => {
                self.report(from, via, *report);
                Ok(())
            }
            Message::Relay { to, bytes } if via.is_none() => self.relay(from, to, bytes),
            Message::Relayed { from: origin, bytes } if via.is_none() => self.relayed(origin, from, &bytes),
            message => self.act(from, message),
        };
        if let Err(reason) = taken {
            self.out.dropped(from, reason);
        }
    }

    fn relay(&mut self, from: PeerId, to: PeerId, bytes: Vec<u8>) -> Result<(), String> {
        if !self.members.own.sees.contains(&to) {
            return Err("it wants something passed on to a peer that is not seen here".into());
        }
        if !self.relays.admit(from, bytes.len()) {
            return Err("it wants more passed on than fair".into());
        }
        self.out.send_direct(to, &Message::Relayed { from, bytes });
        Ok(())
    }

    fn relayed(&mut self, origin: PeerId, via: PeerId, bytes: &[u8]) -> Result<(), String> {
        if !self.members.heard_by_relay(self.now, origin, via) {
            return Err("it passes on what a peer says that it does not see".into());
        }
        let message = wire::decode(bytes).map_err(|error| error.to_string())?;
        self.take(origin, Some(via), message);
        self.soon();
        Ok(())
    }

    fn hello(&mut self, from: PeerId, version: u8, oldest: u8, name: String) {
        let greeted = self.members.greeted(from);
        let greeting = self.members.hello(self.now, from, version, oldest, name);
        self.out.set_version(from, self.members.version(from));
        if greeting == Greeting::OtherVersion && !greeted {
            let name = self.members.name(from);
            let text = format!(
                "{name} has version {version} of Manyhands, this page {}: reload the older one.",
                wire::VERSION
            );
            self.out.event(Event::Notice(text));
        }
        self.stir |= !greeted;
    }

    pub(super) fn dispatch(&mut self, from: PeerId, message: Message) {
        if let Err(reason) = self.act(from, message) {
            self.out.dropped(from, reason);
        }
    }

    fn act(&mut self, from: PeerId, message: Message) -> Result<(), String> {
        let now = self.now;
        match message {
            Message::Hello { .. } | Message::Pulse(_) | Message::Report(_) => Ok(()),
            Message::Relay { .. } | Message::Relayed { .. } => Err("a relayed message within another".into()),
            Message::Swarm(_) => Err("weights that are not sent directly".into()),
            Message::Want => {
                self.out.send(from, Message::Report(Box::new(self.told.clone())));
                Ok(())
            }
            Message::Plan(plan) => self.take_plan(from, plan),
            Message::Whole(whole) => {
                let job = whole.job.id;
                self.stir = true;
                let taken = self.book.whole(now, from, *whole, &self.members, &mut self.out);
                self.book.remind(from, job, &mut self.out);
                taken
            }
            Message::Story(story) => {
                let kept = self.book.keeps(story.job);
                self.stir |= kept;
                self.book.story(now, from, story, &self.members, &mut self.out)
            }
            Message::Picture(picture) => self.book.picture(now, from, picture, &self.members, &mut self.out),
            Message::Missing { job, have } => {
                self.book.missing(from, job, have, &mut self.out);
                Ok(())
            }
            Message::Ask(ask) => {
                let asked = self.lead(|leader, room| leader.ask(from, &ask, room));
                asked.unwrap_or_else(|| Err("it asks a peer that does not lead".into()))
            }
            Message::Standing { epoch, job, standing } => {
                self.check_leader(from, epoch)?;
                self.election.heard_answer();
                self.owned(|owner, cx| owner.standing(job, standing, cx));
                Ok(())
            }
            Message::Grant(job, running) => {
                self.check_leader(from, running.lease.epoch)?;
                self.election.heard_answer();
                self.owned(|owner, cx| owner.grant(job, running, cx))
            }
            Message::Done(job) => {
                if self.leader.as_mut().is_some_and(|leader| leader.done(from, job)) {
                    self.lead(Leader::next);
                }
                Ok(())
            }
            Message::Open(open) => self.open(from, *open),
            Message::Opened(job, lease) => self.owned(|owner, cx| owner.opened(from, job, lease, cx)),
            Message::Close(job, lease) => {
                self.stages.close(from, job, lease, &mut self.out);
                // Layers that only this session needed are freed.
                self.soon();
                Ok(())
            }
            Message::Hidden(hidden) => self.stages.hidden(now, from, hidden, &mut self.out),
            Message::Ack(job, lease, position) => {
                self.stages.ack(now, from, (job, lease), position, &mut self.out)
            }
            Message::Token(token) => self.token(from, token),
            Message::Blob(blob) => self.blob(from, blob),
            Message::Fault(fault) => {
                self.stir = true;
                self.owned(|owner, cx| owner.fault(from, fault, cx))
            }
            Message::Choose(choice) => self.chosen(choice),
        }
    }

    fn pulse(&mut self, from: PeerId, via: Option<PeerId>, pulse: Pulse) -> Result<(), String> {
        if self.members.pulse(self.now, from, via, pulse) {
            self.soon();
        }
        if self.members.lacks_report(from) {
            self.out.send(from, Message::Want);
        }
        if mutation::on(Mutation::EchoPulses) {
            self.pulse_at = self.now;
        }
        if let Some(following) = pulse.following
            && self.election.hear(self.now, following)?
        {
            self.office_changed();
        }
        if let Some(leader) = &self.leader {
            leader.remind(from, &self.members, &mut self.out);
        }
        Ok(())
    }

    fn report(&mut self, from: PeerId, via: Option<PeerId>, report: Report) {
        if via.is_none() {
            self.ledger.hear(self.now, from, &report.receipts);
        }
        let was_ready = self.members.report(from).map(|old| (old.ready.clone(), old.trouble.clone()));
        let ready = Some((report.ready.clone(), report.trouble.clone()));
        if self.members.take_report(from, report) {
            self.soon();
        }
        // A job may wait for just these layers.
        self.stir |= self.leader.is_some() && was_ready != ready;
    }

    fn take_plan(&mut self, from: PeerId, plan: RoomPlan) -> Result<(), String> {
        if from != plan.epoch.leader {
            return Err("a plan from a peer that does not lead".into());
        }
        if self.election.epoch().is_none_or(|epoch| plan.epoch > epoch) {
            let heard = wire::Following { epoch: plan.epoch, beat: 0 };
            if self.election.hear(self.now, heard)? {
                self.office_changed();
            }
        }
        if self.election.epoch() != Some(plan.epoch) {
            return Err("a plan of an old epoch".into());
        }
        let old = self.plan.as_ref().map(|known| (known.epoch, known.version));
        if old < Some((plan.epoch, plan.version)) {
            self.members.own_plan = Some((plan.epoch, plan.version));
            let mut stages = plan.models.iter().flat_map(|plan| &plan.teams).flat_map(|team| &team.stages);
            let takes_part = stages.any(|stage| stage.peer == self.me);
            if self.check_choice(plan.choice).is_ok() {
                self.choice = self.choice.max(plan.choice);
            }
            self.plan = Some(plan);
            self.remind_of_choice();
            self.stir = true;
            // The leader grants nothing on this peer before it hears that it knows of its part.
            if from != self.me && takes_part {
                self.load();
                self.members.own.ready = self.ranges.ready();
                self.answer(from);
            }
        }
        Ok(())
    }

    /// One message cannot use up all editions. Whoever knows of no choice yet believes any.
    fn check_choice(&self, choice: Choice) -> Result<(), String> {
        let most = self.choice.edition.saturating_add(limits::CHOICE_JUMP);
        if self.choice.by.is_some() && choice.edition > most {
            return Err("its choice is too far ahead".into());
        }
        Ok(())
    }

    /// A leader whose plan shows an older choice than is known here did not hear of it.
    pub(super) fn remind_of_choice(&mut self) {
        let known = self.plan.as_ref().map(|plan| (plan.epoch.leader, plan.choice));
        if let Some((leader, told)) = known
            && told < self.choice
            && leader != self.me
            && self.election.leader() == Some(leader)
        {
            self.out.send(leader, Message::Choose(self.choice));
        }
    }

    fn chosen(&mut self, choice: Choice) -> Result<(), String> {
        self.check_choice(choice)?;
        if self.lead(|leader, _| leader.choose(choice)).is_some() {
            self.choice = self.choice.max(choice);
            self.soon();
        }
        Ok(())
    }

    /// A pulse to one peer at once, over whatever path there is.
    fn answer(&mut self, to: PeerId) {
        if self.members.connected(to) {
            self.send_pulse(to);
        } else {
            self.send_pulse_by_relay(to);
        }
    }

    fn open(&mut self, from: PeerId, open: Open) -> Result<(), String> {
        let requester = open.job.requester;
        if from != requester && self.members.is_live(requester) {
            return Err("a session for the job of a peer that is here".into());
        }
        let obstacle = self.obstacle(&open);
        self.soon();
        self.stages.open(self.now, from, open, obstacle, &mut self.out)
    }

    /// Why a session on these stages cannot be, and whose fault that is.
    fn obstacle(&self, open: &Open) -> Option<Failure> {
        let stages: &[Stage] = &open.stages;
        let own = stages.iter().find(|stage| stage.peer == self.me)?;
        if !self.ranges.is_ready(Part { model: open.model, layers: own.layers }) {
            // Nobody's fault: the plan changed between the grant and this.
            return Some(Failure::new(format!("layers {} are not loaded", own.layers), None));
        }
        let last = stages.last().map(|stage| stage.layers.end);
        let model = self.members.own.offers.iter().map(|offer| &offer.model).find(|m| m.id == open.model);
        if last != model.map(|model| model.layers) {
            return Some(Failure::new("the layers do not cover its model", Some(self.me)));
        }
        let unseen = stages.iter().find(|stage| !self.members.is_live(stage.peer))?;
        let reason = format!("it has no link to {}", self.members.name(unseen.peer));
        Some(Failure::new(reason, Some(unseen.peer)))
    }

    fn token(&mut self, from: PeerId, token: wire::Token) -> Result<(), String> {
        let feeds = self.stages.feeds(token.job, token.lease);
        if feeds {
            self.stages.token(self.now, from, &token, &mut self.out)?;
        }
        if self.book.keeps(token.job) {
            return self.owned(|owner, cx| owner.token(from, token, cx));
        }
        if feeds { Ok(()) } else { Err("a token for a session that is not open here".into()) }
    }

    /// A part of a picture is for this peer as a member of its crew, as its keeper, or both.
    fn blob(&mut self, from: PeerId, blob: Blob) -> Result<(), String> {
        if !self.book.keeps(blob.job) {
            return self.stages.blob(self.now, from, blob, &mut self.out);
        }
        let as_member = self.stages.blob(self.now, from, blob.clone(), &mut self.out);
        let as_keeper = self.owned(|owner, cx| owner.blob(from, blob, cx));
        if as_member.is_ok() { Ok(()) } else { as_keeper }
    }

    fn check_leader(&self, from: PeerId, epoch: Epoch) -> Result<(), String> {
        match self.election.epoch() {
            Some(ours) if ours == epoch && epoch.leader == from => Ok(()),
            _ => Err("it speaks for an epoch that this peer does not follow".into()),
        }
    }
}
