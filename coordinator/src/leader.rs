//! What a leader decides: the room's plan, and which job runs when.
//!
//! All of it is soft. A new leader starts from the plan it knew as a follower and from the jobs that their keepers
//! ask for again. There are two plans at most: the one *in force*, on which jobs are granted, and the *next*, which
//! is being loaded and takes over when all its stages are ready.
//!
//! ```text
//!   review:  stage of `force` lost?  -> no plan in force; its jobs wait
//!            stage of `next` lost?   -> no next plan
//!            neither, or idle?       -> plan again; if it differs, it becomes `next`
//!            `next` ready, and its peers know that they are in it?  -> it is in force
//!            in force, and its peers know that?                     -> grant leases
//! ```

use crate::ids::{Epoch, JobId, Layers, Lease, Millis, ModelId, PeerId};
use crate::io::{ModelSpec, Stage};
use crate::limits;
use crate::membership::Members;
use crate::outbox::Outbox;
use crate::plan::{self, Candidate};
use crate::queue::Queue;
use crate::wire::{self, Ask, Message, Report, RoomPlan, Running, Standing};
use std::collections::BTreeMap;

/// A leader's soft state.
#[derive(Debug)]
pub struct Leader {
    epoch: Epoch,
    version: u32,
    model: Option<ModelSpec>,
    force: Vec<Stage>,
    next: Vec<Stage>,
    /// Since which version of the plan each of its stages has been in it without a break.
    told: BTreeMap<(PeerId, Layers), u32>,
    why: String,
    queue: Queue,
    leases: u32,
    suspects: BTreeMap<PeerId, Suspect>,
}

/// A peer that somebody's lease broke on.
#[derive(Debug)]
struct Suspect {
    until: Millis,
    wait_ms: u64,
}

impl Leader {
    /// Takes office with the plan known so far.
    pub fn new(epoch: Epoch, known: Option<&RoomPlan>, members: &Members) -> Self {
        let model = known.and_then(|plan| find_model(members, plan.model));
        let force = known.filter(|_| model.is_some()).map(|plan| plan.stages.clone()).unwrap_or_default();
        let next = known.filter(|_| model.is_some()).map(|plan| plan.next.clone()).unwrap_or_default();
        Self {
            epoch,
            version: 0,
            model,
            force,
            next,
            told: BTreeMap::new(),
            why: known.map(|plan| plan.why.clone()).unwrap_or_default(),
            queue: Queue::default(),
            leases: 0,
            suspects: BTreeMap::new(),
        }
    }

    /// The same peer leads on in a higher epoch.
    pub fn renew(&mut self, epoch: Epoch) {
        self.epoch = epoch;
        self.leases = 0;
        self.version = 0;
        self.told.clear();
    }

    /// The epoch it leads in.
    pub const fn epoch(&self) -> Epoch {
        self.epoch
    }

    /// Jobs that run or wait.
    pub fn jobs(&self) -> usize {
        self.queue.len()
    }

    /// Takes a keeper's ask and says where the job stands.
    ///
    /// # Errors
    /// Says why `asker` may not ask for it.
    pub fn ask(
        &mut self,
        now: Millis,
        asker: PeerId,
        ask: &Ask,
        members: &Members,
        out: &mut Outbox,
    ) -> Result<(), String> {
        if asker != ask.job.requester && members.is_live(ask.job.requester) {
            return Err("it asks for the job of a peer that is here".into());
        }
        let answer = match self.queue.ask(now, asker, ask) {
            Ok(broken) => {
                if broken && let Some(peer) = ask.suspect {
                    self.suspect(now, peer);
                }
                self.review(now, members, out);
                self.standing(ask)
            }
            Err(full) => Some(Standing::Waiting(full)),
        };
        if let Some(standing) = answer {
            out.send(asker, Message::Standing { epoch: self.epoch, job: ask.job, standing });
        }
        Ok(())
    }

    /// Takes note that a job has ended. False if it is not `asker`'s.
    pub fn done(&mut self, asker: PeerId, job: JobId) -> bool {
        self.queue.done(asker, job)
    }

    /// The plan as everybody is told.
    pub fn announcement(&self) -> Option<RoomPlan> {
        let model = self.model.as_ref()?.id;
        let (stages, next) = (self.force.clone(), self.next.clone());
        let why = wire::clip(&self.why, limits::REASON_BYTES);
        Some(RoomPlan { epoch: self.epoch, version: self.version, model, stages, next, why })
    }

