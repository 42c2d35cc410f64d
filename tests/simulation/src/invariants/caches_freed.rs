//! When all jobs have ended nothing is held for them: no cache, no session, no chunk, no place in a queue.

use coordinator::Sizes;

/// Checks one peer of a room in which every job has ended: what its coordinator holds, and how many caches and
/// chunks its device does.
///
/// # Errors
/// Names what is left.
pub fn check(sizes: &Sizes, caches: usize, chunks: usize) -> Result<(), String> {
    let rows = [
        ("open jobs", sizes.open_jobs),
        ("owned jobs", sizes.owned_jobs),
        ("queued jobs", sizes.queued_jobs),
        ("sessions", sizes.stage.sessions),
        ("chunks at the worker", sizes.stage.running + chunks),
        ("caches", caches),
    ];
    let left = rows.into_iter().find(|(_, left)| *left > 0);
    left.map_or(Ok(()), |(what, left)| Err(format!("{left} {what} left, though every job has ended")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn anything_left_is_noticed() {
        let sizes = |change: fn(&mut Sizes)| {
            let mut sizes = Sizes { peers: 5, all_jobs: 3, ranges: 2, ..Sizes::default() };
            change(&mut sizes);
            sizes
        };
        let rows = [
            (sizes(|_| {}), 0, 0, true, "layers and ended stories may stay"),
            (sizes(|_| {}), 1, 0, false, "a cache"),
            (sizes(|_| {}), 0, 1, false, "a chunk at the device"),
            (sizes(|s| s.stage.sessions = 1), 0, 0, false, "a session"),
            (sizes(|s| s.queued_jobs = 1), 0, 0, false, "a place in the leader's queue"),
            (sizes(|s| s.owned_jobs = 1), 0, 0, false, "a job that its owner still runs"),
        ];
        for (sizes, caches, chunks, holds, why) in rows {
            assert_eq!(check(&sizes, caches, chunks).is_ok(), holds, "{why}");
        }
    }
}
