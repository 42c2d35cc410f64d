//! How long a job may take for its next token before its lease counts as stalled.

use crate::io::Stage;
use crate::limits;
use crate::membership::Members;
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
    /// A token came, `gap_ms` after the one before.
    pub fn token(&mut self, gap_ms: u64) {
        self.gaps.push_back(gap_ms);
        if self.gaps.len() > GAPS {
            self.gaps.pop_front();
        }
    }

    /// No token came in the time allowed.
    pub const fn stalled(&mut self) {
        self.stalls += 1;
    }

    /// Milliseconds allowed for opening a lease on `stages` and for running the `known` tokens through them.
    pub fn first_token_ms(&self, known: u32, stages: &[Stage], members: &Members) -> u64 {
        let micros = |stage: &Stage| {
            let measured = members.report(stage.peer).and_then(|r| Some(r.capability.as_ref()?.layer_micros));
            u64::from(stage.layers.len()) * u64::from(measured.unwrap_or(0))
        };
        let token_micros: u64 = stages.iter().map(micros).sum();
        let work = token_micros.saturating_mul(known.into()) / 1000;
        let shared = work.saturating_mul(limits::JOBS_RUNNING as u64 * limits::PATIENCE);
        self.patient(limits::FIRST_TOKEN_MS.saturating_add(shared).min(limits::FIRST_TOKEN_MAX_MS))
    }

    /// Milliseconds allowed from one token to the next.
    pub fn next_token_ms(&self) -> u64 {
        // Until a few gaps are known the next token may well take as long as a first one.
        let least = if self.gaps.len() < GAPS_LEAST { limits::FIRST_TOKEN_MS } else { limits::STALL_MS };
        self.patient(least.max(limits::STALL_GAPS * self.median()))
    }

    fn patient(&self, ms: u64) -> u64 {
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
    use crate::ids::{Layers, Millis, PeerId};
    use crate::io::{Capability, Device};

    #[test]
    fn a_stall_is_measured_in_the_jobs_own_pace() {
        let rows: [(&[u64], u32, u64, &str); 5] = [
            (&[], 0, limits::FIRST_TOKEN_MS, "nothing known yet"),
            (&[10, 10, 10, 10], 0, limits::STALL_MS, "a fast ring has the least time"),
            (&[500, 600, 700, 9_000], 0, 8 * 700, "a slow one eight median gaps"),
            (&[1, 1, 1, 60_000], 0, limits::STALL_MS, "one long gap does not count"),
            (&[10, 10, 10, 10], 2, 4 * limits::STALL_MS, "two stalls: four times the patience"),
        ];
        for (gaps, stalls, want, why) in rows {
            let mut pace = Pace { stalls, ..Pace::default() };
            gaps.iter().for_each(|&gap| pace.token(gap));
            assert_eq!(pace.next_token_ms(), want, "{why}");
        }
    }

    #[test]
    fn a_long_prompt_on_slow_stages_may_take_long() {
        let mut members = Members::new(PeerId(1), "", Millis(0));
        let allowed = |layer_micros: u32, known: u32, members: &mut Members| {
            members.own.capability = Some(Capability { device: Device::Cpu, memory: 0, layer_micros });
            let stage = Stage { peer: PeerId(1), layers: Layers { start: 0, end: 10 } };
            Pace::default().first_token_ms(known, &[stage], members)
        };
        let rows = [
            (0, 1_000, limits::FIRST_TOKEN_MS, "no time at all"),
            (
                1_000,
                300,
                limits::FIRST_TOKEN_MS + 3_000 * 4 * 2,
                "3 s of work, four jobs at once, twice over",
            ),
            (u32::MAX, 8_192, limits::FIRST_TOKEN_MAX_MS, "whatever a peer claims"),
        ];
        for (micros, known, want, why) in rows {
            assert_eq!(allowed(micros, known, &mut members), want, "{why}");
        }
    }
}
