//! Who leads.
//!
//! The leader raises a *beat* with every pulse, and everyone passes on, in its own pulses, the highest epoch and beat
//! that it knows. A beat that rises is a leader that lives, over whatever path one hears of it. A peer follows the
//! highest epoch it ever heard of while its beat rises; so a leader is never deposed for being slightly worse.
//!
//! When the beat stops for `BEAT_MS` (`BEAT_LOST_MS` if its link is silent as well), or the link to the leader closes, the office is vacant. The best-ranked peer
//! claims it after `CLAIM_MS`, each worse one `CLAIM_STEP_MS` later, should the better ones not act:
//!
//! ```text
//!   vacant --CLAIM_MS + rank * CLAIM_STEP_MS--> lead (term = highest seen + 1)
//!     ^  ^                                        |
//!     |  +-- beat silent, or link closed -- follow <-- a higher epoch is heard
//! ```
//!
//! A leader may also live and be of no use: its beat rises, but asks stay without answer. Then those whose asks it ignores
//! say so in their pulses, and when they outnumber those that it answers, the best-ranked of them claims the office.
//!
//! When the channel to the leader closes while others still see it, the claim waits a little for their gossip: that is
//! a broken link, not a broken leader. Once nobody sees it any more, the best-ranked peer claims at once.
//!
//! Ranking: more live links, then longer in the room, then GPU before CPU, then the lower id. Whoever finds nobody
//! leads itself in term 0, which every elected leader beats, and takes a real term after `SETTLE_MS`. That is what
//! keeps a newcomer, which led itself while it was connecting, from deposing the room's leader.

use crate::ids::{Epoch, Millis, PeerId};
use crate::io::Device;
use crate::limits;
use crate::membership::Members;
use crate::mutation::{self, Mutation};
use crate::wire::{Following, Report, Trust};
use std::cmp::Reverse;

/// One peer's view of the office.
#[derive(Debug)]
pub struct Election {
    me: PeerId,
    /// The leader believed in, and when its beat last rose.
    following: Option<(Following, Millis)>,
    /// The highest epoch ever heard of, with its highest beat.
    highest: Option<Following>,
    highest_term: u64,
    vacant_since: Millis,
    better_since: Option<Millis>,
    /// Since when an ask to the leader has had no answer, and whether one ever had.
    unanswered_since: Option<Millis>,
    answered: bool,
    /// A leader that was of no use, and until when it ranks last.
    banned: Option<(PeerId, Millis)>,
    /// The leader whose office is vacant.
    last_leader: Option<PeerId>,
    jitter_ms: u64,
}

impl Election {
    /// A vacant office.
    pub const fn new(me: PeerId, seed: u64, now: Millis) -> Self {
        Self {
            me,
            following: None,
            highest: None,
            highest_term: 0,
            vacant_since: now,
            better_since: None,
            unanswered_since: None,
            answered: false,
            banned: None,
            last_leader: None,
            jitter_ms: seed % 100,
        }
    }

    /// The leader that this peer follows; itself, if it leads.
    pub fn leader(&self) -> Option<PeerId> {
        self.epoch().map(|epoch| epoch.leader)
    }

    /// The epoch that this peer follows.
    pub fn epoch(&self) -> Option<Epoch> {
        self.following.map(|(following, _)| following.epoch)
    }

    /// True if this peer leads.
    pub fn leads(&self) -> bool {
        self.leader() == Some(self.me)
    }

    /// What the next pulse says; raises the beat if this peer leads.
    pub fn beat(&mut self, now: Millis) -> Option<Following> {
        let me = self.me;
        let (following, fresh) = self.following.as_mut()?;
        if following.epoch.leader == me {
            following.beat += 1;
            *fresh = now;
            self.highest = Some(*following);
        }
        Some(*following)
    }

    /// What the last pulse said.
    pub fn current(&self) -> Option<Following> {
        self.following.map(|(following, _)| following)
    }

