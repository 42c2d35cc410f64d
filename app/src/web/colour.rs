//! The colour of each peer, the same on every page of the room: the colour word of its name if it has one, else
//! one drawn from its id; the next free one if two would be alike.

use crate::names::COLOURS;
use coordinator::PeerId;
use std::collections::BTreeMap;

/// Hues in degrees of OKLCH; lightness and chroma, chosen for contrast, stand in the style sheet.
pub type Hues = BTreeMap<PeerId, u16>;

/// Named colours, and as many between them for rooms that need more.
const SLOTS: usize = 2 * COLOURS.len();

/// One hue for each of `peers` (id and name); distinct as long as there are no more peers than slots.
#[must_use]
pub fn hues<'a>(peers: impl Iterator<Item = (PeerId, &'a str)>) -> Hues {
    let sorted: BTreeMap<PeerId, &str> = peers.collect();
    let mut taken = [false; SLOTS];
    let mut hues = Hues::new();
    for (id, name) in sorted {
        let wanted = slot(id, name);
        let free = (0..SLOTS).map(|step| alternative(wanted, step)).find(|&slot| !taken[slot]);
        let slot = free.unwrap_or(wanted);
        taken[slot] = true;
        hues.insert(id, hue(slot));
    }
    hues
}

/// The hue of a peer that is not in the room any more.
#[must_use]
pub fn own_hue(id: PeerId, name: &str) -> u16 {
    hue(slot(id, name))
}

/// The slot to try after `step` others: three named colours on each time, which is far away and meets all eight;
/// then those between the named ones.
const fn alternative(wanted: usize, step: usize) -> usize {
    let named = COLOURS.len();
    step / named * named + (wanted + 3 * step) % named
}

/// Degrees of OKLCH.
const fn hue(slot: usize) -> u16 {
    const HALF_STEP: u16 = 22;
    let named = COLOURS[slot % COLOURS.len()].1;
    if slot < COLOURS.len() { named } else { (named + HALF_STEP) % 360 }
}

fn slot(id: PeerId, name: &str) -> usize {
    let word = name.split(' ').next().unwrap_or_default();
    let named = COLOURS.iter().position(|(colour, _)| colour.eq_ignore_ascii_case(word));
    named.unwrap_or((id.0 % COLOURS.len() as u128) as usize)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

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
        let peers: Vec<PeerId> = (0..SLOTS as u128).map(PeerId).collect();
        let hues = hues(peers.iter().map(|id| (*id, "Teal Otter")));
        let distinct: BTreeSet<u16> = hues.values().copied().collect();
        assert_eq!(distinct.len(), SLOTS);
    }

    #[test]
    fn the_order_of_arrival_does_not_matter() {
        let peers = [(PeerId(1), "Rose Fox"), (PeerId(2), "Rose Owl"), (PeerId(3), "Copper Seal")];
        assert_eq!(hues(peers.into_iter()), hues(peers.into_iter().rev()));
    }

    #[test]
    fn more_peers_than_colours_still_have_one() {
        let peers: Vec<PeerId> = (0..40).map(PeerId).collect();
        assert_eq!(hues(peers.iter().map(|id| (*id, "x"))).len(), 40);
    }

    const STYLE: &str = include_str!("../../style/page.css");

    /// WCAG AA asks 4.5 for text. Every hue is tried, because a peer may get any.
    #[test]
    fn every_hue_can_be_read_in_light_and_dark() {
        let pairs = [
            ("--on-peer", "--peer", "names on the layer strip"),
            ("--peer-text", "--raised", "what a peer holds, on its card"),
            ("--peer-text", "--paper", "who asked, in the feed"),
            ("--ink", "--peer-pale", "names on a stretch that loads"),
        ];
        for (text, ground, why) in pairs {
            for (theme, (text, ground)) in declared(text).into_iter().zip(declared(ground)).enumerate() {
                for hue in (0..360).map(f64::from) {
                    let contrast = contrast(luminance(text, hue), luminance(ground, hue));
                    assert!(contrast >= 4.5, "{why}: {contrast:.2} at hue {hue}, theme {theme}");
                }
            }
        }
    }

    /// A colour as the style sheet declares it, light first, then dark. The peers' colours have fallbacks in the
    /// first block; the ones that count are the last two.
    fn declared(name: &str) -> [&'static str; 2] {
        let all: Vec<&str> =
            STYLE.lines().filter_map(|line| line.trim().strip_prefix(name)?.strip_prefix(": ")).collect();
        all[all.len() - 2..].try_into().expect("a colour for light and one for dark")
    }

    /// Relative luminance of `#rrggbb` or `oklch(L% C var(--hue))`, clipped to sRGB.
    fn luminance(colour: &str, hue: f64) -> f64 {
        let linear = match colour.strip_prefix('#') {
            Some(hex) => {
                [0, 2, 4].map(|i| u8::from_str_radix(&hex[i..i + 2], 16).expect("hex")).map(|byte| {
                    let s = f64::from(byte) / 255.0;
                    if s <= 0.04045 { s / 12.92 } else { ((s + 0.055) / 1.055).powf(2.4) }
                })
            }
            None => {
                let mut parts =
                    colour.trim_start_matches("oklch(").split(['%', ' ']).filter(|part| !part.is_empty());
                let mut number =
                    || parts.next().and_then(|part| part.parse::<f64>().ok()).expect("lightness, chroma");
                from_oklch(number() / 100.0, number(), hue.to_radians())
            }
        };
        let [r, g, b] = linear.map(|c| c.clamp(0.0, 1.0));
        0.2126 * r + 0.7152 * g + 0.0722 * b
    }

    /// Linear sRGB, by the matrices of Ottosson's "A perceptual color space for image processing" (2020).
    fn from_oklch(lightness: f64, chroma: f64, hue: f64) -> [f64; 3] {
        let (a, b) = (chroma * hue.cos(), chroma * hue.sin());
        let l = (lightness + 0.396_337_777_4 * a + 0.215_803_757_3 * b).powi(3);
        let m = (lightness - 0.105_561_345_8 * a - 0.063_854_172_8 * b).powi(3);
        let s = (lightness - 0.089_484_177_5 * a - 1.291_485_548 * b).powi(3);
        [
            4.076_741_662_1 * l - 3.307_711_591_3 * m + 0.230_969_929_2 * s,
            -1.268_438_004_6 * l + 2.609_757_401_1 * m - 0.341_319_396_5 * s,
            -0.004_196_086_3 * l - 0.703_418_614_7 * m + 1.707_614_701 * s,
        ]
    }

    fn contrast(one: f64, other: f64) -> f64 {
        (one.max(other) + 0.05) / (one.min(other) + 0.05)
    }
}
