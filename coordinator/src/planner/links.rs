//! What was measured between peers, kept so that a plan copies nothing of it.

use crate::ids::PeerId;
use std::collections::BTreeMap;
use std::sync::Arc;

/// What was measured between two peers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Link {
    /// Milliseconds there and back.
    pub round_trip_ms: u32,
    /// Bytes a millisecond, one way.
    pub bytes_per_ms: u32,
}

impl Link {
    /// A link that nobody has measured yet. Source: guess; two homes in one country, 8 Mbit/s upwards.
    pub const UNMEASURED: Self = Self { round_trip_ms: 40, bytes_per_ms: 1_000 };

    /// One that was measured, or [`Link::UNMEASURED`] where that says 0.
    #[must_use]
    pub fn of_round_trip(ms: u16) -> Self {
        if ms == 0 { Self::UNMEASURED } else { Self { round_trip_ms: ms.into(), ..Self::UNMEASURED } }
    }

    /// Microseconds from the first byte sent to the last of `bytes` received.
    #[must_use]
    pub fn one_way_micros(self, bytes: u64) -> u64 {
        (u64::from(self.round_trip_ms) * 500).saturating_add(self.transfer_micros(bytes))
    }

    /// Microseconds for which `bytes` keep the link busy.
    #[must_use]
    pub fn transfer_micros(self, bytes: u64) -> u64 {
        bytes.saturating_mul(1_000) / u64::from(self.bytes_per_ms.max(1))
    }
}

/// Whom one peer has a live direct link to, and how good that is. In a full room this is most of what a report says, so
/// it is sorted once, when the report comes; clones are the same memory.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sight(Arc<[(PeerId, Link)]>);

impl Sight {
    /// Whether it has a live link to `peer`.
    #[must_use]
    pub fn contains(&self, peer: PeerId) -> bool {
        self.link(peer).is_some()
    }

    /// The link to `peer`.
    #[must_use]
    pub fn link(&self, peer: PeerId) -> Option<Link> {
        self.0.binary_search_by_key(&peer, |(id, _)| *id).ok().map(|at| self.0[at].1)
    }

    /// Those of it that are not among `known`, which is sorted.
    pub fn beyond<'a>(&'a self, known: &'a [PeerId]) -> impl Iterator<Item = PeerId> + 'a {
        let mut known = known.iter().peekable();
        self.0.iter().map(|(id, _)| *id).filter(move |id| {
            while known.next_if(|known| *known < id).is_some() {}
            known.peek() != Some(&id)
        })
    }

    /// The same without `peer`.
    #[must_use]
    pub fn without(&self, peer: PeerId) -> Self {
        self.0.iter().copied().filter(|(id, _)| *id != peer).collect()
    }
}

impl FromIterator<(PeerId, Link)> for Sight {
    /// Of a peer that is named twice, the last word counts.
    fn from_iter<I: IntoIterator<Item = (PeerId, Link)>>(links: I) -> Self {
        Self(links.into_iter().collect::<BTreeMap<_, _>>().into_iter().collect())
    }
}

impl FromIterator<PeerId> for Sight {
    /// Links that nobody has measured.
    fn from_iter<I: IntoIterator<Item = PeerId>>(peers: I) -> Self {
        peers.into_iter().map(|peer| (peer, Link::UNMEASURED)).collect()
    }
}

/// The links of a room; one that is not in it counts as [`Link::UNMEASURED`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Links(BTreeMap<PeerId, Sight>);

impl Links {
    /// Notes what was measured between two peers, in either order.
    pub fn insert(&mut self, one: PeerId, other: PeerId, link: Link) {
        let sight = self.0.entry(one.min(other)).or_default();
        *sight = sight.0.iter().copied().chain([(one.max(other), link)]).collect();
    }

    /// The link between two different peers, by the word of the lower id.
    #[must_use]
    pub fn between(&self, one: PeerId, other: PeerId) -> Link {
        let sight = self.0.get(&one.min(other));
        sight.and_then(|sight| sight.link(one.max(other))).unwrap_or(Link::UNMEASURED)
    }
}

impl FromIterator<(PeerId, Sight)> for Links {
    fn from_iter<I: IntoIterator<Item = (PeerId, Sight)>>(sights: I) -> Self {
        Self(sights.into_iter().collect())
    }
}
