//! From a grant to running stages.

use super::{Attempt, Context, Owner, close, workers};
use crate::book::Record;
use crate::ids::{JobId, Lease, PeerId};
use crate::io::{JobState, PictureWork, TextWork, Work as Kind};
use crate::limits;
use crate::pieces::{self, Split};
use crate::wire::{Blob, Message, Open, OpenPart, OpenPicture, OpenText, Running};
use std::collections::BTreeSet;

impl Owner {
    /// The leader grants a lease. A newer one takes an older one's place: the unit moves, by replay.
    ///
    /// # Errors
    /// Says why it is not taken.
    pub fn grant(&mut self, job: JobId, running: Running, cx: &mut Context<'_>) -> Result<(), String> {
        let Some(work) = self.works.get_mut(&job) else {
            cx.out.send(running.lease.epoch.leader, Message::Done(job));
            return Ok(());
        };
        if work.seen >= Some(running.lease) {
            return Err("its lease is old".into());
        }
        work.seen = Some(running.lease);
        let Some(record) = cx.book.record(job) else {
            return Ok(());
        };
        if running.bands > 0 && !record.allows_stale() {
            return Err("it is to be painted in bands, which nobody allowed".into());
        }
        let open = record.open_units() & (1 << (running.unit % 64)) != 0;
        let lost = running.stages.iter().find(|stage| !cx.members.is_live(stage.peer));
        if let Some(old) = work.attempts.remove(&running.unit) {
            close(job, &old, cx.out);
        }
        if lost.is_some() || !open || running.stages.is_empty() {
            work.suspect = lost.map(|stage| stage.peer);
            self.ask(job, cx);
            return Ok(());
        }
        let picture = record.text().is_none();
        let unopened: BTreeSet<PeerId> =
            running.stages.iter().skip(usize::from(!picture)).map(|stage| stage.peer).collect();
        let others: Vec<PeerId> = running.stages.iter().skip(1).map(|stage| stage.peer).collect();
        let alone = running.stages.first().filter(|_| others.is_empty()).map(|stage| stage.peer);
        for peer in others.into_iter().chain(alone) {
            cx.out.send(peer, open_message(record, &running, peer));
        }
        let first_ms = work.pace.first_result_ms(record, &running.stages, cx.members);
        let deadline = cx.now.after(work.pace.patient(first_ms));
        // What a text waits for longest is its prompt; a picture's next latent takes as long as the first.
        let first_ms = if picture { first_ms } else { limits::FIRST_TOKEN_MS };
        let unit = running.unit;
        work.attempts.insert(unit, Attempt { running, unopened, last_result: None, first_ms, deadline });
        let state = JobState::Running(workers(work));
        cx.book.state(job, state, cx.members, cx.out);
        // The leader hears at once that the grant was taken.
        self.ask(job, cx);
        Ok(())
    }

    /// A stage has opened its session.
    ///
    /// # Errors
    /// Says why it is not believed.
    pub fn opened(
        &mut self,
        from: PeerId,
        job: JobId,
        lease: Lease,
        cx: &mut Context<'_>,
    ) -> Result<(), String> {
        let attempts = self.works.get_mut(&job).map(|work| &mut work.attempts);
        let attempt = attempts.and_then(|all| all.values_mut().find(|a| a.running.lease == lease));
        let (Some(attempt), Some(record)) = (attempt, cx.book.record(job)) else {
            return Ok(());
        };
        if !attempt.unopened.remove(&from) {
            return Ok(());
        }
        // Stage 0 is opened last: what it sends finds the others open.
        if let Some(first) = attempt.running.stages.first().map(|stage| stage.peer)
            && attempt.unopened.iter().all(|peer| *peer == first)
            && from != first
        {
            cx.out.send(first, open_message(record, &attempt.running, first));
        }
        let canvas = record.pictures.get(&attempt.running.unit).filter(|canvas| canvas.checkpoint() > 0);
        if let Some(canvas) = canvas.filter(|canvas| starts_from_latent(record, attempt, from, canvas.done)) {
            let (number, bytes) = (pieces::latent(canvas.done), canvas.latent.clone());
            cx.out.send(from, Message::Blob(Blob { job, lease, number, bytes }));
        }
        Ok(())
    }
}

/// Whether a member's first pieces need the latent that the keeper has.
fn starts_from_latent(record: &Record, attempt: &Attempt, member: PeerId, done: u16) -> bool {
    let (Kind::Picture(work), stages) = (&record.job.work, &attempt.running.stages) else { return false };
    let Some(at) = stages.iter().position(|stage| stage.peer == member) else { return false };
    let bands = attempt.running.bands;
    let Ok(split) = Split::of(stages).and_then(|split| split.in_bands(bands, work.shape)) else {
        return false;
    };
    let ops = pieces::program(work.shape, split, at, done, 0);
    ops.iter().any(|op| op.inputs.contains(&pieces::latent(done)))
}

fn open_message(record: &Record, running: &Running, peer: PeerId) -> Message {
    let part = match &record.job.work {
        Kind::Text(text) => OpenPart::Text(open_text(record, text, running, peer)),
        Kind::Picture(work) => OpenPart::Picture(open_picture(record, work, running)),
    };
    let (job, model) = (record.job.id, record.job.model);
    let (lease, stages) = (running.lease, running.stages.clone());
    Message::Open(Box::new(Open { job, lease, model, stages, part }))
}

fn open_text(record: &Record, text: &TextWork, running: &Running, peer: PeerId) -> OpenText {
    let first = running.stages.first().is_some_and(|stage| stage.peer == peer);
    let last = running.stages.last().is_some_and(|stage| stage.peer == peer);
    let mut tokens = Vec::new();
    if first || last {
        tokens = [text.prompt.as_slice(), &record.tokens].concat();
    }
    if !first {
        tokens.drain(..tokens.len().saturating_sub(limits::RECENT));
    }
    OpenText {
        known: record.known(),
        until: record.until(),
        tokens,
        sampling: if last { text.sampling.clone() } else { Vec::new() },
    }
}

fn open_picture(record: &Record, work: &PictureWork, running: &Running) -> OpenPicture {
    let canvas = record.pictures.get(&running.unit);
    OpenPicture {
        unit: running.unit,
        bands: running.bands,
        shape: work.shape,
        done: canvas.map_or(0, |canvas| canvas.checkpoint()),
        tiles: canvas.map_or(0, |canvas| canvas.tile_bits()),
        settings: work.settings.clone(),
    }
}
