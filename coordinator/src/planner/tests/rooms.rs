//! What holds in any room: thousands of them, made by dice.

use super::*;
use std::collections::BTreeMap;

struct Made {
    model: ModelSpec,
    workers: Vec<Worker>,
    links: Links,
}

fn make(dice: &mut Dice, most: u64) -> Made {
    let model = ModelSpec { ends_bytes: dice.roll(300), ..model(1 + dice.roll(40) as u16) };
    let peers: Vec<(u64, u32)> = (0..=dice.roll(most))
        .map(|_| (dice.roll(1_500) << dice.roll(3), 1 + (dice.roll(10_000) << dice.roll(5)) as u32))
        .collect();
    let mut workers = workers(&peers);
    let mut links = Links::default();
    for one in 0..workers.len() {
        workers[one].speed.hop_micros = dice.roll(5_000) as u32;
        for other in 0..one {
            let (a, b) = (workers[one].id, workers[other].id);
            let link =
                Link { round_trip_ms: dice.roll(100) as u32, bytes_per_ms: 1 + dice.roll(5_000) as u32 };
            links.insert(a, b, link);
            if dice.roll(10) == 0 {
                workers[one].sees = workers[one].sees.without(b);
            }
        }
    }
    Made { model, workers, links }
}

fn check_team(made: &Made, team: &Team) {
    let mut next = 0;
    let by_id: BTreeMap<PeerId, &Worker> = made.workers.iter().map(|worker| (worker.id, worker)).collect();
    for stage in &team.stages {
        assert_eq!(stage.layers.start, next, "contiguous");
        assert!(!stage.layers.is_empty(), "no empty stage");
        assert!(stage_bytes(&made.model, stage.layers) <= by_id[&stage.peer].memory, "fits");
        next = stage.layers.end;
        for other in team.stages.iter().filter(|other| other.peer != stage.peer) {
            assert!(by_id[&stage.peer].is_linked(by_id[&other.peer]), "members see each other");
        }
    }
    assert_eq!(next, made.model.layers, "complete");
    let members: BTreeSet<PeerId> = team.stages.iter().map(|stage| stage.peer).collect();
    assert_eq!(members.len(), team.stages.len(), "nobody twice in a team");
    assert!(members.len() <= limits::STAGES);
}

fn alone(room: &Room<'_>, worker: &Worker) -> Option<u64> {
    let layers = Layers { start: 0, end: room.model.layers };
    let fits = stage_bytes(room.model, layers) <= worker.memory;
    let team = [Stage { peer: worker.id, layers }];
    Some(predict_text(room, &team, 1, 1).filter(|_| fits)?.token_micros)
}

#[test]
fn teams_are_whole_fit_and_are_never_slower_than_the_best_device() {
    let mut dice = Dice(1);
    let (mut split, mut raced) = (0, 0);
    for _ in 0..3_000 {
        let made = make(&mut dice, 11);
        let room = room(&made.model, &made.workers, &made.links);
        let best = made.workers.iter().filter_map(|worker| alone(&room, worker)).min();
        for spread in [Spread::Measured, Spread::Everyone] {
            let plan = teams(&room, 1 + dice.roll(4) as usize, spread);
            plan.teams.iter().for_each(|team| check_team(&made, team));
            assert!(best.is_none() || !plan.teams.is_empty(), "what one device can hold is planned");
            if spread == Spread::Everyone {
                continue;
            }
            let mut held: BTreeMap<PeerId, u64> = BTreeMap::new();
            for stage in plan.teams.iter().flat_map(|team| &team.stages) {
                *held.entry(stage.peer).or_default() += stage_bytes(&made.model, stage.layers);
            }
            for worker in &made.workers {
                assert!(
                    held.get(&worker.id).is_none_or(|bytes| *bytes <= worker.memory),
                    "all its parts fit"
                );
            }
            if let (Some(best), Some(first)) = (best, plan.teams.first()) {
                assert!(first.prediction.token_micros <= best, "never slower than the best device alone");
                raced += usize::from(first.stages.len() > 1);
            }
            split += usize::from(best.is_none() && !plan.teams.is_empty());
        }
    }
    assert!(
        split > 100 && raced > 30,
        "the dice made too few rooms of each kind: {split} split, {raced} raced"
    );
}

