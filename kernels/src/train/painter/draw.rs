//! Numbers drawn one after another, the same for a seed on every machine.

use crate::random::uniform;

/// A stream of draws.
#[derive(Debug, Clone)]
pub struct Draw {
    seed: u64,
    position: u64,
}

impl Draw {
    /// The stream of this seed, from its start.
    #[must_use]
    pub const fn new(seed: u64) -> Self {
        Self { seed, position: 0 }
    }

    /// In `[0, 1)`.
    pub fn unit(&mut self) -> f64 {
        self.position += 1;
        uniform(self.seed, self.position)
    }

    /// In `[from, to)`.
    pub fn between(&mut self, from: f32, to: f32) -> f32 {
        from + (to - from) * self.unit() as f32
    }

    /// True in so many of 100 cases.
    pub fn percent(&mut self, percent: u32) -> bool {
        self.unit() * 100.0 < f64::from(percent)
    }

    /// One of them.
    ///
    /// # Panics
    /// If there are none.
    pub fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[((self.unit() * from.len() as f64) as usize).min(from.len() - 1)]
    }

    /// One of them, each as likely as its weight says.
    ///
    /// # Panics
    /// If there are none.
    pub fn weighted<T: Copy>(&mut self, from: &[(T, u32)]) -> T {
        let sum: u32 = from.iter().map(|(_, weight)| weight).sum();
        let mut left = self.unit() * f64::from(sum);
        for (value, weight) in from {
            left -= f64::from(*weight);
            if left < 0.0 {
                return *value;
            }
        }
        from[from.len() - 1].0
    }
}
