//! How much of the room's work this device should have, from what a page can know of itself.
//!
//! Each peer judges itself, tells the room its [`Share`] and the raw [`Vitals`] behind it, and the planner obeys. Two
//! kinds of trouble differ: some decide alone (no device, low battery, a hidden tab), the others lower a score of 100:
//!
//! ```text
//!   score = 100 − lag penalty − slowness penalty        60 and more: full     20 to 59: that part     below: none
//! ```

use serde::{Deserialize, Serialize};

/// Percent of battery below which a device that is not charging does no work. Source: the battery rule that the
/// product's feature list takes over (H73).
const BATTERY_LOW_PERCENT: u8 = 20;
/// Percent of battery from which it works again. Source: guess; minutes of charging above, so that a level that
/// wavers does not move layers about.
const BATTERY_GOOD_PERCENT: u8 = 25;
/// Milliseconds of event-loop lag that are no trouble. Source: W3C Long Tasks, which calls 50 ms long.
const LAG_GOOD_MS: u32 = 50;
/// Milliseconds of further lag that cost one point. Source: guess; at 250 ms, where people feel every click, the
/// share begins to fall.
const LAG_MS_PER_POINT: u32 = 5;
/// Most points that lag costs. Source: guess; lag alone lowers a share and does not end it, since the page lags, not
/// the worker.
const LAG_POINTS: u32 = 60;
/// Most milliseconds of lag that are believed. Source: guess; beyond, the tab slept.
const LAG_MAX_MS: u32 = 10_000;
/// Part of a new lag that is taken in: one of this many. Source: Jacobson 1988, as for round trips.
const LAG_SMOOTHING: u32 = 8;
/// Percent of its usual time per chunk from which a device counts as slow. Source: guess; above what two jobs at
/// once or a warm case explain.
const SLOW_PERCENT: u32 = 150;
/// Percent of slowness that cost one point. Source: guess.
const SLOW_PERCENT_PER_POINT: u32 = 5;
/// Most points that slowness costs. Source: guess; the planner sees the measured speed as well.
const SLOW_POINTS: u32 = 30;
/// Score from which a device is healthy. Source: QMesh's threshold (A24).
const HEALTHY: u8 = 60;
/// Score below which a device takes no work. Source: QMesh's threshold (A24).
const UNHEALTHY: u8 = 20;
/// Points by which the score must move before the share does. Source: guess; a plan costs more than these points.
const STEP: u8 = 10;

/// What a page knows of its device, as published.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Vitals {
    /// The tab is hidden.
    pub hidden: bool,
    /// Battery level, 0 to 100; None if the browser does not tell or there is none.
    pub battery_percent: Option<u8>,
    /// The battery is charging.
    pub charging: bool,
    /// How late the event loop runs, in milliseconds; as measured when handed in, smoothed when published.
    pub lag_ms: u32,
}

/// What share of the work a device should have.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Share {
    /// All that its speed suggests.
    #[default]
    Full,
    /// This many percent of it.
    Part(u8),
    /// Only what nobody else can do.
    LastResort,
    /// Nothing.
    None,
}

impl Share {
    /// Percent of what the device's speed suggests; at most 100, whatever a peer claims. A last resort counts as
    /// nothing: ask [`Share::as_last_resort`] when nobody else is left.
    #[must_use]
    pub fn percent(self) -> u8 {
        match self {
            Self::Full => 100,
            Self::Part(percent) => percent.min(100),
            Self::LastResort | Self::None => 0,
        }
    }

    /// Whether the device may be given what nobody else can do.
    #[must_use]
    pub fn as_last_resort(self) -> bool {
        self.percent() > 0 || self == Self::LastResort
    }
}

/// Why a share is not full, the worst first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Ailment {
    /// The compute worker or its device is gone.
    DeviceLost,
    /// Low, and not charging.
    LowBattery,
    /// The tab is hidden; its browser slows it down.
    Hidden,
    /// The event loop runs late.
    Busy,
    /// Chunks take far longer than they usually do here.
    Slow,
}

