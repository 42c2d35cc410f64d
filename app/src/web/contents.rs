//! The weights that the room shares, in plain words: what of them is here, where it came from, and what others have.

use super::known::Fit;
use super::{adapting, words};
use crate::compute::source::of_content;
use crate::node::view::{View, Weights};
use coordinator::PeerId;
use coordinator::swarm::Content;

/// Where a part of what is here came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum From {
    /// It was on this device.
    Here,
    /// The place where the model lies.
    Origin,
    /// Another device.
    Peer(PeerId),
}

/// One content as a card shows it.
#[derive(Clone, Debug, PartialEq)]
pub struct Shown {
    /// Which.
    pub content: Content,
    /// What people call it.
    pub name: String,
    /// Whether this device takes part in it.
    pub open: bool,
    /// Whether something that is wanted is missing.
    pub fetches: bool,
    /// What of 1 came from where, in the order of the bar; together as much as is here of what is wanted.
    pub parts: Vec<(From, f64)>,
    /// "43 MB of 64 MB · 20 MB from where it lies, 23 MB from Ada".
    pub words: String,
    /// "2 others have all of it between them".
    pub room: String,
    /// Whether it fits, before it is opened.
    pub fit: Option<Fit>,
    /// What it changes, if it is an adapter and no model.
    pub adapter: Option<String>,
}

impl Shown {
    /// The source of the model that it is.
    #[must_use]
    pub fn source(&self) -> String {
        of_content(&self.content.0, "")
    }
}

/// All contents of a view, those that are open here first.
#[must_use]
pub fn shown(view: &View) -> Vec<Shown> {
    let mut all: Vec<Shown> = view.weights.iter().map(|one| shown_one(one, view)).collect();
    all.sort_by_key(|one| !one.open);
    all
}

fn shown_one(one: &Weights, view: &View) -> Shown {
    let about = one.about.clone().unwrap_or_default();
    let parts = parts(one);
    let name = if about.name.is_empty() { "A model that others have".to_owned() } else { about.name };
    let adapter = about.adapts.as_ref().map(|adapts| with_licence(adapting::told(adapts), &about.licence));
    let fit = (!one.open && about.bytes > 0 && adapter.is_none()).then(|| Fit::of(about.bytes, view));
    // A person's own adapter is read where it lies, and is too small to be fetched in parts.
    let in_place = adapter.is_some() && one.progress.wanted == 0;
    Shown {
        content: one.content,
        name,
        open: one.open,
        fetches: one.open && one.progress.here < one.progress.wanted,
        words: if one.open && !in_place {
            said(one, &parts, view)
        } else {
            words::bytes(about.bytes) + " in all"
        },
        parts: share(&parts, one.progress.wanted),
        room: room(one),
        fit,
        adapter,
    }
}

fn with_licence(told: String, licence: &str) -> String {
    if licence.is_empty() { told + "." } else { format!("{told}. Licence: {licence}.") }
}

/// Bytes that are here, by where they came from. What came twice counts once.
fn parts(one: &Weights) -> Vec<(From, u64)> {
    let progress = one.progress;
    let fetched = progress.here.saturating_sub(progress.found);
    let peers = one.from_peers.iter().map(|(peer, bytes)| (From::Peer(*peer), *bytes));
    let came: Vec<(From, u64)> = std::iter::once((From::Origin, one.from_origin)).chain(peers).collect();
    let all: u128 = came.iter().map(|(_, bytes)| u128::from(*bytes)).sum();
    let scaled = |bytes: u64| (u128::from(bytes) * u128::from(fetched) / all.max(1)) as u64;
    let came = came.into_iter().map(|(from, bytes)| (from, scaled(bytes)));
    std::iter::once((From::Here, progress.found)).chain(came).filter(|(_, bytes)| *bytes > 0).collect()
}

fn share(parts: &[(From, u64)], wanted: u64) -> Vec<(From, f64)> {
    parts.iter().map(|(from, bytes)| (*from, *bytes as f64 / wanted.max(1) as f64)).collect()
}

fn said(one: &Weights, parts: &[(From, u64)], view: &View) -> String {
    let progress = one.progress;
    let amount = match progress.wanted {
        0 => "Nothing of it is needed here now".to_owned(),
        wanted if progress.here >= wanted => format!("{} here", words::bytes(wanted)),
        wanted => format!("{} of {}", words::bytes(progress.here), words::bytes(wanted)),
    };
    let from = |&(from, bytes): &(From, u64)| {
        let bytes = words::bytes(bytes);
        match from {
            From::Here => format!("{bytes} kept from before"),
            From::Origin => format!("{bytes} from where it lies"),
            From::Peer(peer) => format!("{bytes} from {}", words::name_of(view, peer)),
        }
    };
    let sources = parts.iter().map(from).collect::<Vec<_>>().join(", ");
    let full = if one.no_room { " · no room to keep it" } else { "" };
    if sources.is_empty() { amount + full } else { format!("{amount} · {sources}{full}") }
}