/// The shortest lap of any ring of `stages` devices in any order, with the ranges that this order is given.
fn exhaustive(room: &Room<'_>, order: &mut Vec<usize>, stages: usize) -> Option<u64> {
    if order.len() == stages {
        let members: Vec<&Worker> = order.iter().map(|&at| &room.workers[at]).collect();
        let seats = share::seat(room.model, &members)?;
        return Some(planner::predict::lap(room, &seats).0);
    }
    let mut best = None;
    for at in 0..room.workers.len() {
        let linked = |&other: &usize| room.workers[at].is_linked(&room.workers[other]);
        if !order.contains(&at) && order.iter().all(linked) {
            order.push(at);
            let lap = exhaustive(room, order, stages);
            best = best.into_iter().chain(lap).min();
            order.pop();
        }
    }
    best
}

#[test]
fn rings_are_close_to_the_best_of_all() {
    let mut dice = Dice(2);
    let mut ratios = Vec::new();
    let mut missed = 0;
    while ratios.len() < 300 {
        let made = make(&mut dice, 5);
        let room = room(&made.model, &made.workers, &made.links);
        let whole = whole_bytes(&made.model);
        let fewest = (2..=4).find_map(|stages| exhaustive(&room, &mut Vec::new(), stages));
        let Some(best) = fewest.filter(|_| made.workers.iter().all(|worker| worker.memory < whole)) else {
            continue;
        };
        match teams(&room, 1, Spread::Measured).teams.first() {
            Some(team) => ratios.push(team.prediction.token_micros as f64 / best as f64),
            None => missed += 1,
        }
    }
    ratios.sort_by(f64::total_cmp);
    let (median, p95) = (ratios[150], ratios[285]);
    println!("median {median:.3}, p95 {p95:.3}, most {:.3}, missed {missed}", ratios[299]);
    assert!(median <= 1.0 && p95 <= 1.25, "median {median}, p95 {p95}");
    assert_eq!(missed, 0, "rooms that could hold the model were given no team");
}

#[test]
fn the_order_of_the_workers_does_not_matter() {
    let mut dice = Dice(3);
    for _ in 0..300 {
        let mut made = make(&mut dice, 9);
        let plan = teams(&room(&made.model, &made.workers, &made.links), 2, Spread::Measured);
        made.workers.reverse();
        let other = teams(&room(&made.model, &made.workers, &made.links), 2, Spread::Measured);
        assert_eq!(plan, other);
    }
}

#[test]
fn shares_finish_as_early_as_can_be() {
    let mut dice = Dice(4);
    for _ in 0..2_000 {
        let lanes: Vec<share::Lane> = (0..=dice.roll(3))
            .map(|_| share::Lane {
                fixed: dice.roll(20),
                each: 1 + dice.roll(9),
                least: dice.roll(2),
                most: dice.roll(8),
            })
            .collect();
        let items = 1 + dice.roll(12);
        let finish = |taken: &[u64]| {
            lanes.iter().zip(taken).map(|(lane, n)| if *n == 0 { 0 } else { lane.finish(*n) }).max()
        };
        let mut best = None;
        for code in 0..8_u64.pow(lanes.len() as u32) {
            let taken: Vec<u64> = (0..lanes.len()).map(|at| code / 8_u64.pow(at as u32) % 8).collect();
            let fits = lanes.iter().zip(&taken).all(|(lane, n)| lane.least <= *n && *n <= lane.most);
            if fits && taken.iter().sum::<u64>() == items {
                best = best.into_iter().chain(finish(&taken)).min();
            }
        }
        let got = share::balance(items, &lanes);
        assert!(got.iter().all(|taken| taken.iter().sum::<u64>() == items));
        assert_eq!(got.and_then(|taken| finish(&taken)), best, "{items} items on {lanes:?}");
    }
}
