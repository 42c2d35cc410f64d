//! Who has done how much for whom: the scores that order the queue. Ordering only, never a paywall.
//!
//! One credit is one gigabyte of weights read. To write one token a device reads every weight that it holds, once, and
//! that, not arithmetic, is what decoding waits for: a credit costs a fast device and a slow one the same memory
//! traffic, and a stage's work is its bytes times its tokens, whoever counts. Credits are kept in thousandths (of a
//! credit: one megabyte read), as integers, so that all platforms agree.
//!
//! # Whose word counts
//! A *receipt* is what an issuer says that it received from a worker, in total since the issuer came. It comes from the
//! issuer over its own connection, so nobody writes one in another's name, and what a peer says of itself is ignored.
//! But names cost nothing here: whoever opens ten tabs is ten issuers. So a ledger is one peer's *own* view, in which
//! trust begins with what that peer received itself and goes one step further, like the two-hop flow of BarterCast
//! (Meulpolder et al. 2009):
//!
//! ```text
//!   score(w) = max(0, proven(w) - what I did for w) + min(UNVERIFIED, the rest of what is said about w)
//!
//!   proven(w) = what w did for me  +  the part of each issuer i's receipts for w that i's own work for me backs
//!                                     (all of i's receipts together: at most what i did for me; scaled alike)
//! ```
//!
//! One step, for with more a circle of friends would back each other without end. What a peer admits to have received
//! is not held against it, for that would pay for keeping quiet: only what I did for it is, and I know that myself.
//!
//! # What lies are worth
//! In credits, in the eyes of a peer for which the liars worked `f` in all, besides what the honest say about them:
//!
//! | liars | most for one of them | most for all together |
//! |---|---|---|
//! | one alone, talking about itself | f | f |
//! | two that vouch for each other | f + `UNVERIFIED` | 2 f + 2 `UNVERIFIED` |
//! | ten | f + `UNVERIFIED` | 2 f + 10 `UNVERIFIED` |
//!
//! With `f = 0` that is `UNVERIFIED` for each, which everyone who works for others has as well: liars draw level with
//! those who never worked for me, and stay behind those who did. Liars who do work can at most double what it is worth.
//! Receipts withheld out of spite cost their worker those receipts and no more. The price of all this: a peer that never
//! asks for anything cannot tell workers apart, and orders by turns and age.

use crate::ids::{Millis, PeerId};
use crate::mutation::{self, Mutation};
use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::fmt;

/// Thousandths in a credit.
pub const CREDIT: u64 = 1_000;
/// What reading so many bytes of weights is worth, in thousandths of a credit; rounded up, for a small model's layer is
/// far less than a megabyte.
#[must_use]
pub const fn for_bytes(bytes: u64) -> u64 {
    bytes.div_ceil(1_000_000)
}

/// Thousandths of a credit for which all unbacked word about one worker counts together, and an issuer's first word
/// about all of them. Source: the cap on unverified claims that the product's feature list takes over (A15).
pub const UNVERIFIED: u64 = 100 * CREDIT;
/// Thousandths of a credit by which one receipt may grow in a millisecond: a terabyte read per second. Source: memory
/// bandwidth of the fastest cards for people, as their makers state it.
pub const GROWTH_PER_MS: u64 = 1_000;
/// Milliseconds of silence for which a receipt may grow at most. Source: guess; two lost connections in a row.
pub const GROWTH_MS: u64 = 10_000;
/// Milliseconds in which what was done counts half. Source: guess; an evening's work is forgotten the next day.
pub const HALF_LIFE_MS: u64 = 2 * 60 * 60 * 1_000;
/// Receipts of one issuer. Source: guess; 64 of them are about 1.5 kB of a report.
pub const RECEIPTS: usize = 64;
/// Issuers in one ledger. Source: guess; a large room twice over, so that those who left are not missed at once.
pub const ISSUERS: usize = 512;

/// Decay comes in this many steps per half-life: seldom enough to cost nothing, often enough for tiers not to jump.
const STEPS: u64 = 8;
/// What is left after one step: 2^(-1/8).
const KEPT_PER_MILLION: u64 = 917_004;

/// What a score is worth in the queue. A score below one credit is in no tier.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Tier {
    /// From 1 credit.
    Bronze,
    /// From 100 credits.
    Silver,
    /// From 500 credits.
    Gold,
    /// From 1,500 credits.
    Platinum,
    /// From 4,000 credits.
    Diamond,
    /// From 10,000 credits.
    Master,
}

