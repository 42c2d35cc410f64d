//! Thousands of rooms, the same ones every time and new ones; `cargo xtask simulate --seeds N` runs more.

use simulation::world::Fault;
use simulation::{Stats, run_seed, sweep};
use std::io::Write;
use std::ops::Range;
use std::time::SystemTime;

fn all_pass(seeds: Range<u64>) -> Vec<Stats> {
    let (mut passed, mut failed) = (Vec::new(), Vec::new());
    sweep(seeds, |_, run| match run {
        Ok(stats) => passed.push(stats),
        Err(failure) => failed.push(failure.to_string()),
    });
    assert!(failed.is_empty(), "{}\n  again: cargo xtask simulate --seeds 1 --from SEED", failed.join("\n"));
    passed
}

#[test]
fn two_thousand_seeds() {
    let runs = all_pass(1..2_001);
    // A simulator in which nothing happens passes too.
    let sum = |what: fn(&Stats) -> usize| runs.iter().map(what).sum::<usize>();
    for fault in Fault::all() {
        let times: usize = runs.iter().filter_map(|stats| stats.faults.get(&fault)).sum();
        assert!(times > 20, "{fault:?} happened {times} times");
    }
    assert!(sum(|stats| stats.tokens) > 200_000, "too few tokens");
    assert!(sum(|stats| stats.jobs) > 2_000, "too few jobs");
    assert!(sum(|stats| usize::from(stats.terms > 1)) > 200, "too few elections");
    assert!(sum(|stats| usize::from(stats.dropped > 0)) > 200, "too few dropped messages");
    assert!(sum(|stats| usize::from(stats.peers > 50)) > 0, "no crowd");
}

#[test]
fn five_thousand_fresh_seeds() {
    let first = sweep::fresh(SystemTime::now());
    // Past the test harness, which keeps what a passing test prints to itself.
    let said = writeln!(
        std::io::stderr(),
        "fresh seeds from {first}: cargo xtask simulate --seeds 5000 --from {first}"
    );
    said.expect("somebody reads what a test says");
    all_pass(first..first + 5_000);
}

#[test]
fn a_seed_is_one_run() {
    for seed in [3, 146, 2_653, 4_404] {
        assert_eq!(run_seed(seed, false).ok(), run_seed(seed, false).ok(), "seed {seed}");
    }
}
