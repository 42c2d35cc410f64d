//! Decoding allocates no more than a small constant times the bytes that it was given, whatever they are.
//!
//! One test alone in its file: the allocator counts for the whole process.

use coordinator::health::Share;
use coordinator::io::{
    Capability, Device, End, Job, JobState, Kind, ModelSpec, Offer, Part, Progress, Shape, Speed, Stage,
    TextWork, Work,
};
use coordinator::swarm::{self, Content};
use coordinator::wire::{
    self, Ask, Blob, Choice, Demand, Echo, Fault, Following, Hidden, Message, ModelPlan, Open, OpenPart,
    OpenText, Picture, Pulse, Report, RoomPlan, Running, Standing, Story, Team, Token, Trust, Whole,
};
use coordinator::{Epoch, JobId, Layers, Lease, ModelId, PeerId};
use peak_alloc::PeakAlloc;

#[global_allocator]
static MEMORY: PeakAlloc = PeakAlloc;

/// Bytes allocated at once for each byte of a message. Source: the long lists are of peers' ids, 16 bytes from 1, and
/// a list that grows holds its old room and twice that: 3 × 16.
const PER_BYTE: usize = 48;
/// Bytes allocated at once besides. Source: room for the first four elements of the widest lists within each other, and
/// boxes.
const BESIDES: usize = 4_096;
/// Messages tried of each kind. Source: guess; about a second.
const ROUNDS: u64 = 20_000;

const PEER: PeerId = PeerId(u128::MAX / 3);
const EPOCH: Epoch = Epoch { term: 7, leader: PEER };
const LEASE: Lease = Lease { epoch: EPOCH, serial: 9 };
const JOB: JobId = JobId { requester: PEER, serial: 300 };
const MODEL: ModelId = ModelId([5; 32]);
const LAYERS: Layers = Layers { start: 0, end: 300 };

fn pulse() -> Pulse {
    let (echo, following) = (Some(Echo { sent: 9, held: 20 }), Some(Following { epoch: EPOCH, beat: 40 }));
    let (trust, plan) = (Trust::Answered, Some((EPOCH, 3)));
    Pulse { sent: 1_000, echo, following, trust, plan, report: 300, age_s: 77 }
}

fn report() -> Report {
    let model = ModelSpec {
        id: MODEL,
        name: "stories".into(),
        kind: Kind::Text,
        layers: 300,
        layer_bytes: 1 << 20,
        ends_bytes: 1 << 22,
        context: 512,
        hidden_bytes: 8_192,
        block_bytes: 8_192,
        context_bytes: 0,
    };
    Report {
        version: 300,
        name: "Ada".into(),
        capability: Some(Capability { device: Device::Gpu, memory: 1 << 30 }),
        offers: vec![Offer { model, speed: Speed { layer_micros: 400, ..Speed::default() } }; 2],
        share: true,
        fitness: Share::Part(30),
        hidden: false,
        sees: vec![PEER; 9],
        round_trips_ms: vec![400; 9],
        ready: vec![Part { model: MODEL, layers: LAYERS }; 3],
        trouble: Some("no memory left".into()),
        receipts: vec![(PEER, 70_000); 9],
    }
}

fn plan() -> RoomPlan {
    let team = Team { stages: stages(), serves: true };
    let models = vec![ModelPlan { model: MODEL, teams: vec![team; 6], why: why() }; 2];
    RoomPlan { epoch: EPOCH, version: 2, choice: Choice::default(), models }
}

fn whole() -> Whole {
    let (author, text) = ("Bo".into(), "Once upon a time".into());
    let work = Work::Text(TextWork { prompt: vec![1; 20], max_new: 90, sampling: vec![3; 30] });
    let job = Job { id: JOB, model: MODEL, author, text, work };
    Whole { job, tokens: vec![900; 60], end: Some(End::Failed("nobody left".into())), keeper: PEER }
}

fn open() -> Open {
    let (known, until) = (40, 90);
    let text = OpenText { known, until, tokens: vec![70_000; 40], sampling: vec![1; 64] };
    Open { job: JOB, lease: LEASE, model: MODEL, stages: stages(), part: OpenPart::Text(text) }
}

fn ask() -> Ask {
    Ask {
        job: JOB,
        model: MODEL,
        demand: Demand::Picture(Shape { count: 40, steps: 28, guided: true, tiles: 9, stale: false }),
        running: vec![running(); 20],
        waiting: u64::MAX,
        seen: Some(LEASE),
        suspect: Some(PEER),
    }
}

fn stages() -> Vec<Stage> {
    vec![Stage { peer: PEER, layers: LAYERS }; 4]
}

fn running() -> Running {
    Running { lease: LEASE, unit: 3, stages: stages(), bands: 0 }
}

fn why() -> String {
    "one is enough".to_owned()
}

