//! How long a job may take for its next token before its lease counts as stalled.

use crate::book::Record;
use crate::io::{Stage, Work};
use crate::limits;
use crate::membership::Members;
use crate::pieces::Split;
use crate::planner::Link;
use std::collections::VecDeque;

/// Gaps of which the median is taken.
const GAPS: usize = 15;
/// Gaps that must be known before their median counts.
const GAPS_LEAST: usize = 4;

/// What one job has shown of its speed.
#[derive(Debug, Default)]
pub struct Pace {
    /// Milliseconds between the latest tokens.
    gaps: VecDeque<u64>,
    /// Each stall doubles the patience, so that a slow room gets somewhere in the end.
    stalls: u32,
}

impl Pace {
    /// A token, a latent or a tile came, `gap_ms` after the one before.
    pub fn result(&mut self, gap_ms: u64) {
        self.gaps.push_back(gap_ms);
        if self.gaps.len() > GAPS {
            self.gaps.pop_front();
        }
    }

    /// No token came in the time allowed.
    pub const fn stalled(&mut self) {
        self.stalls += 1;
    }

    /// Median milliseconds between results; 0 while too few are known.
    pub fn gap_ms(&self) -> u32 {
        if self.gaps.len() < GAPS_LEAST { 0 } else { self.median().min(u32::MAX.into()) as u32 }
    }

    /// Milliseconds that opening a lease on `stages` and what comes before its first result may take; to be made
    /// [`patient`](Self::patient).
    pub fn first_result_ms(&self, record: &Record, stages: &[Stage], members: &Members) -> u64 {
        let speed = |stage: &Stage| members.speed(stage.peer, record.job.model);
        let micros: u64 = match &record.job.work {
            Work::Text(_) => {
                let layers = |stage: &Stage| {
                    let layer = speed(stage).map_or(0, |speed| speed.layer_micros);
                    u64::from(stage.layers.len()) * u64::from(layer)
                };
                stages.iter().map(layers).sum::<u64>().saturating_mul(record.known().into())
            }
            Work::Picture(work) => {
                let passes = u64::from(limits::CHECKPOINT_STEPS) * (1 + u64::from(work.shape.guided));
                let layers = stages.iter().map(|stage| u64::from(stage.layers.end)).max().unwrap_or(0);
                let member = |stage: &Stage| {
                    speed(stage).map_or(0, |speed| {
                        let pass = u64::from(speed.step_micros) * u64::from(stage.layers.len());
                        passes * pass / layers.max(1)
                            + u64::from(speed.encode_micros)
                            + u64::from(speed.decode_micros)
                    })
                };
                // Members with the whole model work side by side; stages wait for each other, and for what comes over links.
                match Split::of(stages) {
                    Ok(Split::Blocks { stages: count }) => {
                        let bytes = members.model(record.job.model).map_or(0, |model| model.block_bytes);
                        let links = Link::UNMEASURED.one_way_micros(bytes.into()).saturating_mul(passes);
                        let stages = stages.iter().map(member).fold(0, u64::saturating_add);
                        stages.saturating_add(links.saturating_mul(count as u64))
                    }
                    _ => stages.iter().map(member).max().unwrap_or(0),
                }
            }
        };
        let shared = (micros / 1000).saturating_mul(limits::JOBS_RUNNING as u64 * limits::PATIENCE);
        limits::FIRST_TOKEN_MS.saturating_add(shared).min(limits::FIRST_TOKEN_MAX_MS)
    }

    /// Milliseconds allowed from one result to the next, where the first was allowed so many.
    pub fn next_result_ms(&self, first_ms: u64) -> u64 {
        // Until a few gaps are known the next result may well take as long as a first one.
        let least = if self.gaps.len() < GAPS_LEAST { first_ms } else { limits::STALL_MS };
        self.patient(least.max(limits::STALL_GAPS * self.median()))
    }

    /// As many milliseconds, or more after stalls.
    pub fn patient(&self, ms: u64) -> u64 {
        (ms << self.stalls.min(4)).min(limits::FIRST_TOKEN_MAX_MS)
    }

