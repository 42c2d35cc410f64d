//! Random messages of every kind.

use crate::room::{ALL, BO, EPOCH, EVE, ME, MODEL, PAINTER, offer};
use coordinator::health::Share;
use coordinator::io::{
    Capability, Device, End, Job, JobState, Kind, Offer, Part, PictureWork, Progress, Shape, Spread, Stage,
    TextWork, Work,
};
use coordinator::swarm::{self, Content};
use coordinator::wire::{
    self, Ask, Blob, Choice, Demand, Echo, Fault, Following, Hidden, Message, ModelPlan, Open, OpenPart,
    OpenPicture, OpenText, Picture, Pulse, Report, RoomPlan, Running, Standing, Story, Team, Token, Trust,
    Whole,
};
use coordinator::{Epoch, JobId, Layers, Lease, ModelId, PeerId, limits, pieces};

/// One more member of the room.
pub const CY: PeerId = PeerId(4);
/// Kinds of messages.
pub const KINDS: usize = 25;
/// Names that are remembered, so that messages may use them.
const HARVEST: usize = 16;

/// `SplitMix64`: the seed is all there is.
pub struct Dice {
    state: u64,
    jobs: Vec<JobId>,
    leases: Vec<Lease>,
}

impl Dice {
    pub fn new(seed: u64) -> Self {
        let jobs = [EVE, BO, CY, ME].map(|requester| JobId { requester, serial: 1 }).into();
        Self {
            state: seed.wrapping_mul(0x5851_f42d_4c95_7f2d),
            jobs,
            leases: vec![Lease { epoch: EPOCH, serial: 1 }],
        }
    }

