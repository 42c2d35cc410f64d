//! Whether a job that runs should move to another team.

use super::{TextPrediction, clearly_faster};

/// Milliseconds that a running job saves by moving; None if it does not pay clearly.
///
/// It has `left_tokens` to write, now at `now_token_micros` each (as its owner sees them come). `new` is what the new
/// team is predicted to do with this job on it, its `first_token_micros` for this job's prompt. The new team must
/// first read the prompt and replay the `answer_tokens` written so far, one a pass, because a pass of another shape
/// would not give the identical text. Replayed tokens are known, so they follow each other at the pace of the
/// busiest stage without waiting for the ring.
#[must_use]
pub fn migrate(
    now_token_micros: u64,
    left_tokens: u32,
    answer_tokens: u32,
    new: &TextPrediction,
) -> Option<u64> {
    let stay = now_token_micros.saturating_mul(left_tokens.into());
    let turn = new.slowest_micros.saturating_mul(new.jobs.max(1).into());
    let replay = new.first_token_micros.saturating_add(turn.saturating_mul(answer_tokens.into()));
    let go = replay.saturating_add(new.token_micros.saturating_mul(left_tokens.into()));
    clearly_faster(go, stay).then(|| (stay - go) / 1_000)
}