    /// Tells the plan to `peer` if its report says that it has not heard it.
    pub fn remind(&self, peer: PeerId, report: &Report, out: &mut Outbox) {
        if report.plan != Some((self.epoch, self.version))
            && let Some(plan) = self.announcement()
        {
            out.send(peer, Message::Plan(plan));
        }
    }

    /// Looks at everything again: who can still do what, what to load, what to grant.
    pub fn review(&mut self, now: Millis, members: &Members, out: &mut Outbox) {
        self.suspects.retain(|_, suspect| now < suspect.until.after(limits::SUSPECT_MAX_MS));
        let before = self.announcement();
        self.choose_model(members);
        self.queue.expire(now, |asker| !members.is_live(asker));
        self.queue.revoke(|running| !running.stages.iter().all(|stage| holds(members, *stage)));
        self.replan(now, members);
        if self.version == 0 || self.announcement() != before {
            self.announce(members, out);
        }
        self.grant(now, members, out);
    }

    fn announce(&mut self, members: &Members, out: &mut Outbox) {
        self.version += 1;
        let old = std::mem::take(&mut self.told);
        for stage in self.force.iter().chain(&self.next) {
            let key = (stage.peer, stage.layers);
            let since = old.get(&key).copied().unwrap_or(self.version);
            self.told.insert(key, since);
        }
        if let Some(plan) = self.announcement() {
            out.broadcast(members.known(), &Message::Plan(plan.clone()));
            out.send(members.me(), Message::Plan(plan));
        }
    }

    fn replan(&mut self, now: Millis, members: &Members) {
        let Some(model) = self.model.clone() else {
            self.why = "no device is ready to compute yet".into();
            return;
        };
        let usable = self.usable(now, model.id, members);
        let has = |stage: &Stage| usable.iter().any(|candidate| candidate.id == stage.peer);
        if !self.force.iter().all(|stage| has(stage) && holds(members, *stage)) {
            self.force.clear();
        }
        if !self.next.iter().all(&has) {
            self.next.clear();
        }
        if (self.force.is_empty() && self.next.is_empty()) || self.queue.is_idle() {
            self.aim(&model, plan::plan(&model, &usable), members);
        }
        if !self.next.is_empty() && self.next.iter().all(|stage| self.keeps(members, *stage)) {
            self.force = std::mem::take(&mut self.next);
        }
    }

    /// Makes `plan` the next one, unless it is in force already.
    fn aim(&mut self, model: &ModelSpec, plan: plan::Plan, members: &Members) {
        self.why = plan.why;
        if let Some(trouble) = trouble(members, model.id) {
            self.why = format!("{}. {trouble}", self.why);
        }
        self.next = if plan.stages == self.force { Vec::new() } else { plan.stages };
        // Where old and new layers do not fit beside each other the old ones make room.
        let crowded = self.next.iter().any(|new| {
            let old = self.force.iter().find(|old| old.peer == new.peer && old.layers != new.layers);
            let memory =
                members.report(new.peer).and_then(|r| Some(r.capability.as_ref()?.memory)).unwrap_or(0);
            old.is_some_and(|old| {
                let both =
                    plan::stage_bytes(model, old.layers).saturating_add(plan::stage_bytes(model, new.layers));
                both > memory
            })
        });
        if crowded {
            self.force.clear();
        }
    }

    /// Everyone who can take layers. Hidden tabs count only if they have layers already, or nobody else is there.
    fn usable(&self, now: Millis, model: ModelId, members: &Members) -> Vec<Candidate> {
        let trusted = |id: PeerId| self.suspects.get(&id).is_none_or(|suspect| now >= suspect.until);
        let all: Vec<(bool, Candidate)> = members
            .reports()
            .into_iter()
            .filter(|(id, report)| report.share && report.trouble.is_none() && trusted(*id))
            .filter(|(_, report)| report.model.as_ref().is_some_and(|spec| spec.id == model))
            .filter_map(|(id, report)| {
                let capability = report.capability.as_ref()?;
                let has = self.force.iter().chain(&self.next).any(|stage| stage.peer == id);
                let candidate = Candidate {
                    id,
                    name: members.name(id),
                    memory: capability.memory,
                    layer_micros: capability.layer_micros,
                    sees: report.sees.iter().copied().collect(),
                };
                Some((!report.hidden || has, candidate))
            })
            .collect();
        let nobody_else = !all.iter().any(|(preferred, _)| *preferred);
        all.into_iter()
            .filter(|(preferred, _)| *preferred || nobody_else)
            .map(|(_, candidate)| candidate)
            .collect()
    }

