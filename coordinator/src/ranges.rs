//! The layer ranges that this peer's compute worker holds, and what to load and free.
//!
//! The exact range is the unit of loading: 0..8 in memory does not serve a plan that wants 0..4.

use crate::ids::{Layers, Millis};
use crate::io::Output;
use crate::limits;
use crate::outbox::Outbox;
use std::collections::{BTreeMap, BTreeSet};

/// What the compute worker holds.
#[derive(Debug, Default)]
pub struct Ranges {
    held: BTreeMap<Layers, Hold>,
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
    pub fn reconcile(&mut self, wanted: &BTreeSet<Layers>, out: &mut Outbox) {
        self.held.retain(|&layers, hold| {
            let keep = *hold == Hold::Loading || wanted.contains(&layers);
            if !keep {
                out.push(Output::Unload(layers));
            }
            keep
        });
        for &layers in wanted {
            if !self.held.contains_key(&layers) && self.held.len() < limits::RANGES {
                self.held.insert(layers, Hold::Loading);
                out.push(Output::Load(layers));
            }
        }
    }

    /// A range is in memory. False if it was not being loaded.
    pub fn loaded(&mut self, layers: Layers) -> bool {
        let hold = self.held.get_mut(&layers);
        let ours = hold.is_some();
        if let Some(hold) = hold {
            *hold = Hold::Ready;
            self.trouble = None;
        }
        ours
    }

    /// A range could not be loaded.
    pub fn failed(&mut self, now: Millis, layers: Layers, reason: String) {
        if self.held.remove(&layers).is_some() {
            self.trouble = Some((reason, now));
        }
    }

    /// The compute worker is gone, and everything with it.
    pub fn clear(&mut self) {
        *self = Self::default();
    }

    /// Whether a range is ready to run.
    pub fn is_ready(&self, layers: Layers) -> bool {
        self.held.get(&layers) == Some(&Hold::Ready)
    }

    /// All that are ready.
    pub fn ready(&self) -> Vec<Layers> {
        self.held.iter().filter(|(_, hold)| **hold == Hold::Ready).map(|(&layers, _)| layers).collect()
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

    const LOW: Layers = Layers { start: 0, end: 4 };
    const ALL: Layers = Layers { start: 0, end: 8 };

    fn reconciled(ranges: &mut Ranges, wanted: &[Layers]) -> (Vec<Layers>, Vec<Layers>) {
        let mut out = Outbox::new(PeerId(1));
        ranges.reconcile(&wanted.iter().copied().collect(), &mut out);
        let (mut load, mut unload) = (vec![], vec![]);
        for output in out.take() {
            match output {
                Output::Load(layers) => load.push(layers),
                Output::Unload(layers) => unload.push(layers),
                _ => {}
            }
        }
        (load, unload)
    }

    #[test]
    fn a_range_lives_as_long_as_it_is_wanted() {
        let mut ranges = Ranges::default();
        assert_eq!(reconciled(&mut ranges, &[ALL]), (vec![ALL], vec![]), "wanted");
        assert_eq!(reconciled(&mut ranges, &[ALL]), (vec![], vec![]), "once");
        assert_eq!(reconciled(&mut ranges, &[LOW]), (vec![LOW], vec![]), "what loads is let finish");
        assert!(ranges.loaded(ALL));
        assert_eq!(reconciled(&mut ranges, &[LOW]), (vec![], vec![ALL]), "then freed");
        assert!(!ranges.loaded(ALL), "it is not ours any more");
    }

    #[test]
    fn a_failure_counts_for_a_while() {
        let mut ranges = Ranges::default();
        reconciled(&mut ranges, &[ALL]);
        ranges.failed(Millis(0), ALL, "out of memory".into());
        assert_eq!(ranges.trouble(Millis(1)), Some("out of memory"));
        assert_eq!(ranges.trouble(Millis(limits::LOAD_RETRY_MS)), None);
        assert!(!ranges.is_ready(ALL));
    }
}
