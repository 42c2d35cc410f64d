//! The teams of one model, from the planner's wish to their service.

use super::Leader;
use crate::ids::{Millis, PeerId};
use crate::io::{Kind, ModelSpec, Part, Spread, Stage};
use crate::limits;
use crate::membership::Members;
use crate::planner::{self, Links, Worker, stage_bytes};
use crate::wire::{self, ModelPlan, Team};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// The teams of one model.
#[derive(Debug)]
pub struct Roster {
    model: ModelSpec,
    /// When somebody asked for it last, if ever.
    pub asked: Option<Millis>,
    /// What the planner wants, the fastest first, as far as memory lets it come.
    pub planned: Vec<Team>,
    /// What serves until they do.
    pub leaving: Vec<Team>,
    why: String,
    /// How the work was to be shared when it was planned.
    spread: Spread,
}

impl Roster {
    /// No teams yet.
    pub const fn new(model: ModelSpec) -> Self {
        Self {
            model,
            asked: None,
            planned: Vec::new(),
            leaving: Vec::new(),
            why: String::new(),
            spread: Spread::Measured,
        }
    }

    /// The teams of another leader's plan.
    pub fn known(model: ModelSpec, plan: &ModelPlan, spread: Spread) -> Self {
        let teams = plan.teams.iter().filter(|team| !team.stages.is_empty());
        Self {
            model,
            asked: None,
            planned: teams.map(|team| Team { serves: false, ..team.clone() }).collect(),
            leaving: Vec::new(),
            why: plan.why.clone(),
            spread,
        }
    }

    /// The model.
    pub const fn model(&self) -> &ModelSpec {
        &self.model
    }

    /// As everybody is told.
    pub fn plan(&self) -> ModelPlan {
        let teams = self.teams().take(limits::PEERS).cloned().collect();
        ModelPlan { model: self.model.id, teams, why: wire::clip(&self.why, limits::REASON_BYTES) }
    }

    /// Teams that jobs are granted on: the planned ones that serve, or what is left of the old.
    pub fn serving(&self) -> Vec<&Team> {
        let serving: Vec<&Team> = self.planned.iter().filter(|team| team.serves).collect();
        if serving.is_empty() { self.leaving.iter().filter(|team| team.serves).collect() } else { serving }
    }

    /// Whether anything is being loaded.
    pub fn is_loading(&self) -> bool {
        self.planned.iter().any(|team| !team.serves)
    }

    /// Why the plan is as it is.
    pub fn why(&self) -> &str {
        &self.why
    }

    /// Whether a peer is in any team.
    pub fn has(&self, id: PeerId) -> bool {
        self.teams().any(|team| team.stages.iter().any(|stage| stage.peer == id))
    }

    /// Every member's parts.
    pub fn parts(&self) -> BTreeSet<(PeerId, Part)> {
        let stages = self.teams().flat_map(|team| &team.stages);
        stages.map(|stage| (stage.peer, part(&self.model, stage))).collect()
    }

    /// Bytes that the plan wants these peers to hold.
    fn bytes(&self, peers: impl Iterator<Item = PeerId>) -> Vec<(PeerId, u64)> {
        let stages: BTreeSet<Stage> =
            self.planned.iter().flat_map(|team| team.stages.iter().copied()).collect();
        let bytes = |id: PeerId| {
            let own = stages.iter().filter(|stage| stage.peer == id);
            own.map(|stage| stage_bytes(&self.model, stage.layers)).fold(0, u64::saturating_add)
        };
        peers.map(|id| (id, bytes(id))).collect()
    }

    fn teams(&self) -> impl Iterator<Item = &Team> {
        self.planned.iter().chain(&self.leaving)
    }
}

/// What a stage needs in memory.
pub const fn part(model: &ModelSpec, stage: &Stage) -> Part {
    Part { model: model.id, layers: stage.layers }
}

/// Whether a peer is live and had a part in memory when it reported.
pub fn holds(members: &Members, id: PeerId, part: Part) -> bool {
    members.is_live(id) && members.report(id).is_some_and(|r| r.ready.contains(&part) && r.share)
}

impl Leader {
    /// Brings every model's teams closer to what the planner wants. What people ask for takes memory first, then text.
    pub(super) fn plan_teams(&mut self, now: Millis, members: &Members) {
        let links = Arc::clone(&self.links);
        let mut models: Vec<ModelSpec> = self.models.values().map(|roster| roster.model.clone()).collect();
        models.sort_by_key(|model| (self.queue.jobs_by_model(model.id) == 0, model.kind, model.id));
        let mut taken: BTreeMap<PeerId, u64> = BTreeMap::new();
        for model in models {
            let workers = self.workers(now, &model, members, &taken);
            let (stages, mut why) = self.wanted(&model, &workers, &links);
            if let Some(trouble) = trouble(members, &model) {
                why = format!("{why}. {trouble}");
            }
            self.bring(&model, stages, why, &workers, members);
            let peers = workers.iter().map(|worker| worker.id);
            for (id, bytes) in
                self.models.get(&model.id).into_iter().flat_map(|roster| roster.bytes(peers.clone()))
            {
                let sum = taken.entry(id).or_default();
                *sum = sum.saturating_add(bytes);
            }
        }
    }

