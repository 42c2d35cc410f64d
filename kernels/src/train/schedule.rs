//! How long to train, and how fast to learn when.

use std::f64::consts::PI;

/// When a run ends.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Length {
    /// After so many steps: what can be repeated exactly.
    Steps(u32),
    /// After about so many minutes. They become steps as soon as the time of a step is known.
    Minutes(f64),
}

/// Linear warm-up to the peak, then half a cosine down to a share of it (Loshchilov & Hutter 2017).
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Schedule {
    /// Highest learning rate.
    pub peak: f64,
    /// Share of the peak that is left at the end.
    pub floor: f64,
    /// Steps of the whole run, once they are known.
    pub steps: Option<u32>,
}

/// Steps of warm-up. Source: guess; a few hundred thousand tokens at the usual batch.
const WARM_UP: u32 = 100;

impl Schedule {
    /// The learning rate of a step, counted from 0. A run whose length is not known yet is at its start.
    #[must_use]
    pub fn rate(&self, step: u32) -> f64 {
        if step < WARM_UP {
            return self.peak * f64::from(step + 1) / f64::from(WARM_UP);
        }
        let done = self
            .steps
            .map_or(0.0, |steps| f64::from(step - WARM_UP) / f64::from(steps.saturating_sub(WARM_UP).max(1)));
        self.peak * (self.floor + (1.0 - self.floor) * 0.5 * (1.0 + (PI * done.min(1.0)).cos()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rate_rises_and_falls() {
        let known = Schedule { peak: 1.0, floor: 0.1, steps: Some(1100) };
        let unknown = Schedule { peak: 1.0, floor: 0.1, steps: None };
        let rows = [
            (known, 0, 0.01, "the first step is careful"),
            (known, 49, 0.5, "half of the warm-up"),
            (known, 99, 1.0, "the end of the warm-up"),
            (known, 600, 0.55, "half of the cosine"),
            (known, 1100, 0.1, "the end"),
            (known, 5000, 0.1, "beyond the end nothing happens"),
            (unknown, 500, 1.0, "without a length there is no decay"),
            (
                Schedule { peak: 1.0, floor: 0.1, steps: Some(10) },
                9,
                0.1,
                "a run shorter than the warm-up stays in it",
            ),
        ];
        for (schedule, step, expected, reason) in rows {
            assert!((schedule.rate(step) - expected).abs() < 1e-9, "{reason}: {}", schedule.rate(step));
        }
    }
}
