//! Thousands of rooms in which everybody sends anything, one seed each: nothing panics, every bound holds.
//!
//! Messages are well-formed, and their fields are random; names of jobs and leases are mostly such as exist. Bo is
//! honest besides: he opens what he is asked to and says how he is. The compute worker answers, not always well.

mod dice;

use crate::room::{ALL, BO, EVE, MODEL, PAINTER, Room};
use coordinator::io::{ChunkOutput, Part, PictureWork, Shape, TextWork, Vitals, Work};
use coordinator::wire::{self, Message};
use coordinator::{Command, Event, Input, Output, PeerId, Sizes, limits};
use dice::Dice;

/// Rooms. Source: guess; a few seconds.
const SEEDS: u64 = 3_000;
/// Inputs to each. Source: guess; enough for a job to be asked for, granted, opened and broken, several times.
const INPUTS: usize = 120;
/// Most outputs of one input. Source: everyone hears something of each job, as do those who are behind relays.
const OUTPUTS: usize = 4 * limits::PEERS + 64 * (limits::JOBS_PER_ROOM + limits::JOBS_KEPT);

/// Every queue within the bound that `limits` names.
fn check(sizes: &Sizes, outputs: usize) -> Result<(), String> {
    if let Some(over) = sizes.over() {
        return Err(over);
    }
    if outputs > OUTPUTS {
        return Err(format!("{outputs} outputs, at most {OUTPUTS} are allowed"));
    }
    Ok(())
}

/// What the storm must reach, or it blows past everything of interest.
#[derive(Debug, Default)]
struct Reached {
    kinds: std::collections::BTreeMap<u8, usize>,
    grants: usize,
    runs: usize,
    pixels: usize,
    tokens: usize,
    ends: usize,
    relays: usize,
    /// Messages that were taken without a word.
    taken: usize,
}

impl Reached {
    fn note(&mut self, outputs: &[Output]) {
        for output in outputs {
            match output {
                Output::Run(_) => self.runs += 1,
                Output::Event(Event::Picture { .. }) => self.pixels += 1,
                Output::Event(Event::Tokens { .. }) => self.tokens += 1,
                Output::Event(Event::Ended { .. }) => self.ends += 1,
                Output::Send { bytes, .. } => match wire::decode(bytes) {
                    Ok(Message::Grant(..)) => self.grants += 1,
                    Ok(Message::Relay { .. } | Message::Relayed { .. }) => self.relays += 1,
                    Ok(_) => {}
                    Err(error) => panic!("it sends what nobody can read: {error}: {bytes:?}"),
                },
                _ => {}
            }
        }
    }
}

/// What follows from outputs where somebody is honest: layers are loaded, chunks run, sessions open.
fn consequences(dice: &mut Dice, outputs: &[Output]) -> Vec<Input> {
    let mut inputs = Vec::new();
    for output in outputs {
        match output {
            Output::Load(part) if dice.roll(10) == 0 => {
                inputs.push(Input::LoadFailed(*part, "disk full".into()));
            }
            Output::Load(part) => inputs.push(Input::Loaded(*part)),
            Output::Run(chunk) => {
                let (job, lease, number) = (chunk.job, chunk.lease, chunk.number);
                dice.harvest(job, lease);
                let result = answer(dice, &chunk.task);
                inputs.push(Input::Ran { job, lease, number, result });
            }
            Output::Send { to, bytes, .. } => {
                let Ok(message) = wire::decode(bytes) else { continue };
                match message {
                    Message::Grant(job, running) => dice.harvest(job, running.lease),
                    Message::Open(open) => {
                        dice.harvest(open.job, open.lease);
                        let opened = wire::encode(&Message::Opened(open.job, open.lease));
                        inputs.extend((*to == BO).then_some(Input::Received { from: BO, bytes: opened }));
                    }
                    _ => {}
                }
            }
            _ => {}
        }
    }
    inputs
}

fn answer(dice: &mut Dice, task: &coordinator::io::Task) -> Result<ChunkOutput, String> {
    use coordinator::io::Task;
    match (dice.roll(12), task) {
        (0, _) => Err("no memory".into()),
        (1, _) => Ok(ChunkOutput::Nothing),
        (_, Task::Piece { .. }) => Ok(ChunkOutput::Piece(dice.bytes(40))),
        (_, Task::Pass { sample: Some(_), .. }) => {
            Ok(ChunkOutput::Token { token: dice.roll(9) as u32, end: dice.roll(9) == 0, note: Vec::new() })
        }
        (2..7, Task::Pass { .. }) => Ok(ChunkOutput::Nothing),
        (_, Task::Pass { .. }) => Ok(ChunkOutput::Hidden(dice.bytes(40))),
    }
}

