//! What a hostile member of the room can send, and the name under which it is dropped.

mod bounds;
mod relays;
mod room;
mod storm;

use coordinator::io::{
    Chunk, ChunkOutput, Job, JobState, Part, Progress, Rows, Shape, Stage, Task, TextWork, Work,
};
use coordinator::wire::{
    self, Ask, Blob, Choice, Demand, Following, Hidden, Message, Open, OpenPart, OpenPicture, OpenText,
    Picture, Pulse, RoomPlan, Running, Standing, Story, Token, Whole,
};
use coordinator::{Command, Epoch, Event, Input, JobId, Layers, Lease, Output, PeerId, limits, pieces};
use room::{ALL, BO, EPOCH, EVE, LEASE, ME, MODEL, PAINTER, Room, pulse};

/// The reason for which something of Eve's was dropped.
pub fn dropped(outputs: &[Output]) -> Option<&str> {
    outputs.iter().find_map(|output| match output {
        Output::Event(Event::Dropped { from: EVE, reason }) => Some(reason.as_str()),
        _ => None,
    })
}

/// A story of Bo's.
pub fn bos_job(serial: u32) -> Job {
    let id = JobId { requester: BO, serial };
    let (author, text) = ("Bo".to_owned(), "Hi".to_owned());
    let work = Work::Text(TextWork { prompt: vec![1], max_new: 9, sampling: vec![] });
    Job { id, model: MODEL, author, text, work }
}

/// A session of one token.
pub fn open(job: JobId, stages: Vec<Stage>) -> Message {
    let lease = Lease { epoch: EPOCH, serial: 77 };
    let (tokens, sampling) = (vec![1], vec![]);
    let part = OpenPart::Text(OpenText { known: 1, until: 9, tokens, sampling });
    Message::Open(Box::new(Open { job, lease, model: MODEL, stages, part }))
}

fn open_picture(job: JobId, stages: Vec<Stage>, change: impl Fn(&mut OpenPicture)) -> Message {
    let shape = Shape { count: 1, steps: 4, guided: true, tiles: 2, stale: false };
    let mut picture = OpenPicture { unit: 0, shape, done: 0, tiles: 0, bands: 0, settings: vec![] };
    change(&mut picture);
    let lease = Lease { epoch: EPOCH, serial: 77 };
    let part = OpenPart::Picture(picture);
    Message::Open(Box::new(Open { job, lease, model: PAINTER, stages, part }))
}

/// A keeper's first ask.
pub fn ask(job: JobId) -> Ask {
    let demand = Demand::Text { prompt: 1, known: 1, left: 9, gap_ms: 0 };
    Ask { job, model: MODEL, demand, running: vec![], waiting: 1, seen: None, suspect: None }
}

const fn mine(peer: PeerId) -> Stage {
    Stage { peer, layers: ALL }
}

