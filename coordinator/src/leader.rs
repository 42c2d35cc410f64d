//! What a leader decides: which teams hold which models, and which unit of which job runs when, and where.
//!
//! All of it is soft. A new leader starts from the plan it knew as a follower and from the jobs that their keepers ask
//! for again. The planner says which [`teams`] there should be; those that are new are loaded, and *serve* once all their
//! members have their parts and know that they are wanted; what they replace serves until then.
//!
//! ```text
//!   review:  who can compute, and how fast    workers
//!            which teams of each model        teams      planned -> loading -> serving -> leaving
//!            which unit runs where            grants     waiting -> granted; and moved, where that pays
//! ```

use crate::ids::{Epoch, Lease, Millis, ModelId, PeerId};
use crate::io::{Kind, ModelSpec, Part, Stage};
use crate::limits;
use crate::membership::Members;
use crate::outbox::Outbox;
use crate::planner::Links;
use crate::queue::Queue;
use crate::wire::{Ask, Choice, Demand, Message, ModelPlan, RoomPlan, Running, Standing};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

mod grants;
mod teams;
mod workers;

pub use workers::{links, survey};

use grants::Desk;
use teams::Roster;

/// A leader's soft state.
#[derive(Debug)]
pub struct Leader {
    epoch: Epoch,
    version: u32,
    choice: Choice,
    /// The choice is newer than the last plan told.
    chosen: bool,
    models: BTreeMap<ModelId, Roster>,
    /// Since which version of the plan each of its parts has been in it without a break.
    told: BTreeMap<(PeerId, Part), u32>,
    queue: Queue,
    /// What each job takes, and when it was moved last.
    demands: BTreeMap<crate::ids::JobId, (Demand, Millis)>,
    /// What grants are decided with, and the models that have no place for another unit; both until something changes.
    desks: BTreeMap<ModelId, Arc<Desk>>,
    full: BTreeSet<ModelId>,
    /// What the peers measured between each other, when it was last planned.
    links: Arc<Links>,
    leases: u32,
    suspects: BTreeMap<PeerId, Suspect>,
}

/// A peer that somebody's lease broke on.
#[derive(Debug)]
struct Suspect {
    until: Millis,
    wait_ms: u64,
}

/// What a leader's method works with.
pub struct Room<'a> {
    /// The time.
    pub now: Millis,
    /// Who is there.
    pub members: &'a Members,
    /// Where messages go.
    pub out: &'a mut Outbox,
}

