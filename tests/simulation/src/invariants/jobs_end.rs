//! Every job that any survivor knows ends, on every survivor's screen, in the same way, exactly once.
//!
//! That it ends only once is seen when it happens, by [`Witness`].

use crate::witness::Witness;
use coordinator::PeerId;
use coordinator::io::End;
use std::collections::BTreeMap;

/// Checks the survivors' screens.
///
/// # Errors
/// Names the job and the peer.
pub fn check(survivors: &[(PeerId, &Witness)], failures_allowed: bool) -> Result<(), String> {
    let mut ends: BTreeMap<_, &End> = BTreeMap::new();
    for (peer, witness) in survivors {
        for (id, seen) in &witness.jobs {
            let Some(end) = &seen.end else {
                return Err(format!("{peer}: {id:?} has not ended: {:?}", seen.state));
            };
            if !failures_allowed && let End::Failed(why) = end {
                return Err(format!("{peer}: {id:?} failed: {why}"));
            }
            // A stop and an end of its own may meet on the way: each screen shows what came first.
            let other = *ends.entry(id).or_insert(end);
            let told = [end, other].iter().any(|end| matches!(end, End::Stopped | End::Failed(_)));
            if other != end && !told {
                return Err(format!("{peer}: {id:?} ended with {end:?}, elsewhere with {other:?}"));
            }
        }
    }
    for (peer, witness) in survivors {
        if let Some(id) = ends.keys().find(|id| !witness.jobs.contains_key(id)) {
            return Err(format!("{peer} never saw {id:?}"));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::witness::Seen;
    use coordinator::io::{Job, TextWork, Work};
    use coordinator::{JobId, ModelId};

    fn screen(end: Option<End>) -> Witness {
        let id = JobId { requester: PeerId(1), serial: 1 };
        let (author, text) = (String::new(), String::new());
        let job = Job {
            id,
            model: ModelId([0; 32]),
            author,
            text,
            work: Work::Text(TextWork { prompt: vec![1], max_new: 1, sampling: vec![] }),
        };
        let mut witness = Witness::default();
        witness.jobs.insert(id, Seen { end, ..Seen::new(0, job, vec![]) });
        witness
    }

    #[test]
    fn made_up_screens() {
        let failed = || Some(End::Failed("no".into()));
        let rows = [
            (screen(Some(End::Length)), screen(Some(End::Length)), true, "ended on both"),
            (screen(Some(End::Length)), screen(None), false, "open on one"),
            (screen(Some(End::Length)), screen(Some(End::Finished)), false, "ended in two ways"),
            (screen(Some(End::Length)), screen(Some(End::Stopped)), true, "stopped in the last moment"),
            (screen(Some(End::Length)), Witness::default(), false, "one never heard of it"),
            (screen(failed()), screen(failed()), false, "a failure in a room without faults"),
        ];
        for (a, b, holds, why) in rows {
            assert_eq!(check(&[(PeerId(1), &a), (PeerId(2), &b)], false).is_ok(), holds, "{why}");
        }
    }
}
