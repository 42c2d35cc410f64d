//! Running the jobs that this peer keeps: asking for leases, opening their stages, taking what comes of them, and asking
//! again when anything breaks. A text job has one unit, a picture job one per picture; each runs under its own lease.
//!
//! ```text
//!   ask --Grant--> open stages n-1..1 --all Opened--> open stage 0 --Token--> append … --> end: Close, Done
//!    ^                                                   |        `--Blob---> paint …
//!    +------- broken: stage lost, fault, or stall -------+
//! ```

use crate::book::{Book, Record};
use crate::credit::Ledger;
use crate::election::Election;
use crate::ids::{JobId, Lease, Millis, PeerId};
use crate::io::{End, JobState, Stage};
use crate::limits;
use crate::membership::Members;
use crate::mutation::{self, Mutation};
use crate::outbox::Outbox;
use crate::pace::Pace;
use crate::wire::{self, Ask, Demand, Fault, Message, Running, Standing};
use std::collections::{BTreeMap, BTreeSet};

mod opening;
mod results;

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
    /// By unit.
    attempts: BTreeMap<u16, Attempt>,
    /// Who made the newest latent of each picture, as far as it came to this peer.
    makers: BTreeMap<u16, PeerId>,
    suspect: Option<PeerId>,
    /// Leases broken one after the other without anything new, whatever broke them.
    breaks: u32,
    /// When to ask again after the last of them.
    ask_at: Millis,
    /// Faults and stalls since anything new came.
    failures: u32,
    pace: Pace,
}

#[derive(Debug)]
struct Attempt {
    running: Running,
    /// Stages that have not said Opened yet; for text, stage 0 aside.
    unopened: BTreeSet<PeerId>,
    last_result: Option<Millis>,
    /// Milliseconds that a result may take before the job's pace is known.
    first_ms: u64,
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
    /// Who has to know that something was asked.
    pub election: &'a mut Election,
    /// The jobs.
    pub book: &'a mut Book,
    /// Who did how much of them.
    pub ledger: &'a mut Ledger,
    /// Where messages go.
    pub out: &'a mut Outbox,
}

