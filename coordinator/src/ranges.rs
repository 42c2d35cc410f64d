//! The parts of models that this peer's compute worker holds, and what to load and free.
//!
//! The exact range is the unit of loading: 0..8 in memory does not serve a plan that wants 0..4.

use crate::ids::Millis;
use crate::io::{Output, Part};
use crate::limits;
use crate::outbox::Outbox;
use std::collections::{BTreeMap, BTreeSet};

/// What the compute worker holds.
#[derive(Debug, Default)]
pub struct Ranges {
    held: BTreeMap<Part, Hold>,
    /// The last failure and when it happened, while it counts.
    trouble: Option<(String, Millis)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Hold {
    Loading,
    Ready,
}

impl Ranges {
    /// Loads what is wanted and not held; frees what is held and not wanted. What is being loaded is let finish first.
    pub fn reconcile(&mut self, wanted: &BTreeSet<Part>, out: &mut Outbox) {
        self.held.retain(|&part, hold| {
            let keep = *hold == Hold::Loading || wanted.contains(&part);
            if !keep {
                out.push(Output::Unload(part));
            }
            keep
        });
        for &part in wanted {
            if !self.held.contains_key(&part) && self.held.len() < limits::RANGES {
                self.held.insert(part, Hold::Loading);
                out.push(Output::Load(part));
            }
        }
    }

    /// A range is in memory. False if it was not being loaded.
    pub fn loaded(&mut self, part: Part) -> bool {
        let hold = self.held.get_mut(&part);
        let ours = hold.is_some();
        if let Some(hold) = hold {
            *hold = Hold::Ready;
            self.trouble = None;
        }
        ours
    }

    /// A range could not be loaded.
    pub fn failed(&mut self, now: Millis, part: Part, reason: String) {
        if self.held.remove(&part).is_some() {
            self.trouble = Some((reason, now));
        }
    }

    /// The compute worker is gone, and everything with it.
    pub fn clear(&mut self) {
        *self = Self::default();
    }

    /// Whether a range is ready to run.
    pub fn is_ready(&self, part: Part) -> bool {
        self.held.get(&part) == Some(&Hold::Ready)
    }

    /// All that are ready.
    pub fn ready(&self) -> Vec<Part> {
        self.held.iter().filter(|(_, hold)| **hold == Hold::Ready).map(|(&part, _)| part).collect()
    }

    /// Ranges held or being loaded.
    pub fn len(&self) -> usize {
        self.held.len()
    }

    /// Why the last load failed, for `LOAD_RETRY_MS`.
    pub fn trouble(&self, now: Millis) -> Option<&str> {
        let (reason, at) = self.trouble.as_ref()?;
        (now.since(*at) < limits::LOAD_RETRY_MS).then_some(reason)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::PeerId;
    use crate::testing::part;

    fn reconciled(ranges: &mut Ranges, wanted: &[Part]) -> (Vec<Part>, Vec<Part>) {
        let mut out = Outbox::new(PeerId(1));
        ranges.reconcile(&wanted.iter().copied().collect(), &mut out);
        let (mut load, mut unload) = (vec![], vec![]);
        for output in out.take() {
            match output {
                Output::Load(part) => load.push(part),
                Output::Unload(part) => unload.push(part),
                _ => {}
            }
        }
        (load, unload)
    }

    #[test]
    fn a_range_lives_as_long_as_it_is_wanted() {
        let (low, all) = (part(0, 4), part(0, 8));
        let mut ranges = Ranges::default();
        assert_eq!(reconciled(&mut ranges, &[all]), (vec![all], vec![]), "wanted");
        assert_eq!(reconciled(&mut ranges, &[all]), (vec![], vec![]), "once");
        assert_eq!(reconciled(&mut ranges, &[low]), (vec![low], vec![]), "what loads is let finish");
        assert!(ranges.loaded(all));
        assert_eq!(reconciled(&mut ranges, &[low]), (vec![], vec![all]), "then freed");
        assert!(!ranges.loaded(all), "it is not ours any more");
    }

    #[test]
    fn the_same_layers_of_two_models_are_two_parts() {
        let (one, other) = (part(0, 8), Part { model: crate::ids::ModelId([9; 32]), ..part(0, 8) });
        let mut ranges = Ranges::default();
        reconciled(&mut ranges, &[one, other]);
        assert!(ranges.loaded(one));
        assert_eq!((ranges.is_ready(one), ranges.is_ready(other)), (true, false));
        assert_eq!(ranges.ready(), [one]);
    }

    #[test]
    fn no_more_is_held_than_the_bound_allows() {
        let wanted: Vec<Part> = (1..100).map(|end| part(0, end)).collect();
        let mut ranges = Ranges::default();
        let (load, _) = reconciled(&mut ranges, &wanted);
        assert_eq!((load.len(), ranges.len()), (limits::RANGES, limits::RANGES));
    }

    #[test]
    fn a_failure_counts_for_a_while() {
        let all = part(0, 8);
        let mut ranges = Ranges::default();
        ranges.failed(Millis(0), all, "nobody asked for it".into());
        assert_eq!(ranges.trouble(Millis(1)), None);
        reconciled(&mut ranges, &[all]);
        ranges.failed(Millis(0), all, "out of memory".into());
        assert_eq!(ranges.trouble(Millis(1)), Some("out of memory"));
        assert_eq!(ranges.trouble(Millis(limits::LOAD_RETRY_MS)), None);
        assert!(!ranges.is_ready(all));
    }
}
