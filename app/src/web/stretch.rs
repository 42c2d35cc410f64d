//! The layer strips as data, one per team: who runs which stretch of the model, what is still loading, what was lost.

use crate::node::view::{ComputeStatus, View};
use coordinator::io::{PeerView, Stage};
use coordinator::wire::Team;
use coordinator::{Layers, PeerId};
use std::collections::{BTreeMap, BTreeSet};

/// One stretch of the model.
#[derive(Clone, Debug, PartialEq)]
pub struct Stretch {
    /// Who runs it; None while nobody does.
    pub peer: Option<PeerId>,
    /// That peer's name.
    pub name: String,
    /// Which layers.
    pub layers: Layers,
    /// Whether it can run.
    pub state: StretchState,
    /// The peer that was lost and whose layers these were, if that is how they came here, with its name.
    pub was: Option<(PeerId, String)>,
}

/// See [`Stretch::state`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StretchState {
    /// In memory.
    Ready,
    /// On its way into memory, 0 to 100.
    Loading(u8),
    /// Its peer left and no other has taken over yet, or there never was one.
    Lost,
}

/// A team's strip: the whole model as its members run it.
#[derive(Clone, Debug, PartialEq)]
pub struct TeamStrip {
    /// Its stretches, in order and without gaps.
    pub stretches: Vec<Stretch>,
    /// Its stages, which name it.
    pub stages: Vec<Stage>,
    /// Whether it answers already, or still.
    pub serves: bool,
}

/// What the strips have seen so far: the views alone do not say whose layers a lost peer had.
#[derive(Clone, Debug, Default)]
pub struct Strips {
    /// Every layer with those who run it, or ran it last.
    runs: BTreeSet<(u16, PeerId)>,
    /// Who of them took it over from whom.
    was: BTreeMap<(u16, PeerId), PeerId>,
    names: BTreeMap<PeerId, String>,
}

impl Strips {
    /// The strips of the newest view, one per team; one that nobody runs while there is no team; none while no model
    /// is known.
    pub fn see(&mut self, view: &View) -> Vec<TeamStrip> {
        let Some(model) = &view.model else {
            return Vec::new();
        };
        for peer in &view.peers.peers {
            self.names.insert(peer.id, peer.name.clone());
        }
        self.remember(view.teams(), &view.peers.peers, model.layers);
        let mut strips: Vec<TeamStrip> = Vec::new();
        for team in view.teams() {
            if strips.iter().all(|strip| strip.stages != team.stages) {
                strips.push(self.strip(view, &team.stages, team.serves));
            }
        }
        if strips.is_empty() {
            strips.push(self.strip(view, &[], false));
        }
        strips
    }

    fn remember(&mut self, teams: &[Team], present: &[PeerView], layers: u16) {
        let stages = teams.iter().flat_map(|team| &team.stages);
        let each = |stage: &Stage| {
            let peer = stage.peer;
            (stage.layers.start..stage.layers.end.min(layers)).map(move |layer| (layer, peer))
        };
        let now: BTreeSet<(u16, PeerId)> = stages.flat_map(each).collect();
        let gone = |id: PeerId| present.iter().all(|peer| peer.id != id);
        for &(layer, peer) in now.difference(&self.runs) {
            let all = (layer, PeerId(0))..=(layer, PeerId(u128::MAX));
            if let Some(&(_, before)) = self.runs.range(all).find(|(_, before)| gone(*before)) {
                self.was.insert((layer, peer), before);
            }
        }
        // Layers that nobody runs for a moment are still those of whoever ran them last.
        let covered: BTreeSet<u16> = now.iter().map(|(layer, _)| *layer).collect();
        self.runs.retain(|(layer, _)| !covered.contains(layer));
        self.runs.extend(now);
        self.was.retain(|taken, _| self.runs.contains(taken));
    }

    fn strip(&self, view: &View, stages: &[Stage], serves: bool) -> TeamStrip {
        let layers = view.model.as_ref().map_or(0, |model| model.layers);
        let stretches = cover(stages, layers);
        TeamStrip {
            stretches: stretches.into_iter().map(|(peer, layers)| self.stretch(view, peer, layers)).collect(),
            stages: stages.to_vec(),
            serves,
        }
    }

    fn stretch(&self, view: &View, peer: Option<PeerId>, layers: Layers) -> Stretch {
        let name = |id: PeerId| self.names.get(&id).cloned().unwrap_or_else(|| id.to_string());
        let was = peer.and_then(|id| (layers.start..layers.end).find_map(|layer| self.was.get(&(layer, id))));
        let holder = peer.and_then(|id| view.peers.peers.iter().find(|p| p.id == id));
        Stretch {
            peer,
            name: peer.map_or_else(|| "nobody yet".to_owned(), name),
            layers,
            state: holder.map_or(StretchState::Lost, |holder| state(view, holder, layers)),
            was: was.map(|id| (*id, name(*id))),
        }
    }
}