    /// Takes what a pulse says of a leader. True if this peer follows another epoch now.
    ///
    /// # Errors
    /// Names what is wrong with it.
    pub fn hear(&mut self, now: Millis, heard: Following) -> Result<bool, &'static str> {
        if heard.epoch.term > self.highest_term.saturating_add(limits::TERM_JUMP) {
            return Err("its term is out of bounds");
        }
        self.highest_term = self.highest_term.max(heard.epoch.term);
        // One's own epochs are known best by oneself.
        if heard.epoch.leader == self.me {
            return Ok(false);
        }
        let news = self.highest.is_none_or(|highest| {
            (heard.epoch, heard.beat) > (highest.epoch, highest.beat) && heard.epoch >= highest.epoch
        });
        let news = news || mutation::on(Mutation::SkipEpochCheck);
        if !news || (mutation::on(Mutation::TwoLeaders) && self.leads()) {
            return Ok(false);
        }
        let changed = self.epoch() != Some(heard.epoch);
        self.highest = Some(heard);
        self.following = Some((heard, now));
        if changed {
            self.forget_answers();
        }
        Ok(changed)
    }

    /// The link to `peer` closed. True if it led.
    pub fn down(&mut self, now: Millis, peer: PeerId) -> bool {
        let led = self.leader() == Some(peer);
        if led {
            self.vacate(now);
        }
        led
    }

    /// This peer asked the leader for something.
    pub fn asked(&mut self, now: Millis) {
        self.unanswered_since.get_or_insert(now);
    }

    /// The leader answered.
    pub const fn heard_answer(&mut self) {
        self.unanswered_since = None;
        self.answered = true;
    }

    /// Nothing is asked of the leader any more.
    pub const fn asks_nothing(&mut self) {
        self.unanswered_since = None;
    }

    /// Whether the leader followed answers this peer.
    pub fn trust(&self, now: Millis) -> Trust {
        let ignored = |since: Millis| now.since(since) >= limits::DOUBT_MS;
        match self.unanswered_since {
            Some(since) if ignored(since) && self.following.is_some() && !self.leads() => Trust::Ignored,
            _ if self.answered => Trust::Answered,
            _ => Trust::Unknown,
        }
    }

    /// This peer slept for `ms`: nobody's beat was to be heard meanwhile.
    pub fn forgive(&mut self, ms: u64) {
        if let Some((_, fresh)) = &mut self.following {
            *fresh = fresh.after(ms);
        }
        if let Some(since) = &mut self.unanswered_since {
            *since = since.after(ms);
        }
    }

    /// Looks after the office. True if the epoch that this peer follows changed.
    pub fn check(&mut self, now: Millis, members: &Members) -> bool {
        match self.following {
            Some(_) if self.leads() => self.settle(now),
            Some((following, fresh)) if now.since(fresh) > patience_ms(following.epoch.leader, members) => {
                self.vacate(now);
                true
            }
            Some(_) => self.depose(now, members) || self.hand_over(now, members),
            None if now >= self.claim_at(now, members) => {
                let alone =
                    members.live().next().is_none() && self.highest.is_none() && self.highest_term == 0;
                self.claim(now, if alone { 0 } else { self.highest_term + 1 })
            }
            None => false,
        }
    }

    /// When [`Election::check`] has something to do, if the office is vacant.
    pub fn wake_at(&self, now: Millis, members: &Members) -> Option<Millis> {
        self.following.is_none().then(|| self.claim_at(now, members))
    }

    fn forget_answers(&mut self) {
        (self.unanswered_since, self.answered) = (None, false);
    }

    fn vacate(&mut self, now: Millis) {
        self.last_leader = self.leader();
        self.forget_answers();
        self.following = None;
        self.better_since = None;
        self.vacant_since = now;
    }

    fn claim(&mut self, now: Millis, term: u64) -> bool {
        let following = Following { epoch: Epoch { term, leader: self.me }, beat: 0 };
        self.highest_term = self.highest_term.max(term);
        self.highest = Some(following);
        self.following = Some((following, now));
        self.better_since = None;
        self.vacant_since = now;
        self.last_leader = None;
        self.forget_answers();
        true
    }

    /// Takes over from a leader that lives and ignores more peers than it answers, this one among them.
    fn depose(&mut self, now: Millis, members: &Members) -> bool {
        let (Some(epoch), Some(since)) = (self.epoch(), self.unanswered_since) else {
            return false;
        };
        if self.trust(now) != Trust::Ignored {
            return false;
        }
        let (ignored, answered) = members.trust(epoch);
        let turn = self.rank(now, members) * limits::CLAIM_STEP_MS + self.jitter_ms;
        if ignored < answered || now < since.after(limits::DOUBT_MS + turn) {
            return false;
        }
        self.banned = Some((epoch.leader, now.after(limits::BANNED_MS)));
        self.claim(now, self.highest_term + 1)
    }

    fn settle(&mut self, now: Millis) -> bool {
        let provisional = self.epoch().is_some_and(|epoch| epoch.term == 0);
        // Somebody counterfeited, or remembers, a higher term of this very peer: a new term sets it right.
        let outbid = self.epoch().is_some_and(|epoch| epoch.term < self.highest_term);
        let settled = now.since(self.vacant_since) >= limits::SETTLE_MS;
        (settled && (provisional || outbid)) && self.claim(now, self.highest_term + 1)
    }

    /// Takes over from a leader that has had fewer links than this peer, the best of all, for `HANDOVER_MS`.
    fn hand_over(&mut self, now: Millis, members: &Members) -> bool {
        let links = |id| members.report(id).map_or(0, |report: &Report| report.sees.len());
        let better = self.leader().is_some_and(|leader| links(leader) < members.own.sees.len());
        if !better || self.rank(now, members) > 0 {
            self.better_since = None;
            return false;
        }
        let since = *self.better_since.get_or_insert(now);
        now.since(since) >= limits::HANDOVER_MS && self.claim(now, self.highest_term + 1)
    }

    fn claim_at(&self, now: Millis, members: &Members) -> Millis {
        let seen = |leader| members.reports().values().any(|report| report.sees.contains(&leader));
        let rank = self.rank(now, members);
        let wait = limits::CLAIM_MS + rank * limits::CLAIM_STEP_MS + self.jitter_ms;
        self.vacant_since.after(match self.last_leader {
            Some(leader) if seen(leader) => limits::GOSSIP_MS + wait,
            // Everybody has lost it and says so: nobody's news is worth waiting for.
            Some(_) if rank == 0 && members.live().next().is_some() => limits::GATHER_MS,
            _ => wait,
        })
    }

    /// How many live peers would lead better than this one.
    fn rank(&self, now: Millis, members: &Members) -> u64 {
        let banned = |id| self.banned.is_some_and(|(peer, until)| peer == id && now < until);
        let standing = |id, report| (banned(id), standing(id, report, members.age_s(now, id)));
        let reports = members.reports();
        let own = standing(members.me(), &members.own);
        reports.iter().filter(|&(&id, report)| standing(id, report) < own).count() as u64
    }
}

