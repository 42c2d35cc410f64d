//! Nobody waits for ever: in a room where stories keep coming, each begins before too many that were asked for later.

use crate::witness::Witness;
use coordinator::{JobId, PeerId};

/// One story's wait, in virtual milliseconds, as its asker's screen shows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wait {
    /// Which.
    pub job: JobId,
    /// When it was asked for.
    pub asked_ms: u64,
    /// When it first ran; None if it still waits.
    pub began_ms: Option<u64>,
}

/// The waits of all stories, each from its asker's screen.
#[must_use]
pub fn waits(screens: &[(PeerId, &Witness)]) -> Vec<Wait> {
    let own = screens.iter().flat_map(|(id, witness)| {
        witness.jobs.iter().filter(|(job, _)| job.requester == *id).map(|(&job, seen)| Wait {
            job,
            asked_ms: seen.appeared,
            began_ms: seen.began,
        })
    });
    own.collect()
}

/// Checks that no story was overtaken by more than `most` that were asked for later.
///
/// # Errors
/// Names the story that was.
pub fn check(waits: &[Wait], most: usize) -> Result<(), String> {
    for wait in waits {
        let overtakes = |other: &&Wait| {
            other.asked_ms > wait.asked_ms
                && other.began_ms.is_some_and(|began| wait.began_ms.is_none_or(|own| began < own))
        };
        let overtaken = waits.iter().filter(overtakes).count();
        if overtaken > most {
            return Err(format!("{:?} was overtaken by {overtaken} stories, asked for later", wait.job));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn made_up_queues() {
        let wait = |serial: u32, asked_ms, began_ms| Wait {
            job: JobId { requester: PeerId(1), serial },
            asked_ms,
            began_ms,
        };
        let rows = [
            (vec![wait(1, 0, Some(10)), wait(2, 1, Some(20))], true, "in turn"),
            (vec![wait(1, 0, Some(30)), wait(2, 1, Some(20))], true, "one overtakes"),
            (vec![wait(1, 0, Some(30)), wait(2, 1, Some(20)), wait(3, 2, Some(25))], false, "two do"),
            (vec![wait(1, 0, None), wait(2, 1, Some(20)), wait(3, 2, Some(25))], false, "it still waits"),
            (vec![wait(1, 0, None), wait(2, 1, None), wait(3, 2, None)], true, "all wait"),
        ];
        for (waits, holds, why) in rows {
            assert_eq!(check(&waits, 1).is_ok(), holds, "{why}");
        }
    }
}
