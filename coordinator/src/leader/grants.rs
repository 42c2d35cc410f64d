//! Which unit runs where.

use super::{Leader, Room, loads};
use crate::ids::{JobId, ModelId, PeerId};
use crate::io::{Kind, ModelSpec, Shape, Stage};
use crate::limits;
use crate::mutation::{self, Mutation};
use crate::planner::{self, Links, PictureShape, Spread, Worker};
use crate::queue::Next;
use crate::wire::{self, Ask, Demand, Message, Running, Standing, Team};
use std::collections::BTreeMap;
use std::sync::Arc;

/// What grants of one model are decided with; worked out once between two reviews.
#[derive(Debug)]
pub struct Desk {
    workers: Vec<Worker>,
    links: Arc<Links>,
    /// Teams that serve, with the microseconds of a token on each with one job; for pictures, of a step on a ring.
    teams: Vec<(Team, u64)>,
}

impl Desk {
    /// Whether the picture model is held in parts only.
    fn paints_on_rings(&self) -> bool {
        self.teams.iter().all(|(team, _)| team.stages.len() > 1)
    }
}

impl Leader {
    /// Grants what can be granted. A model that had no place for its next unit is not looked at again before something
    /// is free, or changes.
    pub(super) fn grant(&mut self, room: &mut Room<'_>) {
        if mutation::on(Mutation::RunOutOfLeases) && self.leases >= 6 {
            return;
        }
        while let Some(next) = self.queue.next(|model| !self.full.contains(model)) {
            let desk = self.desk(next.model, room);
            match desk.and_then(|desk| self.place(&next, &desk)) {
                Some((stages, bands)) => self.give(&next, stages, bands, room),
                None => {
                    self.full.insert(next.model);
                }
            }
        }
    }

    fn give(&mut self, next: &Next, stages: Vec<Stage>, bands: u8, room: &mut Room<'_>) {
        let running = Running { lease: self.lease(), unit: next.unit, stages, bands };
        self.queue.granted(room.now, next.job, running.clone());
        room.out.send(next.asker, Message::Grant(next.job, running));
    }

    fn desk(&mut self, id: ModelId, room: &Room<'_>) -> Option<Arc<Desk>> {
        if let Some(desk) = self.desks.get(&id) {
            return Some(Arc::clone(desk));
        }
        let roster = self.models.get(&id)?;
        let teams: Vec<Team> = roster.serving().into_iter().cloned().collect();
        if teams.is_empty() {
            return None;
        }
        let model = roster.model();
        let workers = self.workers(room.now, model, room.members, &BTreeMap::new());
        let links = Arc::clone(&self.links);
        let hidden_bytes = model.hidden_bytes.into();
        let seen = planner::Room { model, workers: &workers, links: &links, hidden_bytes };
        let timed = teams.into_iter().filter_map(|team| {
            let micros = match (model.kind, team.stages.as_slice()) {
                (Kind::Text, stages) => planner::predict_text(&seen, stages, 1, 1)?.token_micros,
                (Kind::Picture, [_]) => 1,
                (Kind::Picture, ring) => {
                    planner::predict_blocks(&seen, &one_step(model), ring, 1)?.picture_micros
                }
            };
            Some((team, micros))
        });
        let teams = timed.collect();
        let desk = Arc::new(Desk { workers, links, teams });
        self.desks.insert(id, Arc::clone(&desk));
        Some(desk)
    }

    /// On which stages it runs, and in how many bands.
    fn place(&self, next: &Next, desk: &Desk) -> Option<(Vec<Stage>, u8)> {
        match self.demands.get(&next.job)?.0 {
            Demand::Text { .. } => Some((self.place_text(next.model, desk)?, 0)),
            Demand::Picture(shape) => self.place_picture(next, shape, desk),
        }
    }