/// Milliseconds for which a leader's beat may stand still: less if its own link has fallen silent too.
fn patience_ms(leader: PeerId, members: &Members) -> u64 {
    if members.is_live(leader) { limits::BEAT_MS } else { limits::BEAT_LOST_MS }
}

/// Smaller is better. Ages count in steps of ten seconds, so that a little delay does not change the order.
fn standing(
    id: PeerId,
    report: &Report,
    age_s: u32,
) -> (Reverse<usize>, Reverse<u32>, Option<Device>, bool, PeerId) {
    let device = report.capability.as_ref().map(|capability| capability.device);
    (Reverse(report.sees.len()), Reverse(age_s / 10), device, device.is_none(), id)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ME: PeerId = PeerId(5);

    fn following(term: u64, leader: u128, beat: u64) -> Following {
        Following { epoch: Epoch { term, leader: PeerId(leader) }, beat }
    }

    #[test]
    fn what_is_heard_counts_if_it_is_higher_or_rises() {
        let rows = [
            (following(3, 2, 10), false, "the same beat again, over a slower path"),
            (following(3, 2, 11), false, "the same leader lives"),
            (following(2, 9, 99), false, "an older epoch, however lively"),
            (following(3, 1, 99), false, "the same term of a lower id"),
            (following(3, 4, 0), true, "the same term of a higher id"),
            (following(4, 1, 0), true, "a higher term"),
        ];
        for (heard, changed, why) in rows {
            let mut election = Election::new(ME, 0, Millis(0));
            assert_eq!(election.hear(Millis(0), following(3, 2, 10)), Ok(true));
            assert_eq!(election.hear(Millis(1), heard), Ok(changed), "{why}");
        }
    }

    #[test]
    fn one_message_cannot_use_up_the_terms() {
        let mut election = Election::new(ME, 0, Millis(0));
        assert!(election.hear(Millis(0), following(u64::MAX, 2, 1)).is_err());
        assert_eq!(election.epoch(), None);
    }

    #[test]
    fn a_failover_second_by_second() {
        let members = Members::new(ME, "", Millis(0));
        let mut election = Election::new(ME, 0, Millis(0));
        let mut at = |ms: u64, heard: Option<Following>| {
            if let Some(heard) = heard {
                election.hear(Millis(ms), heard).expect("a sane term");
            }
            election.check(Millis(ms), &members);
            election.epoch().map(|epoch| (epoch.term, epoch.leader.0))
        };
        let lost = 5_000 + limits::BEAT_LOST_MS;
        let rows = [
            (199, None, None, "too early to claim"),
            (200, None, Some((0, 5)), "nobody there: leads itself, provisionally"),
            (800, Some(following(4, 2, 7)), Some((4, 2)), "finds the room and follows"),
            (5_000, Some(following(4, 2, 8)), Some((4, 2)), "the beat rises"),
            (lost, Some(following(4, 2, 8)), Some((4, 2)), "an old beat is no life"),
            (lost + 1, None, None, "silent for too long, and there is no link to it either"),
            (lost + 200, Some(following(4, 2, 8)), None, "and gossip of it does not revive it"),
            (lost + 301, None, Some((5, 5)), "claims the next term"),
            (lost + 400, Some(following(4, 2, 50)), Some((5, 5)), "the old leader wakes up: too late"),
            (lost + 500, Some(following(6, 3, 1)), Some((6, 3)), "two leaders meet: the higher epoch wins"),
        ];
        for (ms, heard, want, why) in rows {
            assert_eq!(at(ms, heard), want, "{ms} ms: {why}");
        }
    }

    #[test]
    fn better_means_more_links_then_age_then_device_then_id() {
        let report =
            |links: usize, age_s: u32| (Report { sees: vec![ME; links], ..Report::default() }, age_s);
        let rows = [
            ((9, report(3, 0)), (1, report(2, 90)), "links before age"),
            ((9, report(2, 90)), (1, report(2, 0)), "age before id"),
            ((1, report(2, 9)), (2, report(2, 3)), "a little age is none"),
        ];
        for ((a, (better, old)), (b, (worse, young)), why) in rows {
            assert!(standing(PeerId(a), &better, old) < standing(PeerId(b), &worse, young), "{why}");
        }
    }
}
