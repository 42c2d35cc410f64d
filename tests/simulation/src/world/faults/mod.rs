//! What can go wrong in a room, one file per family, and how it all heals.

use super::agenda::Happening;
use super::{Spec, World};
use crate::dice::Dice;
use coordinator::io::{Spread, Vitals};
use coordinator::{Command, PeerId};

mod clocks;
mod devices;
mod links;
mod messages;
mod people;
mod presence;

/// How unreliable things are by themselves; all zero is a calm room.
#[derive(Clone, Copy, Debug, Default)]
pub struct Weather {
    /// Percent of loads that fail.
    pub load_failures: u64,
    /// Chunks in 10,000 that fail.
    pub chunk_failures: u64,
    /// Messages in 10,000 that arrive twice.
    pub repeated: u64,
    /// Messages in 10,000 that arrive again up to three seconds later, after what was sent since: what a relay may do.
    pub echoed: u64,
    /// Messages in 10,000 of which a copy comes first that is cut off.
    pub cut_off: u64,
    /// Messages in 10,000 of which a copy comes first that has a byte changed.
    pub garbled: u64,
    /// No device that comes can hold a whole model.
    pub cramped: bool,
    /// Percent of pairs that find no way to each other.
    pub apart: u64,
    /// How many thousandths a clock may be fast or slow; if any, it also starts anywhere.
    pub clock_skew_permille: u64,
}

/// Something that goes wrong once, to peers drawn when it happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fault {
    /// A peer leaves, and its channels close.
    Leave,
    /// A peer is gone without a word.
    Crash,
    /// A peer enters.
    Join,
    /// Almost everybody goes in the same moment.
    Exodus,
    /// Nothing gets from some peers to the others, either way, for a while.
    SplitSilently,
    /// All links between some peers and the others close, for a while.
    SplitByClosing,
    /// One link closes for a while.
    BreakOneLink,
    /// Nothing gets from one peer to another for a while; the other direction works.
    OneWay,
    /// A link closes and opens, again and again.
    Flap,
    /// A peer sends another one thousands of messages.
    Flood,
    /// A laptop's lid is closed for seconds.
    Nap,
    /// A laptop's lid is closed for minutes.
    LongSleep,
    /// A device is lost, and comes back.
    LoseDevice,
    /// A device answers nothing for a while.
    Hang,
    /// A device is slow from now on.
    SlowDown,
    /// A device's speed changes all the time, for a while.
    Drift,
    /// A device makes numbers that are none, for a while.
    Nonsense,
    /// A story is stopped by its owner.
    Stop,
    /// A peer computes no longer.
    Unshare,
    /// A tab is hidden.
    Hide,
    /// A battery runs low.
    LowBattery,
    /// Somebody wants the devices to share the work in another way.
    Spread,
    /// A person has another name.
    Rename,
}

/// How a fault goes on, or ends.
#[derive(Debug)]
pub(super) enum Sequel {
    WakeUp(PeerId),
    /// From the first to the second.
    Speak(Vec<(PeerId, PeerId)>),
    Relink(Vec<(PeerId, PeerId)>),
    Flap {
        a: PeerId,
        b: PeerId,
        left: u64,
    },
    Drift {
        peer: PeerId,
        left: u64,
    },
}

/// How often each is drawn. A long sleep and a flood cost more time than all others together.
const WEIGHTS: [(u64, Fault); 23] = [
    (20, Fault::Leave),
    (20, Fault::Crash),
    (20, Fault::Join),
    (4, Fault::Exodus),
    (10, Fault::SplitSilently),
    (10, Fault::SplitByClosing),
    (10, Fault::BreakOneLink),
    (12, Fault::OneWay),
    (10, Fault::Flap),
    (2, Fault::Flood),
    (10, Fault::Nap),
    (1, Fault::LongSleep),
    (10, Fault::LoseDevice),
    (10, Fault::Hang),
    (10, Fault::SlowDown),
    (8, Fault::Drift),
    (8, Fault::Nonsense),
    (10, Fault::Stop),
    (10, Fault::Unshare),
    (10, Fault::Hide),
    (5, Fault::LowBattery),
    (10, Fault::Spread),
    (5, Fault::Rename),
];

impl Fault {
    /// One of them.
    #[must_use]
    pub fn draw(dice: &mut Dice) -> Self {
        let mut left = dice.range(0, WEIGHTS.iter().map(|(weight, _)| weight).sum());
        let found = WEIGHTS.iter().find(|(weight, _)| {
            let here = left < *weight;
            left = left.saturating_sub(*weight);
            here
        });
        found.map_or(Self::Join, |(_, fault)| *fault)
    }

    /// All of them, to count them.
    pub fn all() -> impl Iterator<Item = Self> {
        WEIGHTS.into_iter().map(|(_, fault)| fault)
    }
}

