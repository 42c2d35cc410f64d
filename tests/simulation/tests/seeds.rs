//! Two thousand rooms; `cargo xtask simulate --seeds N` runs more.

use simulation::run_seed;

#[test]
fn two_thousand_seeds() {
    let runs: Vec<_> = (1..=2_000).map(|seed| run_seed(seed, false)).collect();
    let failed: Vec<String> = runs.iter().filter_map(|run| Some(run.as_ref().err()?.to_string())).collect();
    assert!(failed.is_empty(), "{}\n  again: cargo xtask simulate --seeds 1 --from SEED", failed.join("\n"));
    // A simulator in which nothing happens passes too.
    let sum = |what: fn(&simulation::Stats) -> usize| runs.iter().flatten().map(what).sum::<usize>();
    assert!(sum(|stats| stats.faults) > 2_000, "too few faults");
    assert!(sum(|stats| stats.tokens) > 200_000, "too few tokens");
    assert!(sum(|stats| stats.jobs) > 2_000, "too few jobs");
    assert!(sum(|stats| usize::from(stats.terms > 1)) > 200, "too few elections");
}

#[test]
fn a_seed_is_one_run() {
    for seed in [3, 146, 2_653, 4_404] {
        assert_eq!(run_seed(seed, false).ok(), run_seed(seed, false).ok(), "seed {seed}");
    }
}