    /// The team that would write it soonest; None if it is better to wait for a faster one.
    fn place_text(&self, model: ModelId, desk: &Desk) -> Option<Vec<Stage>> {
        let loads = self.team_loads(desk);
        let cost = |at: usize| desk.teams[at].1.saturating_mul(loads[at] as u64 + 1);
        let free = (0..desk.teams.len()).filter(|&at| loads[at] < capacity(&desk.teams[at].0));
        let best = free.min_by_key(|&at| cost(at))?;
        let own = cost(best);
        // How long the faster teams would take for all that waits, this one included, at a token each.
        let faster = (0..desk.teams.len()).filter(|&at| desk.teams[at].1 < desk.teams[best].1);
        let (mut rate, mut backlog) = (0_u64, u64::from(self.queue.waiting_by_model(model)));
        for at in faster {
            rate += 1_000_000_000 / desk.teams[at].1.max(1);
            backlog += loads[at] as u64;
        }
        let worth = rate == 0 || own <= backlog.saturating_mul(1_000_000_000) / rate;
        worth.then(|| desk.teams[best].0.stages.clone())
    }

    /// How many jobs run on each team. What runs elsewhere at one of its peers counts too.
    fn team_loads(&self, desk: &Desk) -> Vec<usize> {
        let peers = loads(self.queue.running().map(|(_, running)| running));
        let load = |team: &Team| {
            team.stages.iter().map(|stage| peers.get(&stage.peer).copied().unwrap_or(0)).max().unwrap_or(0)
        };
        desk.teams.iter().map(|(team, _)| load(team)).collect()
    }

    /// Peers that paint nothing at the moment, as many as pay; or, if no device holds the whole model, a ring of those that
    /// hold it together.
    fn place_picture(&self, next: &Next, shape: Shape, desk: &Desk) -> Option<(Vec<Stage>, u8)> {
        let model = self.models.get(&next.model)?.model();
        let peers = loads(self.queue.running().map(|(_, running)| running));
        let sees_asker = |worker: &Worker| worker.id == next.asker || worker.sees.contains(next.asker);
        if desk.paints_on_rings() {
            let ring = self.place_on_ring(shape, desk, |peer| {
                desk.workers.iter().any(|worker| worker.id == peer && sees_asker(worker))
            });
            return Some((ring?, 0));
        }
        let serves =
            |id| desk.teams.iter().any(|(team, _)| matches!(&team.stages[..], [only] if only.peer == id));
        let free: Vec<&Worker> = desk
            .workers
            .iter()
            .filter(|worker| serves(worker.id) && sees_asker(worker) && !peers.contains_key(&worker.id))
            .collect();
        let waiting = self.queue.waiting_by_model(next.model) as usize;
        let everyone = self.choice.spread == Spread::Everyone;
        let wanted = PictureShape { everyone, ..picture_shape(model, shape) };
        let crew = planner::crew(&wanted, &free, &desk.links, waiting)?;
        // The second member of a guided crew runs the other half, unless the first ones run bands.
        let alone = shape.guided && crew.half.is_none() && crew.bands.is_empty();
        let members = if alone { vec![crew.primary] } else { crew.members() };
        let layers = model.whole();
        let stages = members.into_iter().take(limits::STAGES).map(|peer| Stage { peer, layers });
        Some((stages.collect(), crew.bands.len() as u8))
    }

    /// The ring that would paint it soonest, of those with a place and whose ends, from which latents and pixels come, see
    /// whoever asks.
    fn place_on_ring(
        &self,
        shape: Shape,
        desk: &Desk,
        sees_asker: impl Fn(PeerId) -> bool,
    ) -> Option<Vec<Stage>> {
        let loads = self.team_loads(desk);
        let ring = |at: usize| &desk.teams[at].0.stages;
        let reaches = |at: usize| {
            let ends = [ring(at).first(), ring(at).last()];
            ends.into_iter().flatten().all(|stage| sees_asker(stage.peer))
        };
        let has_place = |at: usize| loads[at] < planner::block_jobs(ring(at).len(), shape.guided);
        let open = (0..desk.teams.len()).filter(|&at| has_place(at) && reaches(at));
        let best = open.min_by_key(|&at| desk.teams[at].1.saturating_mul(loads[at] as u64 + 1))?;
        Some(ring(best).clone())
    }