    /// The leader's own model; without one, the most common, ties to the lowest id. Kept while anybody has it.
    fn choose_model(&mut self, members: &Members) {
        let kept = self.model.as_ref().and_then(|model| find_model(members, model.id));
        let chosen = members.own.model.clone().or(kept).or_else(|| most_common(members));
        if chosen.as_ref().map(|model| model.id) != self.model.as_ref().map(|model| model.id) {
            self.force.clear();
            self.next.clear();
        }
        self.model = chosen.or_else(|| self.model.take());
    }

    fn grant(&mut self, now: Millis, members: &Members, out: &mut Outbox) {
        let serves = !self.force.is_empty() && self.force.iter().all(|stage| self.keeps(members, *stage));
        let Some(model) = self.model.as_ref().filter(|_| serves).map(|model| model.id) else {
            return;
        };
        while let Some((job, asker)) = self.queue.next(model) {
            self.leases += 1;
            let lease = Lease { epoch: self.epoch, serial: self.leases };
            let running = Running { lease, stages: self.force.clone() };
            self.queue.granted(now, job, running.clone());
            out.send(asker, Message::Grant(running, job));
        }
    }

    fn standing(&self, ask: &Ask) -> Option<Standing> {
        let place = self.queue.place(ask.job)?;
        let other = self.model.as_ref().is_some_and(|model| model.id != ask.model);
        Some(match () {
            () if other => Standing::Waiting("the room runs another model than this job asks for".into()),
            () if !self.force.is_empty() => Standing::Queued(place),
            () if !self.next.is_empty() => Standing::Waiting("the model's layers are being loaded".into()),
            () => Standing::Waiting(wire::clip(&self.why, limits::REASON_BYTES)),
        })
    }

    /// Whether a stage's peer has its layers and is going to keep them. Of a report that was sent before its peer
    /// heard that the plan wants them, nothing follows: by now they may be freed.
    fn keeps(&self, members: &Members, stage: Stage) -> bool {
        let heard = members.report(stage.peer).and_then(|report| report.plan);
        let told = self.told.get(&(stage.peer, stage.layers));
        let knows =
            told.zip(heard).is_some_and(|(since, (epoch, version))| epoch == self.epoch && version >= *since);
        knows && holds(members, stage)
    }

    fn suspect(&mut self, now: Millis, peer: PeerId) {
        let before = self.suspects.get(&peer).map_or(limits::SUSPECT_MS, |suspect| suspect.wait_ms * 2);
        let wait_ms = before.min(limits::SUSPECT_MAX_MS);
        if self.suspects.len() < limits::PEERS || self.suspects.contains_key(&peer) {
            self.suspects.insert(peer, Suspect { until: now.after(wait_ms), wait_ms });
        }
    }
}

/// Whether a stage's peer is live and had its layers in memory when it reported.
fn holds(members: &Members, stage: Stage) -> bool {
    members.is_live(stage.peer)
        && members
            .report(stage.peer)
            .is_some_and(|report| report.ready.contains(&stage.layers) && report.share)
}

fn find_model(members: &Members, id: ModelId) -> Option<ModelSpec> {
    members
        .reports()
        .values()
        .filter_map(|report| report.model.as_ref())
        .find(|model| model.id == id)
        .cloned()
}

fn most_common(members: &Members) -> Option<ModelSpec> {
    let mut counts: BTreeMap<ModelId, (usize, &ModelSpec)> = BTreeMap::new();
    let reports = members.reports();
    for model in reports.values().filter_map(|report| report.model.as_ref()) {
        counts.entry(model.id).or_insert((0, model)).0 += 1;
    }
    let best = counts.iter().max_by_key(|(id, (count, _))| (*count, std::cmp::Reverse(**id)));
    best.map(|(_, (_, model))| (*model).clone())
}

/// Who could not load its layers, and why.
fn trouble(members: &Members, model: ModelId) -> Option<String> {
    members.reports().into_iter().find_map(|(id, report)| {
        let reason =
            report.trouble.as_ref().filter(|_| report.model.as_ref().is_some_and(|m| m.id == model))?;
        Some(format!("{} could not load its part: {reason}", members.name(id)))
    })
}

#[cfg(test)]
mod tests;