/// Messages, the words under which each is dropped, and what they would do.
fn without_right() -> Vec<(Message, &'static str, &'static str)> {
    let eves = JobId { requester: EVE, serial: 1 };
    let own_job = JobId { requester: ME, serial: 1 };
    let bos = bos_job(1);
    let whole = |job: Job| Message::Whole(Box::new(Whole { job, tokens: vec![], end: None, keeper: EVE }));
    let own = |serial| Job { id: JobId { requester: ME, serial }, ..bos_job(serial) };
    let false_epoch = Epoch { term: 9, leader: EVE };
    let foreign = Running {
        lease: Lease { epoch: false_epoch, serial: 1 },
        unit: 0,
        stages: vec![mine(EVE)],
        bands: 0,
    };
    let stolen = Running { lease: Lease { serial: 99, ..LEASE }, ..foreign.clone() };
    let (choice, models) = (Choice::default(), vec![]);
    let plan = |leader| {
        let epoch = Epoch { term: 0, leader };
        Message::Plan(RoomPlan { epoch, version: 1, choice, models: models.clone() })
    };
    let half = Stage { peer: ME, layers: Layers { start: 2, end: 4 } };
    let token = |lease| {
        Message::Token(Token { job: own_job, lease, position: 3, token: 9, end: false, note: Vec::new() })
    };
    let hidden = Hidden { job: eves, lease: LEASE, position: 0, rows: 1, bytes: vec![0; 8] };
    let standing = Standing::Waiting("give up".into());
    let following = |term| Some(Following { epoch: Epoch { term, leader: EVE }, beat: 1 });
    let blob = |job| Message::Blob(Blob { job, lease: LEASE, number: pieces::latent(4), bytes: vec![] });
    vec![
        (Message::Grant(eves, foreign), "does not follow", "a grant from one who does not lead"),
        (Message::Grant(own_job, stolen), "does not follow", "a grant in the leader's name"),
        (Message::Standing { epoch: EPOCH, job: own_job, standing }, "does not follow", "a false standing"),
        (plan(EVE), "old epoch", "a plan of an older epoch"),
        (plan(BO), "does not lead", "a plan in another's name"),
        (open(bos.id, vec![mine(ME)]), "peer that is here", "a session for another's job"),
        (open(eves, vec![mine(EVE)]), "without this peer", "a session that this peer has no part in"),
        (open(eves, vec![mine(ME), mine(ME)]), "twice", "a session with this peer in it twice"),
        (open(eves, vec![half]), "gaps", "a session that begins in the middle"),
        (open(eves, vec![mine(ME), Stage { peer: EVE, ..half }]), "gaps", "a session whose layers overlap"),
        (
            open_picture(eves, vec![half], |_| ()),
            "without the first layer",
            "a painter that begins in the middle",
        ),
        (
            open_picture(eves, vec![mine(ME)], |p| p.unit = 1),
            "the picture",
            "one picture, and the second of it",
        ),
        (open_picture(eves, vec![mine(ME)], |p| p.done = 5), "steps done", "more done than there is"),
        (Message::Ask(Box::new(ask(bos.id))), "peer that is here", "an ask for another's job"),
        (whole(bos), "peer that is here", "another's job"),
        (whole(own(99)), "does not know", "this peer's own job, made up"),
        (token(LEASE), "not the last stage", "a token from no stage"),
        (token(Lease { serial: 0, ..LEASE }), "lease is old", "a token of an older lease"),
        (blob(own_job), "no part in it", "a latent for a story"),
        (blob(eves), "no such session", "a latent for no session"),
        (Message::Hidden(hidden), "no such session", "hidden states for no session"),
        (Message::Ack(eves, LEASE, 0), "no such session", "an acknowledgement for no session"),
        (
            Message::Pulse(Pulse { following: following(u64::MAX), ..pulse() }),
            "term is out of bounds",
            "a term that ends all elections",
        ),
    ]
}

#[test]
fn messages_without_the_right_to_them_are_dropped_by_name() {
    for (message, name, why) in without_right() {
        let mut room = Room::new();
        let (_, chunk) = room.write();
        assert_eq!((chunk.lease, chunk.layers), (LEASE, ALL), "the lease that the rows name");
        let outputs = room.receive(EVE, &message);
        let reason = dropped(&outputs).unwrap_or_default();
        assert!(reason.contains(name), "{why}: dropped as {reason:?}, not as {name:?}");
        let runs = outputs.iter().any(|output| matches!(output, Output::Run(_) | Output::Forget(..)));
        assert!(!runs, "{why}: and nothing else comes of it");
    }
}

#[test]
fn pixels_of_another_are_not_painted() {
    let mut room = Room::new();
    let (job, chunk) = room.paint();
    let lease = chunk.lease;
    let tile = Progress::Tile { tile: 0, pixels: vec![1] };
    let rows = [
        Message::Blob(Blob { job, lease, number: pieces::TILES, bytes: vec![1] }),
        Message::Blob(Blob { job, lease, number: pieces::latent(4), bytes: vec![1] }),
        Message::Picture(Picture { job, unit: 0, progress: tile }),
    ];
    for message in rows {
        let outputs = room.receive(EVE, &message);
        let shown = outputs.iter().any(|output| matches!(output, Output::Event(Event::Picture { .. })));
        assert!(!shown, "{message:?}");
    }
}

#[test]
fn a_message_again_is_as_good_as_once() {
    let mut room = Room::new();
    let eves = JobId { requester: EVE, serial: 1 };
    let whole = Whole { job: Job { id: eves, ..bos_job(1) }, tokens: vec![7], end: None, keeper: EVE };
    let messages = [
        Message::Whole(Box::new(whole)),
        Message::Story(Story { job: eves, from: 1, tokens: vec![8], end: None, state: None }),
        Message::Ask(Box::new(ask(eves))),
        open(eves, vec![mine(ME)]),
    ];
    for message in &messages {
        room.receive(EVE, message);
    }
    let sizes = room.node.sizes();
    for message in messages.iter().chain(&messages) {
        let again = room.receive(EVE, message);
        let news = |output: &Output| {
            matches!(output, Output::Run(_) | Output::Event(Event::Tokens { .. } | Event::Job { .. }))
        };
        assert!(!again.iter().any(news), "{message:?} again: {again:?}");
    }
    assert_eq!(room.node.sizes(), sizes);
}

