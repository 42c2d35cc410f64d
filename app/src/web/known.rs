//! Models that the page knows of, and whether this room can hold them, said before anything is fetched.

use super::words;
use crate::compute::source;
use crate::node::view::View;

/// What a model makes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Makes {
    /// It writes.
    Text,
    /// It paints.
    Pictures,
}

/// A published model: see `assets/models.toml`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Known {
    /// What people call it.
    pub name: &'static str,
    /// What it makes.
    pub makes: Makes,
    /// Where its files are.
    pub source: &'static str,
    /// Where people read about it.
    pub page: &'static str,
    /// As its publisher says.
    pub licence: &'static str,
    /// Bytes of its weights as they are fetched.
    pub bytes: u64,
    /// What they become while they are loaded.
    pub smaller: Option<&'static str>,
    /// Bytes of its weights in memory then.
    pub memory: u64,
}

/// All of them, as they are listed.
pub const KNOWN: &[Known] = include!(concat!(env!("OUT_DIR"), "/models.rs"));

impl Known {
    /// What a worker opens.
    #[must_use]
    pub fn source(&self) -> String {
        source::with(self.source, self.smaller, false)
    }

    /// One line about it: "Writes · 269 MB to fetch · Apache-2.0".
    #[must_use]
    pub fn facts(&self) -> String {
        let makes = match self.makes {
            Makes::Text => "Writes",
            Makes::Pictures => "Paints",
        };
        format!("{makes} · {} to fetch · {}", words::bytes(self.bytes), self.licence)
    }
}

/// Whether a room can hold a model.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fit {
    /// This device alone.
    Alone,
    /// This device and others that are here.
    Together,
    /// So many devices like this one.
    Needs(u64),
    /// More than a chain of devices can be.
    TooLarge,
    /// Not known before this device has said what it lends.
    Unknown,
}

impl Fit {
    /// For weights of `memory` bytes in this room.
    #[must_use]
    pub fn of(memory: u64, view: &View) -> Self {
        let lends = |mine: bool| {
            let peers = view.peers.peers.iter().filter(move |peer| (peer.id == view.me) == mine);
            peers.filter_map(|peer| peer.capability).map(|capability| capability.memory).sum::<u64>()
        };
        let mine = lends(true);
        if mine == 0 {
            return Self::Unknown;
        }
        match memory.div_ceil(mine) {
            0 | 1 => Self::Alone,
            _ if memory <= mine.saturating_add(lends(false)) => Self::Together,
            devices if devices <= coordinator::limits::STAGES as u64 => Self::Needs(devices),
            _ => Self::TooLarge,
        }
    }

    /// The name that the style sheet knows.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Alone => "alone",
            Self::Together => "together",
            Self::Needs(_) => "needs",
            Self::TooLarge => "too-large",
            Self::Unknown => "unknown",
        }
    }

    /// The same in plain words.
    #[must_use]
    pub fn words(self) -> String {
        match self {
            Self::Alone => "Fits this device alone.".into(),
            Self::Together => "Fits the devices that are here, together.".into(),
            Self::Needs(devices) => format!("Needs about {devices} devices like this one."),
            Self::TooLarge => "Too large for a room of devices like this one.".into(),
            Self::Unknown => "This device is still getting ready.".into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::example::ready_view;
    use super::*;

    #[test]
    fn what_is_listed_can_be_opened() {
        assert!(KNOWN.len() >= 5, "{} models", KNOWN.len());
        for known in KNOWN {
            assert_eq!(source::address(known.source).as_deref(), Ok(known.source), "{}", known.name);
            assert_eq!(source::quantised(&known.source()), (known.source, known.smaller), "{}", known.name);
            assert!(
                known.page.starts_with("https://") && known.source.starts_with(known.page),
                "{}",
                known.name
            );
            // 34 bytes for 32 numbers, or as they are.
            let expected = if known.smaller == Some("q8_0") { known.bytes / 64 * 34 } else { known.bytes };
            assert!(
                known.memory.abs_diff(expected) <= known.bytes / 1000,
                "{}: {}",
                known.name,
                known.memory
            );
        }
    }

    #[test]
    fn what_a_room_can_hold_is_said_in_its_own_figures() {
        const GB: u64 = 1 << 30;
        let (alone, two) = (&[(1, "Owl", 0, 8)][..], &[(1, "Owl", 0, 4), (2, "Fox", 4, 8)][..]);
        let rows = [
            (alone, GB / 2, Fit::Alone, "half of what this device lends"),
            (alone, GB, Fit::Alone, "all of it"),
            (alone, GB + 1, Fit::Needs(2), "a byte more, and nobody else is here"),
            (two, GB + 1, Fit::Together, "the other one takes the rest"),
            (two, 2 * GB + 1, Fit::Needs(3), "more than both"),
            (two, 8 * GB, Fit::Needs(8), "as many as a chain may be"),
            (two, 8 * GB + 1, Fit::TooLarge, "one more"),
        ];
        for (peers, memory, fit, why) in rows {
            assert_eq!(Fit::of(memory, &ready_view(peers)), fit, "{why}");
        }
        let mut starting = ready_view(alone);
        starting.peers.peers[0].capability = None;
        assert_eq!(Fit::of(1, &starting), Fit::Unknown);
    }
}
