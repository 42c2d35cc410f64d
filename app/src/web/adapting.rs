//! Adapters in plain words: which are on here, what a press would change, and who else computes with the same.

use super::words;
use crate::compute::swarm::Adapts;
use crate::compute::{ADAPTER_WEIGHT, Adapters, ModelSource, asked, source};
use crate::node::view::View;
use coordinator::swarm::Content;

/// An adapter as a card shows it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Switch {
    /// What is asked for to have it.
    pub source: ModelSource,
    /// Whether this person wants it.
    pub on: bool,
    /// How many times it is added, or would be.
    pub weight: f32,
    /// Where it is, in a sentence or two.
    pub words: String,
}

/// What this person has, or wants instead.
#[must_use]
pub fn target(view: &View) -> Adapters {
    view.adapters.wanted.clone().unwrap_or_else(|| asked(&view.adapters.worn))
}

/// The same with so much of one.
#[must_use]
pub fn with(view: &View, source: &str, weight: f32) -> Adapters {
    let mut all = target(view);
    match all.iter_mut().find(|(one, _)| one == source) {
        Some((_, present)) => *present = weight,
        None => all.push((source.to_owned(), weight)),
    }
    all
}

/// The same without one.
#[must_use]
pub fn without(view: &View, source: &str) -> Adapters {
    target(view).into_iter().filter(|(one, _)| one != source).collect()
}

/// How much of an adapter somebody typed, if it can be that much.
#[must_use]
pub fn weight(typed: &str) -> Option<f32> {
    let weight: f32 = typed.trim().replace(',', ".").parse().ok()?;
    (weight.abs() <= ADAPTER_WEIGHT).then_some(weight)
}

/// The switch of an adapter that is a content: by whatever name it was asked for here.
#[must_use]
pub fn of_content(view: &View, content: Content) -> Switch {
    let worn = view.adapters.worn.iter().find(|one| one.content == Some(content)).map(|one| &one.source);
    let brought = || view.adapters.brought.iter().find(|one| one.content == Some(content));
    let known = worn.or_else(|| brought().map(|one| &one.source));
    of_source(view, known.unwrap_or(&source::of_content(&content.0, "")))
}

/// The switch of an adapter by its source.
#[must_use]
pub fn of_source(view: &View, source: &str) -> Switch {
    let wanted = target(view).into_iter().find(|(one, _)| one == source).map(|(_, weight)| weight);
    let worn = view.adapters.worn.iter().find(|one| one.source == source);
    let words = match (wanted, worn) {
        (None, None) => "Off here, until you turn it on. Nobody else can.".to_owned(),
        (None, Some(_)) => "Goes off when the answers under way have ended.".to_owned(),
        (Some(weight), Some(worn)) if weight == worn.weight => {
            let unnamed = "It does not say which model it was made for, but it fits this one’s shapes. ";
            format!("{}On here. {}", if worn.named { "" } else { unnamed }, company(view))
        }
        (Some(_), _) => "Comes on when it is here and the answers under way have ended.".to_owned(),
    };
    Switch { source: source.to_owned(), on: wanted.is_some(), weight: wanted.unwrap_or(1.0), words }
}

/// Who else can compute with the model as it is here.
fn company(view: &View) -> String {
    let same = |peer: &&coordinator::io::PeerView| {
        let model = view.model.as_ref().map(|model| model.id);
        peer.id != view.me && peer.ready.iter().any(|part| Some(part.model) == model)
    };
    let others = match view.peers.peers.iter().filter(same).count() {
        0 => "no other here has".to_owned(),
        1 => "1 other here has".to_owned(),
        others => format!("{} here have", words::count(others, "other")),
    };
    format!(
        "Answers of the changed model come only from devices whose people turned on the same, as much of it: {others}."
    )
}

/// What an adapter says of itself.
#[must_use]
pub fn told(adapts: &Adapts) -> String {
    match adapts.model.as_str() {
        "" => format!("An adapter of rank {}, which does not say of which model", adapts.rank),
        model => format!("An adapter of rank {} for {model}", adapts.rank),
    }
}

/// Adapters of this person's own that are no content of the room.
#[must_use]
pub fn own(view: &View) -> Vec<ModelSource> {
    let shared = |content: Content| view.weights.iter().any(|one| one.content == content);
    let own = view.adapters.brought.iter().filter(|one| !one.content.is_some_and(shared));
    own.map(|one| one.source.clone()).collect()
}

