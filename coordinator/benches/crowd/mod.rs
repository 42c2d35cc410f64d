//! A room full of people, made by hand: one peer's coordinator is real, everybody else says what they would say.

use coordinator::io::{
    Capability, ChunkOutput, Device, Job, Kind, ModelSpec, Offer, Part, Rows, Speed, Stage, Task, TextWork,
    Work,
};
use coordinator::wire::{
    self, Ask, Demand, Following, Hidden, Message, Open, OpenPart, OpenText, Pulse, Report, RoomPlan,
    Running, Story, Token, Trust, Whole,
};
use coordinator::{Config, Coordinator, Epoch, Input, JobId, Lease, Millis, ModelId, Output, PeerId};
use std::collections::BTreeMap;

/// The peer that leads.
pub const LEADER: PeerId = PeerId(1);
/// Bytes of the whole model.
const MODEL_BYTES: u64 = LAYERS as u64 * LAYER_BYTES;
const LAYERS: u16 = 32;
const LAYER_BYTES: u64 = 32 << 20;
/// Tokens of a prompt, and of the answer so far.
const PROMPT: usize = 64;
const ANSWER: usize = 100;
/// Milliseconds between two tokens of a story.
const TOKEN_MS: u64 = 100;

/// One real peer in a room of `peers` with `jobs` open jobs, one to a person.
#[derive(Debug)]
pub struct Crowd {
    pub node: Coordinator,
    pub now: Millis,
    me: PeerId,
    peers: u128,
    epoch: Epoch,
    beat: u64,
    pub plan: Option<RoomPlan>,
    /// What each peer's last report and pulse said of the plan.
    told: BTreeMap<PeerId, u32>,
    leases: BTreeMap<JobId, Running>,
    jobs: Vec<JobId>,
    tokens: u32,
    /// A session at this peer: its place in the ring, the ring, and the next position.
    session: Option<(usize, Vec<Stage>, u32)>,
    /// One device in so many holds the whole model.
    large_every: u128,
}

fn model() -> ModelSpec {
    ModelSpec {
        id: ModelId([7; 32]),
        name: "toy".into(),
        kind: Kind::Text,
        layers: LAYERS,
        layer_bytes: LAYER_BYTES,
        ends_bytes: 0,
        context: 8_192,
        hidden_bytes: 8_192,
        block_bytes: 0,
        context_bytes: 0,
    }
}

/// One device in `large_every` holds the model, the others a bit more than half of it, as do the leader and its
/// neighbour.
fn offer(peer: PeerId, large_every: u128) -> (Capability, Vec<Offer>) {
    let memory = if peer.0 > 2 && peer.0.is_multiple_of(large_every) {
        MODEL_BYTES
    } else {
        MODEL_BYTES * 6 / 10 + u64::from(peer.0 < 3) * LAYER_BYTES
    };
    let layer_micros = 300 + (peer.0 * 37 % 400) as u32;
    let speed =
        Speed { layer_micros, prefill_micros: layer_micros / 8, hop_micros: 2_000, ..Speed::default() };
    (Capability { device: Device::Gpu, memory }, vec![Offer { model: model(), speed }])
}

impl Crowd {
    /// The leader of the room, or a follower that starts from the leader's plan.
    pub fn new(me: PeerId, peers: u128, jobs: u32, large_every: u128, plan: Option<RoomPlan>) -> Self {
        let node = Coordinator::new(Config { me, name: "Ada".into(), seed: 0 }, Millis(0));
        let epoch = Epoch { term: 1, leader: LEADER };
        let jobs =
            (1..=jobs).map(|n| JobId { requester: PeerId(2 + u128::from(n) % (peers - 1)), serial: n });
        let jobs = jobs.filter(|job| job.requester != me).collect();
        let (told, leases) = (BTreeMap::new(), BTreeMap::new());
        let mut crowd = Self {
            node,
            now: Millis(0),
            me,
            peers,
            epoch,
            beat: 0,
            plan,
            told,
            leases,
            jobs,
            tokens: ANSWER as u32,
            session: None,
            large_every,
        };
        crowd.fill();
        crowd
    }

    fn others(&self) -> Vec<PeerId> {
        (1..=self.peers).map(PeerId).filter(|&peer| peer != self.me).collect()
    }

