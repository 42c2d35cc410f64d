//! A room that has healed works: a story that anybody asks for then is written, in a bounded time.

use coordinator::PeerId;
use coordinator::io::End;

/// Checks one peer's latest story: asked for `waited_ms` ago, ended or not.
///
/// # Errors
/// Says who waits, and since when.
pub fn check(author: PeerId, end: Option<&End>, waited_ms: u64, bound_ms: u64) -> Result<(), String> {
    match end {
        Some(End::Finished | End::Length) => Ok(()),
        Some(end) => Err(format!("{author}'s story in a healed room ended with {end:?}")),
        None if waited_ms <= bound_ms => Ok(()),
        None => Err(format!("{author} waits for a story in a healed room since {waited_ms} ms")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn made_up_waits() {
        let failed = End::Failed("no".into());
        let rows = [
            (Some(&End::Finished), 9_999, true, "written, and the check came late"),
            (None, 1_000, true, "there is still time"),
            (None, 1_001, false, "it takes too long"),
            (Some(&failed), 1, false, "it failed"),
            (Some(&End::Stopped), 1, false, "nobody asked to stop it"),
        ];
        for (end, waited_ms, holds, why) in rows {
            assert_eq!(check(PeerId(1), end, waited_ms, 1_000).is_ok(), holds, "{why}");
        }
    }
}
