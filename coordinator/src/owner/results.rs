//! What comes of running jobs: tokens, latents, tiles.

use super::{Context, Owner, close};
use crate::credit;
use crate::ids::{JobId, PeerId};
use crate::io::{End, Event, Progress, Stage, Work as Kind};
use crate::mutation::{self, Mutation};
use crate::pieces::{self, Got, Split};
use crate::wire::{Blob, Token};

impl Owner {
    /// The last stage sampled a token.
    ///
    /// # Errors
    /// Says why it is dropped.
    pub fn token(&mut self, from: PeerId, token: Token, cx: &mut Context<'_>) -> Result<(), String> {
        let Some(work) = self.works.get_mut(&token.job) else {
            return Err("its job does not run here".into());
        };
        let late = mutation::on(Mutation::AcceptLateResult);
        let attempt =
            work.attempts.get_mut(&0).filter(|attempt| late || attempt.running.lease == token.lease);
        let Some(attempt) = attempt else {
            return Err("its lease is old".into());
        };
        if !late && attempt.running.stages.last().is_none_or(|stage| stage.peer != from) {
            return Err("it comes from a peer that is not the last stage".into());
        }
        let Some((record, text)) = cx.book.record(token.job).and_then(|r| Some((r, r.text()?))) else {
            return Err("a token for a job that is no text".into());
        };
        let known = record.known();
        if token.position < known && !mutation::on(Mutation::CountTwice) {
            // An heir that was handed a longer copy while its ring was catching up.
            let index = token.position.checked_sub(text.prompt.len() as u32);
            let same = index.and_then(|index| record.tokens.get(index as usize)) == Some(&token.token);
            return if same { Ok(()) } else { Err("its token differs from the one known".into()) };
        }
        if token.position > known {
            return Err("a token is missing before it".into());
        }
        if let Some(last) = attempt.last_result.replace(cx.now) {
            work.pace.result(cx.now.since(last));
        }
        (work.failures, work.breaks) = (0, 0);
        attempt.deadline = cx.now.after(work.pace.next_result_ms(attempt.first_ms));
        let full = known + 1 >= record.until();
        let (model, stages) = (record.job.model, attempt.running.stages.clone());
        pay(cx, &stages, |stage| u64::from(stage.layers.len()), model);
        if !token.end {
            let at = cx.book.record(token.job).map_or(0, |record| record.tokens.len() as u32);
            cx.book.append(token.job, token.token, cx.members, cx.out);
            if !token.note.is_empty() {
                cx.out.event(Event::Note { job: token.job, at, note: token.note });
            }
        }
        if token.end || full {
            self.finish(token.job, if token.end { End::Finished } else { End::Length }, cx);
        }
        Ok(())
    }

    /// A member of a crew made a latent or a tile.
    ///
    /// # Errors
    /// Says why it is dropped.
    pub fn blob(&mut self, from: PeerId, blob: Blob, cx: &mut Context<'_>) -> Result<(), String> {
        let Some((attempt, unit)) = self.attempt(blob.job, blob.lease) else {
            return Err("a part of a picture under an old lease".into());
        };
        let place = attempt.running.stages.iter().position(|stage| stage.peer == from);
        let place = place.ok_or("a part of a picture from a peer that has no part in it")?;
        let (stages, bands) = (attempt.running.stages.clone(), attempt.running.bands);
        let Some(record) = cx.book.record(blob.job) else {
            return Ok(());
        };
        let Kind::Picture(picture) = &record.job.work else {
            return Err("a part of a picture for a job without pictures".into());
        };
        let (shape, model) = (picture.shape, record.job.model);
        let split = Split::of(&stages)?.in_bands(bands, shape)?;
        let before = record.pictures.get(&unit).map_or(0, |canvas| canvas.done);
        let (progress, passes) = match pieces::got(blob.number, shape) {
            Some(Got::Latent(done)) if place == 0 => {
                let passes = u64::from(done.saturating_sub(before)) * (1 + u64::from(shape.guided));
                (Progress::Step { done, latent: blob.bytes }, passes)
            }
            Some(Got::Tile(tile)) if split.decodes(tile) == place => {
                (Progress::Tile { tile, pixels: blob.bytes }, 1)
            }
            _ => return Err("a part of a picture that is not its to make".into()),
        };
        let steps = matches!(progress, Progress::Step { .. });
        if cx.book.advance(blob.job, unit, progress, cx.members, cx.out)? {
            let payees = if steps { &stages[..split.steppers(shape)] } else { &stages[place..=place] };
            // Stages run every pass through their own layers; others share the passes.
            let share = if matches!(split, Split::Blocks { .. }) { 1 } else { payees.len() as u64 };
            pay(cx, payees, |stage| passes * u64::from(stage.layers.len()) / share, model);
            if steps && let Some(work) = self.works.get_mut(&blob.job) {
                work.makers.insert(unit, from);
            }
            self.progressed(blob.job, unit, cx);
        }
        Ok(())
    }

    fn progressed(&mut self, job: JobId, unit: u16, cx: &mut Context<'_>) {
        let Some(work) = self.works.get_mut(&job) else { return };
        (work.failures, work.breaks) = (0, 0);
        if let Some(attempt) = work.attempts.get_mut(&unit) {
            if let Some(last) = attempt.last_result.replace(cx.now) {
                work.pace.result(cx.now.since(last));
            }
            attempt.deadline = cx.now.after(work.pace.next_result_ms(attempt.first_ms));
        }
        let open = cx.book.record(job).map_or(0, |record| record.open_units());
        if open & (1 << (unit % 64)) == 0
            && let Some(done) = work.attempts.remove(&unit)
        {
            close(job, &done, cx.out);
        }
        if open == 0 {
            self.finish(job, End::Finished, cx);
        } else if !self.works.get(&job).is_some_and(|work| work.attempts.contains_key(&unit)) {
            self.ask(job, cx);
        }
    }
}

/// Receipts for work received: weights read, by layer passes.
fn pay(cx: &mut Context<'_>, stages: &[Stage], passes: impl Fn(&Stage) -> u64, model: crate::ids::ModelId) {
    let Some(spec) = cx.members.model(model) else { return };
    let (now, me, layer_bytes) = (cx.now, cx.members.me(), spec.layer_bytes);
    for stage in stages.iter().filter(|stage| stage.peer != me) {
        cx.ledger.issue(now, stage.peer, credit::for_bytes(layer_bytes.saturating_mul(passes(stage))));
    }
}

#[cfg(test)]
mod tests;
