//! Who came and who left, and where the layers of those who left went, as sentences for people.

use super::words;
use crate::node::view::View;
use coordinator::io::Stage;
use coordinator::wire::Team;
use coordinator::{Layers, PeerId};
use std::collections::BTreeMap;

/// Milliseconds after entering in which those who are met were there before. Source: guess; connecting to a room of
/// several takes a few seconds.
const MEETING_MS: u64 = 5_000;

/// What was seen of the room so far.
#[derive(Debug, Default)]
pub struct Comings {
    entered: Option<u64>,
    here: BTreeMap<PeerId, Known>,
    lost: Vec<Lost>,
}

#[derive(Debug)]
struct Known {
    name: String,
    /// Layers that nobody runs without it.
    runs: Option<Layers>,
}

/// Layers whose peer left at a time in milliseconds, and that no other runs yet.
#[derive(Debug)]
struct Lost {
    name: String,
    layers: Layers,
    at: u64,
}

impl Comings {
    /// What is new in this view, seen at `now` in milliseconds.
    pub fn see(&mut self, now: u64, view: &View) -> Vec<String> {
        let entered = *self.entered.get_or_insert(now);
        let mut news = self.left(now, view);
        news.extend(self.came(view).into_iter().filter(|_| now.saturating_sub(entered) > MEETING_MS));
        news.extend(self.moved(now, view));
        news
    }

    fn left(&mut self, now: u64, view: &View) -> Vec<String> {
        let gone = |id: &PeerId, _: &mut Known| view.peers.peers.iter().all(|peer| peer.id != *id);
        let mut news = Vec::new();
        for (_, Known { name, runs }) in self.here.extract_if(.., gone) {
            match runs {
                Some(layers) => self.lost.push(Lost { name, layers, at: now }),
                None => news.push(format!("{name} left.")),
            }
        }
        news
    }

    fn came(&mut self, view: &View) -> Vec<String> {
        let mut news = Vec::new();
        // A peer without a name has not introduced itself yet.
        for peer in view.peers.peers.iter().filter(|peer| !peer.name.is_empty()) {
            let known = Known { name: peer.name.clone(), runs: needed(view, peer.id) };
            if self.here.insert(peer.id, known).is_none() && peer.id != view.me {
                news.push(format!("{} joined.", peer.name));
            }
        }
        news
    }

    fn moved(&mut self, now: u64, view: &View) -> Vec<String> {
        let mut news = Vec::new();
        self.lost.retain(|lost| match heirs(view, lost.layers) {
            None => true,
            Some(heirs) => {
                let (layers, to) = (words::layers(lost.layers), words::list(&heirs));
                let took = words::span(now.saturating_sub(lost.at));
                news.push(format!("{} left, {layers} moved to {to} ({took}).", lost.name));
                false
            }
        });
        news
    }
}

/// What this peer runs, if no team goes on without it.
fn needed(view: &View, id: PeerId) -> Option<Layers> {
    let own = |team: &&Team| team.stages.iter().any(|stage| stage.peer == id);
    if view.teams().iter().any(|team| team.serves && !own(&team)) {
        return None;
    }
    let team = view.teams().iter().find(own)?;
    team.stages.iter().find(|stage| stage.peer == id).map(|stage| stage.layers)
}

/// Who runs these layers now; None while no team of those who are here serves.
fn heirs(view: &View, layers: Layers) -> Option<Vec<String>> {
    let name = |id: PeerId| view.peers.peers.iter().find(|peer| peer.id == id).map(|peer| peer.name.clone());
    let here = |team: &&Team| team.serves && team.stages.iter().all(|stage| name(stage.peer).is_some());
    let team = view.teams().iter().find(here)?;
    let overlap = |stage: &&Stage| stage.layers.start < layers.end && layers.start < stage.layers.end;
    let mut heirs = Vec::new();
    for stage in team.stages.iter().filter(overlap) {
        let heir = if stage.peer == view.me { Some("you".to_owned()) } else { name(stage.peer) };
        heirs.extend(heir.filter(|heir| !heirs.contains(heir)));
    }
    Some(heirs)
}

#[cfg(test)]
mod tests {
    use super::super::example::{loading, peer, plan, ready_view, serving, stage};
    use super::*;

    type Row = (u64, fn(&mut View), &'static [&'static str], &'static str);

    #[test]
    fn a_room_comes_and_goes() {
        let mut view = ready_view(&[(1, "Teal Owl", 0, 4), (2, "Rose Fox", 4, 8)]);
        let mut comings = Comings::default();
        let rows: [Row; 7] = [
            (1_000, |_| (), &[], "those who are met on entering were there before"),
            (9_000, |v| v.peers.peers.push(peer(3, "")), &[], "it has not said its name"),
            (9_100, |v| v.peers.peers[2].name = "Fern Mole".into(), &["Fern Mole joined."], "now it has"),
            (9_200, |v| drop(v.peers.peers.pop()), &["Fern Mole left."], "it ran nothing"),
            (20_000, |v| drop(v.peers.peers.pop()), &[], "its layers are nowhere yet"),
            (20_400, |v| plan(v, vec![loading(&[stage(1, 0, 8)])]), &[], "planned, not loaded"),
            (
                22_100,
                |v| plan(v, vec![serving(&[stage(1, 0, 8)])]),
                &["Rose Fox left, layers 5–8 moved to you (2.1 s)."],
                "ready again",
            ),
        ];
        for (now, change, expected, why) in rows {
            change(&mut view);
            assert_eq!(comings.see(now, &view), expected, "{why}");
        }
    }

    #[test]
    fn layers_may_go_to_several() {
        let mut comings = Comings::default();
        comings.see(0, &ready_view(&[(1, "Teal Owl", 0, 2), (2, "Rose Fox", 2, 6), (3, "Fern Mole", 6, 8)]));
        let news = comings.see(500, &ready_view(&[(1, "Teal Owl", 0, 4), (3, "Fern Mole", 4, 8)]));
        assert_eq!(news, ["Rose Fox left, layers 3–6 moved to you and Fern Mole (0 ms)."]);
    }

    #[test]
    fn nothing_moves_while_another_holds_everything() {
        let mut view = ready_view(&[(1, "Teal Owl", 0, 8), (2, "Rose Fox", 0, 8)]);
        plan(&mut view, vec![serving(&[stage(1, 0, 8)]), serving(&[stage(2, 0, 8)])]);
        let mut comings = Comings::default();
        comings.see(0, &view);
        view.peers.peers.truncate(1);
        assert_eq!(comings.see(500, &view), ["Rose Fox left."]);
    }
}
