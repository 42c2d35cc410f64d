//! The leader's queue: fair between people, bounded, and soft.
//!
//! Soft means that every entry is somebody's repeated [`Ask`](crate::wire::Ask): what is not asked for any more is
//! forgotten after `LEASE_MS`, and a new leader's queue fills itself within a second. Jobs that lost a stage go first;
//! then people take turns, whoever was served longest ago first; then first come, first served.

use crate::ids::{JobId, Millis, ModelId, PeerId};
use crate::limits;
use crate::wire::{Ask, Running};
use std::collections::BTreeMap;

/// Jobs that wait and jobs that run.
#[derive(Debug, Default)]
pub struct Queue {
    entries: BTreeMap<JobId, Entry>,
    /// When each requester was last served, as a count of grants.
    served: BTreeMap<PeerId, u64>,
    grants: u64,
    arrivals: u64,
}

#[derive(Debug)]
struct Entry {
    asker: PeerId,
    model: ModelId,
    arrival: u64,
    heard: Millis,
    recovering: bool,
    running: Option<Running>,
    granted: Millis,
}

impl Queue {
    /// Takes an ask. True if its asker says that the lease it had is broken.
    ///
    /// # Errors
    /// Names the bound that is reached.
    pub fn ask(&mut self, now: Millis, asker: PeerId, ask: &Ask) -> Result<bool, String> {
        if !self.entries.contains_key(&ask.job) {
            self.admit(now, asker, ask)?;
        }
        let Some(entry) = self.entries.get_mut(&ask.job) else {
            return Ok(false);
        };
        entry.heard = now;
        if entry.asker != asker {
            // Its heir, or the requester who came back: what the other ran is not theirs.
            entry.asker = asker;
            entry.running.clone_from(&ask.running);
            return Ok(false);
        }
        match (&entry.running, &ask.running) {
            // The asker gave the lease up, or never got it: it followed somebody else just then.
            (Some(ours), None)
                if ask.seen >= Some(ours.lease) || now.since(entry.granted) > limits::GRANT_MS =>
            {
                entry.running = None;
                entry.recovering = true;
                Ok(true)
            }
            (None, Some(theirs)) => {
                entry.running = Some(theirs.clone());
                Ok(false)
            }
            _ => Ok(false),
        }
    }

    fn admit(&mut self, now: Millis, asker: PeerId, ask: &Ask) -> Result<(), String> {
        if self.entries.len() >= limits::JOBS_PER_ROOM {
            return Err(format!("the room's queue is full ({} jobs)", limits::JOBS_PER_ROOM));
        }
        let theirs = self.entries.keys().filter(|job| job.requester == ask.job.requester).count();
        if theirs >= limits::JOBS_PER_PEER {
            return Err(format!("one person may have {} jobs open", limits::JOBS_PER_PEER));
        }
        self.arrivals += 1;
        let entry = Entry {
            asker,
            model: ask.model,
            arrival: self.arrivals,
            heard: now,
            recovering: ask.seen.is_some() && ask.running.is_none(),
            running: ask.running.clone(),
            granted: now,
        };
        self.entries.insert(ask.job, entry);
        Ok(())
    }

    /// A job has ended. False if it is not `asker`'s.
    pub fn done(&mut self, asker: PeerId, job: JobId) -> bool {
        let theirs = self.entries.get(&job).is_some_and(|entry| entry.asker == asker);
        if theirs {
            self.entries.remove(&job);
        }
        theirs
    }

    /// Forgets what nobody asks for any more, and what `gone` askers asked for.
    pub fn expire(&mut self, now: Millis, gone: impl Fn(PeerId) -> bool) {
        self.entries.retain(|_, entry| now.since(entry.heard) <= limits::LEASE_MS && !gone(entry.asker));
        let entries = &self.entries;
        self.served.retain(|requester, _| entries.keys().any(|job| job.requester == *requester));
    }

    /// Takes back the leases of which a stage is `lost`; their jobs wait again, first in line.
    pub fn revoke(&mut self, lost: impl Fn(&Running) -> bool) {
        for entry in self.entries.values_mut() {
            if entry.running.as_ref().is_some_and(&lost) {
                entry.running = None;
                entry.recovering = true;
            }
        }
    }

    /// The next job to run on `model` and who asked for it, unless `JOBS_RUNNING` run already.
    pub fn next(&self, model: ModelId) -> Option<(JobId, PeerId)> {
        let running = self.entries.values().filter(|entry| entry.running.is_some()).count();
        if running >= limits::JOBS_RUNNING {
            return None;
        }
        let waiting = self.waiting().filter(|(_, entry)| entry.model == model);
        waiting.min_by_key(|(job, entry)| self.turn(**job, entry)).map(|(&job, entry)| (job, entry.asker))
    }

    /// Notes that a job runs.
    pub fn granted(&mut self, now: Millis, job: JobId, running: Running) {
        self.grants += 1;
        self.served.insert(job.requester, self.grants);
        if let Some(entry) = self.entries.get_mut(&job) {
            entry.running = Some(running);
            entry.granted = now;
            entry.recovering = false;
        }
    }

