//! Nobody has more credit than work: in an honest peer's eyes a score exceeds what its owner has computed by no more
//! than the cap on unverified word, and what is backed by the work of those who lie about it.

use coordinator::credit::{CREDIT, UNVERIFIED};
use coordinator::{PeerId, credit};
use std::collections::BTreeMap;

/// What one device has computed, in thousandths of a credit, and whether its peer forges receipts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Work {
    /// In thousandths of a credit.
    pub done: u64,
    /// Its receipts are made up.
    pub forges: bool,
}

/// What a chunk is worth that reads so many bytes of weights, in thousandths of a credit.
#[must_use]
pub const fn worth(bytes: u64) -> u64 {
    credit::for_bytes(bytes)
}

/// Checks the whole credits that an honest peer's screen shows, by peer.
///
/// # Errors
/// Names who has too many.
pub fn check(
    shown: impl Iterator<Item = (PeerId, u64)>,
    work: &BTreeMap<PeerId, Work>,
) -> Result<(), String> {
    for (peer, credits) in shown {
        let own = work.get(&peer).copied().unwrap_or_default().done;
        // A liar's word about others counts as far as its own work backs it.
        let liars = work.iter().filter(|(id, work)| work.forges && **id != peer).map(|(_, work)| work.done);
        let most = liars.fold(own.saturating_add(UNVERIFIED), u64::saturating_add);
        if credits.saturating_mul(CREDIT) > most {
            return Err(format!(
                "{peer} has {credits} credits, minted: its work is worth {} at most",
                most / CREDIT
            ));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn made_up_scores() {
        let peers = [(PeerId(1), 5, false), (PeerId(2), 7, true)];
        let work: BTreeMap<PeerId, Work> = peers
            .into_iter()
            .map(|(id, credits, forges)| (id, Work { done: credits * CREDIT, forges }))
            .collect();
        let cap = UNVERIFIED / CREDIT;
        let rows = [
            (PeerId(1), 5, true, "what it did"),
            (PeerId(1), 5 + 7 + cap, true, "and what a liar that worked says about it"),
            (PeerId(1), 6 + 7 + cap, false, "more than anybody can back"),
            (PeerId(2), 7 + cap, true, "a liar, and the cap"),
            (PeerId(2), 8 + cap, false, "a liar that vouches for itself"),
            (PeerId(3), cap + 1 + 7, false, "somebody who never worked"),
        ];
        for (peer, credits, holds, why) in rows {
            assert_eq!(check([(peer, credits)].into_iter(), &work).is_ok(), holds, "{why}");
        }
    }
}
