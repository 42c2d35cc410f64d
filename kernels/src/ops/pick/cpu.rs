//! Over a slice, in one pass.

use crate::ops::wide::wide;

/// The id of the largest score, the lowest of equal ones; none if there is no score or one is NaN.
#[must_use]
pub fn arg_max(scores: &[f32]) -> Option<usize> {
    // Blocks first: finding a maximum is fast, finding where it is is not, and is done in one block only.
    const BLOCK: usize = 256;
    let mut best = (f32::NEG_INFINITY, 0);
    for (number, block) in scores.chunks(BLOCK).enumerate() {
        let (largest, nan) = wide(|| largest(block));
        if nan {
            return None;
        }
        if largest > best.0 {
            best = (largest, number * BLOCK);
        }
    }
    scores[best.1.min(scores.len())..].iter().position(|&score| score == best.0).map(|at| best.1 + at)
}

#[inline(always)]
fn largest(block: &[f32]) -> (f32, bool) {
    let keep = |(largest, nan): (f32, bool), &score: &f32| {
        (if score > largest { score } else { largest }, nan | score.is_nan())
    };
    block.iter().fold((f32::NEG_INFINITY, false), keep)
}

/// The `count` largest scores with their ids, largest first, of equal ones the lower id first.
#[must_use]
pub fn top_k(scores: &[f32], count: usize) -> Vec<(u32, f32)> {
    let mut all: Vec<(u32, f32)> = (0..).zip(scores.iter().copied()).collect();
    let order = |a: &(u32, f32), b: &(u32, f32)| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0));
    if count < all.len() && count > 0 {
        all.select_nth_unstable_by(count - 1, order);
    }
    all.truncate(count);
    all.sort_unstable_by(order);
    all
}