    fn wanted(&self, model: &ModelSpec, workers: &[Worker], links: &Links) -> (Vec<Vec<Stage>>, String) {
        match model.kind {
            Kind::Text => {
                let room = planner::Room { model, workers, links, hidden_bytes: model.hidden_bytes.into() };
                let jobs = self.queue.jobs_by_model(model.id).max(1);
                let teams = planner::teams(&room, jobs, self.choice.spread);
                let stages: Vec<Vec<Stage>> = teams.teams.into_iter().map(|team| team.stages).collect();
                (self.steady(&room, stages), teams.why)
            }
            Kind::Picture => {
                let units = self.queue.units_by_model(model.id);
                if workers.iter().any(|worker| planner::paints_alone(model, worker)) {
                    return painters(model, workers, units);
                }
                let workers = planner::in_passes(model, workers);
                let room =
                    planner::Room { model, workers: &workers, links, hidden_bytes: model.block_bytes.into() };
                let planner::Blocks { rings, why } = planner::blocks(&room, units);
                let mut rings = self.steady(&room, rings);
                let able = rings.len();
                rings.retain(|ring| units > 0 || is_cheap(model) || is_held(ring, &workers));
                if able > rings.len() {
                    let why = format!("{} is loaded when somebody asks for a picture", model.name);
                    return (rings, why);
                }
                (rings, why)
            }
        }
    }

    /// The teams there are, if the wanted ones have the same members and are not clearly faster: noise in a measurement
    /// is no reason to load anything.
    fn steady(&self, room: &planner::Room<'_>, wanted: Vec<Vec<Stage>>) -> Vec<Vec<Stage>> {
        let Some(roster) = self.models.get(&room.model.id) else { return wanted };
        let present: Vec<Vec<Stage>> = roster.planned.iter().map(|team| team.stages.clone()).collect();
        let groups = |teams: &[Vec<Stage>]| -> BTreeSet<BTreeSet<PeerId>> {
            teams.iter().map(|team| team.iter().map(|stage| stage.peer).collect()).collect()
        };
        if groups(&present) != groups(&wanted) || roster.spread != self.choice.spread {
            return wanted;
        }
        let micros = |teams: &[Vec<Stage>]| {
            let predict = |team: &Vec<Stage>| Some(planner::predict_text(room, team, 1, 1)?.token_micros);
            teams.iter().map(predict).collect::<Option<Vec<u64>>>()?.into_iter().max()
        };
        match micros(&present).zip(micros(&wanted)) {
            Some((old, new)) if planner::clearly_faster(new, old) => wanted,
            Some(_) => present,
            None => wanted,
        }
    }

    /// Make before break: what is new is loaded while the old serves, unless memory holds only one of them.
    fn bring(
        &mut self,
        model: &ModelSpec,
        wanted: Vec<Vec<Stage>>,
        why: String,
        workers: &[Worker],
        members: &Members,
    ) {
        let able: BTreeSet<PeerId> = workers.iter().map(|worker| worker.id).collect();
        let whole = |team: &Team| {
            let has =
                |stage: &Stage| able.contains(&stage.peer) && holds(members, stage.peer, part(model, stage));
            team.stages.iter().all(has) && linked(team, workers)
        };
        let Some(roster) = self.models.get_mut(&model.id) else { return };
        let old: Vec<Team> = roster
            .planned
            .drain(..)
            .chain(roster.leaving.drain(..))
            .filter(|team| team.serves && whole(team))
            .collect();
        let planned: Vec<Team> = wanted.into_iter().map(|stages| Team { stages, serves: false }).collect();
        let told = &self.told;
        let knows = |stage: &Stage| {
            let heard = if stage.peer == members.me() { members.own_plan } else { members.plan(stage.peer) };
            let since = told.get(&(stage.peer, part(model, stage)));
            since.zip(heard).is_some_and(|(since, (epoch, version))| epoch == self.epoch && version >= *since)
        };
        let mut planned: Vec<Team> = planned
            .into_iter()
            .map(|team| Team { serves: whole(&team) && team.stages.iter().all(knows), ..team })
            .collect();
        let leaving = old.into_iter().filter(|team| !planned.iter().any(|new| new.stages == team.stages));
        let mut leaving: Vec<Team> = leaving.collect();
        if planned.iter().all(|team| team.serves) && !planned.is_empty() {
            leaving.clear();
        }
        let memory: BTreeMap<PeerId, u64> = workers.iter().map(|worker| (worker.id, worker.memory)).collect();
        let running: Vec<Stage> = self.queue.stages_of(model.id);
        make_room(model, &memory, &running, &mut planned, &mut leaving);
        let spread = self.choice.spread;
        let Some(roster) = self.models.get_mut(&model.id) else { return };
        roster.spread = spread;
        (roster.planned, roster.leaving, roster.why) = (planned, leaving, why);
    }
}

