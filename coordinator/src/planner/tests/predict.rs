//! Predictions against sums done by hand, and against a small simulation of queues.

use super::*;

/// A: 1 ms a layer and 2 ms a chunk; B: 2 ms a layer and 1 ms a chunk; 20 ms and 1 MB/s between them.
fn two() -> (ModelSpec, Vec<Worker>, Links) {
    let mut peers = workers(&[(BIG, 1_000), (BIG, 2_000)]);
    peers[0].speed = Speed { prefill_micros: 100, hop_micros: 2_000, ..peers[0].speed };
    peers[1].speed = Speed { prefill_micros: 200, hop_micros: 1_000, ..peers[1].speed };
    let mut links = Links::default();
    links.insert(PeerId(1), PeerId(2), Link { round_trip_ms: 20, bytes_per_ms: 1_000 });
    (model(10), peers, links)
}

fn stages(parts: &[(u128, u16)]) -> Vec<Stage> {
    let mut start = 0;
    parts
        .iter()
        .map(|&(peer, layers)| {
            let layers = Layers { start, end: start + layers };
            start = layers.end;
            Stage { peer: PeerId(peer), layers }
        })
        .collect()
}

#[test]
fn token_times_add_up() {
    let (model, peers, links) = two();
    let room = Room { hidden_bytes: 8_000, ..room(&model, &peers, &links) };
    type Row = (&'static [(u128, u16)], usize, u64, u64, &'static str);
    let rows: [Row; 6] = [
        (&[(1, 10)], 1, 12_000, 12_000, "10 layers of 1 ms and 2 ms for the chunk; no link"),
        (&[(1, 10)], 3, 36_000, 12_000, "three jobs take turns"),
        (&[(1, 6), (2, 4)], 1, 45_000, 9_000, "8 + 9 ms of work, 10 + 8 ms there, 10 ms back"),
        (&[(1, 6), (2, 4)], 5, 45_000, 9_000, "four more fit into the gaps of the first"),
        (&[(1, 6), (2, 4)], 6, 54_000, 9_000, "six turns of 9 ms are longer than the way round"),
        (&[(1, 9), (2, 1)], 1, 42_000, 11_000, "the busiest is A now"),
    ];
    for (team, jobs, token, slowest, why) in rows {
        let got = predict_text(&room, &stages(team), 1, jobs).unwrap();
        assert_eq!((got.token_micros, got.slowest_micros), (token, slowest), "{why}");
    }
    assert_eq!(predict_text(&room, &stages(&[(3, 10)]), 1, 1), None, "nobody knows peer 3");
    let five = predict_text(&room, &stages(&[(1, 6), (2, 4)]), 1, 5).unwrap();
    assert!((five.tokens_per_second() - 1e6 / 45e3).abs() < 1e-9);
    assert!((five.team_tokens_per_second() - 5e6 / 45e3).abs() < 1e-9);
}

#[test]
fn first_tokens_add_up() {
    let (model, peers, links) = two();
    let room = Room { hidden_bytes: 8_000, ..room(&model, &peers, &links) };
    type Row = (&'static [(u128, u16)], u32, usize, u64, &'static str);
    let rows: [Row; 6] = [
        (&[(1, 10)], 64, 1, 66_000, "one pass: 64 × 0.1 ms × 10 and the chunk's 2 ms"),
        (&[(1, 10)], 65, 1, 78_000, "and one of a single token, which takes as long as any token"),
        (&[(1, 10)], 64, 3, 90_000, "two others' tokens of 12 ms go first"),
        (&[(1, 10)], 0, 1, 12_000, "a prompt has a token at least"),
        (&[(1, 6), (2, 4)], 64, 1, 614_600, "40.4 ms, 512 ms of hidden states, 10 ms, 52.2 ms"),
        (&[(1, 6), (2, 4)], 128, 1, 1_126_600, "the second pass waits for the link: 512 ms more"),
    ];
    for (team, prompt, jobs, want, why) in rows {
        let got = predict_text(&room, &stages(team), prompt, jobs).unwrap();
        assert_eq!(got.first_token_micros, want, "{why}");
    }
    assert_eq!(predict_text(&room, &stages(&[(1, 10)]), 64, 1).unwrap().first_token_ms(), 66);
}

