//! The leader's queue: fair between people, ordered by credit, bounded, and soft.
//!
//! Soft means that every entry is somebody's repeated [`Ask`]: what is not asked for any more is forgotten after
//! `LEASE_MS`, and a new leader's queue fills itself within a second. A job has *units* (a text has one, a set of
//! pictures one each); each runs under its own lease, on its own team. Who is next:
//!
//! ```text
//!   1. units that lost their team        somebody is looking at half an answer
//!   2. the lower round                   round = clock / AGE_MS when the wait began, less one for each tier of credit
//!   3. whoever was served longest ago    people take turns
//!   4. first come, first served; the jobs of one person take turns too
//! ```
//!
//! The round is what keeps the order cheap and everybody fed. To raise a job by one tier for each `AGE_MS` that it
//! waits is to say that it beats a job one tier higher that came `AGE_MS` later: a comparison in which the present
//! time does not occur. So nothing has to be sorted again as time goes by, and whoever waits is overtaken only by
//! those who came at most `TIERS + 1` rounds after them, however many Masters there are. Credit orders, it never
//! refuses; a wait begins again for a person who is served.
//!
//! A *person* is the peer that asks, not the requester that its job names: an heir may ask for a job of somebody who
//! has left, and nobody could tell a job of somebody who was never there.

use crate::credit::Tier;
use crate::ids::{JobId, Lease, Millis, ModelId, PeerId};
use crate::io::Stage;
use crate::limits;
use crate::mutation::{self, Mutation};
use crate::wire::{Ask, Running};
use entry::Entry;
use std::collections::{BTreeMap, BTreeSet};

mod entry;

/// Milliseconds of waiting that weigh as much as one tier of credit. Source: guess; nobody waits for more than some
/// minutes because of credit.
pub const AGE_MS: u64 = 30_000;
/// Jobs for which one peer may ask, those included that it inherited. Source: guess; its own and those of three others
/// who left at once.
pub const JOBS_PER_ASKER: usize = 4 * limits::JOBS_PER_PEER;
/// Milliseconds from the queue's beginning for which it believes a newcomer that says its lease broke: as long as a
/// new leader's queue takes to fill. Source: twice the time after which a job counts as forgotten.
pub const ADOPT_MS: u64 = 2 * limits::LEASE_MS;

/// Why a job is not taken into the queue, and what helps.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// `JOBS_PER_ROOM` jobs are open: ask again, or cancel one.
    #[error(
        "the room's queue is full ({} jobs): it goes on when one of them has ended",
        limits::JOBS_PER_ROOM
    )]
    Room,
    /// The requester has `JOBS_PER_PEER` jobs open: wait for one, or cancel it.
    #[error(
        "one person may have {} jobs open: wait until one of yours has ended, or cancel one",
        limits::JOBS_PER_PEER
    )]
    Person,
    /// The asker looks after `JOBS_PER_ASKER` jobs, mostly of people who left: another heir has to ask.
    #[error("one peer may look after {} jobs: this one waits until another has ended", JOBS_PER_ASKER)]
    Asker,
}

/// What is to run next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Next {
    /// The job.
    pub job: JobId,
    /// Which unit of it.
    pub unit: u16,
    /// Who asked, and gets the lease.
    pub asker: PeerId,
    /// The model that it needs.
    pub model: ModelId,
    /// Whether it ran before and lost its team.
    pub recovering: bool,
}

/// Jobs that wait and jobs that run.
#[derive(Debug)]
pub struct Queue {
    began: Millis,
    entries: BTreeMap<JobId, Entry>,
    /// The jobs with a waiting unit; the least is next. Kept by `file`.
    order: BTreeSet<(Turn, JobId)>,
    served: BTreeMap<PeerId, Served>,
    tiers: BTreeMap<PeerId, Tier>,
    grants: u64,
    arrivals: u64,
}

/// When a person was last served.
#[derive(Clone, Copy, Debug, Default)]
struct Served {
    at: Millis,
    /// As a count of grants.
    grant: u64,
}

/// A job's turn: the least is next. The fields are compared in this order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Turn {
    fresh: bool,
    round: u64,
    /// The person's last grant, then the job's, as counts of grants.
    served: (u64, u64),
    arrival: u64,
}

impl Queue {
    /// A queue whose leader takes office now.
    #[must_use]
    pub const fn new(now: Millis) -> Self {
        Self {
            began: now,
            entries: BTreeMap::new(),
            order: BTreeSet::new(),
            served: BTreeMap::new(),
            tiers: BTreeMap::new(),
            grants: 0,
            arrivals: 0,
        }
    }

    /// Takes an ask. Returns the leases that broke by the asker's word, so that the leader blames
    /// [`Ask::suspect`] only if it was in one of them.
    ///
    /// # Errors
    /// Names the bound that is reached; a job that is in the queue already is never refused.
    pub fn ask(&mut self, now: Millis, asker: PeerId, ask: &Ask) -> Result<Vec<Running>, Refusal> {
        if !self.entries.contains_key(&ask.job) {
            self.admit(now, asker, ask)?;
        }
        let broken = self.entries.get_mut(&ask.job).map(|entry| entry.hear(now, asker, ask));
        self.file(ask.job);
        Ok(broken.unwrap_or_default())
    }

