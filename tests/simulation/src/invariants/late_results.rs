//! Nothing counts that comes under a lease which its keeper has closed.
//!
//! The token would mostly be the right one; but a stage that was given up may be one that computes wrongly.

use coordinator::{JobId, Lease};
use std::collections::BTreeSet;

/// The leases that one keeper has closed.
#[derive(Debug, Default)]
pub struct Closed(BTreeSet<(JobId, Lease)>);

impl Closed {
    /// The keeper tells a stage that a lease is over.
    pub fn close(&mut self, job: JobId, lease: Lease) {
        self.0.insert((job, lease));
    }

    /// A token under this lease reached the keeper; `grew` says whether the answer did.
    ///
    /// # Errors
    /// Names the late result that was taken.
    pub fn token(&self, job: JobId, lease: Lease, grew: bool) -> Result<(), String> {
        if grew && self.0.contains(&(job, lease)) {
            return Err(format!("{job:?}: a late result under {lease:?} was taken, which is closed"));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use coordinator::{Epoch, PeerId};

    #[test]
    fn made_up_tokens() {
        let job = JobId { requester: PeerId(1), serial: 1 };
        let lease = |serial| Lease { epoch: Epoch { term: 1, leader: PeerId(1) }, serial };
        let mut closed = Closed::default();
        closed.close(job, lease(1));
        let rows = [
            (lease(1), true, false, "taken under a closed lease"),
            (lease(1), false, true, "dropped"),
            (lease(2), true, true, "taken under the next"),
        ];
        for (lease, grew, holds, why) in rows {
            assert_eq!(closed.token(job, lease, grew).is_ok(), holds, "{why}");
        }
    }
}