    /// Everybody comes, says what they can do, loads what the plan says, and asks.
    fn fill(&mut self) {
        // Whoever is alone takes a term after five seconds.
        for _ in 0..if self.me == LEADER { 7 } else { 0 } {
            self.pass(1_000);
        }
        for peer in self.others() {
            self.give(Input::PeerUp(peer));
            self.say(
                peer,
                &Message::Hello { version: wire::VERSION, oldest: wire::OLDEST, name: "Somebody".into() },
            );
            self.say(peer, &self.report(peer));
            self.say(peer, &self.pulse(peer));
        }
        let (capability, offers) = offer(self.me, self.large_every);
        self.give(Input::ComputeReady { capability, offers });
        for job in self.jobs.clone() {
            self.say(job.requester, &whole(job));
        }
        for _ in 0..6 {
            self.pass(500);
            self.everyone_knows();
            if self.me != LEADER
                && let Some(plan) = self.plan.clone()
            {
                self.say(LEADER, &Message::Plan(plan));
            }
            self.ask_all();
        }
        self.open();
    }

    /// Time passes; what is due is done.
    pub fn pass(&mut self, ms: u64) {
        let until = self.now.after(ms);
        while let Some(at) = self.node.wake_at().filter(|&at| at <= until) {
            self.now = self.now.max(at);
            self.give(Input::Tick);
        }
        self.now = until;
    }

    /// Reports of those whose part in the plan is new, and everybody's pulse.
    fn everyone_knows(&mut self) {
        for peer in self.others() {
            let version = self.plan.as_ref().map_or(0, |plan| plan.version);
            if self.told.insert(peer, version) != Some(version) {
                self.say(peer, &self.report(peer));
            }
            self.say(peer, &self.pulse(peer));
        }
    }

    fn ask_all(&mut self) {
        if self.me == LEADER {
            for job in self.jobs.clone() {
                self.say(job.requester, &self.ask(job));
            }
        }
    }

    pub fn ask(&self, job: JobId) -> Message {
        let running: Vec<Running> = self.leases.get(&job).cloned().into_iter().collect();
        let known = PROMPT as u32 + self.tokens;
        Message::Ask(Box::new(Ask {
            job,
            model: model().id,
            demand: Demand::Text { prompt: 1, known, left: 400, gap_ms: TOKEN_MS as u32 },
            waiting: u64::from(running.is_empty()),
            seen: running.first().map(|running| running.lease),
            running,
            suspect: None,
        }))
    }

    pub fn pulse(&self, peer: PeerId) -> Message {
        let following = Some(Following { epoch: self.epoch, beat: self.beat });
        let plan = self.plan.as_ref().map(|plan| (plan.epoch, plan.version));
        let version = self.told.get(&peer).copied().unwrap_or(0) + 1;
        let sent = self.now.0;
        let echo = Some(wire::Echo { sent: self.now.0.saturating_sub(500), held: 480 });
        let trust = Trust::Answered;
        Message::Pulse(Pulse { sent, echo, following, trust, plan, report: version, age_s: 60 })
    }

    pub fn report(&self, peer: PeerId) -> Message {
        let (capability, offers) = offer(peer, self.large_every);
        let sees: Vec<PeerId> = (1..=self.peers).map(PeerId).filter(|&other| other != peer).collect();
        let round_trips_ms = sees.iter().map(|other| 10 + ((other.0 * 7 + peer.0 * 7) % 60) as u16).collect();
        Message::Report(Box::new(Report {
            version: self.told.get(&peer).copied().unwrap_or(0) + 1,
            name: "Somebody".into(),
            capability: Some(capability),
            offers,
            share: true,
            sees,
            round_trips_ms,
            ready: self.part(peer).into_iter().collect(),
            ..Report::default()
        }))
    }

    fn part(&self, peer: PeerId) -> Option<Part> {
        let stages = self
            .plan
            .iter()
            .flat_map(|plan| &plan.models)
            .flat_map(|plan| &plan.teams)
            .flat_map(|t| &t.stages);
        let stage = stages.into_iter().find(|stage| stage.peer == peer)?;
        Some(Part { model: model().id, layers: stage.layers })
    }

    /// A session of somebody's job on the ring that this peer is in.
    fn open(&mut self) {
        let teams = self.plan.iter().flat_map(|plan| &plan.models).flat_map(|plan| &plan.teams);
        let ring = teams
            .map(|team| team.stages.clone())
            .find(|stages| stages.len() > 1 && stages.iter().any(|stage| stage.peer == self.me));
        let Some(stages) = ring else { return };
        let at = stages.iter().position(|stage| stage.peer == self.me).unwrap_or(0);
        let Some(&job) = self.jobs.first() else { return };
        let part = OpenPart::Text(OpenText {
            known: 1,
            until: 8_192,
            tokens: if at == 0 || at + 1 == stages.len() { vec![1] } else { vec![] },
            sampling: vec![],
        });
        let (lease, model) = (self.lease(), model().id);
        let open = Open { job, lease, model, stages: stages.clone(), part };
        self.session = Some((at, stages, u32::from(at == 0)));
        let bytes = wire::encode(&Message::Open(Box::new(open)));
        let outputs = self.give(Input::Received { from: job.requester, bytes });
        for input in self.worked(&outputs) {
            self.give(input);
        }
    }