    fn admit(&mut self, now: Millis, asker: PeerId, ask: &Ask) -> Result<(), Refusal> {
        if self.entries.len() >= limits::JOBS_PER_ROOM {
            return Err(Refusal::Room);
        }
        let of = |serial| JobId { requester: ask.job.requester, serial };
        if self.entries.range(of(0)..=of(u32::MAX)).count() >= limits::JOBS_PER_PEER {
            return Err(Refusal::Person);
        }
        if self.entries.values().filter(|entry| entry.asker == asker).count() >= JOBS_PER_ASKER {
            return Err(Refusal::Asker);
        }
        self.arrivals += 1;
        let mut entry = Entry::new(now, asker, ask.model, self.arrivals);
        if now.since(self.began) <= ADOPT_MS {
            entry.believe(ask);
        }
        self.entries.insert(ask.job, entry);
        Ok(())
    }

    /// The next unit to run of those whose model is wanted. Looks at each waiting job once, in order.
    pub fn next(&self, wants: impl Fn(&ModelId) -> bool) -> Option<Next> {
        self.order.iter().find_map(|&(turn, job)| {
            let entry = self.entries.get(&job).filter(|entry| wants(&entry.model))?;
            let unit = entry.first()?;
            Some(Next { job, unit, asker: entry.asker, model: entry.model, recovering: !turn.fresh })
        })
    }

    /// Notes that a unit runs. To run again after a loss is not a new turn.
    pub fn granted(&mut self, now: Millis, job: JobId, running: Running) {
        let Some(entry) = self.entries.get_mut(&job) else {
            return;
        };
        let (asker, again) = (entry.asker, entry.recovers(running.unit));
        entry.run(now, running);
        if again {
            return self.file(job);
        }
        self.grants += 1;
        entry.grant = self.grants;
        self.served.insert(asker, Served { at: now, grant: self.grants });
        self.forget_longest_served();
        self.file_where(|entry| entry.asker == asker);
    }

    /// Takes one lease back: its unit waits again, first in line. False if it is not held.
    pub fn release(&mut self, job: JobId, lease: Lease) -> bool {
        let released =
            self.entries.get_mut(&job).is_some_and(|entry| entry.revoke(|held| held.lease == lease));
        self.file(job);
        released
    }

    /// Takes back the leases that are `lost`: a stage of theirs is. Their units wait again, first in line.
    pub fn revoke(&mut self, lost: impl Fn(ModelId, &Running) -> bool) {
        let revoked = |(&job, entry): (&JobId, &mut Entry)| {
            let model = entry.model;
            entry.revoke(|running| lost(model, running)).then_some(job)
        };
        let hit: Vec<JobId> = self.entries.iter_mut().filter_map(revoked).collect();
        for job in hit {
            self.file(job);
        }
    }

    /// A job has ended. False if it is not `asker`'s.
    pub fn done(&mut self, asker: PeerId, job: JobId) -> bool {
        let theirs = self.entries.get(&job).is_some_and(|entry| entry.asker == asker);
        if theirs {
            self.remove(job);
        }
        theirs
    }

    /// Forgets what nobody asks for any more, and what `gone` askers asked for.
    pub fn expire(&mut self, now: Millis, gone: impl Fn(PeerId) -> bool) {
        let dead = |entry: &Entry| now.since(entry.heard) > limits::LEASE_MS || gone(entry.asker);
        let dead: Vec<JobId> =
            self.entries.iter().filter(|(_, entry)| dead(entry)).map(|(&job, _)| job).collect();
        for job in dead {
            self.remove(job);
        }
    }

    /// Takes everyone's score, in thousandths of a credit (see [`crate::credit::Ledger::scores`]).
    pub fn set_scores(&mut self, scores: &BTreeMap<PeerId, u64>) {
        let tiers: BTreeMap<PeerId, Tier> =
            scores.iter().filter_map(|(&peer, &score)| Some((peer, Tier::of(score)?))).collect();
        let before = std::mem::replace(&mut self.tiers, tiers);
        if before != self.tiers {
            self.file_where(|_| true);
        }
    }

    /// How many jobs are before this one, 0 if it is next; None if no unit of it waits.
    #[must_use]
    pub fn place(&self, job: JobId) -> Option<u32> {
        let turn = self.entries.get(&job)?.filed?;
        Some(self.order.range(..(turn, job)).count() as u32)
    }

