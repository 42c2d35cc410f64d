//! When a link counts as silent: a failure detector that learns each link's own rhythm.
//!
//! A fixed timeout is too short for a phone whose radio naps and too long for a person who watches a story stop. So
//! each link is judged by the gaps between its own latest words:
//!
//! ```text
//!   patience = max(mean + 4 × mean deviation + margin,  longest recent gap × 5/4),  between a floor and a ceiling
//!
//!   word   word   word            word   word
//!    |------|------|---------------|------|- - - - - - - - - - - - - -> silent
//!     1.0 s  1.0 s      2.1 s        0.9 s      patience 4.4 s; a steady link's is 2.5 s
//! ```
//!
//! The expected arrival and the margin are Chen et al.'s ("On the quality of service of failure detectors", 2002), the
//! deviation Jacobson's ("Congestion avoidance and control", 1988). Phi accrual (Hayashibara et al., 2004) asks the
//! same of a normal distribution; its threshold is again "mean plus so many deviations", but takes logarithms that
//! need not agree to the bit between two devices, and its thin tail does not fit radios that nap. The longest gap does.
//!
//! A link may also be *one-way*: its words arrive, ours do not. A peer's pulses echo the newest of ours that it heard;
//! if one of ours stays without echo for too long, the link is of no use although it is not quiet.

use crate::ids::Millis;
use crate::limits::PULSE_MS;
use std::collections::VecDeque;

#[cfg(test)]
mod tests;

/// Gaps that are remembered. Source: guess; two minutes of pulses. In the tests' simulation of radios that nap, half a minute
/// made seven times as many mistakes, and p95 notice was hardly quicker (4.2 s against 4.5 s).
const GAPS: usize = 128;
/// Gaps that must be known before they are trusted. Source: as in `pace`.
const GAPS_LEAST: usize = 4;
/// Shortest gap in milliseconds that says anything of the rhythm. Source: half a pulse; words in between, such as
/// tokens, would otherwise make the link look far faster than its pulses are.
const GAP_LEAST_MS: u64 = PULSE_MS / 2;
/// Milliseconds allowed beyond the expected word and its usual deviation. Source: one pulse that goes missing, and half
/// a second for the way.
const MARGIN_MS: u64 = PULSE_MS * 3 / 2;
/// Mean deviations allowed. Source: Jacobson 1988.
const DEVIATIONS: u64 = 4;
/// Milliseconds of patience with a link that is not known yet. Source: connecting, its shaders compiling on the same
/// page, took up to some seconds when measured.
const UNKNOWN_MS: u64 = 5_000;
/// Least milliseconds of patience. Source: two pulses and half a second for the way.
const FLOOR_MS: u64 = PULSE_MS * 5 / 2;
/// Most milliseconds of patience with a tab in front. Source: a lost leader must be replaced within 10 s.
const CEILING_MS: u64 = 8_000;
/// Least milliseconds of patience with a hidden tab. Source: browsers run a hidden tab's timers once a second, a pulse
/// that just misses its turn comes after two, and three of those may pass.
const HIDDEN_FLOOR_MS: u64 = 6_000;
/// Most milliseconds of patience with a hidden tab. Source: Chromium's intensive throttling runs timers once a minute;
/// a quarter of that for the way.
const HIDDEN_CEILING_MS: u64 = 75_000;
/// Own pulses without echo that are remembered. Source: only the oldest counts; a few, so that after an echo the next
/// oldest is known.
const UNHEARD: usize = 8;

/// What became of a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Link {
    /// Words go both ways.
    Alive,
    /// Nothing has come for longer than this link's patience.
    Silent,
    /// Words come, but ours are not heard.
    OneWay,
}

/// One link's rhythm.
#[derive(Clone, Debug)]
pub struct Rhythm {
    last: Millis,
    hidden: bool,
    /// The latest gaps in milliseconds, oldest first.
    gaps: VecDeque<u32>,
    /// When those of our own pulses left that have no echo yet, oldest first.
    unheard: VecDeque<Millis>,
    patience_ms: u64,
}

