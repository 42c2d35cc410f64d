//! Which experts are in memory, and which of them goes when another comes: the one that was used longest ago. Only names
//! and sizes; who holds the weights does as it is told.

use crate::llm::Layers;
use std::collections::BTreeMap;

/// An expert: its layer, and its number there.
pub type Place = (usize, usize);

/// What became of a budget for experts. Times are what passes waited, reading and unpacking included.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct PagingFigures {
    /// Experts that were in memory when a layer's router asked for them.
    pub hits: u64,
    /// Experts that were not.
    pub misses: u64,
    /// Experts of both kinds that were being read, or had been, because they were foreseen.
    pub foreseen: u64,
    /// Experts that were dropped for others.
    pub evicted: u64,
    /// Bytes that the source answered with.
    pub bytes_read: u64,
    /// Microseconds during which passes did not compute, because of experts.
    pub stall_micros: u64,
    /// The most bytes of experts in memory, or on their way there.
    pub peak_bytes: u64,
    /// Bytes that they may take.
    pub budget: u64,
}

/// A budget, and what takes it.
///
/// ```text
/// reserve ─► on its way ─► arrived ─► used, used, … ─► dropped, when another needs the room
///                └─► given up
/// ```
#[derive(Debug, Clone)]
pub struct Pager {
    held: BTreeMap<Place, Held>,
    bytes: u64,
    /// Counts uses.
    clock: u64,
    /// What is told of it.
    pub(super) figures: PagingFigures,
}

#[derive(Debug, Clone)]
struct Held {
    bytes: u64,
    /// When it was used last.
    used: u64,
    /// Whether it has arrived.
    here: bool,
    /// Whether it was reserved before anybody needed it, and nobody has since.
    foreseen: bool,
}

impl Pager {
    /// Nothing yet, and `budget` bytes at most.
    #[must_use]
    pub fn new(budget: u64) -> Self {
        let figures = PagingFigures { budget, ..PagingFigures::default() };
        Self { held: BTreeMap::new(), bytes: 0, clock: 0, figures }
    }

    /// What became of the budget so far.
    #[must_use]
    pub const fn figures(&self) -> PagingFigures {
        self.figures
    }

    /// Somebody needs an expert: true if it is in memory. It is the one used last from now on.
    pub fn ask(&mut self, place: Place) -> bool {
        self.clock += 1;
        let mut here = false;
        if let Some(held) = self.held.get_mut(&place) {
            self.figures.foreseen += u64::from(std::mem::take(&mut held.foreseen));
            (held.used, here) = (self.clock, held.here);
        }
        match here {
            true => self.figures.hits += 1,
            false => self.figures.misses += 1,
        }
        here
    }

    /// True if an expert is in memory or on its way.
    #[must_use]
    pub fn knows(&self, place: Place) -> bool {
        self.held.contains_key(&place)
    }

    /// Takes `bytes` for an expert that will arrive, and tells which others have to be dropped for it: none that is on
    /// its way, and none that `keep` names. None if there is no room without these; then nothing has changed.
    pub fn reserve(&mut self, place: Place, bytes: u64, keep: impl Fn(Place) -> bool) -> Option<Vec<Place>> {
        let mut order: Vec<(u64, Place, u64)> = self
            .held
            .iter()
            .filter(|(other, held)| held.here && !keep(**other))
            .map(|(other, held)| (held.used, *other, held.bytes))
            .collect();
        order.sort_unstable();
        let (mut gone, mut taken) = (Vec::new(), self.bytes);
        let mut oldest = order.into_iter();
        while taken.saturating_add(bytes) > self.figures.budget {
            let (_, other, freed) = oldest.next()?;
            taken -= freed;
            gone.push(other);
        }
        for other in &gone {
            self.held.remove(other);
        }
        self.figures.evicted += gone.len() as u64;
        self.clock += 1;
        self.held.insert(place, Held { bytes, used: self.clock, here: false, foreseen: false });
        self.bytes = taken + bytes;
        self.figures.peak_bytes = self.figures.peak_bytes.max(self.bytes);
        Some(gone)
    }