impl Ailment {
    /// A word for people.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::DeviceLost => "device lost",
            Self::LowBattery => "low battery",
            Self::Hidden => "hidden",
            Self::Busy => "busy",
            Self::Slow => "slow",
        }
    }
}

/// This device's fitness for work.
#[derive(Clone, Debug, Default)]
pub struct Fitness {
    latest: Vitals,
    /// Smoothed lag, times `LAG_SMOOTHING`, so that nothing is lost in rounding.
    lag_scaled: u32,
    battery_low: bool,
    device_lost: bool,
    /// Points lost to lag, as last acted upon.
    lag_points: u8,
    /// Points lost to slowness, as last acted upon.
    slow_points: u8,
}

impl Fitness {
    /// Takes vitals, about once a second, and how long chunks take now in percent of what is usual
    /// ([`Meter::slowdown_percent`](super::Meter::slowdown_percent)). True if the share changed.
    pub fn observe(&mut self, vitals: Vitals, slowdown_percent: Option<u32>) -> bool {
        let before = self.share();
        self.latest = vitals;
        if !vitals.hidden {
            // A hidden tab's timers are held back on purpose: that is no lag.
            let kept = self.lag_scaled - self.lag_scaled / LAG_SMOOTHING;
            self.lag_scaled = kept + vitals.lag_ms.min(LAG_MAX_MS);
        }
        let bound = if self.battery_low { BATTERY_GOOD_PERCENT } else { BATTERY_LOW_PERCENT };
        self.battery_low = !vitals.charging && vitals.battery_percent.is_some_and(|level| level < bound);
        let lag = self.vitals().lag_ms.saturating_sub(LAG_GOOD_MS) / LAG_MS_PER_POINT;
        settle(&mut self.lag_points, lag.min(LAG_POINTS) as u8);
        let slow = slowdown_percent.unwrap_or(100).saturating_sub(SLOW_PERCENT) / SLOW_PERCENT_PER_POINT;
        settle(&mut self.slow_points, slow.min(SLOW_POINTS) as u8);
        before != self.share()
    }

    /// The compute worker is ready (true) or lost. True if the share changed.
    pub fn device(&mut self, ready: bool) -> bool {
        let before = self.share();
        self.device_lost = !ready;
        before != self.share()
    }

    /// What share of the work it should have.
    #[must_use]
    pub fn share(&self) -> Share {
        let score = 100_u8.saturating_sub(self.lag_points + self.slow_points);
        match self.ailments().next() {
            Some(Ailment::DeviceLost | Ailment::LowBattery) => Share::None,
            _ if score < UNHEALTHY => Share::None,
            Some(Ailment::Hidden) => Share::LastResort,
            _ if score < HEALTHY => Share::Part(score),
            _ => Share::Full,
        }
    }

    /// One word for people: the worst ailment's, or "good".
    #[must_use]
    pub fn word(&self) -> &'static str {
        self.ailments().next().map_or("good", Ailment::word)
    }

    /// All that ails it, the worst first.
    pub fn ailments(&self) -> impl Iterator<Item = Ailment> + '_ {
        [
            (self.device_lost, Ailment::DeviceLost),
            (self.battery_low, Ailment::LowBattery),
            (self.latest.hidden, Ailment::Hidden),
            (self.lag_points > 0, Ailment::Busy),
            (self.slow_points > 0, Ailment::Slow),
        ]
        .into_iter()
        .filter_map(|(ails, ailment)| ails.then_some(ailment))
    }

    /// The vitals to publish: the latest, with the lag smoothed.
    #[must_use]
    pub fn vitals(&self) -> Vitals {
        Vitals { lag_ms: self.lag_scaled / LAG_SMOOTHING, ..self.latest }
    }
}

