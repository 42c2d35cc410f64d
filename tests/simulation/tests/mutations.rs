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
const CAUGHT_BY: [(Mutation, &[&str]); 14] = [
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
    (Mutation::CountTwice, &["differs from the solo run"]),
    (Mutation::EchoPulses, &["a storm"]),
    (Mutation::RunOutOfLeases, &["waits for a story in a healed room"]),
    (Mutation::SwapBranches, &["differs from solo"]),
];

#[test]
fn each_bug_is_caught_by_the_invariant_that_is_meant_to() {
    assert_eq!(CAUGHT_BY.map(|(mutation, _)| mutation), Mutation::ALL, "none is left out");
    let mut wrong = Vec::new();
    for (mutation, words) in CAUGHT_BY {
        choose(Some(mutation));
        let caught = first_failure(words);
        choose(None);
        match caught {
            Err(others) => wrong.push(format!("{mutation:?}: {others} times caught, by others only")),
            Ok(failure) => {
                println!("{mutation:?}: {failure}");
                let innocent = failures(failure.seed..failure.seed + 1);
                assert!(innocent.is_empty(), "without {mutation:?}: {}", innocent[0]);
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// The first that says one of these words, or how many others there are: a bug may be caught by several invariants.
fn first_failure(words: &[&str]) -> Result<Failure, usize> {
    let mut others = 0;
    for start in (1..=SEEDS).step_by(BATCH as usize) {
        let found = failures(start..start + BATCH);
        others += found.len();
        let meant = |failure: &Failure| words.iter().any(|word| failure.what.contains(word));
        if let Some(failure) = found.into_iter().find(meant) {
            return Ok(failure);
        }
    }
    Err(others)
}

fn failures(seeds: Range<u64>) -> Vec<Failure> {
    let mut failed = Vec::new();
    sweep(seeds, |_, run| failed.extend(run.err()));
    failed.sort_by_key(|failure| failure.seed);
    failed
}