/// Microseconds between two tokens of a job when `jobs` go round: every stage and every link's sending side serves
/// one at a time, in order of arrival.
fn simulate(room: &Room<'_>, team: &[Stage], jobs: usize) -> f64 {
    const ROUNDS: usize = 200;
    let count = team.len();
    let worker = |at: usize| room.workers.iter().find(|worker| worker.id == team[at].peer).unwrap();
    let mut free = vec![[0_u64; 2]; count];
    // Where each job is: (when it arrives, at which stage), and how many tokens it has.
    let mut at: Vec<(u64, usize, usize)> = (0..jobs).map(|_| (0, 0, 0)).collect();
    let mut ended = vec![[0_u64; 2]; jobs];
    while let Some(job) = (0..jobs).filter(|&job| at[job].2 < ROUNDS).min_by_key(|&job| (at[job].0, job)) {
        let (arrives, stage, round) = at[job];
        let speed = worker(stage).speed;
        let work =
            u64::from(team[stage].layers.len()) * u64::from(speed.layer_micros) + u64::from(speed.hop_micros);
        let done = arrives.max(free[stage][0]) + work;
        free[stage][0] = done;
        let last = stage + 1 == count;
        let mut next = done;
        if count > 1 {
            let link = room.links.between(team[stage].peer, team[(stage + 1) % count].peer);
            let sent =
                done.max(free[stage][1]) + link.transfer_micros(if last { 0 } else { room.hidden_bytes });
            free[stage][1] = sent;
            next = sent + u64::from(link.round_trip_ms) * 500;
        }
        if last && round + 1 == ROUNDS / 2 {
            ended[job][0] = next;
        }
        ended[job][1] = next;
        at[job] = (next, (stage + 1) % count, round + usize::from(last));
    }
    let gaps = ended.iter().map(|[half, whole]| (whole - half) as f64 / (ROUNDS - ROUNDS / 2) as f64);
    gaps.sum::<f64>() / jobs as f64
}

#[test]
fn predictions_hold_in_a_simulated_room() {
    let mut dice = Dice(5);
    let mut worst = 0.0_f64;
    for _ in 0..300 {
        let count = 1 + dice.roll(4) as u128;
        let mut peers = workers(&[(BIG, 0); 4]);
        let mut links = Links::default();
        for peer in &mut peers {
            peer.speed.layer_micros = 100 + dice.roll(5_000) as u32;
            peer.speed.hop_micros = dice.roll(4_000) as u32;
            for other in 1..peer.id.0 {
                let link =
                    Link { round_trip_ms: dice.roll(80) as u32, bytes_per_ms: 100 + dice.roll(5_000) as u32 };
                links.insert(peer.id, PeerId(other), link);
            }
        }
        let parts: Vec<(u128, u16)> = (1..=count).map(|peer| (peer, 1 + dice.roll(9) as u16)).collect();
        let model = model(parts.iter().map(|(_, layers)| layers).sum());
        let room = room(&model, &peers, &links);
        let jobs = 1 + dice.roll(12) as usize;
        let predicted = predict_text(&room, &stages(&parts), 1, jobs).unwrap().token_micros as f64;
        let true_micros = simulate(&room, &stages(&parts), jobs);
        worst = worst.max((predicted / true_micros - 1.0).abs());
    }
    println!("worst error {:.2} %", worst * 100.0);
    assert!(worst < 0.05, "worst error {:.1} %", worst * 100.0);
}

#[test]
fn a_job_moves_only_if_that_pays_for_itself() {
    let new =
        TextPrediction { jobs: 2, token_micros: 20_000, slowest_micros: 5_000, first_token_micros: 500_000 };
    let rows = [
        (100_000, 100, Some(10_000 - 2_500), "10 s against 0.5 s of replay and 100 × 20 ms"),
        (100_000, 5, None, "nearly done: the replay costs more"),
        (35_000, 100, Some(1_000), "3.5 s against 2.5 s is clearly less"),
        (27_000, 100, None, "2.7 s against 2.5 s is within what a prediction may err"),
        (0, 100, None, "nothing is faster than nothing"),
    ];
    for (now, left, want, why) in rows {
        assert_eq!(migrate(now, left, &new), want, "{why}");
    }
    assert!(migrate(u64::MAX, u32::MAX, &new).is_some(), "no overflow");
}