/// The stages cut to `0..layers`, with the gaps between them.
fn cover(stages: &[Stage], layers: u16) -> Vec<(Option<PeerId>, Layers)> {
    let mut covered = Vec::new();
    let mut next = 0;
    for stage in stages {
        let (start, end) = (stage.layers.start.max(next), stage.layers.end.min(layers));
        if start >= end {
            continue;
        }
        if start > next {
            covered.push((None, Layers { start: next, end: start }));
        }
        covered.push((Some(stage.peer), Layers { start, end }));
        next = end;
    }
    if next < layers {
        covered.push((None, Layers { start: next, end: layers }));
    }
    covered
}

fn state(view: &View, holder: &PeerView, layers: Layers) -> StretchState {
    let held = |layer: u16| view.ready(holder).any(|r| (r.start..r.end).contains(&layer));
    let ready = (layers.start..layers.end).filter(|layer| held(*layer)).count() as u64;
    if ready == u64::from(layers.len()) {
        return StretchState::Ready;
    }
    let percent = match &view.compute {
        ComputeStatus::Loading { done, total, .. } if holder.id == view.me && *total > 0 => {
            done * 100 / total
        }
        _ => ready * 100 / u64::from(layers.len()),
    };
    StretchState::Loading(percent.min(99) as u8)
}

#[cfg(test)]
mod tests {
    use super::super::example::{loading, part, peer, plan, ready_view, serving, stage};
    use super::*;

    #[test]
    fn a_loss_is_seen_until_another_peer_has_the_layers() {
        let mut strips = Strips::default();
        let mut view = ready_view(&[(1, "Owl", 0, 4), (2, "Fox", 4, 8)]);
        type Row = (&'static str, fn(&mut View), [StretchState; 2], Option<u128>);
        let rows: [Row; 4] = [
            ("both hold their half", |_| (), [StretchState::Ready; 2], None),
            (
                "Fox is gone, the plan is old",
                |v| v.peers.peers.truncate(1),
                [StretchState::Ready, StretchState::Lost],
                None,
            ),
            (
                "Owl takes over and loads",
                |v| plan(v, vec![loading(&[stage(1, 0, 4), stage(1, 4, 8)])]),
                [StretchState::Ready, StretchState::Loading(0)],
                Some(2),
            ),
            (
                "half of it is there",
                |v| v.peers.peers[0].ready.push(part(4, 6)),
                [StretchState::Ready, StretchState::Loading(50)],
                Some(2),
            ),
        ];
        for (why, change, states, was) in rows {
            change(&mut view);
            let seen = &strips.see(&view)[0].stretches;
            assert_eq!(seen.iter().map(|s| s.state).collect::<Vec<_>>(), states, "{why}");
            assert_eq!(seen[1].was.as_ref().map(|(id, _)| id.0), was, "{why}");
        }
    }

    #[test]
    fn who_holds_everything_already_takes_over_nothing() {
        let mut strips = Strips::default();
        let mut view = ready_view(&[(1, "Owl", 0, 8), (2, "Fox", 0, 8)]);
        let whole = |peer| serving(&[stage(peer, 0, 8)]);
        plan(&mut view, vec![whole(2), whole(1)]);
        let seen = strips.see(&view);
        assert_eq!(seen.iter().map(|s| s.stretches.len()).collect::<Vec<_>>(), [1, 1], "a strip each");
        view.peers.peers.truncate(1);
        plan(&mut view, vec![whole(1)]);
        assert_eq!(strips.see(&view)[0].stretches[0].was, None);
    }

    #[test]
    fn a_new_plan_without_a_loss_leaves_no_scar() {
        let mut strips = Strips::default();
        strips.see(&ready_view(&[(1, "Owl", 0, 8)]));
        let seen = strips.see(&ready_view(&[(1, "Owl", 0, 4), (2, "Fox", 4, 8)]));
        assert!(seen[0].stretches.iter().all(|s| s.was.is_none()));
    }

    #[test]
    fn without_a_team_nobody_runs_the_model() {
        let mut view = ready_view(&[(1, "Owl", 0, 8)]);
        plan(&mut view, Vec::new());
        let seen = Strips::default().see(&view);
        assert_eq!(
            seen.iter().map(|s| (s.stretches.len(), s.stretches[0].peer)).collect::<Vec<_>>(),
            [(1, None)]
        );
    }

    #[test]
    fn every_layer_is_drawn_once() {
        let rows = [
            (vec![], vec![(0, 8)], "no plan"),
            (vec![stage(1, 0, 8)], vec![(0, 8)], "one peer"),
            (vec![stage(1, 2, 4)], vec![(0, 2), (2, 4), (4, 8)], "gaps on both sides"),
            (vec![stage(1, 0, 6), stage(2, 4, 12)], vec![(0, 6), (6, 8)], "overlap and overhang are cut"),
        ];
        for (stages, expected, why) in rows {
            let drawn: Vec<_> = cover(&stages, 8).into_iter().map(|(_, l)| (l.start, l.end)).collect();
            assert_eq!(drawn, expected, "{why}");
        }
    }

    #[test]
    fn own_loading_follows_the_bytes() {
        let mut view = ready_view(&[(1, "Owl", 0, 8)]);
        view.peers.peers = vec![peer(1, "Owl")];
        view.compute = ComputeStatus::Loading { what: "weights".into(), done: 30, total: 40 };
        assert_eq!(Strips::default().see(&view)[0].stretches[0].state, StretchState::Loading(75));
    }
}
