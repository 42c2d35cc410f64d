//! One seed, one run: a phase of faults, then everything heals and must come to rest.

use crate::dice::Dice;
use crate::invariants::{jobs_end, one_coordinator, tokens_gapless_and_solo};
use crate::witness::Witness;
use crate::world::{Spec, Weather, World};
use coordinator::{Command, JobId, PeerId};
use std::fmt;

/// Virtual milliseconds of the phase of faults.
const FAULTS_MS: u64 = 25_000;
/// Virtual milliseconds after which everything must have come to rest.
const REST_MS: u64 = 240_000;

/// What a run did, so that one can see that it did something.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Peers that ever were there.
    pub peers: usize,
    /// Jobs that survivors know.
    pub jobs: usize,
    /// Tokens on the survivors' screens.
    pub tokens: usize,
    /// Faults injected.
    pub faults: usize,
    /// Epochs: the highest term reached.
    pub terms: u64,
    /// Messages dropped, with a named reason.
    pub dropped: u32,
    /// Virtual milliseconds.
    pub ms: u64,
}

/// An invariant that broke.
#[derive(Clone, Debug)]
pub struct Failure {
    /// The seed that shows it.
    pub seed: u64,
    /// When, in virtual milliseconds.
    pub ms: u64,
    /// What broke.
    pub what: String,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "seed {} at {} ms: {}", self.seed, self.ms, self.what)
    }
}

/// Runs one seed.
///
/// # Errors
/// The first invariant that broke.
pub fn run_seed(seed: u64, trace: bool) -> Result<Stats, Failure> {
    let mut dice = Dice::new(seed);
    let layers = dice.range(2, 13) as u16;
    let mut world = World::new(dice.next(), layers);
    world.trace = trace;
    let mut stats = Stats::default();
    let flaky = dice.chance(10);
    world.weather = Weather {
        load_failures: if dice.chance(15) { 20 } else { 0 },
        chunk_failures: if flaky { 50 } else { 0 },
        mangled: if dice.chance(30) { 100 } else { 0 },
    };
    trouble(&mut world, &mut dice, &mut stats);
    world.heal();
    // A room may have been left without anybody, or without enough memory: somebody opens the link again.
    world.join(Spec::TAB);
    let failure = |world: &World, what: String| Failure { seed, ms: world.now, what };
    let mut verdict = Err("nothing happened".to_owned());
    let mut quiet = 0;
    while world.now < FAULTS_MS + REST_MS && quiet < 3 {
        world.run_for(1_000);
        if let Some(broken) = &world.broken {
            return Err(failure(&world, broken.clone()));
        }
        verdict = at_rest(&world, flaky);
        quiet = if verdict.is_ok() { quiet + 1 } else { 0 };
    }
    verdict.map_err(|what| failure(&world, what))?;
    for peer in world.peers.values() {
        let checked = tokens_gapless_and_solo::check(layers, &peer.witness);
        checked.map_err(|what| failure(&world, what))?;
    }
    count(&world, &mut stats);
    Ok(stats)
}

fn at_rest(world: &World, failures_allowed: bool) -> Result<(), String> {
    let alive = world.alive();
    let epochs: Vec<_> = alive.iter().map(|id| (*id, world.peers[id].node.epoch())).collect();
    one_coordinator::check(&epochs)?;
    let screens: Vec<(PeerId, &Witness)> = alive.iter().map(|id| (*id, &world.peers[id].witness)).collect();
    jobs_end::check(&screens, failures_allowed)?;
    let leak = alive.iter().find(|id| world.peers[id].device.caches() > 0);
    leak.map_or(Ok(()), |id| Err(format!("{id} still holds caches of jobs that have ended")))
}

fn count(world: &World, stats: &mut Stats) {
    stats.peers = world.peers.len();
    stats.ms = world.now;
    for id in world.alive() {
        let peer = &world.peers[&id];
        stats.jobs = stats.jobs.max(peer.witness.jobs.len());
        stats.tokens += peer.witness.jobs.values().map(|seen| seen.tokens.len()).sum::<usize>();
        stats.terms = stats.terms.max(peer.epoch.map_or(0, |epoch| epoch.term));
        stats.dropped += peer.witness.dropped.values().sum::<u32>();
    }
}

/// The phase of faults.
fn trouble(world: &mut World, dice: &mut Dice, stats: &mut Stats) {
    let peers = if dice.chance(10) { dice.range(7, 12) } else { dice.range(1, 6) };
    for _ in 0..=peers {
        world.join(spec(dice));
        let apart = if dice.chance(50) { 50 } else { 1_500 };
        world.run_for(dice.range(0, apart));
    }
    let mut agenda: Vec<(u64, Trouble)> = Vec::new();
    for _ in 0..dice.range(1, 6) {
        agenda.push((dice.range(1_000, FAULTS_MS), Trouble::Submit));
    }
    for _ in 0..dice.range(0, 9) {
        agenda.push((dice.range(1_000, FAULTS_MS), Trouble::draw(dice)));
        stats.faults += 1;
    }
    agenda.sort_by_key(|(at, _)| *at);
    for (at, trouble) in agenda {
        world.run_for(at.saturating_sub(world.now));
        if world.broken.is_some() {
            return;
        }
        trouble.happen(world, dice);
    }
    world.run_for(FAULTS_MS.saturating_sub(world.now));
}

