//! A peer's own clock: it started somewhere, and runs a little fast or slow.

use coordinator::Millis;

/// What a peer's clock shows at a time of the world.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Clock {
    /// What it showed when the world began, in its own milliseconds.
    pub offset_ms: u64,
    /// Its milliseconds in a thousand of the world's.
    pub rate_permille: u64,
}

impl Clock {
    /// The world's own.
    pub const TRUE: Self = Self { offset_ms: 0, rate_permille: 1_000 };

    /// What it shows at `world_ms`.
    #[must_use]
    pub const fn read(self, world_ms: u64) -> Millis {
        Millis(self.offset_ms + world_ms * self.rate_permille / 1_000)
    }

    /// The first millisecond of the world at which it shows `time` or more.
    #[must_use]
    pub const fn when(self, time: Millis) -> u64 {
        let own_ms = time.since(Millis(self.offset_ms));
        own_ms.saturating_mul(1_000).div_ceil(self.rate_permille)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_alarm_is_never_early_and_never_late() {
        let rows = [
            (0, 1_000, "the world's"),
            (1 << 40, 900, "a slow one, long after its start"),
            (5, 1_100, "a fast one"),
        ];
        for (offset_ms, rate_permille, why) in rows {
            let clock = Clock { offset_ms, rate_permille };
            for world_ms in [0, 1, 7, 1_000, 123_457] {
                let time = clock.read(world_ms);
                let at = clock.when(time);
                assert!(clock.read(at) >= time, "{why}: at {world_ms} ms it is not early");
                assert!(at == 0 || clock.read(at - 1) < time, "{why}: at {world_ms} ms it is not late");
            }
        }
        assert_eq!(Clock { offset_ms: 500, rate_permille: 1_000 }.when(Millis(20)), 0, "long past");
    }
}
