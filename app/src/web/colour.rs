//! The colour of each peer, the same on every page of the room: the colour word of its name if it has one, else
//! one drawn from its id; the next free one if two would be alike.

use crate::names::COLOURS;
use coordinator::PeerId;
use std::collections::BTreeMap;

/// Hues in degrees of OKLCH; lightness and chroma, chosen for contrast, stand in the style sheet.
pub type Hues = BTreeMap<PeerId, u16>;

/// One hue for each of `peers` (id and name); distinct as long as there are no more peers than colours.
#[must_use]
pub fn hues<'a>(peers: impl Iterator<Item = (PeerId, &'a str)>) -> Hues {
    let sorted: BTreeMap<PeerId, &str> = peers.collect();
    let mut taken = [false; COLOURS.len()];
    let mut hues = Hues::new();
    for (id, name) in sorted {
        let wanted = slot(id, name);
        let free = (0..COLOURS.len())
            .map(|step| (wanted + step) % COLOURS.len())
            .find(|&slot| !taken[slot]);
        let slot = free.unwrap_or(wanted);
        taken[slot] = true;
        hues.insert(id, COLOURS[slot].1);
    }
    hues
}

/// The hue of a peer that is not in the room any more.
#[must_use]
pub fn own_hue(id: PeerId, name: &str) -> u16 {
    COLOURS[slot(id, name)].1
}

fn slot(id: PeerId, name: &str) -> usize {
    let word = name.split(' ').next().unwrap_or_default();
    let named = COLOURS
        .iter()
        .position(|(colour, _)| colour.eq_ignore_ascii_case(word));
    named.unwrap_or((id.0 % COLOURS.len() as u128) as usize)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_brings_its_colour() {
        assert_eq!(own_hue(PeerId(3), "Teal Otter"), own_hue(PeerId(9), "teal"));
        assert_ne!(
            own_hue(PeerId(3), "Ada"),
            own_hue(PeerId(4), "Ada"),
            "without a colour word the id decides"
        );
    }

    #[test]
    fn nobody_shares_a_colour_while_there_are_enough() {
        let peers: Vec<PeerId> = (0..COLOURS.len() as u128).map(PeerId).collect();
        let hues = hues(peers.iter().map(|id| (*id, "Teal Otter")));
        let distinct: std::collections::BTreeSet<u16> = hues.values().copied().collect();
        assert_eq!(distinct.len(), COLOURS.len());
    }

    #[test]
    fn the_order_of_arrival_does_not_matter() {
        let peers = [
            (PeerId(1), "Rose Fox"),
            (PeerId(2), "Rose Owl"),
            (PeerId(3), "Coral Seal"),
        ];
        assert_eq!(hues(peers.into_iter()), hues(peers.into_iter().rev()));
    }

    #[test]
    fn more_peers_than_colours_still_have_one() {
        let peers: Vec<PeerId> = (0..40).map(PeerId).collect();
        assert_eq!(hues(peers.iter().map(|id| (*id, "x"))).len(), 40);
    }
}