    /// Nobody needs the expert yet that was just reserved.
    pub fn foresee(&mut self, place: Place) {
        if let Some(held) = self.held.get_mut(&place) {
            held.foreseen = true;
        }
    }

    /// What was reserved is in memory.
    pub fn arrived(&mut self, place: Place) {
        if let Some(held) = self.held.get_mut(&place) {
            held.here = true;
        }
    }

    /// What was reserved does not come.
    pub fn give_up(&mut self, place: Place) {
        if let Some(held) = self.held.remove(&place) {
            self.bytes -= held.bytes;
        }
    }

    /// Nothing of what was reserved and has not arrived comes any more.
    pub fn give_up_coming(&mut self) {
        self.retain(|_, held| held.here);
    }

    /// The experts of these layers are in memory no more.
    pub fn forget(&mut self, layers: Layers) {
        self.retain(|(layer, _), _| !layers.range().contains(&layer));
    }

    fn retain(&mut self, stays: impl Fn(Place, &Held) -> bool) {
        self.held.retain(|place, held| stays(*place, held));
        self.bytes = self.held.values().map(|held| held.bytes).sum();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn take(pager: &mut Pager, place: Place, bytes: u64) -> Option<Vec<Place>> {
        let gone = pager.reserve(place, bytes, |_| false);
        pager.arrived(place);
        gone
    }

    #[test]
    fn the_one_used_longest_ago_goes_first() {
        let mut pager = Pager::new(30);
        for index in 0..3 {
            assert_eq!(take(&mut pager, (0, index), 10), Some(vec![]), "there is room");
        }
        assert!(pager.ask((0, 0)), "used again");
        assert_eq!(take(&mut pager, (1, 0), 10), Some(vec![(0, 1)]));
        assert_eq!(take(&mut pager, (1, 1), 15), Some(vec![(0, 2), (0, 0)]), "as many as it takes");
        assert!(!pager.ask((0, 1)));
        let PagingFigures { hits, misses, evicted, peak_bytes, .. } = pager.figures();
        assert_eq!((hits, misses, evicted, peak_bytes), (1, 1, 3, 30));
    }

    #[test]
    fn what_is_kept_or_on_its_way_does_not_go() {
        let mut pager = Pager::new(30);
        take(&mut pager, (0, 0), 10);
        take(&mut pager, (0, 1), 10);
        assert_eq!(pager.reserve((0, 2), 10, |_| false), Some(vec![]), "on its way");
        let first = |place| place == (0, 0);
        assert_eq!(pager.reserve((1, 0), 20, first), None, "one alone is not enough");
        assert!(pager.knows((0, 1)), "and did not go for nothing");
        assert_eq!(pager.reserve((1, 0), 10, first), Some(vec![(0, 1)]));
        assert_eq!(pager.reserve((1, 1), 31, |_| false), None, "more than there can be");
        pager.give_up((1, 0));
        pager.give_up_coming();
        assert!(!pager.knows((0, 2)) && !pager.knows((1, 0)) && pager.knows((0, 0)));
        assert_eq!(pager.reserve((1, 1), 20, first), Some(vec![]), "their room is free again");
        assert_eq!(pager.figures().peak_bytes, 30);
    }

    #[test]
    fn layers_are_forgotten_with_their_bytes() {
        let mut pager = Pager::new(20);
        take(&mut pager, (3, 0), 10);
        take(&mut pager, (4, 0), 10);
        pager.forget(Layers::new(0, 4));
        assert!(!pager.knows((3, 0)) && pager.knows((4, 0)));
        assert_eq!(take(&mut pager, (5, 0), 10), Some(vec![]));
    }

    #[test]
    fn what_was_foreseen_is_counted_once_it_is_needed() {
        let mut pager = Pager::new(20);
        pager.reserve((0, 0), 10, |_| false);
        pager.foresee((0, 0));
        assert!(!pager.ask((0, 0)), "it has not arrived");
        pager.arrived((0, 0));
        assert!(pager.ask((0, 0)));
        let PagingFigures { hits, misses, foreseen, .. } = pager.figures();
        assert_eq!((hits, misses, foreseen), (1, 1, 1));
    }
}