    const fn lease(&self) -> Lease {
        Lease { epoch: self.epoch, serial: 1_000_000 }
    }

    /// The next message of the session: a token for the first stage, hidden states for another.
    pub fn work(&mut self) -> Option<(PeerId, Message)> {
        let (job, lease) = (*self.jobs.first()?, self.lease());
        let (at, stages, position) = self.session.as_mut()?;
        let now = *position;
        *position += 1;
        Some(if *at == 0 {
            let last = stages.last()?.peer;
            (
                last,
                Message::Token(Token { job, lease, position: now, token: 5, end: false, note: Vec::new() }),
            )
        } else {
            let (previous, bytes) = (stages[*at - 1].peer, vec![0; 8_192]);
            (previous, Message::Hidden(Hidden { job, lease, position: now, rows: 1, bytes }))
        })
    }

    /// What the compute worker, and the next stage, say to a chunk.
    pub fn worked(&self, outputs: &[Output]) -> Vec<Input> {
        let mut inputs = Vec::new();
        for output in outputs {
            let Output::Run(chunk) = output else { continue };
            let (job, lease, number) = (chunk.job, chunk.lease, chunk.number);
            let Task::Pass { input, sample, .. } = &chunk.task else { continue };
            let answer = match (input, sample) {
                (_, Some(_)) => ChunkOutput::Token { token: 5, end: false, note: Vec::new() },
                (Rows::Tokens(_) | Rows::Hidden(_), None) => ChunkOutput::Hidden(vec![0; 8_192]),
            };
            let next = self.session.as_ref().and_then(|(at, stages, _)| stages.get(at + 1));
            inputs.push(Input::Ran { job, lease, number, result: Ok(answer) });
            let ack = wire::encode(&Message::Ack(job, lease, number));
            inputs.extend(next.map(|stage| Input::Received { from: stage.peer, bytes: ack }));
        }
        inputs
    }

    /// The next token of everybody's story, and the next beat.
    pub fn grow(&mut self) {
        self.tokens += 1;
    }

    pub fn beat(&mut self) {
        self.beat += 1;
    }

    pub fn jobs(&self) -> Vec<JobId> {
        self.jobs.clone()
    }

    pub fn story(&self, job: JobId) -> Message {
        Message::Story(Story { job, from: self.tokens - 1, tokens: vec![5], end: None, state: None })
    }

    fn say(&mut self, from: PeerId, message: &Message) {
        self.give(Input::Received { from, bytes: wire::encode(message) });
    }

    /// Hands the node an input and notes what others will have to know.
    pub fn give(&mut self, input: Input) -> Vec<Output> {
        let outputs = self.node.handle(self.now, input);
        self.note(&outputs);
        let loads: Vec<Part> = outputs
            .iter()
            .filter_map(|output| if let Output::Load(part) = output { Some(*part) } else { None })
            .collect();
        for part in loads {
            let more = self.node.handle(self.now, Input::Loaded(part));
            self.note(&more);
        }
        outputs
    }

    pub fn note(&mut self, outputs: &[Output]) {
        for output in outputs {
            // Plans are broadcast: one copy is as good as another.
            let Output::Send { to, bytes, .. } = output else { continue };
            let wanted = bytes.get(1).is_some_and(|&kind| kind == 11 || (kind == 4 && *to == PeerId(2)));
            match wire::decode(if wanted { bytes } else { &[] }) {
                Ok(Message::Plan(plan)) => self.plan = Some(plan),
                Ok(Message::Grant(job, running)) => drop(self.leases.insert(job, running)),
                _ => {}
            }
        }
    }

    pub fn granted(&self) -> usize {
        self.leases.len()
    }
}

fn whole(id: JobId) -> Message {
    let work = Work::Text(TextWork { prompt: vec![300; PROMPT], max_new: 4_000, sampling: vec![0; 32] });
    let (author, text) = ("Somebody".into(), "Once upon a time there was a room".into());
    let job = Job { id, model: model().id, author, text, work };
    Message::Whole(Box::new(Whole { job, tokens: vec![5; ANSWER], end: None, keeper: id.requester }))
}