/// Whether all members see each other.
fn linked(team: &Team, workers: &[Worker]) -> bool {
    let worker = |stage: &Stage| workers.iter().find(|worker| worker.id == stage.peer);
    let members: Vec<&Worker> = team.stages.iter().filter_map(worker).collect();
    members.iter().enumerate().all(|(at, one)| members[at + 1..].iter().all(|other| one.is_linked(other)))
}

/// Where old and new do not fit beside each other, an idle old team goes, and a new one waits for a busy one.
fn make_room(
    model: &ModelSpec,
    memory: &BTreeMap<PeerId, u64>,
    running: &[Stage],
    planned: &mut Vec<Team>,
    leaving: &mut Vec<Team>,
) {
    let crowd = |teams: &[&Team], more: &[Stage]| -> Option<PeerId> {
        let mut bytes: BTreeMap<PeerId, u64> = BTreeMap::new();
        let stages: BTreeSet<Stage> =
            teams.iter().flat_map(|team| team.stages.iter().copied()).chain(more.iter().copied()).collect();
        for stage in stages {
            let sum = bytes.entry(stage.peer).or_default();
            *sum = sum.saturating_add(stage_bytes(model, stage.layers));
        }
        bytes.into_iter().find(|(id, sum)| memory.get(id).is_some_and(|most| sum > most)).map(|(id, _)| id)
    };
    let all: Vec<&Team> = planned.iter().chain(leaving.iter()).collect();
    if crowd(&all, running).is_none() {
        return;
    }
    let new: Vec<&Team> = planned.iter().collect();
    if crowd(&new, running).is_none() {
        leaving.clear();
        return;
    }
    // Jobs run on what has to go: they end first. Nothing new is granted there meanwhile, or that would never be.
    leaving.clear();
    let mut kept: Vec<Team> = Vec::new();
    for team in planned.drain(..) {
        let with: Vec<&Team> = kept.iter().chain([&team]).collect();
        if team.serves || crowd(&with, running).is_none() {
            kept.push(team);
        }
    }
    *planned = kept;
}

/// Every painter holds the whole model; who joins whom is decided picture by picture. A large one is loaded by no more
/// devices than there are pictures, and one more.
fn painters(model: &ModelSpec, workers: &[Worker], units: usize) -> (Vec<Vec<Stage>>, String) {
    let layers = model.whole();
    let mut painters: Vec<&Worker> =
        workers.iter().filter(|worker| planner::paints_alone(model, worker)).collect();
    painters.sort_by_key(|worker| (worker.speed.step_micros, worker.id));
    let able = painters.len();
    if !is_cheap(model) {
        let most = if units == 0 { 0 } else { units + 1 };
        let mut place = 0;
        painters.retain(|worker| {
            place += 1;
            place <= most || worker.held.contains(&layers)
        });
    }
    let why = match painters.as_slice() {
        [] => format!("{able} devices can paint; {} is loaded when somebody asks for a picture", model.name),
        [only] => format!("{} paints", only.name),
        many => format!("{} devices paint: a picture each, or one together", many.len()),
    };
    (painters.into_iter().map(|worker| vec![Stage { peer: worker.id, layers }]).collect(), why)
}

/// Whether devices hold it, wanted or not.
fn is_cheap(model: &ModelSpec) -> bool {
    planner::whole_bytes(model) <= planner::CHEAP_BYTES
}

/// Whether every stage has its layers already.
fn is_held(ring: &[Stage], workers: &[Worker]) -> bool {
    let holds =
        |stage: &Stage, worker: &Worker| worker.id == stage.peer && worker.held.contains(&stage.layers);
    ring.iter().all(|stage| workers.iter().any(|worker| holds(stage, worker)))
}

/// Who could not load its layers, and why.
fn trouble(members: &Members, model: &ModelSpec) -> Option<String> {
    members.reports().into_iter().find_map(|(id, report)| {
        let offers = report.offers.iter().any(|offer| offer.model.id == model.id);
        let reason = report.trouble.as_ref().filter(|_| offers)?;
        Some(format!("{} could not load its part: {reason}", members.name(id)))
    })
}
