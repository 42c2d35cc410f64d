//! Every answer on every screen, of those who left too, is gapless and in order, and is what one peer alone writes.
//!
//! That nothing is missing or repeated is seen when it happens, by [`Witness`].

use crate::toy;
use crate::witness::{Seen, Witness};
use coordinator::io::{End, PictureWork, Work};

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
    let text = match &job.work {
        Work::Text(text) => text,
        Work::Picture(work) => return check_pictures(work, seen),
    };
    let (solo, end) = toy::solo(layers, &text.prompt, text.max_new, &text.sampling);
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

/// Every tile is what one peer alone paints, and a finished job has all of them. A picture whose asker allowed stale
/// neighbours may be another one: which, depends on who was lost on the way.
fn check_pictures(work: &PictureWork, seen: &Seen) -> Result<(), String> {
    for unit in 0..work.shape.count {
        let solo = toy::picture::solo(work, unit);
        for (tile, pixels) in (0..).zip(&solo) {
            match seen.tiles.get(&(unit, tile)) {
                Some(painted) if painted != pixels && !work.shape.stale => {
                    return Err(format!(
                        "{:?}: tile {tile} of picture {unit} differs from solo",
                        seen.job.id
                    ));
                }
                None if seen.end == Some(End::Finished) => {
                    return Err(format!("{:?}: it ended without tile {tile} of picture {unit}", seen.job.id));
                }
                _ => {}
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use coordinator::io::{Job, TextWork, Work};
    use coordinator::{Event, JobId, ModelId, PeerId};

    const ID: JobId = JobId { requester: PeerId(1), serial: 1 };

    fn job() -> Job {
        let (author, text) = (String::new(), String::new());
        Job {
            id: ID,
            model: ModelId([0; 32]),
            author,
            text,
            work: Work::Text(TextWork { prompt: vec![1, 2, 3], max_new: 5, sampling: vec![9] }),
        }
    }

    #[test]
    fn made_up_answers() {
        let job = job();
        let (solo, end) = toy::solo(4, &[1, 2, 3], 5, &[9]);
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
            witness.see(0, Event::Job { job: job.clone(), tokens: vec![] });
            events.into_iter().for_each(|event| witness.see(0, event));
            assert_eq!(check(4, &witness).is_ok(), holds, "{why}");
        }
    }
}