/// Follows `points` in steps, and down to nothing, so that what wavers around a bound does not change a share.
const fn settle(acted_upon: &mut u8, points: u8) {
    if points == 0 || points.abs_diff(*acted_upon) >= STEP {
        *acted_upon = points;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WELL: Vitals = Vitals { hidden: false, battery_percent: Some(80), charging: false, lag_ms: 4 };

    fn at(battery_percent: u8, charging: bool) -> Vitals {
        Vitals { battery_percent: Some(battery_percent), charging, ..WELL }
    }

    fn lagging(lag_ms: u32) -> Vitals {
        Vitals { lag_ms, ..WELL }
    }

    #[test]
    fn every_ailment_has_its_share_and_word() {
        let hidden = Vitals { hidden: true, ..WELL };
        let unknown = Vitals { battery_percent: None, ..WELL };
        let rows = [
            (WELL, None, Share::Full, "good", "nothing ails it"),
            (unknown, None, Share::Full, "good", "a browser that does not tell its battery"),
            (at(20, false), None, Share::Full, "good", "20 % is enough"),
            (at(19, false), None, Share::None, "low battery", "19 % is not"),
            (at(3, true), None, Share::Full, "good", "but it charges"),
            (hidden, None, Share::LastResort, "hidden", "only if nobody else can"),
            (
                Vitals { hidden: true, ..at(5, false) },
                None,
                Share::None,
                "low battery",
                "the worse one counts",
            ),
            (lagging(90), None, Share::Full, "good", "a little late"),
            (lagging(200), None, Share::Full, "busy", "late, and still healthy"),
            (lagging(300), None, Share::Part(50), "busy", "later: half"),
            (lagging(u32::MAX), None, Share::Part(40), "busy", "lag alone does not end a share"),
            (WELL, Some(140), Share::Full, "good", "a little slower than usual"),
            (WELL, Some(220), Share::Full, "slow", "slow: the planner sees its speed anyway"),
            (lagging(300), Some(250), Share::Part(30), "busy", "busy and slow: they add up"),
            (lagging(2_000), Some(900), Share::None, "busy", "below 20 points nothing is left"),
        ];
        for (vitals, slowdown, share, word, why) in rows {
            let mut fitness = Fitness::default();
            for _ in 0..60 {
                fitness.observe(vitals, slowdown);
            }
            let near = match (fitness.share(), share) {
                (Share::Part(got), Share::Part(want)) => got.abs_diff(want) < STEP,
                (got, want) => got == want,
            };
            assert!(near, "{why}: {:?}, not about {share:?}", fitness.share());
            assert_eq!(fitness.word(), word, "{why}");
        }
    }

    #[test]
    fn a_lost_device_has_no_share_until_it_is_back() {
        let mut fitness = Fitness::default();
        assert!(fitness.device(false), "a change");
        fitness.observe(WELL, None);
        assert_eq!((fitness.share(), fitness.word()), (Share::None, "device lost"));
        assert!(fitness.device(true));
        assert_eq!((fitness.share(), fitness.word()), (Share::Full, "good"));
    }

    #[test]
    fn what_wavers_does_not_flap() {
        let battery = |level: &[u8]| level.iter().map(|&level| at(level, false)).collect::<Vec<_>>();
        let lag = |lags: [u32; 2]| (0..400).map(|i| lagging(lags[i / 20 % 2])).collect::<Vec<_>>();
        let rows = [
            (battery(&[20, 19, 20, 19, 20, 21, 24]), 1, "a battery around its bound falls once"),
            (battery(&[19, 24, 25, 24, 21, 20, 19]), 3, "and comes back once, well above it"),
            (lag([240, 270]), 1, "lag around its bound lowers the share once"),
            ((0..300).map(|i| lagging(if i % 30 == 0 { 900 } else { 5 })).collect(), 0, "single stalls"),
        ];
        for (vitals, most, why) in rows {
            let mut fitness = Fitness::default();
            let changes = vitals.into_iter().filter(|&vitals| fitness.observe(vitals, None)).count();
            assert_eq!(changes, most, "{why}");
        }
    }

    #[test]
    fn a_claimed_share_is_at_most_all() {
        let rows = [
            (Share::Full, 100, true),
            (Share::Part(40), 40, true),
            (Share::Part(255), 100, true),
            (Share::Part(0), 0, false),
            (Share::LastResort, 0, true),
            (Share::None, 0, false),
        ];
        for (share, percent, last_resort) in rows {
            assert_eq!((share.percent(), share.as_last_resort()), (percent, last_resort), "{share:?}");
        }
    }
}
