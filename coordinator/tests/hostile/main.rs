//! What a hostile member of the room can send, and the name under which it is dropped.

mod room;

use coordinator::io::{Chunk, ChunkInput, ChunkOutput, Job, JobState, Stage};
use coordinator::wire::{
    self, Ask, Following, Hidden, Message, Open, Pulse, Report, RoomPlan, Running, Story, Token, Whole,
};
use coordinator::{Command, Epoch, Event, Input, JobId, Layers, Lease, Output, PeerId, limits};
use room::{ALL, BO, EPOCH, EVE, LEASE, ME, MODEL, Room};

fn dropped(outputs: &[Output]) -> Option<&str> {
    outputs.iter().find_map(|output| match output {
        Output::Event(Event::Dropped { from: EVE, reason }) => Some(reason.as_str()),
        _ => None,
    })
}

fn bos_job(serial: u32) -> Job {
    let id = JobId { requester: BO, serial };
    let (author, text) = ("Bo".to_owned(), "Hi".to_owned());
    Job { id, model: MODEL, author, text, prompt: vec![1], max_new: 9, sampling: vec![] }
}

fn open(job: JobId, stages: Vec<Stage>) -> Message {
    let lease = Lease { epoch: EPOCH, serial: 77 };
    let (tokens, sampling) = (vec![1], vec![]);
    Message::Open(Box::new(Open { job, lease, stages, prompt: 1, known: 1, until: 9, tokens, sampling }))
}

#[test]
fn messages_without_the_right_to_them_are_dropped_by_name() {
    let mine = |peer| Stage { peer, layers: ALL };
    let eves = JobId { requester: EVE, serial: 1 };
    let bos = bos_job(1);
    let whole = |job: Job| Message::Whole(Box::new(Whole { job, tokens: vec![], end: None, keeper: EVE }));
    let own = |serial| Job { id: JobId { requester: ME, serial }, ..bos_job(serial) };
    let foreign = Running {
        lease: Lease { epoch: Epoch { term: 9, leader: EVE }, serial: 1 },
        stages: vec![mine(EVE)],
    };
    let plan = |leader| RoomPlan {
        epoch: Epoch { term: 0, leader },
        version: 1,
        model: MODEL,
        stages: vec![],
        next: vec![],
        why: String::new(),
    };
    let half = Stage { peer: ME, layers: Layers { start: 2, end: 4 } };
    let ask = Ask { job: bos.id, model: MODEL, running: None, seen: None, suspect: None };
    let token =
        |lease| Token { job: JobId { requester: ME, serial: 1 }, lease, position: 3, token: 9, end: false };
    let hidden = Hidden { job: eves, lease: LEASE, position: 0, rows: 1, bytes: vec![0; 8] };
    let report = Report::default();
    let epoch = Epoch { term: u64::MAX, leader: EVE };
    let pulse = Pulse { sent: 0, echo: None, following: Some(Following { epoch, beat: 1 }), report };
    let rows = [
        (Message::Grant(foreign, eves), "does not follow", "a grant from one who does not lead"),
        (Message::Plan(plan(EVE)), "old epoch", "a plan of an older epoch"),
        (Message::Plan(plan(BO)), "does not lead", "a plan in another's name"),
        (open(bos.id, vec![mine(ME)]), "peer that is here", "a session for another's job"),
        (open(eves, vec![mine(EVE)]), "without this peer", "a session that this peer has no part in"),
        (open(eves, vec![half]), "gaps", "a session that begins in the middle"),
        (open(eves, vec![mine(ME), half]), "gaps", "a session whose layers overlap"),
        (Message::Ask(ask), "peer that is here", "an ask for another's job"),
        (whole(bos), "peer that is here", "another's job"),
        (whole(own(99)), "does not know", "this peer's own job, made up"),
        (Message::Token(token(LEASE)), "not the last stage", "a token from no stage"),
        (Message::Token(token(Lease { serial: 0, ..LEASE })), "lease is old", "a token of an older lease"),
        (Message::Hidden(hidden), "no such session", "hidden states for no session"),
        (Message::Ack(eves, LEASE, 0), "no such session", "an acknowledgement for no session"),
        (Message::Pulse(Box::new(pulse)), "term is out of bounds", "a term that ends all elections"),
    ];
    for (message, name, why) in rows {
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
        let (lease, result) = (chunk.lease, Ok(ChunkOutput::Token { token: position, end: false }));
        let outputs = room.give(Input::Ran { job, lease, position: chunk.position, result });
        for output in outputs {
            match output {
                Output::Run(next) => chunk = next,
                Output::Event(Event::Tokens { tokens, .. }) => written.extend(tokens),
                _ => {}
            }
        }
        assert_eq!(chunk.input, ChunkInput::Tokens(vec![position]), "the ring closes");
    }
    assert_eq!(written, [3, 4, 5, 6, 7]);
}

#[test]
fn what_one_peer_can_fill_is_bounded() {
    let mut room = Room::new();
    for serial in 1..200 {
        let job = Job { id: JobId { requester: EVE, serial }, ..bos_job(serial) };
        room.receive(
            EVE,
            &Message::Whole(Box::new(Whole { job: job.clone(), tokens: vec![], end: None, keeper: EVE })),
        );
        let ask = Ask {
            job: job.id,
            model: MODEL,
            running: None,
            seen: None,
            suspect: Some(PeerId(serial.into())),
        };
        room.receive(EVE, &Message::Ask(ask));
        room.receive(EVE, &open(job.id, vec![Stage { peer: ME, layers: ALL }]));
        room.give(Input::PeerUp(PeerId(1_000 + u128::from(serial))));
    }
    let sizes = room.node.sizes();
    assert_eq!(sizes.open_jobs, limits::JOBS_PER_PEER);
    assert_eq!(sizes.queued_jobs, limits::JOBS_PER_PEER);
    assert_eq!(sizes.stage.sessions, limits::SESSIONS_PER_PEER);
    assert_eq!(sizes.peers, limits::PEERS);
    assert!(sizes.stage.running <= limits::CHUNKS_WAITING);
}

#[test]
fn submitting_has_its_limits_too() {
    let submit =
        |prompt: Vec<u32>, text: String| Command::Submit { text, prompt, max_new: 5, sampling: vec![] };
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
            .any(|output| matches!(output, Output::Event(Event::Notice(text)) if text.contains("4 stories")))
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
            Some(Chunk { lease, position, .. }) => {
                Input::Ran { job, lease, position, result: Err("no memory".into()) }
            }
            None => {
                room.wait(1_000);
                Input::Loaded(ALL)
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