fn room(one: &Weights) -> String {
    let others = words::count(one.peers as usize, "other");
    match (one.peers, one.open && one.numbers > 0) {
        (0, _) => "Nobody else has it.".to_owned(),
        (_, false) => format!("{others} here {} it.", if one.peers == 1 { "has" } else { "have" }),
        _ if one.covered >= one.numbers => format!("{others} in it; the room has all of it."),
        _ => {
            let percent = u64::from(one.covered) * 100 / u64::from(one.numbers.max(1));
            format!("{others} in it; the room has {percent} % of it.")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::example::ready_view;
    use super::*;
    use crate::compute::swarm::{About, Progress};

    fn weights() -> Weights {
        let progress = Progress { wanted: 64_000_000, here: 48_000_000, found: 16_000_000 };
        Weights {
            content: Content([3; 32]),
            about: Some(About { name: "tales".into(), bytes: 64_000_000, ..About::default() }),
            open: true,
            peers: 2,
            numbers: 70,
            others: [(PeerId(2), 40)].into(),
            covered: 70,
            progress,
            from_origin: 16_000_000,
            from_peers: [(PeerId(2), 16_000_000)].into(),
            liars: Default::default(),
            no_room: false,
        }
    }

    #[test]
    fn what_is_here_is_shown_by_where_it_came_from() {
        let mut view = ready_view(&[(1, "Owl", 0, 8), (2, "Fox", 0, 8)]);
        view.weights = vec![weights()];
        let [one] = &shown(&view)[..] else { panic!("one content") };
        let quarter = [From::Here, From::Origin, From::Peer(PeerId(2))].map(|from| (from, 0.25));
        assert_eq!(one.parts, quarter);
        assert_eq!(
            one.words,
            "48 MB of 64 MB · 16 MB kept from before, 16 MB from where it lies, 16 MB from Fox"
        );
        assert_eq!(one.room, "2 others in it; the room has all of it.");
        assert!(one.fetches && one.fit.is_none());
    }

    #[test]
    fn what_comes_twice_is_not_more_than_there_is() {
        let mut one = weights();
        (one.from_origin, one.progress.found) = (112_000_000, 0);
        let all: u64 = parts(&one).iter().map(|(_, bytes)| bytes).sum();
        assert!(all <= one.progress.here && all + 4 > one.progress.here, "{all}");
        one.from_peers = Default::default();
        one.from_origin = 0;
        assert!(parts(&one).is_empty(), "not known where it came from");
    }

    #[test]
    fn an_adapter_is_told_from_a_model() {
        let mut view = ready_view(&[(1, "Owl", 0, 8)]);
        let adapts = Some(crate::compute::swarm::Adapts { rank: 4, model: "hub/tales".into() });
        let about =
            About { name: "wild".into(), licence: "MIT".into(), bytes: 64_000, adapts, ..About::default() };
        view.weights = vec![Weights { open: false, peers: 1, about: Some(about), ..weights() }, weights()];
        let all = shown(&view);
        assert_eq!((all[0].adapter.as_deref(), all[0].fit), (None, None), "a model that is open");
        assert_eq!(all[1].adapter.as_deref(), Some("An adapter of rank 4 for hub/tales. Licence: MIT."));
        assert_eq!((all[1].words.as_str(), all[1].fit), ("64 kB in all", None), "it takes hardly any memory");
        (view.weights[0].open, view.weights[0].progress) = (true, Progress::default());
        let all = shown(&view);
        let own = all.iter().find(|one| one.adapter.is_some()).expect("it is there");
        assert_eq!(own.words, "64 kB in all", "one's own files");
    }

    #[test]
    fn what_others_have_can_be_judged_before_it_is_fetched() {
        let mut view = ready_view(&[(1, "Owl", 0, 8)]);
        let theirs = Weights { open: false, peers: 1, progress: Progress::default(), ..weights() };
        view.weights = vec![Weights { peers: 0, covered: 35, ..weights() }, theirs];
        view.weights.swap(0, 1);
        let all = shown(&view);
        assert!(all[0].open && !all[1].open, "one's own first");
        assert_eq!(all[0].room, "Nobody else has it.");
        assert_eq!((all[1].fit, all[1].words.as_str()), (Some(Fit::Alone), "64 MB in all"));
        assert_eq!(all[1].room, "1 other here has it.");
        assert!(all[1].source().starts_with("content:0303"));
    }
}
