//! What other peers say, and this one to itself: each message goes to the part that it concerns.

use super::Coordinator;
use crate::ids::{Epoch, PeerId};
use crate::io::{Event, Stage};
use crate::membership::Greeting;
use crate::stage::Obstacle;
use crate::wire::{self, Message, Open, Pulse, RoomPlan};

impl Coordinator {
    pub(super) fn received(&mut self, from: PeerId, bytes: &[u8]) {
        if !self.members.connected(from) {
            return self.out.dropped(from, "no channel to it is open");
        }
        match wire::decode(bytes) {
            Ok(Message::Hello { version, oldest, name }) => self.hello(from, version, oldest, name),
            Ok(_) if !self.members.greeted(from) => {
                self.out.dropped(from, "it did not say hello, or in another version")
            }
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

    pub(super) fn dispatch(&mut self, from: PeerId, message: Message) {
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
                self.stages.ack(now, from, (job, lease), position, &mut self.out)
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
            self.members.own.plan = Some((plan.epoch, plan.version));
            let mut stages = plan.stages.iter().chain(&plan.next);
            // The leader grants nothing on this peer before it reports that it knows of its part.
            if from != self.me && stages.any(|stage| stage.peer == self.me) {
                self.send_pulse(from);
            }
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
    fn obstacle(&self, stages: &[Stage]) -> Option<Obstacle> {
        let own = stages.iter().find(|stage| stage.peer == self.me)?;
        if !self.ranges.is_ready(own.layers) {
            return Some((format!("layers {} are not loaded", own.layers), Some(self.me)));
        }
        let last = stages.last().map(|stage| stage.layers.end);
        if last != self.members.own.model.as_ref().map(|model| model.layers) {
            return Some(("the layers do not cover its model".into(), Some(self.me)));
        }
        let unseen = stages.iter().find(|stage| !self.members.is_live(stage.peer))?;
        Some((format!("it has no link to {}", self.members.name(unseen.peer)), Some(unseen.peer)))
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
        if feeds { Ok(()) } else { Err("a token for a session that is not open here".into()) }
    }

    fn check_leader(&self, from: PeerId, epoch: Epoch) -> Result<(), String> {
        match self.election.epoch() {
            Some(ours) if ours == epoch && epoch.leader == from => Ok(()),
            _ => Err("it speaks for an epoch that this peer does not follow".into()),
        }
    }
}
