//! What is learned from, and what is not.

/// Stories or scenes of one seed and split before the next one's begin.
const PER_SEED: u64 = 1 << 40;

/// What a story or a scene is for. None belongs to two of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Split {
    /// To learn from.
    Train,
    /// To measure with, never to learn from.
    HeldOut,
    /// To learn the vocabulary from.
    Vocabulary,
}

impl Split {
    /// The seed of story or scene `index` of a run with this seed.
    ///
    /// # Panics
    /// If `seed` has more than 22 bits or `index` more than 40; both are far beyond any run.
    #[must_use]
    pub fn seed(self, seed: u32, index: u64) -> u64 {
        assert!(seed < 1 << 22 && index < PER_SEED, "a run's seed has 22 bits, a story's index 40");
        ((self as u64) << 62) | (u64::from(seed) << 40) | index
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_story_belongs_to_two_splits_or_seeds() {
        let rows = [
            (Split::Train, 1, 7, "the story"),
            (Split::HeldOut, 1, 7, "another split"),
            (Split::Vocabulary, 1, 7, "another split"),
            (Split::Train, 2, 7, "another run"),
            (Split::Train, 1, 8, "another index"),
            (Split::Train, (1 << 22) - 1, PER_SEED - 1, "the last of all does not run into the next split"),
        ];
        for (at, (split, seed, index, _)) in rows.iter().enumerate() {
            for (other, other_seed, other_index, reason) in &rows[at + 1..] {
                assert_ne!(split.seed(*seed, *index), other.seed(*other_seed, *other_index), "{reason}");
            }
        }
    }
}