/// One of every kind, with something in every list and text.
fn messages() -> Vec<Message> {
    let state = Some(JobState::Running(stages()));
    let pixels = vec![7; 200];
    vec![
        Message::Hello { version: wire::VERSION, oldest: wire::OLDEST, name: "Ada".into() },
        Message::Pulse(pulse()),
        Message::Report(Box::new(report())),
        Message::Want,
        Message::Plan(plan()),
        Message::Whole(Box::new(whole())),
        Message::Story(Story { job: JOB, from: 2, tokens: vec![5; 50], end: Some(End::Length), state }),
        Message::Missing { job: JOB, have: Some(9) },
        Message::Picture(Picture { job: JOB, unit: 3, progress: Progress::Tile { tile: 2, pixels } }),
        Message::Ask(Box::new(ask())),
        Message::Standing { epoch: EPOCH, job: JOB, standing: Standing::Waiting(why()) },
        Message::Grant(JOB, running()),
        Message::Done(JOB),
        Message::Open(Box::new(open())),
        Message::Opened(JOB, LEASE),
        Message::Close(JOB, LEASE),
        Message::Hidden(Hidden { job: JOB, lease: LEASE, position: 4, rows: 1, bytes: vec![8; 256] }),
        Message::Ack(JOB, LEASE, 3),
        Message::Token(Token {
            job: JOB,
            lease: LEASE,
            position: 9,
            token: 44,
            end: false,
            note: Vec::new(),
        }),
        Message::Blob(Blob { job: JOB, lease: LEASE, number: 5, bytes: vec![8; 256] }),
        Message::Fault(Fault {
            job: JOB,
            lease: LEASE,
            reason: why(),
            suspect: Some(PEER),
            refused: Some(9),
        }),
        Message::Choose(Choice::default()),
        Message::Relay { to: PEER, bytes: wire::encode(&Message::Done(JOB)) },
        Message::Relayed { from: PEER, bytes: wire::encode(&Message::Done(JOB)) },
        Message::Swarm(swarm::Message::Tell {
            content: Content([7; 32]),
            fact: swarm::Fact::Has,
            blocks: (0..200).step_by(3).collect(),
        }),
    ]
}

/// `SplitMix64`: the seed is all there is.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, below: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((mixed ^ (mixed >> 31)) % below.max(1) as u64) as usize
    }

    fn bytes(&mut self, most: usize) -> Vec<u8> {
        (0..self.roll(most)).map(|_| self.roll(256) as u8).collect()
    }

    /// `seed` with one thing wrong with it.
    fn mutate(&mut self, seed: &[u8]) -> Vec<u8> {
        let mut bytes = seed.to_vec();
        // A message without fields has nothing after its kind.
        let at = 2.min(bytes.len() - 1) + self.roll(bytes.len() - 2);
        match self.roll(5) {
            0 => bytes[at] ^= 1 << self.roll(8),
            1 => bytes.truncate(at),
            2 => drop(bytes.splice(at..at, self.bytes(40))),
            // A length far beyond what is there.
            3 => drop(bytes.splice(at..=at, [0xff, 0xff, 0xff, 0xff, 0x0f])),
            // A length that is there: as many zeros, each of which may be an element.
            _ => {
                let most = if self.roll(4) == 0 { 16_000 } else { 500 };
                let zeros = 128 + self.roll(most);
                bytes.truncate(at);
                bytes.extend([zeros as u8 | 0x80, (zeros >> 7) as u8]);
                bytes.resize(bytes.len() + zeros, 0);
            }
        }
        bytes
    }
}

/// Most bytes that `decode` held at once. What it returns counts.
fn peak(bytes: &[u8]) -> usize {
    let before = MEMORY.current_usage();
    MEMORY.reset_peak_usage();
    drop(wire::decode(bytes));
    MEMORY.peak_usage() - before
}

/// Strings to try: every kind as it should be, then mutated and random ones.
fn tries(seeds: &[Vec<u8>], dice: &mut Dice) -> Vec<u8> {
    let seed = &seeds[dice.roll(seeds.len())];
    match dice.roll(10) {
        0 => [&[wire::VERSION, dice.roll(seeds.len()) as u8][..], &dice.bytes(2_000)].concat(),
        1 => seed.clone(),
        _ => dice.mutate(seed),
    }
}

#[test]
fn decoding_allocates_what_came_and_no_more() {
    let seeds: Vec<Vec<u8>> = messages().iter().map(wire::encode).collect();
    let kinds: Vec<u8> = seeds.iter().map(|bytes| bytes[1]).collect();
    assert!(kinds.iter().copied().eq(0..kinds.len() as u8), "one of every kind, in order");
    assert!(wire::decode(&[wire::VERSION, kinds.len() as u8]).is_err(), "and there are no more");
    let mut dice = Dice(1);
    let (mut widest, mut most_small) = (0, 0);
    for round in 0..ROUNDS * seeds.len() as u64 {
        let bytes = tries(&seeds, &mut dice);
        let peak = peak(&bytes);
        let most = PER_BYTE * bytes.len() + BESIDES;
        assert!(peak <= most, "round {round}: {peak} bytes at once for {} that came: {bytes:?}", bytes.len());
        widest = widest.max(peak.saturating_sub(BESIDES) / bytes.len());
        most_small = if bytes.len() < 16 { most_small.max(peak) } else { most_small };
    }
    println!("at most {widest} bytes per byte beyond {BESIDES}; at most {most_small} bytes for under 16");
}