/// A peer as it may come: any speed and any memory, and not always honest.
#[must_use]
pub fn stranger(dice: &mut Dice, cramped: bool) -> Spec {
    let layer_micros = match dice.range(0, 4) {
        0 => dice.range(100, 400),
        1 => dice.range(2_000, 8_000),
        _ => 500,
    };
    // From a single layer with the ends to everything.
    let memory = match dice.chance(30) {
        _ if cramped => dice.range(2, 6) << 20,
        true => dice.range(2, 8) << 20,
        false => 1 << 30,
    };
    let boast = if dice.chance(4) { 100 } else { 1 };
    // Whether a picture is shared depends on whether a pass takes longer than the way.
    let step_micros = if dice.chance(80) { dice.range(4_000, 300_000) } else { 0 };
    let forges = dice.chance(10);
    Spec { layer_micros, memory, step_micros, boast, forges }
}

impl World {
    /// Lets something go wrong.
    pub fn suffer(&mut self, fault: Fault) {
        let alive = self.alive();
        let Some(peer) = self.dice.pick(&alive) else { return };
        match fault {
            Fault::Leave => self.leave(peer, (0, 300)),
            Fault::Crash => self.leave(peer, (5_000, 30_000)),
            Fault::Join => {
                let spec = stranger(&mut self.dice, self.weather.cramped);
                self.join(spec);
            }
            Fault::Exodus => self.exodus(&alive),
            Fault::SplitSilently | Fault::SplitByClosing => self.split(&alive, fault),
            Fault::BreakOneLink => self.break_one_link(&alive),
            Fault::OneWay => self.one_way(&alive),
            Fault::Flap => self.flap(&alive),
            Fault::Flood => self.flood_somebody(&alive),
            Fault::Nap => self.nap(peer),
            Fault::LongSleep => self.long_sleep(peer),
            Fault::LoseDevice => {
                let ms = self.dice.range(300, 6_000);
                self.lose_device(peer, ms);
            }
            Fault::Hang => {
                let ms = self.dice.range(2_000, 40_000);
                self.hang_device(peer, ms);
            }
            Fault::SlowDown => self.slow_down(peer),
            Fault::Drift => self.drift(peer),
            Fault::Nonsense => {
                let ms = self.dice.range(1_000, 15_000);
                self.spoil_device(peer, ms);
            }
            Fault::Stop => self.stop_a_story(peer),
            Fault::Unshare => self.command(peer, Command::Share(false)),
            Fault::Hide => self.command(peer, Command::Vitals(Vitals { hidden: true, ..Vitals::default() })),
            Fault::LowBattery => {
                let vitals = Vitals { battery_percent: Some(10), ..Vitals::default() };
                self.command(peer, Command::Vitals(vitals));
            }
            Fault::Spread => {
                let everyone = self.dice.chance(50);
                let spread = if everyone { Spread::Everyone } else { Spread::Measured };
                self.command(peer, Command::Spread(spread));
            }
            Fault::Rename => self.rename(peer),
        }
    }

    pub(super) fn goes_on(&mut self, sequel: Sequel) {
        match sequel {
            Sequel::WakeUp(peer) => self.sleep(peer, false),
            Sequel::Speak(directions) => {
                directions.into_iter().for_each(|(from, to)| self.silence(from, to, false));
            }
            Sequel::Relink(pairs) => pairs.into_iter().for_each(|(a, b)| self.link(a, b)),
            Sequel::Flap { a, b, left } => self.flap_on(a, b, left),
            Sequel::Drift { peer, left } => self.drift_on(peer, left),
        }
    }

    fn then(&mut self, ms: u64, sequel: Sequel) {
        self.later(ms, Happening::Fault(sequel));
    }

    /// Everything ordinary from now on: all links open, everybody awake, no fault goes on.
    pub fn heal(&mut self) {
        self.weather =
            Weather { clock_skew_permille: self.weather.clock_skew_permille, ..Weather::default() };
        self.agenda.forget_faults();
        self.network.bring_together();
        let alive = self.alive();
        for &peer in &alive {
            self.sleep(peer, false);
            self.command(peer, Command::Share(true));
            self.command(peer, Command::Vitals(Vitals::default()));
            self.peers.entry(peer).and_modify(|peer| {
                peer.device.layer_micros = peer.spec.layer_micros;
                peer.device.nonsense_until = 0;
            });
        }
        for (at, &a) in alive.iter().enumerate() {
            for &b in &alive[at + 1..] {
                self.silence(a, b, false);
                self.silence(b, a, false);
                self.link(a, b);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_fault_is_drawn() {
        let mut dice = Dice::new(1);
        let drawn: std::collections::BTreeSet<Fault> = (0..5_000).map(|_| Fault::draw(&mut dice)).collect();
        assert_eq!(drawn, Fault::all().collect());
    }
}
