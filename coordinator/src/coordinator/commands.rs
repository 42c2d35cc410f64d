//! What the person here wants.

use super::Coordinator;
use crate::ids::{JobId, ModelId};
use crate::io::{Command, End, Event, Job, Kind, ModelSpec, Spread, Work};
use crate::leader::Leader;
use crate::wire::Message;
use crate::{limits, wire};

impl Coordinator {
    pub(super) fn command(&mut self, command: Command) {
        match command {
            Command::Submit { model, text, work } => {
                if let Err(why) = self.submit(model, text, work) {
                    self.out.event(Event::Notice(why));
                }
            }
            Command::Stop(job) if self.book.keeps(job) => {
                self.owned(|owner, cx| owner.finish(job, End::Stopped, cx));
            }
            Command::Finish(job) if self.book.keeps(job) => {
                self.owned(|owner, cx| owner.finish(job, End::Finished, cx));
            }
            Command::Finish(_) => {}
            Command::Stop(_) => self.out.event(Event::Notice("Only its owner can stop that.".into())),
            Command::Rename(name) => self.members.own.name = wire::clip(&name, limits::NAME_BYTES),
            Command::Share(share) => self.members.own.share = share,
            Command::Vitals(vitals) => {
                let changed = self.members.fitness.observe(vitals, self.meter.slowdown_percent());
                if !changed {
                    return;
                }
            }
            Command::Spread(spread) => self.spread(spread),
        }
        self.stir = true;
    }

    /// Without a leader, or if it is lost before it hears, the next one's plan shows that it does not know.
    fn spread(&mut self, spread: Spread) {
        self.choice = self.choice.next(self.me, spread);
        let choice = self.choice;
        if self.lead(|leader, _| leader.choose(choice)).is_some() {
            self.lead(Leader::review);
        } else if let Some(leader) = self.election.leader() {
            self.out.send(leader, Message::Choose(choice));
        }
    }

    fn submit(&mut self, model: Option<ModelId>, text: String, mut work: Work) -> Result<(), String> {
        let kind = match &work {
            Work::Text(_) => Kind::Text,
            Work::Picture(_) => Kind::Picture,
        };
        let model = self.room_model(model, kind).ok_or_else(|| match kind {
            Kind::Text => "No device here has loaded a model yet: wait until one is ready.".to_owned(),
            Kind::Picture => "No device here can paint yet: wait until one is ready.".to_owned(),
        })?;
        if text.len() > limits::PROMPT_BYTES {
            let most = limits::PROMPT_BYTES;
            return Err(format!(
                "The prompt has {} bytes, at most {most} are possible: shorten it.",
                text.len()
            ));
        }
        self.fit(&mut work, &model)?;
        if self.book.open_of(self.me) >= limits::JOBS_PER_PEER {
            let most = limits::JOBS_PER_PEER;
            return Err(format!("You have {most} jobs open already: stop one, or wait until one has ended."));
        }
        self.jobs_submitted += 1;
        let id = JobId { requester: self.me, serial: self.jobs_submitted };
        let author = self.members.own.name.clone();
        let job = Job { id, model: model.id, author, text, work };
        self.book.submit(self.now, job, &self.members, &mut self.out);
        Ok(())
    }

    /// Cuts a job to what the model can do, or says what is wrong with it.
    fn fit(&self, work: &mut Work, model: &ModelSpec) -> Result<(), String> {
        let settings = match work {
            Work::Text(text) => {
                let most = (model.context as usize).min(limits::JOB_TOKENS);
                let length = text.prompt.len();
                if length == 0 || text.max_new == 0 {
                    return Err("There is nothing to write: the prompt is empty.".into());
                }
                if length >= most {
                    return Err(format!(
                        "The prompt has {length} tokens, the model takes fewer than {most}: shorten it."
                    ));
                }
                text.max_new = text.max_new.min((most - length) as u32);
                &text.sampling
            }
            Work::Picture(picture) => &picture.settings,
        };
        if settings.len() > limits::SAMPLING_BYTES {
            return Err("The settings are too long.".into());
        }
        wire::check_work(work).map_err(|error| format!("That cannot be made: {error}."))
    }

    /// The model to use: the one asked for, the room's of that kind, or this peer's own.
    fn room_model(&self, asked: Option<ModelId>, kind: Kind) -> Option<ModelSpec> {
        let of_kind = |id: ModelId| self.members.model(id).filter(|model| model.kind == kind);
        if let Some(id) = asked {
            return of_kind(id).cloned();
        }
        let planned = self.plan.iter().flat_map(|plan| &plan.models).find_map(|plan| of_kind(plan.model));
        let own =
            || self.members.own.offers.iter().map(|offer| &offer.model).find(|model| model.kind == kind);
        planned.or_else(own).cloned()
    }
}
