//! Whether a job that runs should move to another team.

use super::{TextPrediction, clearly_faster};

/// Milliseconds that a running job saves by moving; None if it does not pay clearly.
///
/// It has `left_tokens` to write, now at `now_token_micros` each (as its owner sees them come). `new` is what the new
/// team is predicted to do with this job on it, its `first_token_micros` for all tokens known so far, which it must read
/// again: a replay is a prefill of prompt and answer.
#[must_use]
pub fn migrate(now_token_micros: u64, left_tokens: u32, new: &TextPrediction) -> Option<u64> {
    let stay = now_token_micros.saturating_mul(left_tokens.into());
    let write = new.token_micros.saturating_mul(left_tokens.into());
    let go = new.first_token_micros.saturating_add(write);
    clearly_faster(go, stay).then(|| (stay - go) / 1_000)
}
