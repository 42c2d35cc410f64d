//! How fast one peer may speak: a token bucket. Time is an argument.

use std::time::{Duration, Instant};

/// Allows `burst` at once and `per_second` after that.
#[derive(Debug)]
pub(crate) struct Bucket {
    burst: f64,
    per_second: f64,
    tokens: f64,
    at: Instant,
}

impl Bucket {
    pub(crate) fn new(burst: u32, per_second: u32, now: Instant) -> Self {
        let burst = f64::from(burst);
        Self { burst, per_second: f64::from(per_second), tokens: burst, at: now }
    }

    /// Takes one token; false if there is none.
    pub(crate) fn take(&mut self, now: Instant) -> bool {
        let passed = now.checked_duration_since(self.at).unwrap_or(Duration::ZERO);
        self.at = now;
        self.tokens = (self.tokens + passed.as_secs_f64() * self.per_second).min(self.burst);
        let allowed = self.tokens >= 1.0;
        if allowed {
            self.tokens -= 1.0;
        }
        allowed
    }
}

#[cfg(test)]
mod tests {
    use super::Bucket;
    use std::time::{Duration, Instant};

    #[test]
    fn allows_a_burst_and_then_the_rate() {
        let start = Instant::now();
        let mut bucket = Bucket::new(3, 10, start);
        // milliseconds since the start, allowed, why
        let rows = [
            (0, true, "first of the burst"),
            (0, true, "second"),
            (0, true, "third"),
            (0, false, "the burst is spent"),
            (50, false, "half a token has grown"),
            (100, true, "a whole one has"),
            (100, false, "and is spent"),
            (10_000, true, "a long rest fills it"),
            (10_000, true, "to the burst"),
            (10_000, true, "of three"),
            (10_000, false, "and no further"),
        ];
        for (ms, allowed, why) in rows {
            assert_eq!(bucket.take(start + Duration::from_millis(ms)), allowed, "{why}");
        }
    }
}
