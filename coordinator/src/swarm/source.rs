//! What one source has shown: how fast it is, how much may be asked of it at once, and whether it is asked at all.

use crate::ids::Millis;
use crate::limits;

/// A peer, or an origin.
#[derive(Clone, Debug, Default)]
pub struct Supplier {
    /// Bytes a second, smoothed; None until a block came.
    rate: Option<u64>,
    /// Blocks of it in a row that were what their hashes say.
    proven: u32,
    /// Blocks that are on their way.
    pub open: u32,
    /// Blocks that have come and are being checked.
    pub checking: u32,
    /// Since when nothing came, while something is on its way.
    quiet: Millis,
    /// Times in a row that it did not answer.
    stalls: u32,
    /// Times in a row that it said it was busy.
    refusals: u32,
    /// Until when it is left alone.
    rests: Millis,
    /// It sent what its hash does not say.
    pub lied: bool,
}

impl Supplier {
    /// One that nobody knows yet, or that is known as a liar.
    pub fn new(lied: bool) -> Self {
        Self { lied, ..Self::default() }
    }

    /// Whether it may be asked at all.
    pub fn is_willing(&self, now: Millis) -> bool {
        !self.lied && now >= self.rests
    }

    /// Whether what it has will come, sooner or later: it has not failed, or has sent something not long ago.
    pub fn gives(&self, now: Millis) -> bool {
        let slow = self.rate.is_some() && now.since(self.quiet) < limits::SWARM_SLOW_MS;
        !self.lied && self.refusals < limits::SWARM_REFUSALS && (self.stalls == 0 || slow)
    }

    /// Blocks of `block_bytes` that may be asked of it now. One that has not proven itself gets one: a liar costs no more.
    pub fn room(&self, now: Millis, block_bytes: u32, most: u32) -> u32 {
        if !self.is_willing(now) {
            return 0;
        }
        let proven = 1 << self.proven.min(8);
        let fast = self.rate.map_or(most.into(), |rate| {
            rate.saturating_mul(limits::SWARM_AHEAD_MS) / 1000 / u64::from(block_bytes.max(1))
        });
        most.min(proven).min(fast.clamp(1, most.into()) as u32).saturating_sub(self.open + self.checking)
    }

    /// The faster, the higher. Those that nobody knows yet come first, so that they are known soon, and those that stalled
    /// last.
    pub fn rank(&self) -> u64 {
        if self.stalls > 0 { 0 } else { self.rate.unwrap_or(u64::MAX) }
    }

    /// One more block is on its way.
    pub fn asked(&mut self, now: Millis) {
        if self.open == 0 {
            self.quiet = now;
        }
        self.open += 1;
    }

    /// A block came; or one that was given up came after all, and tells nothing of its pace.
    pub fn arrived(&mut self, now: Millis, bytes: usize, late: bool) {
        self.checking += 1;
        if late {
            return;
        }
        let ms = now.since(self.quiet).max(1);
        let sample = (bytes as u64).saturating_mul(1000) / ms;
        // A quarter of the newest, as TCP's round trips are smoothed with an eighth: blocks are fewer.
        self.rate = Some(self.rate.map_or(sample, |rate| (3 * (rate / 4)).saturating_add(sample / 4)));
        self.quiet = now;
        self.open = self.open.saturating_sub(1);
    }

    /// A block will not come, and that is nobody's fault.
    pub fn cancelled(&mut self) {
        self.open = self.open.saturating_sub(1);
    }

    /// A block has been checked.
    pub fn checked(&mut self) {
        self.checking = self.checking.saturating_sub(1);
    }

    /// A block was what its hash says.
    pub fn proved(&mut self) {
        self.proven = self.proven.saturating_add(1);
        (self.stalls, self.refusals) = (0, 0);
    }

    /// Whether it has been quiet for too long.
    pub fn is_stalled(&self, now: Millis, block_bytes: u32) -> bool {
        self.open > 0 && now.since(self.quiet) > self.patience_ms(block_bytes)
    }

