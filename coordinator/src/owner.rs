//! Running the jobs that this peer keeps: asking for a lease, opening its stages, taking the tokens, and asking again
//! when anything breaks.
//!
//! ```text
//!   ask --Grant--> open stages n-1..1 --all Opened--> open stage 0 --Token--> append … --> end: Close, Done
//!    ^                                                   |
//!    +------- broken: stage lost, fault, or stall -------+
//! ```

use crate::book::{Book, Record};
use crate::ids::{JobId, Lease, Millis, PeerId};
use crate::io::{End, JobState};
use crate::limits;
use crate::membership::Members;
use crate::outbox::Outbox;
use crate::pace::Pace;
use crate::wire::{self, Ask, Fault, Message, Open, Running, Standing, Token};
use std::collections::{BTreeMap, BTreeSet};

/// All jobs that this peer runs.
#[derive(Debug, Default)]
pub struct Owner {
    works: BTreeMap<JobId, Work>,
}

/// One job's run.
#[derive(Debug, Default)]
struct Work {
    /// The newest lease granted for it.
    seen: Option<Lease>,
    attempt: Option<Attempt>,
    suspect: Option<PeerId>,
    /// Faults and stalls since the last new token.
    failures: u32,
    pace: Pace,
}

#[derive(Debug)]
struct Attempt {
    running: Running,
    /// Stages that have not said Opened yet, stage 0 aside.
    unopened: BTreeSet<PeerId>,
    last_token: Option<Millis>,
    deadline: Millis,
}

/// Why a lease does not go on.
struct Break {
    cause: Cause,
    suspect: Option<PeerId>,
    reason: String,
}

/// Losses are nobody's fault and may come as often as they like; the other two end a job after `ATTEMPTS`.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Cause {
    Loss,
    Fault,
    Stall,
}

/// What an owner's method works with.
pub struct Context<'a> {
    /// The time.
    pub now: Millis,
    /// The room.
    pub members: &'a Members,
    /// Whom this peer follows.
    pub leader: Option<PeerId>,
    /// The jobs.
    pub book: &'a mut Book,
    /// Where messages go.
    pub out: &'a mut Outbox,
}

impl Owner {
    /// Jobs that this peer runs.
    pub fn len(&self) -> usize {
        self.works.len()
    }

    /// Takes up the jobs that this peer keeps now, and lets go of those that it does not keep any more.
    pub fn adopt(&mut self, cx: &mut Context<'_>) {
        let kept = cx.book.kept();
        let lost: Vec<JobId> = self.works.keys().copied().filter(|&job| !cx.book.keeps(job)).collect();
        for job in lost {
            self.release(job, cx);
        }
        for job in kept {
            let full = cx.book.record(job).is_some_and(|record| record.known() >= record.until());
            let news = !self.works.contains_key(&job);
            self.works.entry(job).or_default();
            // Its last keeper left between the last token and the end; that token may come late, in another's copy.
            if full {
                self.finish(job, End::Length, cx);
            } else if news {
                self.ask(job, cx);
            }
        }
    }

    /// Asks the leader for every job, running ones included: that renews their leases.
    pub fn ask_all(&mut self, cx: &mut Context<'_>) {
        for job in self.works.keys().copied().collect::<Vec<_>>() {
            self.ask(job, cx);
        }
    }

    fn ask(&mut self, job: JobId, cx: &mut Context<'_>) {
        let (Some(work), Some(record)) = (self.works.get_mut(&job), cx.book.record(job)) else {
            return;
        };
        let running = work.attempt.as_ref().map(|attempt| attempt.running.clone());
        let idle = running.is_none();
        match cx.leader.filter(|&leader| cx.members.is_live(leader)) {
            Some(leader) => {
                let model = record.job.model;
                let ask = Ask { job, model, running, seen: work.seen, suspect: work.suspect.take() };
                cx.out.send(leader, Message::Ask(ask));
            }
            None if idle => {
                let why = JobState::Waiting("the room has no coordinator at the moment".into());
                cx.book.state(job, why, cx.members, cx.out);
            }
            None => {}
        }
    }