    /// Milliseconds until the job's next unit starts, if a unit takes `unit_ms` and `servers` units run at a time.
    /// None if none of it waits or nobody serves. Each job before it is taken to run one unit first: people take turns.
    #[must_use]
    pub fn estimate(&self, now: Millis, job: JobId, unit_ms: u64, servers: usize) -> Option<u64> {
        let place = self.place(job)? as usize;
        let mut left: Vec<u64> = self
            .entries
            .values()
            .flat_map(Entry::granted_at)
            .map(|granted| unit_ms.saturating_sub(now.since(granted)))
            .collect();
        left.sort_unstable();
        // Servers that are free now come first; where more runs than servers are left, the first ends make no room.
        let free = servers.saturating_sub(left.len());
        let busy = left.get(left.len().saturating_sub(servers)..)?;
        let rounds = place.checked_div(servers)? as u64;
        let wait = (place % servers).checked_sub(free).and_then(|index| busy.get(index)).copied();
        Some(rounds.saturating_mul(unit_ms).saturating_add(wait.unwrap_or(0)))
    }

    /// Everything that runs, by job and unit.
    pub fn running(&self) -> impl Iterator<Item = (JobId, &Running)> {
        self.entries.iter().flat_map(|(&job, entry)| entry.running().map(move |running| (job, running)))
    }

    /// Units that wait for `model`.
    #[must_use]
    pub fn waiting_by_model(&self, model: ModelId) -> u32 {
        let of_model = self.entries.values().filter(|entry| entry.model == model);
        of_model.map(|entry| entry.waiting.count_ones()).sum()
    }

    /// Jobs for `model`, running or waiting.
    #[must_use]
    pub fn jobs_by_model(&self, model: ModelId) -> usize {
        self.entries.values().filter(|entry| entry.model == model).count()
    }

    /// Units for `model`, running or waiting.
    #[must_use]
    pub fn units_by_model(&self, model: ModelId) -> usize {
        let running = self.entries.values().filter(|entry| entry.model == model);
        self.waiting_by_model(model) as usize + running.map(|entry| entry.running().count()).sum::<usize>()
    }

    /// Units of a job that run.
    #[must_use]
    pub fn units_of(&self, job: JobId) -> usize {
        self.entries.get(&job).map_or(0, |entry| entry.running().count())
    }

    /// The models that jobs are for.
    #[must_use]
    pub fn models(&self) -> BTreeSet<ModelId> {
        self.entries.values().map(|entry| entry.model).collect()
    }

    /// The model that a job is for.
    #[must_use]
    pub fn model(&self, job: JobId) -> Option<ModelId> {
        self.entries.get(&job).map(|entry| entry.model)
    }

    /// Who asks for a job, and gets its leases.
    #[must_use]
    pub fn asker(&self, job: JobId) -> Option<PeerId> {
        self.entries.get(&job).map(|entry| entry.asker)
    }

    /// Whether a job runs or waits.
    #[must_use]
    pub fn contains(&self, job: JobId) -> bool {
        self.entries.contains_key(&job)
    }

    /// Every stage that runs for `model`.
    #[must_use]
    pub fn stages_of(&self, model: ModelId) -> Vec<Stage> {
        let running = self.running().filter(|(job, _)| self.model(*job) == Some(model));
        running.flat_map(|(_, running)| running.stages.iter().copied()).collect()
    }

    /// Jobs that run or wait.
    #[must_use]
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    fn remove(&mut self, job: JobId) {
        if let Some(turn) = self.entries.remove(&job).and_then(|entry| entry.filed) {
            self.order.remove(&(turn, job));
        }
    }

    /// Puts a job where it belongs in the order; to be called after every change to it, its asker, or their tier.
    fn file(&mut self, job: JobId) {
        let Some(entry) = self.entries.get_mut(&job) else {
            return;
        };
        let aged = !mutation::on(Mutation::ForgetAgeing);
        let turn = entry.first().map(|_| {
            let served = self.served.get(&entry.asker).copied().unwrap_or_default();
            let handicap = Tier::COUNT - self.tiers.get(&entry.asker).map_or(0, |tier| tier.rank());
            Turn {
                fresh: entry.recovering == 0,
                round: if aged { entry.since.max(served.at).0 / AGE_MS } else { 0 } + handicap,
                served: (served.grant, entry.grant),
                arrival: entry.arrival,
            }
        });
        let before = std::mem::replace(&mut entry.filed, turn);
        if before != turn {
            before.map(|turn| self.order.remove(&(turn, job)));
            turn.map(|turn| self.order.insert((turn, job)));
        }
    }

    fn file_where(&mut self, which: impl Fn(&Entry) -> bool) {
        let jobs: Vec<JobId> =
            self.entries.iter().filter(|(_, entry)| which(entry)).map(|(&job, _)| job).collect();
        for job in jobs {
            self.file(job);
        }
    }

    /// Keeps `served` bounded. It outlives a person's jobs, or one who sends them singly would always be new here.
    fn forget_longest_served(&mut self) {
        if self.served.len() <= limits::JOBS_PER_ROOM {
            return;
        }
        let asks: BTreeSet<PeerId> = self.entries.values().map(|entry| entry.asker).collect();
        let idle = self.served.iter().filter(|(person, _)| !asks.contains(person));
        if let Some((&person, _)) = idle.min_by_key(|(_, served)| served.grant) {
            self.served.remove(&person);
        }
    }
}

#[cfg(test)]
mod tests;