/// What happens to this peer itself.
fn own(dice: &mut Dice) -> Input {
    let work = if dice.roll(2) == 0 {
        Work::Text(TextWork {
            prompt: vec![1; 1 + dice.roll(80)],
            max_new: 1 + dice.roll(9) as u32,
            sampling: vec![],
        })
    } else {
        let shape = Shape { count: 1 + dice.roll(3) as u16, steps: 8, guided: true, tiles: 3, stale: false };
        Work::Picture(PictureWork { shape, settings: vec![] })
    };
    match dice.roll(10) {
        0..4 => Input::Command(Command::Submit { model: None, text: String::new(), work }),
        4 => Input::Command(Command::Stop(dice.job())),
        5 => Input::Command(Command::Share(dice.roll(3) > 0)),
        6 => Input::Command(Command::Vitals(Vitals { hidden: dice.roll(2) == 0, ..Vitals::default() })),
        7 => Input::Command(Command::Spread(dice.spread())),
        8 => Input::ComputeLost("its device is gone".into()),
        _ => {
            let model = if dice.roll(2) == 0 { MODEL } else { PAINTER };
            Input::Loaded(Part { model, layers: ALL })
        }
    }
}

fn message(dice: &mut Dice, reached: &mut Reached) -> Input {
    let from = [EVE, BO, dice::CY][dice.roll(3)];
    let message = dice.message();
    let bytes = wire::encode(&message);
    *reached.kinds.entry(bytes[1]).or_default() += 1;
    Input::Received { from, bytes }
}

fn input(dice: &mut Dice, reached: &mut Reached) -> Input {
    match dice.roll(40) {
        0 => Input::PeerUp([EVE, BO, dice::CY, PeerId(dice.wild())][dice.roll(4)]),
        1 => Input::PeerDown([EVE, BO, dice::CY][dice.roll(3)]),
        2..5 => own(dice),
        5 => Input::ComputeReady { capability: crate::room::capability(), offers: dice.own_offers() },
        _ => message(dice, reached),
    }
}

/// One room; what it says is checked after each input.
fn storm(seed: u64, reached: &mut Reached) -> Result<(), String> {
    let mut dice = Dice::new(seed);
    let mut room = Room::new();
    room.join(dice::CY);
    let mut next: std::collections::VecDeque<Input> = std::collections::VecDeque::new();
    for _ in 0..INPUTS {
        if dice.roll(4) == 0 {
            let most = [50, 1_000, 9_000][dice.roll(3)];
            room.pass(dice.roll(most) as u64);
        }
        let input = match next.pop_front() {
            Some(input) if dice.roll(4) > 0 => input,
            _ => input(&mut dice, reached),
        };
        let is_message = matches!(input, Input::Received { .. });
        let said = format!("{input:?}");
        let outputs = room.give(input);
        check(&room.node.sizes(), outputs.len()).map_err(|error| format!("{error} after {said}"))?;
        let drops = outputs.iter().any(|output| matches!(output, Output::Event(Event::Dropped { .. })));
        reached.taken += usize::from(is_message && !drops);
        reached.note(&outputs);
        let more = consequences(&mut dice, &outputs);
        next.extend(more.into_iter().take(64usize.saturating_sub(next.len())));
    }
    Ok(())
}

#[test]
fn nothing_that_anybody_sends_breaks_a_bound() {
    let mut reached = Reached::default();
    for seed in 0..SEEDS {
        if let Err(error) = storm(seed, &mut reached) {
            panic!("seed {seed}: {error}");
        }
    }
    println!("{reached:?}");
    assert_eq!(reached.kinds.len(), dice::KINDS, "every kind was sent: {:?}", reached.kinds);
    let counts = [reached.grants, reached.runs, reached.pixels, reached.tokens, reached.ends, reached.relays];
    assert!(counts.iter().all(|&count| count as u64 > SEEDS / 10), "it is too tame: {reached:?}");
    assert!(reached.taken as u64 > SEEDS * INPUTS as u64 / 10, "nearly everything is dropped: {reached:?}");
}
