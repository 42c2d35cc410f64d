//! Nobody goes back to an older epoch.

use coordinator::Epoch;

/// Checks the epoch that a peer follows now against the highest that it followed before.
///
/// # Errors
/// Names both.
pub fn check(highest: Option<Epoch>, now: Option<Epoch>) -> Result<(), String> {
    match (highest, now) {
        (Some(highest), Some(now)) if now < highest => Err(format!("went from {highest:?} back to {now:?}")),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use coordinator::PeerId;

    #[test]
    fn going_back_is_noticed() {
        let epoch = |term, leader| Some(Epoch { term, leader: PeerId(leader) });
        let rows = [
            (None, epoch(1, 1), true, "the first"),
            (epoch(1, 1), epoch(1, 1), true, "the same"),
            (epoch(1, 1), None, true, "a vacant office"),
            (epoch(1, 1), epoch(2, 1), true, "the next"),
            (epoch(2, 1), epoch(1, 9), false, "an older term"),
            (epoch(2, 5), epoch(2, 1), false, "a lower id in the same term"),
        ];
        for (highest, now, holds, why) in rows {
            assert_eq!(check(highest, now).is_ok(), holds, "{why}");
        }
    }
}