    /// It is left alone for a while, twice as long each time in a row. Returns for how many milliseconds.
    pub fn rest(&mut self, now: Millis) -> u64 {
        let ms = (limits::SWARM_REST_MS << self.stalls.min(8)).min(limits::SWARM_REST_MAX_MS);
        (self.stalls, self.proven, self.open) = (self.stalls.saturating_add(1), 0, 0);
        self.rests = now.after(ms);
        ms
    }

    /// It is left alone for a moment, for it said that it is busy.
    pub fn busy(&mut self, now: Millis) {
        self.refusals = self.refusals.saturating_add(1);
        self.rests = self.rests.max(now.after(limits::SWARM_BUSY_MS));
    }

    /// Milliseconds in which something has to come. They double with each stall, so that a slow link gets somewhere.
    fn patience_ms(&self, block_bytes: u32) -> u64 {
        let own = self.rate.map_or(limits::SWARM_FIRST_MS, |rate| {
            (8000 * u64::from(block_bytes) / rate.max(1)).max(limits::SWARM_STALL_MS)
        });
        (own << self.stalls.min(5)).min(limits::SWARM_PATIENCE_MS)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u32 = 1 << 20;

    fn steady(blocks: u32, each_ms: u64) -> (Supplier, Millis) {
        let (mut one, mut now) = (Supplier::default(), Millis(0));
        for _ in 0..blocks {
            one.asked(now);
            now = now.after(each_ms);
            one.arrived(now, MIB as usize, false);
            one.checked();
            one.proved();
        }
        (one, now)
    }

    #[test]
    fn who_proves_itself_is_asked_for_more() {
        let rows = [
            (0, 100, 1, "a stranger"),
            (1, 100, 2, "one good block"),
            (3, 100, 8, "three"),
            (9, 100, 8, "the most there is"),
            (9, 1_000, 4, "a block a second"),
            (9, 60_000, 1, "slow, but it goes on"),
        ];
        for (blocks, each_ms, want, why) in rows {
            let (one, now) = steady(blocks, each_ms);
            assert_eq!(one.room(now, MIB, 8), want, "{why}");
        }
    }

    #[test]
    fn quiet_is_measured_in_its_own_pace() {
        let rows = [
            (0, 0, limits::SWARM_FIRST_MS, "a stranger"),
            (5, 10, limits::SWARM_STALL_MS, "a fast one has the least time"),
            (5, 3_000, 24_000, "a slow one eight blocks' time"),
            (5, 600_000, limits::SWARM_PATIENCE_MS, "and nobody for ever"),
        ];
        for (blocks, each_ms, want, why) in rows {
            let (mut one, now) = steady(blocks, each_ms);
            assert!(!one.is_stalled(now.after(1 << 40), MIB), "nothing is expected: {why}");
            one.asked(now);
            // The smoothed rate is a little off its mean.
            assert!(!one.is_stalled(now.after(want * 98 / 100), MIB), "{why}");
            assert!(one.is_stalled(now.after(want * 102 / 100 + 1), MIB), "{why}");
        }
    }

    #[test]
    fn rests_double_and_a_good_block_ends_that() {
        let (mut one, now) = steady(3, 100);
        let rests: Vec<u64> = (0..8).map(|_| one.rest(now)).collect();
        assert_eq!(rests[..3], [limits::SWARM_REST_MS, 2 * limits::SWARM_REST_MS, 4 * limits::SWARM_REST_MS]);
        assert_eq!(rests[7], limits::SWARM_REST_MAX_MS);
        let later = now.after(limits::SWARM_REST_MAX_MS);
        assert_eq!((one.room(now, MIB, 8), one.room(later, MIB, 8)), (0, 1), "then it is a stranger again");
        one.proved();
        assert_eq!(one.rest(later), limits::SWARM_REST_MS);
        one.lied = true;
        assert_eq!(one.room(later.after(1 << 40), MIB, 8), 0, "a liar rests for good");
    }
}
