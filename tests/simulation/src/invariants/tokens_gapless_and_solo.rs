//! Every answer on every screen, of those who left too, is gapless and in order, and is what one peer alone writes.
//!
//! That nothing is missing or repeated is seen when it happens, by [`Witness`].

use crate::toy;
use crate::witness::{Seen, Witness};
use coordinator::io::End;

/// Checks one screen.
///
/// # Errors
/// Names the job and how it differs.
pub fn check(layers: u16, witness: &Witness) -> Result<(), String> {
    if let Some(broken) = witness.broken.first() {
        return Err(broken.clone());
    }
    witness.jobs.values().try_for_each(|seen| check_job(layers, seen))
}

fn check_job(layers: u16, seen: &Seen) -> Result<(), String> {
    let job = &seen.job;
    let (solo, end) = toy::solo(layers, &job.prompt, job.max_new, &job.sampling);
    if !solo.starts_with(&seen.tokens) {
        let at = seen.tokens.iter().zip(&solo).take_while(|(a, b)| a == b).count();
        return Err(format!("{:?}: differs from the solo run at token {at} of {}", job.id, solo.len()));
    }
    let whole = matches!(&seen.end, Some(End::Finished | End::Length));
    if whole && (seen.tokens.len() != solo.len() || seen.end.as_ref() != Some(&end)) {
        let count = seen.tokens.len();
        return Err(format!(
            "{:?}: {:?} after {count} tokens, solo {end:?} after {}",
            job.id,
            seen.end,
            solo.len()
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use coordinator::io::Job;
    use coordinator::{Event, JobId, ModelId, PeerId};

    const ID: JobId = JobId { requester: PeerId(1), serial: 1 };

    fn job() -> Job {
        let (author, text) = (String::new(), String::new());
        Job {
            id: ID,
            model: ModelId([0; 32]),
            author,
            text,
            prompt: vec![1, 2, 3],
            max_new: 5,
            sampling: vec![9],
        }
    }

    #[test]
    fn made_up_answers() {
        let job = job();
        let (solo, end) = toy::solo(4, &job.prompt, job.max_new, &job.sampling);
        let changed: Vec<u32> = solo.iter().map(|token| token ^ 1).collect();
        let ended = |end: &End| Event::Ended { job: ID, end: end.clone() };
        let grown = |from: usize, tokens: &[u32]| Event::Tokens {
            job: ID,
            from: from as u32,
            tokens: tokens.to_vec(),
        };
        let rows = [
            (vec![grown(0, &solo), ended(&end)], true, "the whole answer"),
            (vec![grown(0, &solo[..2])], true, "its beginning"),
            (vec![grown(0, &solo[..2]), ended(&end)], false, "ended too early"),
            (vec![grown(0, &changed)], false, "other tokens"),
            (vec![grown(1, &solo[1..])], false, "a gap"),
            (vec![grown(0, &solo[..2]), grown(1, &solo[1..])], false, "a token twice"),
            (vec![ended(&End::Stopped), ended(&End::Stopped)], false, "two ends"),
        ];
        for (events, holds, why) in rows {
            let mut witness = Witness::default();
            witness.see(Event::Job { job: job.clone(), tokens: vec![] });
            events.into_iter().for_each(|event| witness.see(event));
            assert_eq!(check(4, &witness).is_ok(), holds, "{why}");
        }
    }
}