    /// The leader says where a job stands.
    pub fn standing(&mut self, job: JobId, standing: Standing, cx: &mut Context<'_>) {
        let Some(work) = self.works.get(&job).filter(|work| work.attempt.is_none()) else {
            return;
        };
        let recovering = work.seen.is_some();
        let state = match standing {
            Standing::Waiting(why) if recovering => JobState::Recovering(why),
            Standing::Waiting(why) => JobState::Waiting(why),
            Standing::Queued(place) => JobState::Queued(place),
        };
        cx.book.state(job, state, cx.members, cx.out);
    }

    /// The leader grants a lease.
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
        if let Some(old) = work.attempt.take() {
            close(job, &old, cx.out);
        }
        let Some(record) = cx.book.record(job) else {
            return Ok(());
        };
        let lost = running.stages.iter().find(|stage| !cx.members.is_live(stage.peer));
        if let Some(stage) = lost {
            work.suspect = Some(stage.peer);
            self.ask(job, cx);
            return Ok(());
        }
        let stages = running.stages.clone();
        let unopened: BTreeSet<PeerId> = stages.iter().skip(1).map(|stage| stage.peer).collect();
        let alone = stages.first().map(|stage| stage.peer).filter(|_| unopened.is_empty());
        for peer in unopened.iter().copied().chain(alone) {
            cx.out.send(peer, open(record, &running, peer));
        }
        let deadline = cx.now.after(work.pace.first_token_ms(record.known(), &running.stages, cx.members));
        work.attempt = Some(Attempt { running, unopened, last_token: None, deadline });
        cx.book.state(job, JobState::Running(stages), cx.members, cx.out);
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
        let attempt = self.works.get_mut(&job).and_then(|work| work.attempt.as_mut());
        let Some(attempt) = attempt.filter(|attempt| attempt.running.lease == lease) else {
            return Ok(());
        };
        if attempt.unopened.remove(&from)
            && attempt.unopened.is_empty()
            && let (Some(first), Some(record)) = (attempt.running.stages.first(), cx.book.record(job))
        {
            cx.out.send(first.peer, open(record, &attempt.running, first.peer));
        }
        Ok(())
    }

    /// The last stage sampled a token.
    ///
    /// # Errors
    /// Says why it is dropped.
    pub fn token(&mut self, from: PeerId, token: Token, cx: &mut Context<'_>) -> Result<(), String> {
        let Some(work) = self.works.get_mut(&token.job) else {
            return Err("its job does not run here".into());
        };
        let attempt = work.attempt.as_mut().filter(|attempt| attempt.running.lease == token.lease);
        let Some(attempt) = attempt else {
            return Err("its lease is old".into());
        };
        if attempt.running.stages.last().is_none_or(|stage| stage.peer != from) {
            return Err("it comes from a peer that is not the last stage".into());
        }
        let Some(record) = cx.book.record(token.job) else {
            return Ok(());
        };
        let known = record.known();
        if token.position < known {
            // An heir that was handed a longer copy while its ring was catching up.
            let index = token.position.checked_sub(record.job.prompt.len() as u32);
            let same = index.and_then(|index| record.tokens.get(index as usize)) == Some(&token.token);
            return if same { Ok(()) } else { Err("its token differs from the one known".into()) };
        }
        if token.position > known {
            return Err("a token is missing before it".into());
        }
        if let Some(last) = attempt.last_token.replace(cx.now) {
            work.pace.token(cx.now.since(last));
        }
        work.failures = 0;
        attempt.deadline = cx.now.after(work.pace.next_token_ms());
        let full = known + 1 >= record.until();
        if !token.end {
            cx.book.append(token.job, token.token, cx.members, cx.out);
        }
        if token.end || full {
            self.finish(token.job, if token.end { End::Finished } else { End::Length }, cx);
        }
        Ok(())
    }

    /// A stage gives a session up.
    ///
    /// # Errors
    /// Says why it is not believed.
    pub fn fault(&mut self, from: PeerId, fault: Fault, cx: &mut Context<'_>) -> Result<(), String> {
        let attempt = self.works.get(&fault.job).and_then(|work| work.attempt.as_ref());
        let Some(attempt) = attempt.filter(|attempt| attempt.running.lease == fault.lease) else {
            return Ok(());
        };
        if !attempt.running.stages.iter().any(|stage| stage.peer == from) {
            return Err("it is no stage of the job".into());
        }
        let reason = format!("{}: {}", cx.members.name(from), fault.reason);
        let cause = if fault.suspect == Some(from) { Cause::Fault } else { Cause::Loss };
        self.broken(fault.job, Break { cause, suspect: fault.suspect, reason }, cx);
        Ok(())
    }

    /// Stages that went, and leases that stall.
    pub fn check(&mut self, cx: &mut Context<'_>) {
        let breaks = |work: &Work| {
            let attempt = work.attempt.as_ref()?;
            let lost = attempt.running.stages.iter().find(|stage| !cx.members.is_live(stage.peer));
            if let Some(stage) = lost {
                let reason = format!("lost {}", cx.members.name(stage.peer));
                return Some(Break { cause: Cause::Loss, suspect: Some(stage.peer), reason });
            }
            let suspect = attempt.unopened.first().copied();
            let stall =
                || Break { cause: Cause::Stall, suspect, reason: "no token came for too long".into() };
            (cx.now >= attempt.deadline).then(stall)
        };
        let broken: Vec<(JobId, Break)> =
            self.works.iter().filter_map(|(&job, work)| Some((job, breaks(work)?))).collect();
        for (job, what) in broken {
            self.broken(job, what, cx);
        }
    }

    /// A job ends here: by itself, or because the person stopped it.
    pub fn finish(&mut self, job: JobId, end: End, cx: &mut Context<'_>) {
        cx.book.finish(job, end, cx.members, cx.out);
        self.release(job, cx);
    }

    fn broken(&mut self, job: JobId, what: Break, cx: &mut Context<'_>) {
        let Some(work) = self.works.get_mut(&job) else {
            return;
        };
        if let Some(attempt) = work.attempt.take() {
            close(job, &attempt, cx.out);
        }
        work.suspect = what.suspect;
        work.failures += u32::from(what.cause != Cause::Loss);
        if what.cause == Cause::Stall {
            work.pace.stalled();
        }
        let reason = wire::clip(&what.reason, limits::REASON_BYTES / 2);
        if work.failures >= limits::ATTEMPTS {
            let tries = work.failures;
            let why =
                format!("tried {tries} times, the last time {reason}. Write it again when the room is well");
            return self.finish(job, End::Failed(why), cx);
        }
        cx.book.state(job, JobState::Recovering(reason), cx.members, cx.out);
        self.ask(job, cx);
    }

    fn release(&mut self, job: JobId, cx: &mut Context<'_>) {
        let Some(work) = self.works.remove(&job) else {
            return;
        };
        if let Some(attempt) = &work.attempt {
            close(job, attempt, cx.out);
        }
        if let Some(leader) = cx.leader.filter(|&leader| cx.members.is_live(leader)) {
            cx.out.send(leader, Message::Done(job));
        }
    }
}

fn open(record: &Record, running: &Running, peer: PeerId) -> Message {
    let first = running.stages.first().is_some_and(|stage| stage.peer == peer);
    let last = running.stages.last().is_some_and(|stage| stage.peer == peer);
    let tokens = if first { [record.job.prompt.as_slice(), &record.tokens].concat() } else { Vec::new() };
    Message::Open(Box::new(Open {
        job: record.job.id,
        lease: running.lease,
        stages: running.stages.clone(),
        prompt: record.job.prompt.len() as u32,
        known: record.known(),
        until: record.until(),
        tokens,
        sampling: if last { record.job.sampling.clone() } else { Vec::new() },
    }))
}

fn close(job: JobId, attempt: &Attempt, out: &mut Outbox) {
    for stage in &attempt.running.stages {
        out.send(stage.peer, Message::Close(job, attempt.running.lease));
    }
}

#[cfg(test)]
mod tests;