    fn median(&self) -> u64 {
        let mut sorted: Vec<u64> = self.gaps.iter().copied().collect();
        sorted.sort_unstable();
        sorted.get(sorted.len() / 2).copied().unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::book::Book;
    use crate::ids::{Layers, Millis};
    use crate::io::{Job, Kind, PictureWork, Shape, TextWork};
    use crate::outbox::Outbox;
    use crate::testing::{BO, ME, job, model, paced, painter, room};

    #[test]
    fn a_stall_is_measured_in_the_jobs_own_pace() {
        let rows: [(&[u64], u32, u64, u32, &str); 6] = [
            (&[], 0, limits::FIRST_TOKEN_MS, 0, "nothing known yet"),
            (&[10, 10, 10], 0, limits::FIRST_TOKEN_MS, 0, "three gaps may be luck"),
            (&[10, 10, 10, 10], 0, limits::STALL_MS, 10, "a fast ring has the least time"),
            (&[500, 600, 700, 9_000], 0, 8 * 700, 700, "a slow one eight median gaps"),
            (&[1, 1, 1, 60_000], 0, limits::STALL_MS, 1, "one long gap does not count"),
            (&[10, 10, 10, 10], 2, 4 * limits::STALL_MS, 10, "two stalls: four times the patience"),
        ];
        for (gaps, stalls, want, gap_ms, why) in rows {
            let mut pace = Pace { stalls, ..Pace::default() };
            gaps.iter().for_each(|&gap| pace.result(gap));
            assert_eq!((pace.next_result_ms(limits::FIRST_TOKEN_MS), pace.gap_ms()), (want, gap_ms), "{why}");
        }
    }

    #[test]
    fn patience_ends_whatever_came_before() {
        let mut pace = Pace { stalls: u32::MAX, ..Pace::default() };
        (0..100).for_each(|_| pace.result(u64::MAX / 16));
        assert_eq!(pace.gaps.len(), GAPS, "old gaps are forgotten");
        assert_eq!(pace.next_result_ms(limits::FIRST_TOKEN_MS), limits::FIRST_TOKEN_MAX_MS);
    }

    /// What is allowed for the first result of `work` on this peer and Bo, both of this speed.
    fn allowed(work: Work, kind: Kind, report: crate::wire::Report) -> u64 {
        let members = room(report.clone(), &[(BO, report)]);
        let (mut book, mut out) = (Book::new(ME), Outbox::new(ME));
        let (author, text, id) = (String::new(), String::new(), job(ME));
        book.submit(Millis(0), Job { id, model: model(kind).id, author, text, work }, &members, &mut out);
        let layers = Layers { start: 0, end: 4 };
        let stages = [ME, BO].map(|peer| Stage { peer, layers });
        Pace::default().first_result_ms(book.record(id).expect("it was submitted"), &stages, &members)
    }

    /// Milliseconds allowed beyond the first token's for this much work.
    const fn beyond(work_ms: u64) -> u64 {
        limits::FIRST_TOKEN_MS + work_ms * limits::JOBS_RUNNING as u64 * limits::PATIENCE
    }

    #[test]
    fn a_long_prompt_on_slow_stages_may_take_long() {
        let rows = [
            (0, 1_000, beyond(0), "no time at all"),
            (1_000, 300, beyond(2_400), "300 tokens through 8 layers at 1 ms, all jobs at once, twice over"),
            (u32::MAX, 8_192, limits::FIRST_TOKEN_MAX_MS, "whatever a peer claims"),
        ];
        for (micros, tokens, want, why) in rows {
            let work = Work::Text(TextWork { prompt: vec![1; tokens], max_new: 9, sampling: vec![] });
            assert_eq!(allowed(work, Kind::Text, paced(micros, &[])), want, "{why}");
        }
    }

    #[test]
    fn the_first_latent_takes_the_steps_up_to_it() {
        let rows = [
            // The toy painter encodes in 1 ms and decodes in 400 ms.
            (100_000, false, beyond(4 * 100 + 401), "four passes"),
            (100_000, true, beyond(8 * 100 + 401), "and the other branch of guidance"),
            (u32::MAX, true, limits::FIRST_TOKEN_MAX_MS, "whatever a peer claims"),
        ];
        for (micros, guided, want, why) in rows {
            let shape = Shape { count: 1, steps: 28, guided, tiles: 4, stale: false };
            let work = Work::Picture(PictureWork { shape, settings: vec![] });
            assert_eq!(allowed(work, Kind::Picture, painter(micros)), want, "{why}");
        }
    }
}
