//! Views to test with.

use crate::compute::{Easel, Image};
use crate::node::view::{
    Card, ComputeStatus, ModelView, PainterView, PaintingView, PictureView, SignalingStatus, View,
    WriteRequest,
};
use crate::painting::PaintRequest;
use coordinator::io::{Capability, Device, End, ModelPlan, Part, PeerView, RoomView, Spread, Stage};
use coordinator::swarm::Sharing;
use coordinator::wire::Team;
use coordinator::{Epoch, JobId, Layers, ModelId, PeerId};
use std::collections::BTreeMap;
use std::sync::Arc;

pub fn peer(id: u128, name: &str) -> PeerView {
    PeerView {
        id: PeerId(id),
        name: name.to_owned(),
        capability: Some(Capability { device: Device::Cpu, memory: 1 << 30 }),
        layer_micros: Some(1_000),
        ready: Vec::new(),
        round_trip_ms: None,
        health: "good",
        relayed: false,
        credit: 0,
    }
}

pub fn stage(peer: u128, start: u16, end: u16) -> Stage {
    Stage { peer: PeerId(peer), layers: Layers { start, end } }
}

pub fn part(start: u16, end: u16) -> Part {
    Part { model: MODEL, layers: Layers { start, end } }
}

/// A team whose members hold what it needs of them.
pub fn serving(stages: &[Stage]) -> Team {
    Team { stages: stages.to_vec(), serves: true }
}

/// A team that is being loaded.
pub fn loading(stages: &[Stage]) -> Team {
    Team { stages: stages.to_vec(), serves: false }
}

/// The room's plan becomes these teams.
pub fn plan(view: &mut View, teams: Vec<Team>) {
    view.peers.models = vec![ModelPlan { model: MODEL, teams, why: String::new() }];
}

const MODEL: ModelId = ModelId([7; 32]);

/// A room of peers (id, name, first layer, one past the last) that are one team and hold what it needs of them. The first is
/// this peer and leads; the model has eight layers. This peer can also paint.
pub fn ready_view(peers: &[(u128, &str, u16, u16)]) -> View {
    let holding = |&(id, name, start, end): &(u128, &str, u16, u16)| PeerView {
        ready: vec![part(start, end)],
        ..peer(id, name)
    };
    let stages: Vec<Stage> = peers.iter().map(|p| stage(p.0, p.2, p.3)).collect();
    let mut view = View {
        me: PeerId(peers[0].0),
        room: "table".into(),
        peers: RoomView {
            epoch: Some(Epoch { term: 1, leader: PeerId(peers[0].0) }),
            peers: peers.iter().map(holding).collect(),
            models: Vec::new(),
            spread: Spread::Measured,
        },
        model: Some(ModelView {
            id: MODEL,
            name: "stories".into(),
            layers: 8,
            bytes: 8_000_000,
            chat: false,
            context: 512,
        }),
        painter: Some(PainterView {
            id: ModelId([8; 32]),
            name: "pictures".into(),
            layers: 6,
            bytes: 4_000_000,
            easel: Easel { base: 48, unit: 8 },
        }),
        compute: ComputeStatus::Ready { gpu: false, adapter: "CPU".into(), notice: None },
        chosen: None,
        adapters: Default::default(),
        fetching: None,
        weights: Vec::new(),
        sharing: Sharing::On,
        paused: false,
        kept: None,
        signaling: SignalingStatus::Open,
        cards: Vec::new(),
        notices: Vec::new(),
        dropped: BTreeMap::new(),
        sent_bytes: 0,
        received_bytes: 0,
    };
    plan(&mut view, vec![serving(&stages)]);
    view
}

/// A finished answer to a prompt by `requester`.
pub fn card(requester: u128, author: &str) -> Card {
    Card {
        id: JobId { requester: PeerId(requester), serial: 1 },
        mine: false,
        author: author.to_owned(),
        prompt: "Once".into(),
        text: " upon a time.".into(),
        tokens: 4,
        tokens_per_second: Some(12.0),
        first_token_ms: Some(240),
        state: None,
        workers: vec![(PeerId(requester), author.to_owned())],
        stages: Vec::new(),
        end: Some(End::Finished),
        foreign: false,
        painting: None,
        likelihoods: Default::default(),
        request: WriteRequest { prompt: "Once".into(), max_new: 64, ..WriteRequest::default() },
    }
}

/// So many whole pictures of a boat, with seeds from 7 on, painted by `requester`.
pub fn picture_card(requester: u128, author: &str, count: u16) -> Card {
    let image = Arc::new(Image { width: 48, height: 48, png: vec![0] });
    let picture = PictureView { done: 20, image: Some(image), whole: true, ms: Some(3_200) };
    let request =
        PaintRequest { prompt: "A boat".into(), width: 48, height: 48, seed: 7, count, ..Default::default() };
    let pictures = vec![picture; usize::from(count)];
    Card {
        prompt: "A boat".into(),
        painting: Some(PaintingView { request, pictures }),
        ..card(requester, author)
    }
}