#[test]
fn a_story_goes_on_under_a_hail_of_rubbish() {
    let mut room = Room::new();
    let (job, mut chunk) = room.write();
    let good =
        wire::encode(&Message::Story(Story { job, from: 0, tokens: vec![7; 9], end: None, state: None }));
    let mut written = Vec::new();
    for position in 3..8 {
        for cut in 0..good.len() {
            let mut flipped = good.clone();
            flipped[cut] ^= 0x55;
            for bytes in [good[..cut].to_vec(), flipped, vec![cut as u8; cut]] {
                room.give(Input::Received { from: EVE, bytes });
            }
        }
        let (lease, result) =
            (chunk.lease, Ok(ChunkOutput::Token { token: position, end: false, note: Vec::new() }));
        let outputs = room.give(Input::Ran { job, lease, number: chunk.number, result });
        for output in outputs {
            match output {
                Output::Run(next) => chunk = next,
                Output::Event(Event::Tokens { tokens, .. }) => written.extend(tokens),
                _ => {}
            }
        }
        let Task::Pass { input, .. } = &chunk.task else { panic!("a story has no pieces") };
        assert_eq!(*input, Rows::Tokens(vec![position]), "the ring closes");
    }
    assert_eq!(written, [3, 4, 5, 6, 7]);
}

#[test]
fn submitting_has_its_limits_too() {
    let submit = |prompt: Vec<u32>, text: String| {
        let work = Work::Text(TextWork { prompt, max_new: 5, sampling: vec![] });
        Command::Submit { model: None, text, work }
    };
    let rows = [
        (submit(vec![], String::new()), "empty", "no prompt"),
        (submit(vec![1; 512], String::new()), "shorten it", "longer than the model's context"),
        (
            submit(vec![1], "x".repeat(limits::PROMPT_BYTES + 1)),
            "shorten it",
            "a text that no message can carry",
        ),
    ];
    for (command, word, why) in rows {
        let outputs = Room::new().give(Input::Command(command));
        let said =
            |output: &Output| matches!(output, Output::Event(Event::Notice(text)) if text.contains(word));
        assert!(outputs.iter().any(said), "{why}: a notice with {word:?}");
        assert!(
            !outputs.iter().any(|output| matches!(output, Output::Event(Event::Job { .. }))),
            "{why}: no job"
        );
    }
    let mut room = Room::new();
    for _ in 0..limits::JOBS_PER_PEER {
        room.give(Input::Command(submit(vec![1], String::new())));
    }
    let outputs = room.give(Input::Command(submit(vec![1], String::new())));
    assert!(
        outputs
            .iter()
            .any(|output| matches!(output, Output::Event(Event::Notice(text)) if text.contains("4 jobs")))
    );
}

#[test]
fn another_version_is_named_once_and_left_alone() {
    let mut room = Room::new();
    let cy = PeerId(9);
    room.give(Input::PeerUp(cy));
    let hello = wire::encode(&Message::Hello { version: 9, oldest: 9, name: "Cy".into() });
    let outputs = room.give(Input::Received { from: cy, bytes: hello });
    let named = |output: &Output| matches!(output, Output::Event(Event::Notice(text)) if text.contains("Cy has version 9"));
    assert!(outputs.iter().any(named));
    let outputs = room.receive(cy, &Message::Done(JobId { requester: cy, serial: 1 }));
    let drops = |output: &Output| matches!(output, Output::Event(Event::Dropped { from, .. }) if *from == cy);
    assert!(outputs.iter().any(drops));
}

#[test]
fn a_compute_fault_is_tried_again_and_then_named() {
    let mut room = Room::new();
    let (job, first) = room.write();
    let mut chunk = Some(first);
    let mut failed = None;
    for _ in 0..200 {
        let input = match chunk.take() {
            Some(Chunk { lease, number, .. }) => {
                Input::Ran { job, lease, number, result: Err("no memory".into()) }
            }
            None => {
                room.wait(1_000);
                Input::Loaded(Part { model: MODEL, layers: ALL })
            }
        };
        for output in room.give(input) {
            match output {
                Output::Run(next) => chunk = Some(next),
                Output::Event(Event::Ended { end, .. }) => failed = Some(format!("{end:?}")),
                Output::Event(Event::State { state: JobState::Running(_), .. }) => assert!(failed.is_none()),
                _ => {}
            }
        }
    }
    let failed = failed.expect("it does not try for ever");
    assert!(failed.contains("Failed") && failed.contains("no memory"), "{failed}");
}
