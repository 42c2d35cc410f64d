//! Every queue stays within the bound that `limits` names.

use coordinator::{Sizes, limits};

/// Most outputs of one call: a room of messages for each of the things that one input can set off.
const OUTPUTS: usize = 64 * (limits::JOBS_PER_ROOM + limits::JOBS_KEPT);

/// Checks one peer after one input that gave `outputs` outputs.
///
/// # Errors
/// Names the queue.
pub fn check(sizes: &Sizes, outputs: usize) -> Result<(), String> {
    if let Some(over) = sizes.over() {
        return Err(over);
    }
    if outputs > OUTPUTS {
        return Err(format!("{outputs} outputs, at most {OUTPUTS} are allowed"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_bound_bites() {
        assert_eq!(check(&Sizes::default(), 0), Ok(()));
        let one_more = |change: fn(&mut Sizes)| {
            let mut sizes = Sizes::default();
            change(&mut sizes);
            check(&sizes, 0)
        };
        assert!(one_more(|s| s.open_jobs = limits::JOBS_PER_ROOM + 1).is_err());
        assert!(one_more(|s| s.stage.window = limits::WINDOW + 1).is_err());
        assert!(one_more(|s| s.stage.sessions = limits::SESSIONS + 1).is_err());
        assert!(one_more(|s| s.peers = limits::PEERS).is_ok());
    }
}
