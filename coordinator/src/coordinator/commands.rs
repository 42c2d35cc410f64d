//! What the person here wants.

use super::Coordinator;
use crate::ids::{JobId, ModelId};
use crate::io::{Command, End, Event, Job};
use crate::{limits, wire};

impl Coordinator {
    pub(super) fn command(&mut self, command: Command) {
        match command {
            Command::Submit { text, prompt, max_new, sampling } => {
                self.submit(text, prompt, max_new, sampling)
            }
            Command::Stop(job) if self.book.keeps(job) => {
                self.owned(|owner, cx| owner.finish(job, End::Stopped, cx));
            }
            Command::Stop(_) => self.out.event(Event::Notice("Only a story's owner can stop it.".into())),
            Command::Rename(name) => self.members.own.name = wire::clip(&name, limits::NAME_BYTES),
            Command::Share(share) => self.members.own.share = share,
            Command::Hidden(hidden) => self.members.own.hidden = hidden,
        }
        self.pulse_soon();
    }

    fn submit(&mut self, text: String, prompt: Vec<u32>, max_new: u32, sampling: Vec<u8>) {
        let Some((model, context)) = self.room_model() else {
            return self.refuse("No device here has loaded a model yet: wait until one is ready.");
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
            id: JobId { requester: self.me, serial: self.jobs_submitted },
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
}
