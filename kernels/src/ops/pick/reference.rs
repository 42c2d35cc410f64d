//! By sorting everything.

/// The `count` largest scores with their ids, largest first, of equal ones the lower id first.
#[must_use]
pub fn top_k(scores: &[f32], count: usize) -> Vec<(u32, f32)> {
    let mut all: Vec<(u32, f32)> = (0..).zip(scores.iter().copied()).collect();
    all.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
    all.truncate(count);
    all
}