    /// The job's place among those that wait, 0 is next; None if it does not wait.
    pub fn place(&self, job: JobId) -> Option<u32> {
        let own = self.waiting().find(|(id, _)| **id == job)?;
        let turn = self.turn(job, own.1);
        Some(self.waiting().filter(|(id, entry)| self.turn(**id, entry) < turn).count() as u32)
    }

    /// True if no job runs or waits.
    pub fn is_idle(&self) -> bool {
        self.entries.is_empty()
    }

    /// Jobs that run or wait.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    fn waiting(&self) -> impl Iterator<Item = (&JobId, &Entry)> {
        self.entries.iter().filter(|(_, entry)| entry.running.is_none())
    }

    fn turn(&self, job: JobId, entry: &Entry) -> (bool, u64, u64) {
        let served = self.served.get(&job.requester).copied().unwrap_or(0);
        (!entry.recovering, served, entry.arrival)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::{Epoch, Lease};

    const MODEL: ModelId = ModelId([1; 32]);

    fn job(requester: u128, serial: u32) -> JobId {
        JobId { requester: PeerId(requester), serial }
    }

    fn running(serial: u32) -> Running {
        let epoch = Epoch { term: 1, leader: PeerId(1) };
        Running { lease: Lease { epoch, serial }, stages: vec![] }
    }

    fn ask(job: JobId, running: Option<Running>, seen: Option<Lease>) -> Ask {
        Ask { job, model: MODEL, running, seen, suspect: None }
    }

    fn put(queue: &mut Queue, job: JobId) -> Result<bool, String> {
        queue.ask(Millis(0), job.requester, &ask(job, None, None))
    }

    #[test]
    fn people_take_turns() {
        let mut queue = Queue::default();
        for id in [job(1, 1), job(1, 2), job(1, 3), job(2, 1), job(2, 2)] {
            put(&mut queue, id).expect("there is room");
        }
        let mut order = Vec::new();
        while let Some((id, asker)) = queue.next(MODEL) {
            queue.granted(Millis(0), id, running(1));
            assert_eq!(queue.place(id), None, "it does not wait any more");
            order.push((asker.0, id.serial));
        }
        assert_eq!(order, [(1, 1), (2, 1), (1, 2), (2, 2)], "in turn, and JOBS_RUNNING at most");
        assert_eq!(queue.place(job(1, 3)), Some(0));
    }

    #[test]
    fn what_an_ask_means() {
        let lease = |serial| running(serial).lease;
        let late = limits::GRANT_MS + 1;
        let rows = [
            (0, Some(running(3)), Some(lease(3)), false, true, "renewed"),
            (0, None, Some(lease(2)), false, true, "the grant is still on its way"),
            (late, None, Some(lease(2)), true, false, "the grant was lost"),
            (0, None, Some(lease(3)), true, false, "its lease broke: it waits again"),
        ];
        for (at, theirs, seen, broken, runs, why) in rows {
            let mut queue = Queue::default();
            put(&mut queue, job(1, 1)).expect("there is room");
            queue.granted(Millis(0), job(1, 1), running(3));
            let said = queue.ask(Millis(at), PeerId(1), &ask(job(1, 1), theirs, seen));
            assert_eq!((said, queue.place(job(1, 1)).is_none()), (Ok(broken), runs), "{why}");
        }
    }

    #[test]
    fn a_new_leader_adopts_what_runs() {
        let mut queue = Queue::default();
        queue.ask(Millis(0), PeerId(1), &ask(job(1, 1), Some(running(9)), None)).expect("there is room");
        assert_eq!(queue.next(MODEL), None, "nothing waits");
    }

    #[test]
    fn the_broken_go_first_and_the_silent_are_forgotten() {
        let mut queue = Queue::default();
        put(&mut queue, job(1, 1)).expect("there is room");
        put(&mut queue, job(2, 1)).expect("there is room");
        queue.granted(Millis(0), job(2, 1), running(1));
        queue.revoke(|_| true);
        assert_eq!(queue.next(MODEL), Some((job(2, 1), PeerId(2))));
        queue.expire(Millis(1), |asker| asker == PeerId(2));
        assert_eq!(queue.next(MODEL), Some((job(1, 1), PeerId(1))), "asker gone");
        queue.expire(Millis(limits::LEASE_MS + 1), |_| false);
        assert!(queue.is_idle(), "nobody asked again");
    }

    #[test]
    fn bounds_are_named() {
        let mut queue = Queue::default();
        let taken = (1..=9).filter(|&serial| put(&mut queue, job(1, serial)).is_ok()).count();
        assert_eq!(taken, limits::JOBS_PER_PEER);
        let taken = (2..=99).filter(|&requester| put(&mut queue, job(requester, 1)).is_ok()).count();
        assert_eq!(taken + limits::JOBS_PER_PEER, limits::JOBS_PER_ROOM);
        assert!(put(&mut queue, job(500, 1)).is_err_and(|why| why.contains("full")));
    }
}