impl Tier {
    /// How many there are.
    pub const COUNT: u64 = 6;
    /// From the best to the last, with the credits that each takes. Source: the product's feature list (A15).
    pub const ALL: [(Self, u64); 6] = [
        (Self::Master, 10_000),
        (Self::Diamond, 4_000),
        (Self::Platinum, 1_500),
        (Self::Gold, 500),
        (Self::Silver, 100),
        (Self::Bronze, 1),
    ];

    /// The tier of a score in thousandths of a credit; None below the last one.
    #[must_use]
    pub fn of(score: u64) -> Option<Self> {
        Self::ALL.into_iter().find(|(_, credits)| score / CREDIT >= *credits).map(|(tier, _)| tier)
    }

    /// 1 for the last tier, up to `COUNT`.
    #[must_use]
    pub const fn rank(self) -> u64 {
        self as u64 + 1
    }
}

impl fmt::Display for Tier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

/// What one peer knows of everybody's work.
#[derive(Debug)]
pub struct Ledger {
    me: PeerId,
    /// What each issuer says that it received; this peer's own receipts are among them.
    books: BTreeMap<PeerId, Book>,
    /// What this peer did, by whom it was for, in thousandths of a credit.
    worked: BTreeMap<PeerId, u64>,
    decayed: Millis,
}

/// What one issuer says.
#[derive(Debug, Default)]
struct Book {
    heard: Millis,
    receipts: BTreeMap<PeerId, Receipt>,
}

/// What one issuer says about one worker, in thousandths of a credit.
#[derive(Clone, Copy, Debug, Default)]
struct Receipt {
    /// The issuer's total, as far as it is believed. It only grows: nobody can take back what it acknowledged.
    total: u64,
    /// What of it still counts: it decays.
    counts: u64,
}

impl Ledger {
    /// A ledger of `me` that begins now.
    #[must_use]
    pub const fn new(now: Millis, me: PeerId) -> Self {
        Self { me, books: BTreeMap::new(), worked: BTreeMap::new(), decayed: now }
    }

    /// Notes that `worker` did work for this peer, in thousandths of a credit. To be called for results that were
    /// accepted only.
    pub fn issue(&mut self, now: Millis, worker: PeerId, amount: u64) {
        self.decay(now);
        if worker != self.me {
            let book = self.books.entry(self.me).or_default();
            book.receipts.entry(worker).or_default().add(amount);
            drop_least(&mut book.receipts, ISSUERS, |other, receipt| (other == worker, receipt.counts));
        }
    }

    /// Notes that this peer did work for `requester`, in thousandths of a credit.
    pub fn worked(&mut self, now: Millis, requester: PeerId, amount: u64) {
        self.decay(now);
        if requester != self.me {
            let sum = self.worked.entry(requester).or_default();
            *sum = sum.saturating_add(amount);
            drop_least(&mut self.worked, ISSUERS, |other, sum| (other == requester, *sum));
        }
    }

    /// Takes an issuer's totals, as they stand in its report. At the first meeting they count for `UNVERIFIED` in all;
    /// after that each grows by no more than a fast device could have done since.
    pub fn hear(&mut self, now: Millis, issuer: PeerId, totals: &[(PeerId, u64)]) {
        if issuer == self.me {
            return;
        }
        self.decay(now);
        let minted = mutation::on(Mutation::MintCredit);
        let totals: BTreeMap<PeerId, u64> =
            totals.iter().take(RECEIPTS).filter(|(worker, _)| minted || *worker != issuer).copied().collect();
        if let Some(book) = self.books.get_mut(&issuer) {
            return book.grow(now, &totals);
        }
        self.books.insert(issuer, Book::met(now, &totals));
        self.forget_longest_silent();
    }

    /// What this peer acknowledges, for its report: totals in thousandths of a credit; the `RECEIPTS` workers whose
    /// work counts most, those first.
    #[must_use]
    pub fn own_receipts(&self) -> Vec<(PeerId, u64)> {
        let own = self.books.get(&self.me).into_iter().flat_map(|book| &book.receipts);
        let mut own: Vec<(PeerId, Receipt)> = own.map(|(&worker, &receipt)| (worker, receipt)).collect();
        own.sort_by_key(|(_, receipt)| Reverse(receipt.counts));
        own.into_iter().take(RECEIPTS).map(|(worker, receipt)| (worker, receipt.total)).collect()
    }