impl Rhythm {
    /// A link that opened now.
    #[must_use]
    pub const fn new(now: Millis) -> Self {
        Self {
            last: now,
            hidden: false,
            gaps: VecDeque::new(),
            unheard: VecDeque::new(),
            patience_ms: UNKNOWN_MS,
        }
    }

    /// The peer said something, whatever it was.
    pub fn heard(&mut self, now: Millis) {
        let gap_ms = now.since(self.last);
        self.last = self.last.max(now);
        if gap_ms < GAP_LEAST_MS {
            return;
        }
        if self.gaps.len() == GAPS {
            self.gaps.pop_front();
        }
        // No longer than the ceiling: one long absence would otherwise fill the mean for the whole window.
        self.gaps.push_back(gap_ms.min(self.ceiling_ms()) as u32);
        self.learn();
    }

    /// The peer's tab is hidden (true), so that its browser may slow its timers down, or in front again.
    pub fn hidden(&mut self, hidden: bool) {
        if self.hidden && !hidden {
            self.gaps.clear(); // They say nothing of a tab in front, and would keep it slow to be missed.
        }
        self.hidden = hidden;
        self.learn();
    }

    /// A pulse to the peer leaves now. Its echo is awaited.
    pub fn sent(&mut self, now: Millis) {
        if self.unheard.len() < UNHEARD {
            self.unheard.push_back(now);
        }
    }

    /// The peer has heard our pulse that left at `sent`, and so all before it.
    pub fn heard_us(&mut self, sent: Millis) {
        while self.unheard.front().is_some_and(|&left| left <= sent) {
            self.unheard.pop_front();
        }
    }

    /// Forgives `ms` milliseconds: this device itself slept, so that it could neither hear nor speak.
    pub fn forgive(&mut self, ms: u64) {
        self.last = self.last.after(ms);
        for left in &mut self.unheard {
            *left = left.after(ms);
        }
    }

    /// Milliseconds without a word after which this link is silent.
    #[must_use]
    pub const fn patience_ms(&self) -> u64 {
        self.patience_ms
    }

    /// When the link stops being alive if nothing comes: the time to look again.
    #[must_use]
    pub fn overdue_at(&self) -> Millis {
        let silent = self.last.after(self.patience_ms);
        self.one_way_at().map_or(silent, |one_way| silent.min(one_way))
    }

    /// Whether our own pulses are heard, as far as this peer can know: none has been without echo for too long.
    #[must_use]
    pub fn echo_fresh(&self, now: Millis) -> bool {
        self.one_way_at().is_none_or(|one_way| now < one_way)
    }

    /// What became of the link.
    #[must_use]
    pub fn link(&self, now: Millis) -> Link {
        if now >= self.last.after(self.patience_ms) {
            Link::Silent
        } else if self.echo_fresh(now) {
            Link::Alive
        } else {
            Link::OneWay
        }
    }

    /// Whether the link is of no use: silent, or one-way.
    #[must_use]
    pub fn is_silent(&self, now: Millis) -> bool {
        now >= self.overdue_at()
    }

    /// An echo waits for the peer's next pulse, hence one more.
    fn one_way_at(&self) -> Option<Millis> {
        self.unheard.front().map(|left| left.after(self.patience_ms + PULSE_MS))
    }

    const fn ceiling_ms(&self) -> u64 {
        if self.hidden { HIDDEN_CEILING_MS } else { CEILING_MS }
    }

    fn learn(&mut self) {
        let floor = if self.hidden { HIDDEN_FLOOR_MS } else { FLOOR_MS };
        let longest = self.gaps.iter().max().map_or(0, |&gap| u64::from(gap));
        let usual = if self.gaps.len() < GAPS_LEAST { UNKNOWN_MS } else { self.expected_ms() + MARGIN_MS };
        self.patience_ms = usual.max(longest + longest / 4).clamp(floor, self.ceiling_ms());
    }

    /// Milliseconds until the next word, with its usual deviation.
    fn expected_ms(&self) -> u64 {
        let known = (self.gaps.len() as u64).max(1);
        let mean = self.gaps.iter().map(|&gap| u64::from(gap)).sum::<u64>() / known;
        let deviation = self.gaps.iter().map(|&gap| u64::from(gap).abs_diff(mean)).sum::<u64>() / known;
        mean + DEVIATIONS * deviation
    }
}
