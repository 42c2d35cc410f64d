//! A lease is a fence: no worker goes back to an older one.
//!
//! Two leases of one job may run at once for a moment, as two peers may both believe that they keep it; that is
//! harmless, and each screen takes a position's token once (see `tokens_gapless_and_solo`). What must not be is a
//! worker that, for one owner, runs a chunk under a lease older than one that it has run for that owner, or under
//! one that it was told to forget.

use coordinator::{JobId, Lease, PeerId};
use std::collections::{BTreeMap, BTreeSet};

/// What one worker has run.
#[derive(Debug, Default)]
pub struct Leases {
    /// Who opened a session; one that came over no link is the worker's own.
    owners: BTreeMap<(JobId, Lease), PeerId>,
    newest: BTreeMap<(PeerId, JobId), Lease>,
    forgotten: BTreeSet<(JobId, Lease)>,
}

impl Leases {
    /// `owner` asked for a session.
    pub fn opened(&mut self, owner: PeerId, job: JobId, lease: Lease) {
        self.owners.entry((job, lease)).or_insert(owner);
    }

    /// The worker's caches of it are freed.
    pub fn forget(&mut self, job: JobId, lease: Lease) {
        self.forgotten.insert((job, lease));
    }

    /// The worker of `me` is given a chunk.
    ///
    /// # Errors
    /// Names the newer lease, or the forgotten one.
    pub fn run(&mut self, me: PeerId, job: JobId, lease: Lease) -> Result<(), String> {
        if self.forgotten.contains(&(job, lease)) {
            return Err(format!("{job:?}: a chunk under {lease:?}, which is forgotten"));
        }
        let owner = self.owners.get(&(job, lease)).copied().unwrap_or(me);
        let newest = self.newest.entry((owner, job)).or_insert(lease);
        if lease < *newest {
            return Err(format!("{job:?}: a chunk under {lease:?} after one under {newest:?}"));
        }
        *newest = lease;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use coordinator::Epoch;

    const ME: PeerId = PeerId(1);
    const BO: PeerId = PeerId(2);
    const CY: PeerId = PeerId(3);
    const JOB: JobId = JobId { requester: PeerId(2), serial: 1 };

    fn lease(term: u64, serial: u32) -> Lease {
        Lease { epoch: Epoch { term, leader: ME }, serial }
    }

    #[test]
    fn made_up_workers() {
        let rows = [
            (vec![(BO, lease(1, 1)), (BO, lease(1, 1)), (BO, lease(1, 2))], true, "one after the other"),
            (vec![(BO, lease(1, 2)), (BO, lease(1, 1))], false, "back to an older one"),
            (vec![(BO, lease(2, 1)), (BO, lease(1, 9))], false, "back to an older epoch"),
            (vec![(BO, lease(2, 1)), (CY, lease(1, 9))], true, "two owners that have not met"),
            (vec![(BO, lease(1, 7)), (BO, lease(1, 8))], false, "a forgotten one"),
        ];
        for (chunks, holds, why) in rows {
            let mut leases = Leases::default();
            leases.forget(JOB, lease(1, 8));
            chunks.iter().for_each(|&(owner, lease)| leases.opened(owner, JOB, lease));
            let ran = chunks.iter().try_for_each(|&(_, lease)| leases.run(ME, JOB, lease));
            assert_eq!(ran.is_ok(), holds, "{why}");
        }
    }
}
