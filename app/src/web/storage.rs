//! What is kept on this device, in plain words.

use super::words;
use crate::compute::swarm::Usage;
use coordinator::swarm::Sharing;

/// Bytes that people can let this page keep. Source: from one small model to several large ones; what a browser allows is less
/// than the disk has.
pub const QUOTAS: [u64; 7] = [
    1_000_000_000,
    2_000_000_000,
    4_000_000_000,
    8_000_000_000,
    16_000_000_000,
    32_000_000_000,
    64_000_000_000,
];

/// What others may have of what is kept.
pub const SHARINGS: [(Sharing, &str); 3] = [
    (Sharing::On, "as fast as they like"),
    (Sharing::Metered { bytes_per_s: 1_000_000 }, "slowly: 1 MB a second"),
    (Sharing::Off, "not at all"),
];

/// Where weights stay between visits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Where {
    /// On the disk: private files, or the browser's database.
    Disk,
    /// Nowhere: until the page is closed.
    Memory,
}

/// What is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kept {
    /// Where.
    pub place: Where,
    /// Bytes of weights.
    pub used: u64,
    /// Bytes that this person allows.
    pub quota: u64,
    /// Whether the browser has promised not to clear it by itself.
    pub persisted: bool,
}

impl Kept {
    /// What a store says, and the browser.
    #[must_use]
    pub const fn of(usage: Usage, persisted: bool) -> Self {
        let place = if usage.durable { Where::Disk } else { Where::Memory };
        Self { place, used: usage.used, quota: usage.quota, persisted }
    }

    /// "1.2 GB of 8.0 GB".
    #[must_use]
    pub fn amount(&self) -> String {
        format!("{} of {}", words::bytes(self.used), words::bytes(self.quota))
    }

    /// How long it stays, and what for.
    #[must_use]
    pub const fn meaning(&self) -> &'static str {
        match (self.place, self.persisted) {
            (Where::Memory, _) => {
                "This browser keeps nothing for this page: models are fetched again after a reload. Allow storage for this site to change that."
            }
            (Where::Disk, true) => "Models that were fetched stay on this device until you clear them.",
            (Where::Disk, false) => {
                "Models that were fetched stay on this device. If its disk runs full, the browser may clear them."
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_is_said_as_it_is() {
        let kept = Kept { place: Where::Disk, used: 142_922_196, quota: 8_000_000_000, persisted: true };
        assert_eq!(kept.amount(), "143 MB of 8.0 GB");
        let rows = [
            (kept, "until you clear", "promised"),
            (Kept { persisted: false, ..kept }, "may clear", "not promised"),
            (Kept { place: Where::Memory, ..kept }, "fetched again", "a promise about nothing"),
        ];
        for (kept, said, why) in rows {
            assert!(kept.meaning().contains(said), "{why}");
        }
        assert!(
            QUOTAS.is_sorted() && QUOTAS.contains(&8_000_000_000),
            "what stores take by themselves is one of them"
        );
    }
}