impl Leader {
    /// Takes office with the plan known so far.
    pub fn new(
        now: Millis,
        epoch: Epoch,
        known: Option<&RoomPlan>,
        choice: Choice,
        members: &Members,
    ) -> Self {
        let plans = known.map(|plan| plan.models.as_slice()).unwrap_or_default();
        let spread = known.map(|plan| plan.choice.spread).unwrap_or_default();
        let roster = |plan: &ModelPlan| {
            Some((plan.model, Roster::known(members.model(plan.model)?.clone(), plan, spread)))
        };
        Self {
            epoch,
            version: 0,
            choice,
            chosen: false,
            models: plans.iter().filter_map(roster).collect(),
            told: BTreeMap::new(),
            queue: Queue::new(now),
            demands: BTreeMap::new(),
            desks: BTreeMap::new(),
            full: BTreeSet::new(),
            links: Arc::default(),
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

    /// How the devices are to share the work.
    pub fn choose(&mut self, choice: Choice) {
        self.chosen |= choice > self.choice;
        self.choice = self.choice.max(choice);
    }

    /// Takes a keeper's ask and says where the job stands.
    ///
    /// # Errors
    /// Says why `asker` may not ask for it.
    pub fn ask(&mut self, asker: PeerId, ask: &Ask, room: &mut Room<'_>) -> Result<(), String> {
        let job = ask.job;
        if asker != job.requester && room.members.is_live(job.requester) {
            return Err("it asks for the job of a peer that is here".into());
        }
        let current = self.queue.asker(job).filter(|current| room.members.is_live(*current));
        if asker != job.requester && current.is_some_and(|current| current < asker) {
            return Err("it asks for a job that another peer inherited".into());
        }
        let (held, waiting) = (self.queue.units_of(job), self.queue.waiting_by_model(ask.model));
        let standing = match self.queue.ask(room.now, asker, ask) {
            Ok(broken) => {
                // A team is free again, or the queue so long that a slow one is better than waiting.
                if self.queue.units_of(job) < held || self.queue.waiting_by_model(ask.model) > waiting {
                    self.full.clear();
                }
                let blamed =
                    |peer| broken.iter().any(|run| run.stages.iter().any(|stage| stage.peer == peer));
                if let Some(peer) = ask.suspect.filter(|peer| blamed(*peer)) {
                    self.suspect(room.now, peer);
                }
                self.demands.entry(job).or_insert((ask.demand, room.now)).0 = ask.demand;
                if broken.is_empty() {
                    self.grant(room);
                } else {
                    self.review(room);
                }
                self.standing(ask, room)
            }
            Err(refusal) => Standing::Waiting(refusal.to_string()),
        };
        room.out.send(asker, Message::Standing { epoch: self.epoch, job, standing });
        Ok(())
    }

    /// Takes note that a job has ended. False if it is not `asker`'s.
    pub fn done(&mut self, asker: PeerId, job: crate::ids::JobId) -> bool {
        self.queue.done(asker, job)
    }

    /// A team is free again: whoever is next may have it.
    pub fn next(&mut self, room: &mut Room<'_>) {
        self.full.clear();
        self.grant(room);
    }

    /// The plan as everybody is told.
    pub fn announcement(&self) -> RoomPlan {
        let models = self.models.values().map(Roster::plan).collect();
        RoomPlan { epoch: self.epoch, version: self.version, choice: self.choice, models }
    }

    /// Tells the plan to `peer` if its pulse says that it has not heard it.
    pub fn remind(&self, peer: PeerId, members: &Members, out: &mut Outbox) {
        if self.version > 0 && members.plan(peer) != Some((self.epoch, self.version)) {
            out.send(peer, Message::Plan(self.announcement()));
        }
    }

    /// Looks at everything again: who can still do what, what to load, what to grant.
    pub fn review(&mut self, room: &mut Room<'_>) {
        let (now, members) = (room.now, room.members);
        self.desks.clear();
        self.full.clear();
        self.links = Arc::new(links(members));
        self.suspects.retain(|_, suspect| now < suspect.until.after(limits::SUSPECT_MAX_MS));
        let before = self.announcement();
        self.choose_models(now, members);
        self.queue.expire(now, |asker| !members.is_live(asker));
        let models = &self.models;
        let lost = |model: ModelId, running: &Running| {
            let Some(roster) = models.get(&model) else { return true };
            let holds =
                |stage: &Stage| teams::holds(members, stage.peer, Part { model, layers: stage.layers });
            let rests = |stage: &Stage| rests(members, stage.peer);
            // Whoever has to rest goes on only if nobody else can.
            let others = || roster.serving().into_iter().any(|team| !team.stages.iter().any(rests));
            !running.stages.iter().all(holds) || (running.stages.iter().any(rests) && others())
        };
        self.queue.revoke(lost);
        let demands = std::mem::take(&mut self.demands);
        self.demands = demands.into_iter().filter(|(job, _)| self.queue.contains(*job)).collect();
        self.plan_teams(now, members);
        if self.version == 0 || std::mem::take(&mut self.chosen) || self.announcement() != before {
            self.announce(members, room.out);
        }
        self.grant(room);
        self.move_what_pays(room);
    }

    /// Takes everyone's credit, in thousandths.
    pub fn set_scores(&mut self, scores: &BTreeMap<PeerId, u64>) {
        self.queue.set_scores(scores);
    }

    fn announce(&mut self, members: &Members, out: &mut Outbox) {
        self.version += 1;
        let old = std::mem::take(&mut self.told);
        for roster in self.models.values() {
            for key in roster.parts() {
                let since = old.get(&key).copied().unwrap_or(self.version);
                self.told.insert(key, since);
            }
        }
        let plan = Message::Plan(self.announcement());
        out.broadcast(members.known(), &plan);
        out.send(members.me(), plan);
    }

    /// The models to hold: of each kind the leader's own, else the most common; what people ask for, or did lately; and
    /// the most common ones, if the leader has others.
    fn choose_models(&mut self, now: Millis, members: &Members) {
        const KINDS: [Kind; 2] = [Kind::Text, Kind::Picture];
        let asked = self.queue.models();
        for roster in self.models.values_mut().filter(|roster| asked.contains(&roster.model().id)) {
            roster.asked = Some(now);
        }
        let main = KINDS.into_iter().filter_map(|kind| self.main_model(kind, members));
        let lately = |roster: &&Roster| roster.asked.is_some_and(|at| now.since(at) < limits::LINGER_MS);
        let lingering = self.models.values().filter(lately).map(|roster| roster.model().id);
        let wanted = asked.iter().copied().chain(lingering).filter_map(|id| members.model(id).cloned());
        let common = KINDS.into_iter().filter_map(|kind| most_common(kind, members));
        let mut chosen: Vec<ModelSpec> = Vec::new();
        for model in main.chain(wanted).chain(common) {
            if chosen.len() < limits::MODELS && chosen.iter().all(|known| known.id != model.id) {
                chosen.push(model);
            }
        }
        self.models.retain(|id, _| chosen.iter().any(|model| model.id == *id));
        for model in chosen {
            self.models.entry(model.id).or_insert_with(|| Roster::new(model));
        }
    }

    fn main_model(&self, kind: Kind, members: &Members) -> Option<ModelSpec> {
        let own = members.own.offers.iter().map(|offer| &offer.model).find(|model| model.kind == kind);
        let kept = || {
            let kept = self.models.values().map(Roster::model).find(|model| model.kind == kind)?;
            members.model(kept.id)
        };
        own.or_else(kept).cloned().or_else(|| most_common(kind, members))
    }

    /// Leases one more.
    fn lease(&mut self) -> Lease {
        self.leases += 1;
        Lease { epoch: self.epoch, serial: self.leases }
    }

    fn suspect(&mut self, now: Millis, peer: PeerId) {
        let before = self.suspects.get(&peer).map_or(limits::SUSPECT_MS, |suspect| suspect.wait_ms * 2);
        let wait_ms = before.min(limits::SUSPECT_MAX_MS);
        if self.suspects.len() < limits::PEERS || self.suspects.contains_key(&peer) {
            self.suspects.insert(peer, Suspect { until: now.after(wait_ms), wait_ms });
        }
    }
}

fn most_common(kind: Kind, members: &Members) -> Option<ModelSpec> {
    let mut counts: BTreeMap<ModelId, (usize, &ModelSpec)> = BTreeMap::new();
    let reports = members.reports();
    let models = reports.values().flat_map(|report| &report.offers).map(|offer| &offer.model);
    for model in models.filter(|model| model.kind == kind) {
        counts.entry(model.id).or_insert((0, model)).0 += 1;
    }
    let best = counts.iter().max_by_key(|(id, (count, _))| (*count, std::cmp::Reverse(**id)));
    best.map(|(_, (_, model))| (*model).clone())
}

/// Whether a peer says that its device is not fit for any work.
fn rests(members: &Members, id: PeerId) -> bool {
    members.report(id).is_some_and(|report| !report.fitness.as_last_resort())
}

/// How many units each peer runs.
fn loads<'a>(running: impl Iterator<Item = &'a Running>) -> BTreeMap<PeerId, usize> {
    let mut loads = BTreeMap::new();
    for stage in running.flat_map(|running| &running.stages) {
        *loads.entry(stage.peer).or_insert(0) += 1;
    }
    loads
}

#[cfg(test)]
mod tests;