    /// A number below `below`.
    pub fn roll(&mut self, below: usize) -> usize {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.state ^ (self.state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((mixed ^ (mixed >> 31)) % below.max(1) as u64) as usize
    }

    /// Remembers names that exist.
    pub fn harvest(&mut self, job: JobId, lease: Lease) {
        let at = self.roll(HARVEST);
        if self.jobs.len() < HARVEST {
            self.jobs.push(job)
        } else {
            self.jobs[at] = job
        }
        if self.leases.len() < HARVEST { self.leases.push(lease) } else { self.leases[at] = lease }
    }

    pub fn bytes(&mut self, most: usize) -> Vec<u8> {
        vec![self.roll(256) as u8; self.roll(most)]
    }

    /// Any number at all.
    pub fn wild(&mut self) -> u128 {
        (self.roll(usize::MAX) as u128) << self.roll(64)
    }

    /// Mostly a small number; else one at the edge of something.
    fn number(&mut self) -> u32 {
        let edges = [63, 64, 255, 1_000, 8_191, 8_192, 65_535, 65_536, u32::MAX - 1, u32::MAX];
        if self.roll(5) > 0 { self.roll(9) as u32 } else { edges[self.roll(edges.len())] }
    }

    fn short(&mut self) -> u16 {
        self.number() as u16
    }

    fn long(&mut self) -> u64 {
        if self.roll(5) > 0 { self.number().into() } else { u64::MAX >> self.roll(64) }
    }

    fn peer(&mut self) -> PeerId {
        match self.roll(12) {
            0 => PeerId(self.wild()),
            at => [ME, EVE, BO, CY][at % 4],
        }
    }

    pub fn job(&mut self) -> JobId {
        match self.roll(4) {
            0 => JobId { requester: self.peer(), serial: self.number() },
            _ => {
                let at = self.roll(self.jobs.len());
                self.jobs[at]
            }
        }
    }

    fn epoch(&mut self) -> Epoch {
        match self.roll(4) {
            0 => Epoch { term: self.long(), leader: self.peer() },
            1 => Epoch { term: 1 + self.roll(4) as u64, leader: self.peer() },
            _ => EPOCH,
        }
    }

    fn lease(&mut self) -> Lease {
        match self.roll(4) {
            0 => Lease { epoch: self.epoch(), serial: self.number() },
            _ => {
                let at = self.roll(self.leases.len());
                self.leases[at]
            }
        }
    }

    fn model(&mut self) -> ModelId {
        [MODEL, MODEL, PAINTER, ModelId([9; 32])][self.roll(4)]
    }

    fn layers(&mut self) -> Layers {
        match self.roll(4) {
            0 => Layers { start: self.short(), end: self.short() },
            1 => Layers { start: 2, end: 4 },
            _ => ALL,
        }
    }

    fn list<T>(&mut self, most: usize, mut item: impl FnMut(&mut Self) -> T) -> Vec<T> {
        let count = if self.roll(20) == 0 { most } else { self.roll(most.min(4)) };
        (0..count).map(|_| item(self)).collect()
    }

    fn maybe<T>(&mut self, item: impl FnOnce(&mut Self) -> T) -> Option<T> {
        (self.roll(2) == 0).then(|| item(self))
    }

    fn stages(&mut self) -> Vec<Stage> {
        if self.roll(2) == 0 {
            return vec![Stage { peer: self.peer(), layers: ALL }];
        }
        self.list(limits::STAGES, |dice| Stage { peer: dice.peer(), layers: dice.layers() })
    }

    /// Mostly none.
    fn bands(&mut self) -> u8 {
        [0, 0, 2, 3, 4, 255][self.roll(6)]
    }

    fn shape(&mut self) -> Shape {
        let (count, steps, tiles) =
            (1 + self.roll(4) as u16, 1 + self.roll(12) as u16, 1 + self.roll(5) as u16);
        let shape = Shape { count, steps, guided: self.roll(2) == 0, tiles, stale: self.roll(4) == 0 };
        match self.roll(20) {
            0 => Shape {
                count: limits::UNITS as u16,
                steps: limits::PICTURE_STEPS,
                tiles: limits::TILES,
                ..shape
            },
            1 => Shape { count: self.short(), ..shape },
            _ => shape,
        }
    }

    fn work(&mut self) -> Work {
        if self.roll(2) == 0 {
            return Work::Picture(PictureWork { shape: self.shape(), settings: self.bytes(9) });
        }
        let (prompt, max_new) = (self.list(70, Self::number), self.number());
        Work::Text(TextWork { prompt, max_new, sampling: self.bytes(9) })
    }

    fn end(&mut self) -> End {
        [End::Finished, End::Length, End::Stopped, End::Failed("tired".into())][self.roll(4)].clone()
    }

    fn running(&mut self) -> Running {
        let (lease, unit, stages) = (self.lease(), self.short(), self.stages());
        Running { lease, unit, stages, bands: self.bands() }
    }

    fn choice(&mut self) -> Choice {
        Choice { edition: self.long(), by: Some(self.peer()), spread: self.spread() }
    }

    pub fn spread(&mut self) -> Spread {
        [Spread::Measured, Spread::Everyone][self.roll(2)]
    }

    /// What this peer's own compute worker offers.
    pub fn own_offers(&mut self) -> Vec<Offer> {
        let mut offers = if self.roll(4) == 0 { self.list(limits::MODELS + 1, Self::offer) } else { both() };
        // The worker is this peer's own, and knows how large models may be.
        offers.retain(|offer| offer.model.layers <= limits::MODEL_LAYERS);
        offers
    }

    fn offer(&mut self) -> Offer {
        let mut offer = offer([Kind::Text, Kind::Picture][self.roll(2)]);
        if self.roll(3) == 0 {
            offer.model.id = ModelId([self.roll(16) as u8; 32]);
            (offer.model.layers, offer.model.layer_bytes) = (self.short(), self.long());
            (offer.model.ends_bytes, offer.model.hidden_bytes) = (self.long(), self.number());
            (offer.model.block_bytes, offer.model.context_bytes) = (self.number(), self.number());
        }
        (offer.speed.layer_micros, offer.speed.step_micros) = (self.number(), self.number());
        (offer.speed.decode_micros, offer.speed.hop_micros) = (self.number(), self.number());
        offer
    }

    fn report(&mut self) -> Report {
        let memory = if self.roll(4) == 0 { self.long() } else { 1 << 30 };
        let seen = if self.roll(20) == 0 { limits::PEERS } else { 9 };
        let offers = if self.roll(3) == 0 { self.list(limits::MODELS, Self::offer) } else { both() };
        Report {
            version: self.number(),
            name: "x".into(),
            capability: (self.roll(5) > 0).then_some(Capability { device: Device::Cpu, memory }),
            offers,
            share: self.roll(8) > 0,
            fitness: [
                Share::Full,
                Share::Full,
                Share::Part(self.roll(256) as u8),
                Share::LastResort,
                Share::None,
            ][self.roll(5)],
            hidden: self.roll(8) == 0,
            sees: self.list(seen, Self::peer),
            round_trips_ms: self.list(9, Self::short),
            ready: self.list(limits::RANGES, |dice| Part { model: dice.model(), layers: dice.layers() }),
            trouble: (self.roll(9) == 0).then(|| "disk full".into()),
            receipts: self.list(limits::RECEIPTS, |dice| (dice.peer(), dice.long())),
        }
    }

    fn pulse(&mut self) -> Pulse {
        Pulse {
            sent: self.long(),
            echo: self.maybe(|dice| Echo { sent: dice.long(), held: dice.long() }),
            following: self.maybe(|dice| Following { epoch: dice.epoch(), beat: dice.long() }),
            trust: [Trust::Unknown, Trust::Answered, Trust::Ignored][self.roll(3)],
            plan: self.maybe(|dice| (dice.epoch(), dice.number())),
            report: self.number(),
            age_s: self.number(),
        }
    }

    fn plan(&mut self) -> RoomPlan {
        let team = |dice: &mut Self| Team { stages: dice.stages(), serves: dice.roll(2) == 0 };
        let models = self.list(limits::MODELS, |dice| {
            let (model, teams) = (dice.model(), dice.list(40, team));
            ModelPlan { model, teams, why: "because".into() }
        });
        RoomPlan { epoch: self.epoch(), version: self.number(), choice: self.choice(), models }
    }

    fn whole(&mut self) -> Whole {
        let (id, model, work) = (self.job(), self.model(), self.work());
        let job = Job { id, model, author: "x".into(), text: "y".into(), work };
        Whole { job, tokens: self.list(9, Self::number), end: self.maybe_end(), keeper: self.peer() }
    }

    fn maybe_end(&mut self) -> Option<End> {
        (self.roll(6) == 0).then(|| self.end())
    }

    fn story(&mut self) -> Story {
        let state = self.maybe(|dice| JobState::Running(dice.stages()));
        let (from, tokens) = (self.number(), self.list(9, Self::number));
        Story { job: self.job(), from, tokens, end: self.maybe_end(), state }
    }

    fn progress(&mut self) -> Progress {
        match self.roll(2) {
            0 => Progress::Step { done: self.short(), latent: self.bytes(40) },
            _ => Progress::Tile { tile: self.short(), pixels: self.bytes(40) },
        }
    }

    fn ask(&mut self) -> Ask {
        let text = self.roll(2) == 0;
        let demand = match text {
            true => {
                Demand::Text { prompt: 1, known: self.number(), left: self.number(), gap_ms: self.number() }
            }
            false => Demand::Picture(self.shape()),
        };
        Ask {
            job: self.job(),
            model: if text { MODEL } else { PAINTER },
            demand,
            running: self.list(limits::UNITS, Self::running),
            waiting: if self.roll(3) == 0 { self.long() } else { 1 },
            seen: self.maybe(Self::lease),
            suspect: self.maybe(Self::peer),
        }
    }

    fn open(&mut self) -> Open {
        let text = self.roll(2) == 0;
        let part = if text {
            let known = self.number().saturating_add(9);
            let tokens = if self.roll(4) > 0 { vec![1; known.min(8_192) as usize] } else { vec![] };
            OpenPart::Text(OpenText {
                known,
                until: known.saturating_add(self.roll(9) as u32),
                tokens,
                sampling: vec![],
            })
        } else {
            let (shape, tiles) = (self.shape(), self.long());
            OpenPart::Picture(OpenPicture {
                unit: self.short(),
                shape,
                done: self.short(),
                tiles,
                bands: self.bands(),
                settings: vec![],
            })
        };
        let (job, lease, stages) = (self.job(), self.lease(), self.stages());
        Open { job, lease, model: if text { MODEL } else { PAINTER }, stages, part }
    }

    fn piece(&mut self) -> u32 {
        match self.roll(3) {
            0 => self.number(),
            1 => pieces::latent(self.roll(13) as u16),
            _ => pieces::TILES + self.roll(6) as u32,
        }
    }

    /// A message of any kind.
    pub fn message(&mut self) -> Message {
        let kind = self.roll(KINDS);
        if kind < 22 {
            return self.plain(kind);
        }
        if kind == 24 {
            // Not for the coordinator, on whatever lane.
            let (content, bytes) = (Content([7; 32]), self.bytes(40));
            let root = self.roll(2) == 0;
            return Message::Swarm(if root {
                swarm::Message::Root { content, bytes }
            } else {
                swarm::Message::Join(content)
            });
        }
        let inner = self.roll(22);
        let bytes = if self.roll(9) == 0 { self.bytes(99) } else { wire::encode(&self.plain(inner)) };
        let peer = if self.roll(2) == 0 { PeerId(9) } else { self.peer() };
        if kind == 22 { Message::Relay { to: peer, bytes } } else { Message::Relayed { from: peer, bytes } }
    }

    fn plain(&mut self, kind: usize) -> Message {
        let (job, lease) = (self.job(), self.lease());
        match kind {
            0 if self.roll(9) == 0 => {
                Message::Hello { version: self.roll(4) as u8, oldest: self.roll(4) as u8, name: "x".into() }
            }
            0 => Message::Hello { version: wire::VERSION, oldest: wire::OLDEST, name: "x".into() },
            1 => Message::Pulse(self.pulse()),
            2 => Message::Report(Box::new(self.report())),
            3 => Message::Want,
            4 => Message::Plan(self.plan()),
            5 => Message::Whole(Box::new(self.whole())),
            6 => Message::Story(self.story()),
            7 => Message::Missing { job, have: self.maybe(Self::number) },
            8 => Message::Picture(Picture { job, unit: self.roll(4) as u16, progress: self.progress() }),
            9 => Message::Ask(Box::new(self.ask())),
            10 => Message::Standing { epoch: self.epoch(), job, standing: self.standing() },
            11 => Message::Grant(job, self.running()),
            12 => Message::Done(job),
            13 => Message::Open(Box::new(self.open())),
            14 => Message::Opened(job, lease),
            15 => Message::Close(job, lease),
            _ => self.of_sessions(kind, job, lease),
        }
    }

    fn of_sessions(&mut self, kind: usize, job: JobId, lease: Lease) -> Message {
        let (position, bytes) = (self.number(), self.bytes(40));
        match kind {
            16 => Message::Hidden(Hidden { job, lease, position, rows: self.number(), bytes }),
            17 => Message::Ack(job, lease, position),
            18 => Message::Token(Token {
                job,
                lease,
                position,
                token: self.number(),
                end: self.roll(9) == 0,
                note: vec![7; self.roll(3)],
            }),
            19 => Message::Blob(Blob { job, lease, number: self.piece(), bytes }),
            20 => {
                let suspect = self.maybe(Self::peer);
                let refused = self.maybe(Self::number);
                Message::Fault(Fault { job, lease, reason: "it burns".into(), suspect, refused })
            }
            _ => Message::Choose(self.choice()),
        }
    }

    fn standing(&mut self) -> Standing {
        match self.roll(3) {
            0 => Standing::Runs,
            1 => Standing::Queued { place: self.number(), wait_ms: self.maybe(Self::number) },
            _ => Standing::Waiting("wait".into()),
        }
    }
}

fn both() -> Vec<Offer> {
    vec![offer(Kind::Text), offer(Kind::Picture)]
}
