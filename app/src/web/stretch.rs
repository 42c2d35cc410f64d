//! The layer strip as data: who runs which stretch of the model, what is still loading, what was lost.

use crate::node::view::{ComputeStatus, View};
use coordinator::io::{PeerView, Stage};
use coordinator::{Layers, PeerId};
use std::collections::BTreeMap;

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

/// What the strip has seen so far: the views alone do not say whose layers a lost peer had.
#[derive(Clone, Debug, Default)]
pub struct Strip {
    owners: Vec<Option<PeerId>>,
    was: Vec<Option<PeerId>>,
    names: BTreeMap<PeerId, String>,
}

impl Strip {
    /// The stretches of the newest view, in order and without gaps; empty while no model is known.
    pub fn see(&mut self, view: &View) -> Vec<Stretch> {
        let Some(model) = &view.model else {
            return Vec::new();
        };
        for peer in &view.peers.peers {
            self.names.insert(peer.id, peer.name.clone());
        }
        self.remember(&view.peers.stages, &view.peers.peers, usize::from(model.layers));
        cover(&view.peers.stages, model.layers)
            .into_iter()
            .map(|(peer, layers)| self.stretch(view, peer, layers))
            .collect()
    }

    fn remember(&mut self, stages: &[Stage], present: &[PeerView], layers: usize) {
        self.owners.resize(layers, None);
        self.was.resize(layers, None);
        for (layer, (owner, was)) in self.owners.iter_mut().zip(&mut self.was).enumerate() {
            let runs = |stage: &&Stage| (stage.layers.start..stage.layers.end).contains(&(layer as u16));
            let now = stages.iter().find(runs).map(|stage| stage.peer);
            if now == *owner || now.is_none() {
                continue;
            }
            *was = owner.filter(|before| !present.iter().any(|peer| peer.id == *before));
            *owner = now;
        }
    }

    fn stretch(&self, view: &View, peer: Option<PeerId>, layers: Layers) -> Stretch {
        let name = |id: PeerId| self.names.get(&id).cloned().unwrap_or_else(|| id.to_string());
        let was = self.was[usize::from(layers.start)..usize::from(layers.end)].iter().flatten().next();
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
    let held = |layer: u16| holder.ready.iter().any(|r| (r.start..r.end).contains(&layer));
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
    use super::super::example::{peer, ready_view, stage};
    use super::*;

    #[test]
    fn a_loss_is_seen_until_another_peer_has_the_layers() {
        let mut strip = Strip::default();
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
                |v| v.peers.stages[1] = stage(1, 4, 8),
                [StretchState::Ready, StretchState::Loading(0)],
                Some(2),
            ),
            (
                "half of it is there",
                |v| v.peers.peers[0].ready.push(Layers { start: 4, end: 6 }),
                [StretchState::Ready, StretchState::Loading(50)],
                Some(2),
            ),
        ];
        for (why, change, states, was) in rows {
            change(&mut view);
            let seen = strip.see(&view);
            assert_eq!(seen.iter().map(|s| s.state).collect::<Vec<_>>(), states, "{why}");
            assert_eq!(seen[1].was.as_ref().map(|(id, _)| id.0), was, "{why}");
        }
    }

    #[test]
    fn a_new_plan_without_a_loss_leaves_no_scar() {
        let mut strip = Strip::default();
        strip.see(&ready_view(&[(1, "Owl", 0, 8)]));
        let seen = strip.see(&ready_view(&[(1, "Owl", 0, 4), (2, "Fox", 4, 8)]));
        assert!(seen.iter().all(|s| s.was.is_none()));
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
        assert_eq!(Strip::default().see(&view)[0].state, StretchState::Loading(75));
    }
}