#[cfg(test)]
mod tests {
    use super::super::example::ready_view;
    use super::*;
    use crate::compute::Worn;
    use crate::node::view::Brought;

    fn worn(source: &str, weight: f32, content: Option<Content>) -> Worn {
        let name = source::name(source).to_owned();
        Worn { source: source.into(), weight, name, content, rank: 4, named: true }
    }

    #[test]
    fn a_switch_says_where_an_adapter_is() {
        let mut view = ready_view(&[(1, "Owl", 0, 8), (2, "Fox", 0, 8)]);
        view.peers.peers[1].ready.clear();
        let say = |view: &View| of_source(view, "a").words;
        assert!(say(&view).starts_with("Off here"), "{}", say(&view));
        view.adapters.wanted = Some(with(&view, "a", 0.5));
        assert!(say(&view).starts_with("Comes on"), "{}", say(&view));
        view.adapters.worn = vec![worn("a", 0.5, None)];
        view.adapters.wanted = None;
        assert!(
            say(&view).contains("On here.") && say(&view).contains("no other here has"),
            "{}",
            say(&view)
        );
        view.peers.peers[1].ready = view.peers.peers[0].ready.clone();
        assert!(say(&view).contains("1 other here has"), "{}", say(&view));
        assert!(!say(&view).contains("does not say"));
        view.adapters.worn[0].named = false;
        assert!(say(&view).contains("does not say"), "{}", say(&view));
        view.adapters.wanted = Some(with(&view, "a", 2.0));
        assert!(say(&view).starts_with("Comes on"), "as much as is wanted: {}", say(&view));
        view.adapters.wanted = Some(without(&view, "a"));
        assert!(say(&view).starts_with("Goes off"), "{}", say(&view));
    }

    #[test]
    fn a_press_changes_one_and_leaves_the_others_in_their_order() {
        let mut view = ready_view(&[(1, "Owl", 0, 8)]);
        view.adapters.worn = vec![worn("a", 1.0, None), worn("b", 2.0, None)];
        let list = |all: &[(&str, f32)]| -> Adapters {
            all.iter().map(|(source, weight)| ((*source).to_owned(), *weight)).collect()
        };
        assert_eq!(with(&view, "c", 1.0), list(&[("a", 1.0), ("b", 2.0), ("c", 1.0)]));
        assert_eq!(with(&view, "a", 0.5), list(&[("a", 0.5), ("b", 2.0)]));
        assert_eq!(without(&view, "a"), list(&[("b", 2.0)]));
        view.adapters.wanted = Some(list(&[("b", 2.0)]));
        assert_eq!(with(&view, "c", 1.0), list(&[("b", 2.0), ("c", 1.0)]), "what is wanted counts");
    }

    #[test]
    fn what_was_brought_is_the_content_that_it_became() {
        let mut view = ready_view(&[(1, "Owl", 0, 8)]);
        let content = Content([5; 32]);
        assert!(of_content(&view, content).source.starts_with("content:0505"), "another's");
        let mine = "files-for-the-room:/wild/";
        view.adapters.brought = vec![Brought { source: mine.into(), content: None }];
        assert_eq!(own(&view), [mine], "not known yet what it is");
        view.adapters.brought[0].content = Some(content);
        view.adapters.worn = vec![worn(mine, 1.0, Some(content))];
        assert_eq!(own(&view), [mine], "its card is not there yet");
        view.weights = vec![crate::node::view::Weights::new(content)];
        assert!(own(&view).is_empty(), "it has a card of the room");
        assert!(of_content(&view, content).on);
        view.adapters.worn.clear();
        let off = of_content(&view, content);
        assert_eq!((off.source.as_str(), off.on, off.weight), (mine, false, 1.0), "and is found again");
    }

    #[test]
    fn weights_have_bounds() {
        let rows = [
            (" 0,5 ", Some(0.5)),
            ("-2", Some(-2.0)),
            ("0", Some(0.0)),
            ("101", None),
            ("NaN", None),
            ("inf", None),
            ("", None),
            ("much", None),
        ];
        for (typed, expected) in rows {
            assert_eq!(weight(typed), expected, "{typed:?}");
        }
    }

    #[test]
    fn what_it_is_for_is_said_if_it_says_so() {
        let adapts = |model: &str| Adapts { rank: 8, model: model.into() };
        assert_eq!(told(&adapts("hub/tales")), "An adapter of rank 8 for hub/tales");
        assert!(told(&adapts("")).contains("does not say"));
    }
}
