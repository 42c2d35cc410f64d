//! Each rule of the coordinator, broken on purpose, is caught by the invariant that is meant to catch it. One test, for
//! the switch is the whole process's.

use coordinator::mutation::{Mutation, choose};
use simulation::{Failure, sweep};
use std::ops::Range;

/// Seeds that a bug may take to be found.
const SEEDS: u64 = 2_000;
/// Seeds run before one looks whether it was found.
const BATCH: u64 = 50;

/// Words of the invariant that is meant to catch each.
const CAUGHT_BY: [(Mutation, &[&str]); 10] = [
    (Mutation::SkipEpochCheck, &["went from"]),
    (Mutation::AcceptLateResult, &["late result"]),
    (Mutation::ForgetAgeing, &["overtaken"]),
    (Mutation::LoseProgress, &["has not ended"]),
    (Mutation::SkipLeaseFence, &["which is forgotten", "after one under"]),
    (Mutation::MintCredit, &["minted"]),
    (Mutation::UnboundedWindow, &["chunks in the window"]),
    (Mutation::NoRelease, &["sessions left"]),
    (Mutation::TwoLeaders, &["not one coordinator"]),
    (Mutation::SkipReplay, &["was due"]),
];

#[test]
fn each_bug_is_caught_by_the_invariant_that_is_meant_to() {
    assert_eq!(CAUGHT_BY.map(|(mutation, _)| mutation), Mutation::ALL, "none is left out");
    let mut wrong = Vec::new();
    for (mutation, words) in CAUGHT_BY {
        choose(Some(mutation));
        let caught = first_failure();
        choose(None);
        match caught {
            None => wrong.push(format!("{mutation:?}: not caught in {SEEDS} seeds")),
            Some(failure) => {
                println!("{mutation:?}: {failure}");
                if !words.iter().any(|word| failure.what.contains(word)) {
                    wrong.push(format!("{mutation:?}: caught by another invariant: {failure}"));
                }
                let innocent = failures(failure.seed..failure.seed + 1);
                assert!(innocent.is_empty(), "without {mutation:?}: {}", innocent[0]);
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// The one with the lowest seed, of the first batch in which there is one.
fn first_failure() -> Option<Failure> {
    let starts = (1..=SEEDS).step_by(BATCH as usize);
    starts.map(|start| failures(start..start + BATCH)).find(|found| !found.is_empty())?.into_iter().next()
}

fn failures(seeds: Range<u64>) -> Vec<Failure> {
    let mut failed = Vec::new();
    sweep(seeds, |_, run| failed.extend(run.err()));
    failed.sort_by_key(|failure| failure.seed);
    failed
}