fn spec(dice: &mut Dice) -> Spec {
    let layer_micros = match dice.range(0, 4) {
        0 => dice.range(100, 400),
        1 => dice.range(2_000, 8_000),
        _ => 500,
    };
    // From a single layer with the ends to everything.
    let memory = if dice.chance(30) { dice.range(2, 8) << 20 } else { 1 << 30 };
    Spec { layer_micros, memory }
}

#[derive(Clone, Copy, Debug)]
enum Trouble {
    Submit,
    Leave,
    Crash,
    Join,
    SplitSilently,
    SplitByClosing,
    BreakOneLink,
    Sleep,
    LoseDevice,
    Hang,
    SlowDown,
    Stop,
    Unshare,
    Hide,
    Rename,
}

impl Trouble {
    fn draw(dice: &mut Dice) -> Self {
        const ALL: [Trouble; 17] = [
            Trouble::Leave,
            Trouble::Leave,
            Trouble::Crash,
            Trouble::Crash,
            Trouble::Join,
            Trouble::Join,
            Trouble::SplitSilently,
            Trouble::SplitByClosing,
            Trouble::BreakOneLink,
            Trouble::Sleep,
            Trouble::LoseDevice,
            Trouble::Hang,
            Trouble::SlowDown,
            Trouble::Stop,
            Trouble::Unshare,
            Trouble::Hide,
            Trouble::Rename,
        ];
        dice.pick(&ALL).unwrap_or(Self::Join)
    }

    fn happen(self, world: &mut World, dice: &mut Dice) {
        let alive = world.alive();
        let Some(peer) = dice.pick(&alive) else { return };
        match self {
            Self::Submit => world.command(peer, story(dice)),
            Self::Leave => world.leave(peer, (0, 300)),
            Self::Crash => world.leave(peer, (5_000, 30_000)),
            Self::Join => {
                world.join(spec(dice));
            }
            Self::SplitSilently | Self::SplitByClosing | Self::BreakOneLink => {
                self.split(&alive, world, dice);
            }
            Self::Sleep => {
                world.sleep(peer, true);
                world.run_for(dice.range(500, 12_000));
                world.sleep(peer, false);
            }
            Self::LoseDevice => world.lose_device(peer, dice.range(300, 6_000)),
            Self::Hang => world.hang_device(peer, dice.range(2_000, 40_000)),
            Self::SlowDown => {
                let slow = dice.range(1_000, 40_000);
                world.peers.entry(peer).and_modify(|peer| peer.device.layer_micros = slow);
            }
            Self::Stop => {
                let own: Vec<JobId> = world.peers[&peer].witness.jobs.keys().copied().collect();
                if let Some(job) = dice.pick(&own) {
                    world.command(peer, Command::Stop(job));
                }
            }
            Self::Unshare => world.command(peer, Command::Share(false)),
            Self::Hide => world.command(peer, Command::Hidden(true)),
            Self::Rename => world.command(peer, Command::Rename("é".repeat(dice.range(0, 40) as usize))),
        }
    }

    fn split(self, alive: &[PeerId], world: &mut World, dice: &mut Dice) {
        let (left, right): (Vec<PeerId>, Vec<PeerId>) = match self {
            Self::BreakOneLink => {
                let pair = (dice.pick(alive), dice.pick(alive));
                (pair.0.into_iter().collect(), pair.1.into_iter().collect())
            }
            _ => alive.iter().partition(|_| dice.chance(50)),
        };
        let closes = !matches!(self, Self::SplitSilently);
        for (&a, &b) in left.iter().flat_map(|a| right.iter().map(move |b| (a, b))) {
            if closes {
                world.cut(a, b, (0, 3_000));
            } else {
                world.silence(a, b, true);
            }
        }
        world.run_for(dice.range(500, 15_000));
        for (&a, &b) in left.iter().flat_map(|a| right.iter().map(move |b| (a, b))) {
            world.silence(a, b, false);
            world.link(a, b);
        }
    }
}

/// A prompt and how to write on.
#[must_use]
pub fn story(dice: &mut Dice) -> Command {
    let length = if dice.chance(25) { dice.range(60, 300) } else { dice.range(1, 20) };
    let prompt = (0..length).map(|_| dice.range(0, crate::toy::VOCABULARY) as u32).collect();
    let sampling = dice.next().to_be_bytes().to_vec();
    Command::Submit { text: "Once upon a time".into(), prompt, max_new: dice.range(1, 200) as u32, sampling }
}
