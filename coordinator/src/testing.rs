//! Builders for unit tests: one toy model, peers that can run it, and rooms of them.

use crate::ids::{Epoch, JobId, Layers, Lease, Millis, ModelId, PeerId};
use crate::io::{Capability, Device, Kind, ModelSpec, Offer, Part, Speed, Stage};
use crate::membership::Members;
use crate::outbox::Outbox;
use crate::wire::{self, Ask, Demand, Message, Pulse, Report, Running, Trust};
use crate::{io::Output, limits};

/// This peer, in rooms made by [`room`]; it leads in [`EPOCH`].
pub const ME: PeerId = PeerId(1);
/// Another one.
pub const BO: PeerId = PeerId(2);
/// A third one.
pub const CY: PeerId = PeerId(3);
/// This peer's time in office.
pub const EPOCH: Epoch = Epoch { term: 1, leader: ME };
/// A lease of it.
pub const LEASE: Lease = Lease { epoch: EPOCH, serial: 1 };
/// The bytes of the toy model's eight layers.
pub const WHOLE_BYTES: u64 = 80;

/// Eight layers of ten bytes, and nothing else.
pub fn model(kind: Kind) -> ModelSpec {
    let id = ModelId([if kind == Kind::Text { 7 } else { 8 }; 32]);
    let (layer_bytes, ends_bytes, hidden_bytes) = (WHOLE_BYTES / 8, 0, 16);
    let block_bytes = if kind == Kind::Picture { 64 } else { 0 };
    ModelSpec {
        id,
        name: "toy".into(),
        kind,
        layers: 8,
        layer_bytes,
        ends_bytes,
        context: 64,
        hidden_bytes,
        block_bytes,
        context_bytes: 0,
    }
}

/// Layers `start..end` of the toy model that writes.
pub fn part(start: u16, end: u16) -> Part {
    Part { model: model(Kind::Text).id, layers: Layers { start, end } }
}

/// A peer of a room of the first three that has `memory` bytes, holds `ready`, and takes 100 µs a layer.
pub fn able(ready: &[(u16, u16)], memory: u64) -> Report {
    Report {
        capability: Some(Capability { device: Device::Gpu, memory }),
        offers: vec![Offer { model: model(Kind::Text), speed: writes(100) }],
        share: true,
        sees: vec![ME, BO, CY],
        ready: ready.iter().map(|&(start, end)| part(start, end)).collect(),
        ..Report::default()
    }
}

/// As [`able`], with this many microseconds a layer.
pub fn paced(layer_micros: u32, ready: &[(u16, u16)]) -> Report {
    let offers = vec![Offer { model: model(Kind::Text), speed: writes(layer_micros) }];
    Report { offers, ..able(ready, 1_000) }
}

/// A peer that holds the toy model that paints.
pub fn painter(step_micros: u32) -> Report {
    let speed = Speed { step_micros, encode_micros: 1_000, decode_micros: 400_000, ..Speed::default() };
    let painting = model(Kind::Picture);
    let ready = vec![Part { model: painting.id, layers: painting.whole() }];
    Report { offers: vec![Offer { model: painting, speed }], ready, ..able(&[], 1_000) }
}

fn writes(layer_micros: u32) -> Speed {
    Speed { layer_micros, prefill_micros: layer_micros, ..Speed::default() }
}

/// A pulse of a peer that knows this plan.
pub fn pulse(plan: Option<(Epoch, u32)>) -> Pulse {
    let (echo, following, trust) = (None, None, Trust::Unknown);
    Pulse { sent: 0, echo, following, trust, plan, report: 0, age_s: 0 }
}

/// This peer and the others, with these reports; everyone has heard every plan of [`EPOCH`].
pub fn room(own: Report, others: &[(PeerId, Report)]) -> Members {
    let mut members = Members::new(ME, "Ada", Millis(0));
    members.own = own;
    members.own_plan = Some((EPOCH, u32::MAX));
    for (peer, report) in others {
        join(&mut members, *peer, report.clone(), Some((EPOCH, u32::MAX)));
    }
    members.refresh(Millis(0));
    members
}

/// One more peer, which knows this plan.
pub fn join(members: &mut Members, peer: PeerId, report: Report, plan: Option<(Epoch, u32)>) {
    members.up(Millis(0), peer);
    members.hello(Millis(0), peer, wire::VERSION, wire::OLDEST, String::new());
    members.take_report(peer, report);
    members.pulse(Millis(0), peer, None, pulse(plan));
    members.refresh(Millis(0));
}

/// A peer's first job.
pub const fn job(requester: PeerId) -> JobId {
    JobId { requester, serial: 1 }
}

/// An ask for a text of 40 more tokens that waits to run.
pub fn ask(job: JobId) -> Ask {
    Ask {
        job,
        model: model(Kind::Text).id,
        demand: Demand::Text { prompt: 1, known: 4, left: 40, gap_ms: 0 },
        running: vec![],
        waiting: 1,
        seen: None,
        suspect: None,
    }
}

/// An ask for a text that runs.
pub fn ask_running(job: JobId, running: Running) -> Ask {
    let seen = Some(running.lease);
    Ask { running: vec![running], waiting: 0, seen, ..ask(job) }
}

/// A stage: the peer, the first layer, one past the last.
pub type Span = (u128, u16, u16);

/// Stages in short.
pub fn spans(stages: &[Stage]) -> Vec<Span> {
    stages.iter().map(|stage| (stage.peer.0, stage.layers.start, stage.layers.end)).collect()
}

/// Every message in an outbox, to whomever, this peer included.
pub fn sent(out: &mut Outbox) -> Vec<(PeerId, Message)> {
    let mut messages = Vec::new();
    while let Some(message) = out.next_own() {
        messages.push((ME, message));
    }
    for output in out.take() {
        if let Output::Send { to, bytes, .. } = output {
            assert!(bytes.len() <= limits::BULK_BYTES, "it would not be taken in");
            messages.push((to, wire::decode(&bytes).expect("what is sent can be read")));
        }
    }
    messages
}

/// The grants among them, by job.
pub fn grants(out: &mut Outbox) -> Vec<(JobId, Running)> {
    let grant = |(_, message)| match message {
        Message::Grant(job, running) => Some((job, running)),
        _ => None,
    };
    sent(out).into_iter().filter_map(grant).collect()
}