impl Context<'_> {
    fn live_leader(&self) -> Option<PeerId> {
        self.leader.filter(|&leader| self.members.is_live(leader))
    }
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
            let full = cx.book.record(job).is_some_and(Record::is_full);
            let news = !self.works.contains_key(&job);
            self.works.entry(job).or_default();
            // Its last keeper left between the last token and the end; that token may come late, in another's copy.
            if full {
                let text = cx.book.record(job).is_some_and(|record| record.text().is_some());
                self.finish(job, if text { End::Length } else { End::Finished }, cx);
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
        if cx.now < work.ask_at && work.attempts.is_empty() {
            return;
        }
        let Some(leader) = cx.live_leader() else {
            if work.attempts.is_empty() {
                let why = JobState::Waiting("the room has no coordinator at the moment".into());
                cx.book.state(job, why, cx.members, cx.out);
            }
            return;
        };
        let running: Vec<Running> = work.attempts.values().map(|attempt| attempt.running.clone()).collect();
        let busy = running.iter().fold(0, |bits, running| bits | 1_u64 << (running.unit % 64));
        let ask = Ask {
            job,
            model: record.job.model,
            demand: demand(record, &work.pace),
            running,
            waiting: record.open_units() & !busy,
            seen: work.seen,
            suspect: work.suspect.take(),
        };
        cx.election.asked(cx.now);
        cx.out.send(leader, Message::Ask(Box::new(ask)));
    }

    /// The leader says where a job stands.
    pub fn standing(&mut self, job: JobId, standing: Standing, cx: &mut Context<'_>) {
        let Some(work) = self.works.get(&job).filter(|work| work.attempts.is_empty()) else {
            return;
        };
        let recovering = work.seen.is_some();
        let state = match standing {
            Standing::Runs => return,
            Standing::Waiting(why) if recovering => JobState::Recovering(why),
            Standing::Waiting(why) => JobState::Waiting(why),
            Standing::Queued { place, wait_ms } => JobState::Queued { place, wait_ms },
        };
        cx.book.state(job, state, cx.members, cx.out);
    }

    /// A stage gives a session up.
    ///
    /// # Errors
    /// Says why it is not believed.
    pub fn fault(&mut self, from: PeerId, fault: Fault, cx: &mut Context<'_>) -> Result<(), String> {
        let Some((_, unit)) = self.attempt(fault.job, fault.lease) else {
            return Ok(());
        };
        let stages = self.works.get(&fault.job).and_then(|work| work.attempts.get(&unit));
        if !stages.is_some_and(|attempt| attempt.running.stages.iter().any(|stage| stage.peer == from)) {
            return Err("it is no stage of the job".into());
        }
        let reason = format!("{}: {}", cx.members.name(from), fault.reason);
        // Work that is no good is somebody's fault, and a job is not to try the same again for ever.
        let own = fault.suspect == Some(from) || fault.refused.is_some();
        let cause = if own { Cause::Fault } else { Cause::Loss };
        let suspect = self.unmask(unit, &fault, cx);
        self.broken(fault.job, unit, Break { cause, suspect, reason }, cx);
        Ok(())
    }

    /// Whose fault it is. A latent that no device can work with is forgotten; it is to blame on whoever made it, and not on
    /// this peer, which only kept it.
    fn unmask(&mut self, unit: u16, fault: &Fault, cx: &mut Context<'_>) -> Option<PeerId> {
        let refused = fault.refused.is_some_and(|number| cx.book.forget_latent(fault.job, unit, number));
        if !refused || fault.suspect != Some(cx.members.me()) {
            return fault.suspect;
        }
        self.works.get_mut(&fault.job).and_then(|work| work.makers.remove(&unit))
    }

    /// Stages that went, and leases that stall.
    pub fn check(&mut self, cx: &mut Context<'_>) {
        let mut broken = Vec::new();
        for (&job, work) in &self.works {
            for (&unit, attempt) in &work.attempts {
                broken.extend(attempt.breaks(cx).map(|what| (job, unit, what)));
            }
        }
        for (job, unit, what) in broken {
            self.broken(job, unit, what, cx);
        }
    }

    /// A job ends here: by itself, or because the person stopped it.
    pub fn finish(&mut self, job: JobId, end: End, cx: &mut Context<'_>) {
        cx.book.finish(job, end, cx.members, cx.out);
        self.release(job, cx);
    }

    fn broken(&mut self, job: JobId, unit: u16, what: Break, cx: &mut Context<'_>) {
        let Some(work) = self.works.get_mut(&job) else {
            return;
        };
        if let Some(attempt) = work.attempts.remove(&unit) {
            close(job, &attempt, cx.out);
        }
        work.suspect = what.suspect;
        // The first loss is asked for again at once; what breaks again and again waits, or a room without a place for a
        // job would do nothing but grant and refuse it.
        work.breaks += 1;
        if work.breaks > 1 {
            work.ask_at = cx.now.after(limits::BACK_OFF_MS << (work.breaks - 2).min(4));
        }
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
        if work.attempts.is_empty() {
            cx.book.state(job, JobState::Recovering(reason), cx.members, cx.out);
        }
        self.ask(job, cx);
    }

    /// The unit that runs under a lease.
    fn attempt(&self, job: JobId, lease: Lease) -> Option<(&Attempt, u16)> {
        let attempts = &self.works.get(&job)?.attempts;
        attempts.iter().find(|(_, a)| a.running.lease == lease).map(|(&unit, attempt)| (attempt, unit))
    }

    fn release(&mut self, job: JobId, cx: &mut Context<'_>) {
        let Some(work) = self.works.remove(&job) else {
            return;
        };
        for attempt in work.attempts.values() {
            close(job, attempt, cx.out);
        }
        if let Some(leader) = cx.live_leader() {
            cx.out.send(leader, Message::Done(job));
        }
    }
}

impl Attempt {
    fn breaks(&self, cx: &Context<'_>) -> Option<Break> {
        let lost = self.running.stages.iter().find(|stage| !cx.members.is_live(stage.peer));
        if let Some(stage) = lost {
            let reason = format!("lost {}", cx.members.name(stage.peer));
            return Some(Break { cause: Cause::Loss, suspect: Some(stage.peer), reason });
        }
        let suspect = self.unopened.first().copied();
        let stall = || Break { cause: Cause::Stall, suspect, reason: "nothing came for too long".into() };
        (cx.now >= self.deadline).then(stall)
    }
}

fn demand(record: &Record, pace: &Pace) -> Demand {
    match &record.job.work {
        crate::io::Work::Text(text) => Demand::Text {
            prompt: text.prompt.len() as u32,
            known: record.known(),
            left: record.until().saturating_sub(record.known()),
            gap_ms: pace.gap_ms(),
        },
        crate::io::Work::Picture(work) => Demand::Picture(work.shape),
    }
}

fn close(job: JobId, attempt: &Attempt, out: &mut Outbox) {
    if mutation::on(Mutation::NoRelease) {
        return;
    }
    for stage in &attempt.running.stages {
        out.send(stage.peer, Message::Close(job, attempt.running.lease));
    }
}

/// Everyone who works for a job, once.
fn workers(work: &Work) -> Vec<Stage> {
    let mut stages: Vec<Stage> = work.attempts.values().flat_map(|a| a.running.stages.clone()).collect();
    if work.attempts.len() > 1 {
        stages.sort_by_key(|stage| stage.peer);
        stages.dedup_by_key(|stage| stage.peer);
        stages.truncate(limits::STAGES);
    }
    stages
}

#[cfg(test)]
mod tests;
