//! Messages without sense: nothing panics, and nothing that is kept or sent grows without a bound.

use crate::world::{CONTENT, Dice};
use coordinator::swarm::{
    Blocks, Content, Fact, Input, Message, OriginId, Output, Refusal, Source, Swarm, Verdict,
};
use coordinator::{Millis, PeerId, limits};

const NUMBERS: u32 = 500;

fn blocks(dice: &mut Dice) -> Blocks {
    let most = if dice.chance(10) { u64::from(u32::MAX) } else { u64::from(NUMBERS) };
    (0..dice.range(0, 6))
        .map(|_| {
            let start = dice.range(0, most) as u32;
            start..start.saturating_add(dice.range(0, 40) as u32)
        })
        .collect()
}

fn message(dice: &mut Dice) -> Message {
    let content = if dice.chance(90) { CONTENT } else { Content([9; 32]) };
    let fact = [Fact::Has, Fact::Lost, Fact::Seeks, Fact::Rests, Fact::Fetches][dice.range(0, 5) as usize];
    let why = if dice.chance(50) { Refusal::Gone } else { Refusal::Busy };
    let blocks = blocks(dice);
    match dice.range(0, 13) {
        10 => Message::AskRoot(content),
        11 => Message::NoRoot(content),
        12 => Message::Root { content, bytes: vec![0; 9] },
        0 => Message::Join(content),
        1 => Message::Leave(content),
        2..=5 => Message::Tell { content, fact, blocks },
        6 => Message::Ask { content, blocks },
        7 => Message::Withdraw { content, blocks },
        8 => Message::Refuse { content, blocks, why },
        _ => Message::Block { content, number: dice.roll() as u32 % 600, bytes: vec![0; 9] },
    }
}

#[test]
fn messages_without_sense_do_no_harm() {
    for seed in 0..60 {
        let mut dice = Dice(seed);
        let mut swarm = Swarm::new(PeerId(1), Millis(0));
        let (mut now, mut sent) = (Millis(0), 0);
        let mut do_it = |now: Millis, input: Input, swarm: &mut Swarm| {
            let outputs = swarm.handle(now, input);
            sent += outputs.len();
            assert!(swarm.progress(CONTENT).on_the_way as usize <= limits::SWARM_FLIGHTS);
            assert!(swarm.have(CONTENT).end() <= NUMBERS);
            outputs
        };
        let have = std::iter::once(0..100).collect();
        let open = Input::Open { content: CONTENT, numbers: NUMBERS, block_bytes: 64, have };
        do_it(now, open, &mut swarm);
        let want = Input::Want { content: CONTENT, blocks: Blocks::all(u32::MAX) };
        do_it(now, want, &mut swarm);
        let origin =
            Input::Origin { content: CONTENT, origin: OriginId(0), up: true, shared: dice.chance(50) };
        do_it(now, origin, &mut swarm);
        for peer in 2..7 {
            do_it(now, Input::PeerUp(PeerId(peer)), &mut swarm);
        }
        let mut todo: Vec<Output> = Vec::new();
        for _ in 0..2_000 {
            now = now.after(dice.range(0, 300));
            let peer = PeerId(dice.range(1, 9).into());
            let input = match dice.range(0, 20) {
                0 => Input::Tick,
                1 if dice.chance(10) => Input::PeerDown(peer),
                1 => Input::PeerUp(peer),
                2..=4 => match todo.pop() {
                    Some(Output::Check { content, number, from, .. }) => {
                        // Made-up bytes are wrong, unless the one who lies is lucky.
                        let verdict = if dice.chance(50) { Verdict::Kept } else { Verdict::Wrong };
                        Input::Checked { content, number, from, verdict }
                    }
                    Some(Output::Serve { to, content, number }) => {
                        Input::Served { to, content, number, bytes: dice.chance(80).then_some(64) }
                    }
                    Some(Output::Fetch { content, origin, number }) => {
                        let result = if dice.chance(80) { Ok(64) } else { Err("no".into()) };
                        Input::Fetched { content, origin, number, result }
                    }
                    Some(Output::CheckRoot { content, from, .. }) => {
                        Input::RootChecked { content, from, right: dice.chance(50) }
                    }
                    _ => Input::Checked {
                        content: CONTENT,
                        number: dice.range(0, 600) as u32,
                        from: Source::Peer(peer),
                        verdict: Verdict::Kept,
                    },
                },
                5 if dice.chance(10) => Input::Seek(CONTENT),
                5 => Input::Evicted { content: CONTENT, blocks: blocks(&mut dice) },
                _ => Input::Received { from: peer, message: message(&mut dice) },
            };
            todo.extend(do_it(now, input, &mut swarm));
            todo.retain(|output| !matches!(output, Output::Send { .. } | Output::Event(_)));
        }
        assert!(sent < 200_000, "seed {seed}: {sent} outputs for 2,000 inputs");
    }
}