    /// Moves running texts to teams on which they would end clearly sooner.
    pub(super) fn move_what_pays(&mut self, room: &mut Room<'_>) {
        let moves: Vec<(JobId, Running)> = self
            .queue
            .running()
            .filter(|(job, _)| {
                self.demands.get(job).is_some_and(|(_, moved)| room.now.since(*moved) >= limits::MOVE_MS)
            })
            .map(|(job, running)| (job, running.clone()))
            .collect();
        for (job, running) in moves {
            let Some(model) = self.queue.model(job) else { continue };
            let desk = self.desk(model, room);
            let Some(stages) = desk.and_then(|desk| self.better(job, &running, model, &desk)) else {
                continue;
            };
            let Some(asker) = self.queue.asker(job) else { continue };
            self.queue.release(job, running.lease);
            let next = Next { job, unit: running.unit, asker, model, recovering: true };
            self.give(&next, stages, 0, room);
            if let Some((_, moved)) = self.demands.get_mut(&job) {
                *moved = room.now;
            }
        }
    }

    fn better(&self, job: JobId, running: &Running, model: ModelId, desk: &Desk) -> Option<Vec<Stage>> {
        let Demand::Text { known, left, gap_ms, .. } = self.demands.get(&job)?.0 else {
            return None;
        };
        if gap_ms == 0 {
            return None;
        }
        let spec = self.models.get(&model)?.model();
        let seen = planner::Room {
            model: spec,
            workers: &desk.workers,
            links: &desk.links,
            hidden_bytes: spec.hidden_bytes.into(),
        };
        let loads = self.team_loads(desk);
        let others = (0..desk.teams.len()).filter(|&at| {
            desk.teams[at].0.stages != running.stages && loads[at] < capacity(&desk.teams[at].0)
        });
        let best = others.min_by_key(|&at| desk.teams[at].1.saturating_mul(loads[at] as u64 + 1))?;
        let stages = &desk.teams[best].0.stages;
        let predicted = planner::predict_text(&seen, stages, known, loads[best] + 1)?;
        planner::migrate(u64::from(gap_ms) * 1_000, left, &predicted)?;
        Some(stages.clone())
    }

    /// Where a job stands.
    pub(super) fn standing(&mut self, ask: &Ask, room: &Room<'_>) -> Standing {
        let Some(place) = self.queue.place(ask.job) else {
            return Standing::Runs;
        };
        let clip = |why: &str| Standing::Waiting(wire::clip(why, limits::REASON_BYTES));
        let Some(roster) = self.models.get(&ask.model) else {
            return clip("no device here can load the model that this job asks for");
        };
        let (teams, loading, why) = (roster.serving().len(), roster.is_loading(), roster.why().to_owned());
        match () {
            () if teams > 0 => {
                let wait =
                    self.unit_ms(ask, room).and_then(|ms| self.queue.estimate(room.now, ask.job, ms, teams));
                Standing::Queued { place, wait_ms: wait.map(|ms| ms.min(u32::MAX.into()) as u32) }
            }
            () if loading => clip("the model's layers are being loaded"),
            () => clip(&why),
        }
    }

    /// About how long one unit of a job takes.
    fn unit_ms(&mut self, ask: &Ask, room: &Room<'_>) -> Option<u64> {
        let desk = self.desk(ask.model, room)?;
        let micros = desk.teams.first()?.1;
        match ask.demand {
            Demand::Text { left, .. } => Some(micros.saturating_mul(left.into()) / 1_000),
            Demand::Picture(shape) if desk.paints_on_rings() => {
                Some(micros.saturating_mul(shape.steps.into()) / 1_000)
            }
            Demand::Picture(shape) => {
                let worker = desk.workers.iter().filter(|worker| worker.speed.step_micros > 0);
                let step = worker.map(|worker| worker.speed.step_micros).min()?;
                Some(u64::from(step) * u64::from(shape.steps) * (1 + u64::from(shape.guided)) / 1_000)
            }
        }
    }
}

fn picture_shape(model: &ModelSpec, shape: Shape) -> PictureShape {
    let Shape { count: _, steps, guided, tiles, stale } = shape;
    let (latent_bytes, context_bytes) = (model.hidden_bytes.into(), model.context_bytes.into());
    PictureShape { steps, guided, tiles, stale, everyone: false, latent_bytes, context_bytes }
}

/// By which rings are compared before a picture is known.
fn one_step(model: &ModelSpec) -> PictureShape {
    picture_shape(model, Shape { count: 1, steps: 1, guided: true, tiles: 1, stale: false })
}

/// Jobs that a team takes at once: one per stage and one more, which hides the way between them, or between a job's end
/// and the next grant.
fn capacity(team: &Team) -> usize {
    team.stages.len() + limits::TEAM_JOBS_EXTRA
}