    /// Everyone's score in this peer's eyes, in thousandths of a credit; see the module's text for the rule. It reads the
    /// whole ledger: to be called every few seconds, not for every message.
    #[must_use]
    pub fn scores(&self) -> BTreeMap<PeerId, u64> {
        let mut proven: BTreeMap<PeerId, u64> = self.first_hand().collect();
        let did: BTreeMap<PeerId, u64> = proven.clone();
        let mut said: BTreeMap<PeerId, u64> = BTreeMap::new();
        for (issuer, book) in self.books.iter().filter(|(issuer, _)| **issuer != self.me) {
            let trust = did.get(issuer).copied().unwrap_or(0);
            let sum = book.sum();
            for (&worker, receipt) in &book.receipts {
                let backed = scale(receipt.counts, trust, sum);
                add(&mut proven, worker, backed);
                add(&mut said, worker, receipt.counts.saturating_sub(backed));
            }
        }
        for (worker, score) in &mut proven {
            let unbacked = said.get(worker).copied().unwrap_or(0).min(UNVERIFIED);
            let owed = self.worked.get(worker).copied().unwrap_or(0);
            *score = score.saturating_sub(owed).saturating_add(unbacked);
        }
        proven
    }

    /// Who worked for this peer, and how much of it still counts.
    fn first_hand(&self) -> impl Iterator<Item = (PeerId, u64)> {
        let own = self.books.get(&self.me).into_iter().flat_map(|book| &book.receipts);
        own.map(|(&worker, receipt)| (worker, receipt.counts))
    }

    fn decay(&mut self, now: Millis) {
        let step_ms = HALF_LIFE_MS / STEPS;
        let steps = now.since(self.decayed) / step_ms;
        self.decayed = self.decayed.after(steps.saturating_mul(step_ms));
        // A u64 is gone after 64 half-lives.
        for _ in 0..steps.min(64 * STEPS) {
            let receipts = self.books.values_mut().flat_map(|book| book.receipts.values_mut());
            let sums = receipts.map(|receipt| &mut receipt.counts).chain(self.worked.values_mut());
            sums.for_each(|sum| *sum = scale(*sum, KEPT_PER_MILLION, 1_000_000));
        }
    }

    /// Those who left say nothing any more. Until there is need of their place their word stays: the work was done,
    /// and their workers are still here.
    fn forget_longest_silent(&mut self) {
        if self.books.len() > ISSUERS {
            let others = self.books.iter().filter(|(issuer, _)| **issuer != self.me);
            if let Some(issuer) = others.min_by_key(|(_, book)| book.heard).map(|(&issuer, _)| issuer) {
                self.books.remove(&issuer);
            }
        }
    }
}

impl Book {
    fn met(now: Millis, totals: &BTreeMap<PeerId, u64>) -> Self {
        let sum = totals.values().copied().map(u128::from).sum();
        let receipt = |&total: &u64| Receipt { total, counts: scale(total, UNVERIFIED, sum) };
        Self {
            heard: now,
            receipts: totals.iter().map(|(&worker, total)| (worker, receipt(total))).collect(),
        }
    }

    fn grow(&mut self, now: Millis, totals: &BTreeMap<PeerId, u64>) {
        let most = now.since(self.heard).min(GROWTH_MS) * GROWTH_PER_MS;
        self.heard = now;
        for (&worker, &total) in totals {
            let receipt = self.receipts.entry(worker).or_default();
            receipt.add(total.saturating_sub(receipt.total).min(most));
        }
        // Whom it names now stays.
        let weight = |worker, receipt: &Receipt| (totals.contains_key(&worker), receipt.counts);
        drop_least(&mut self.receipts, RECEIPTS, weight);
    }

    fn sum(&self) -> u128 {
        self.receipts.values().map(|receipt| u128::from(receipt.counts)).sum()
    }
}

impl Receipt {
    fn add(&mut self, amount: u64) {
        self.total = self.total.saturating_add(amount);
        self.counts = self.counts.saturating_add(amount);
    }
}

/// `amount`'s part of `most` where all amounts come to `sum`; all of it where they fit.
fn scale(amount: u64, most: u64, sum: u128) -> u64 {
    if sum <= u128::from(most) {
        return amount;
    }
    // At most `most`, for no amount is larger than the sum.
    (u128::from(amount) * u128::from(most) / sum) as u64
}

fn add(sums: &mut BTreeMap<PeerId, u64>, peer: PeerId, amount: u64) {
    let sum = sums.entry(peer).or_default();
    *sum = sum.saturating_add(amount);
}

/// Keeps at most `most` entries: those with the least weight go.
fn drop_least<T>(map: &mut BTreeMap<PeerId, T>, most: usize, weight: impl Fn(PeerId, &T) -> (bool, u64)) {
    while map.len() > most {
        let least = map.iter().min_by_key(|(peer, value)| weight(**peer, value)).map(|(&peer, _)| peer);
        least.map(|peer| map.remove(&peer));
    }
}

#[cfg(test)]
mod tests;
