//! Rooms that fill themselves with weights. `SWARM_SEEDS` asks for more of them, `SWARM_FROM` for others.

mod hostile;
mod world;

use coordinator::swarm::{Blocks, Sharing};
use world::{BLOCK_BYTES, Dice, Kind, Plan, World};

fn seeds() -> std::ops::Range<u64> {
    let number = |name| std::env::var(name).ok().and_then(|number| number.parse().ok());
    let from = number("SWARM_FROM").unwrap_or(0);
    from..from + number("SWARM_SEEDS").unwrap_or(200)
}

/// One in so many of the seeds, for what changes little with them.
fn some(part: u64) -> impl Iterator<Item = u64> {
    seeds().filter(move |seed| seed % part == 0)
}

/// Somebody honest who wants everything.
fn plan(dice: &mut Dice, numbers: u32) -> Plan {
    Plan {
        kind: Kind::Honest,
        joins: dice.range(0, 3_000),
        leaves: None,
        wants: Blocks::all(numbers),
        store: Blocks::default(),
        sharing: Sharing::On,
        uplink: dice.range(500, 5_000),
        downlink: dice.range(500, 5_000),
        spare: 0,
    }
}

/// A range of the blocks, as a stage of a pipeline wants it.
fn part(dice: &mut Dice, numbers: u32) -> Blocks {
    let start = dice.range(0, u64::from(numbers)) as u32;
    let end = dice.range(u64::from(start), u64::from(numbers) + 1) as u32;
    std::iter::once(start..end).collect()
}

#[test]
fn whoever_stays_gets_what_can_be_had() {
    for seed in seeds() {
        let mut dice = Dice(seed);
        let numbers = dice.range(1, 65) as u32;
        let origin = dice.chance(70);
        let mut plans = Vec::new();
        for _ in 0..dice.range(2, 9) {
            let mut one = plan(&mut dice, numbers);
            if dice.chance(60) {
                one.wants = part(&mut dice, numbers);
            }
            if dice.chance(30) {
                one.store = part(&mut dice, numbers);
            }
            one.joins = dice.range(0, 20_000);
            one.leaves = dice.chance(30).then(|| one.joins + dice.range(1, 20_000));
            one.spare = if dice.chance(30) { dice.range(0, 20) as u32 } else { 0 };
            one.kind = match dice.range(0, 10) {
                0 => Kind::Liar,
                1 => Kind::Staller,
                _ => Kind::Honest,
            };
            if one.kind != Kind::Honest {
                (one.store, one.wants) = (Blocks::all(numbers), Blocks::default());
            }
            one.sharing = match dice.range(0, 10) {
                0 => Sharing::Off,
                1 => Sharing::Metered { bytes_per_s: dice.range(50, 2_000) },
                _ => Sharing::On,
            };
            plans.push(one);
        }
        let mut world = World::new(numbers, dice.range(1, 150), origin, plans);
        for index in 0..8 {
            if dice.chance(30) {
                let from = dice.range(0, 30_000);
                world.busy(index, from, from + dice.range(1, 10_000));
            }
        }
        if origin && dice.chance(40) {
            world.origin_goes(dice.range(0, 40_000));
        }
        world.run(41_000, 3_600_000);
        assert!(
            world.owed().is_empty(),
            "seed {seed}: after {} s still {:?}",
            world.now / 1000,
            world.owed()
        );
        assert!(world.wrong().all(|blocks| blocks <= 1), "seed {seed}: a liar costs one block");
    }
}

#[test]
fn the_origin_serves_each_byte_about_once() {
    let mut worst = (0, 0);
    for seed in seeds() {
        let mut dice = Dice(seed ^ 0xbeef);
        let numbers = dice.range(64, 200) as u32;
        let plans = (0..dice.range(2, 9)).map(|_| plan(&mut dice, numbers)).collect();
        let mut world = World::new(numbers, dice.range(1, 150), true, plans);
        world.run(3_000, 3_600_000);
        assert!(world.owed().is_empty(), "seed {seed}: {:?}", world.owed());
        let permille = world.origin_bytes * 1000 / (u64::from(numbers) * u64::from(BLOCK_BYTES));
        worst = worst.max((permille, seed));
    }
    println!("at most {} thousandths of the model, with seed {}", worst.0, worst.1);
    assert!(
        worst.0 <= 1_100,
        "{} thousandths of the model came from the origin, with seed {}",
        worst.0,
        worst.1
    );
}

#[test]
fn the_room_outlives_the_origin() {
    for seed in some(3) {
        let mut dice = Dice(seed ^ 0xf00d);
        let numbers = dice.range(32, 100) as u32;
        let mut plans: Vec<Plan> = (0..3).map(|_| plan(&mut dice, numbers)).collect();
        plans.push(Plan { joins: 600_000, ..plan(&mut dice, numbers) });
        let mut world = World::new(numbers, dice.range(1, 150), true, plans);
        world.origin_goes(590_000);
        world.run(600_100, 3_600_000);
        assert_eq!(world.have(3), Blocks::all(numbers), "seed {seed}: the fourth has all of it");
        let served = world.origin_bytes;
        assert!(
            served * 10 <= u64::from(numbers * BLOCK_BYTES) * 11,
            "seed {seed}: {served} bytes of {}",
            numbers * BLOCK_BYTES
        );
    }
}

#[test]
fn blocks_that_few_have_are_kept_for_the_room() {
    for seed in some(10) {
        let mut dice = Dice(seed ^ 0xcafe);
        let owner = Plan { joins: 0, leaves: Some(300_000), store: Blocks::all(40), ..plan(&mut dice, 40) };
        let helper = Plan { wants: Blocks::default(), spare: 40, joins: 1, ..plan(&mut dice, 40) };
        let newcomer = Plan { joins: 400_000, ..plan(&mut dice, 40) };
        let mut world = World::new(40, 20, false, vec![owner, helper, newcomer]);
        world.run(400_100, 3_600_000);
        assert_eq!(world.have(2), Blocks::all(40), "seed {seed}: who wanted nothing kept it all");
    }
}

#[test]
fn the_same_seed_is_the_same_room() {
    let run = |seed| {
        let mut dice = Dice(seed);
        let plans = (0..5).map(|_| plan(&mut dice, 40)).collect();
        let mut world = World::new(40, 30, true, plans);
        world.run(3_000, 600_000);
        (world.trace, world.now, world.origin_bytes)
    };
    assert_eq!(run(1), run(1));
    assert_ne!(run(1), run(2), "and another seed another one");
}
