//! Who carries a job on, and how its copies find each other.

use super::Book;
use crate::ids::{JobId, Millis, PeerId};
use crate::limits;
use crate::membership::Members;
use crate::outbox::Outbox;
use crate::wire::{Message, Story};

impl Book {
    /// Works out every job's keeper again, and hands copies to new heirs.
    pub fn rekeep(&mut self, now: Millis, members: &Members, out: &mut Outbox) {
        let heir = heir(self.me, members);
        for (id, record) in &mut self.records {
            let keeper = match () {
                () if members.is_live(id.requester) => id.requester,
                () if members.is_live(record.keeper) => record.keeper,
                () => heir,
            };
            if keeper != record.keeper {
                record.keeper = keeper;
                record.heard = now;
                record.nudged = now;
                if keeper == self.me {
                    // Whoever has never heard of it, a newcomer perhaps, asks for the rest.
                    out.broadcast(members.known(), &Message::Story(record.story(u32::MAX)));
                } else if keeper != id.requester {
                    let ended = record.end.is_some();
                    out.send(
                        keeper,
                        if ended { Message::Story(record.story(u32::MAX)) } else { record.whole() },
                    );
                    if !ended {
                        record.send_pictures(keeper, out);
                    }
                }
            }
        }
    }

    /// Takes over a story that has ended, if its requester is gone and this peer is the heir; true if it does. Only its
    /// keeper tells those who never heard of it, so there has to be one.
    pub(super) fn take_ended(&mut self, job: JobId, members: &Members, out: &mut Outbox) -> bool {
        let (me, heir) = (self.me, heir(self.me, members));
        let Some(record) = self.records.get_mut(&job).filter(|record| record.end.is_some()) else {
            return false;
        };
        let takes = record.keeper != me && heir == me && !members.is_live(job.requester);
        if takes {
            record.keeper = me;
            out.broadcast(members.known(), &Message::Story(record.story(u32::MAX)));
        }
        takes
    }

    /// An heir that inherited an old copy hears that the job has ended: it takes the rest instead of making it again.
    pub(super) fn learn_end(
        &mut self,
        now: Millis,
        from: PeerId,
        story: Story,
        out: &mut Outbox,
    ) -> Result<(), String> {
        let Some(record) = self.records.get_mut(&story.job).filter(|_| story.end.is_some()) else {
            return Ok(());
        };
        if record.text().is_some() {
            return self.merge(now, from, story, out);
        }
        if now.since(record.nudged) >= limits::CLAIM_MS {
            record.nudged = now;
            out.send(from, Message::Missing { job: story.job, have: Some(0) });
        }
        Ok(())
    }

    /// Hands this peer's copy to keepers that have said nothing about an open job for `ORPHAN_MS`, and asks one peer
    /// after the other for the pixels of a job that has ended. If nobody has them, not even its requester, that is its end
    /// here; if its requester is gone, they are painted again.
    pub fn nudge(&mut self, now: Millis, members: &Members, out: &mut Outbox) {
        let me = self.me;
        let mut lost = Vec::new();
        for (&job, record) in &mut self.records {
            let waited = |since: Millis| now.since(since) >= limits::ORPHAN_MS;
            match &mut record.ending {
                // Asks are counted, not seconds: this device may have slept.
                Some((end, asks))
                    if *asks >= limits::PIXEL_ASKS
                        || (record.keeper == me && !members.is_live(job.requester)) =>
                {
                    if members.is_live(job.requester) {
                        lost.push((job, end.clone()));
                    }
                    (record.ending, record.keeper) = (None, me);
                }
                Some((_, asks)) if waited(record.nudged) => {
                    *asks += 1;
                    record.nudged = now;
                    let teller = turn(now.0 / limits::ORPHAN_MS, members).unwrap_or(record.keeper);
                    out.send(teller, Message::Missing { job, have: Some(0) });
                }
                None if record.end.is_none()
                    && record.keeper != me
                    && waited(record.heard.max(record.nudged)) =>
                {
                    record.nudged = now;
                    out.send(record.keeper, record.whole());
                }
                _ => {}
            }
        }
        for (job, end) in lost {
            self.end(job, end, out);
        }
    }

    /// Tells one other peer after the other, a second each, the names of all stories that have ended: whoever missed one,
    /// because its teller left at the wrong moment, asks for it.
    pub fn gossip(&self, now: Millis, members: &Members, out: &mut Outbox) {
        let Some(peer) = turn(now.0 / limits::PULSE_MS, members) else { return };
        for record in self.records.values().filter(|record| record.end.is_some()) {
            out.send(peer, Message::Story(record.story(u32::MAX)));
        }
    }

    /// Tells a newcomer every job that this peer keeps or kept, and the names of those whose requester left: it asks
    /// for what nobody else told it.
    pub fn welcome(&self, peer: PeerId, members: &Members, out: &mut Outbox) {
        for (id, record) in &self.records {
            if record.keeper == self.me {
                out.send(peer, record.whole());
                record.send_pictures(peer, out);
            } else if record.end.is_some() && !members.is_live(id.requester) {
                out.send(peer, Message::Story(record.story(u32::MAX)));
            }
        }
    }

    /// Takes another's copy from a peer that believes this one to be the keeper. If it believed so of the sender, or
    /// of somebody further down the line, it is the keeper from now on.
    pub(super) fn inherit(
        &mut self,
        from: PeerId,
        story: Story,
        members: &Members,
        out: &mut Outbox,
    ) -> Result<(), String> {
        let (me, job) = (self.me, story.job);
        let Some(record) = self.records.get_mut(&job).filter(|record| record.end.is_none()) else {
            return Ok(());
        };
        if job.requester == me || members.is_live(job.requester) {
            return Ok(());
        }
        if record.keeper == from || record.keeper > me {
            record.keeper = me;
        }
        let had = record.tokens.len();
        self.merge(Millis(0), from, story, out)?;
        if let Some(record) = self.records.get(&job).filter(|record| record.tokens.len() > had) {
            out.broadcast(members.known(), &Message::Story(record.story(had as u32)));
        }
        Ok(())
    }
}

/// Who inherits: the live peer with the lowest id.
fn heir(me: PeerId, members: &Members) -> PeerId {
    members.live().next().map_or(me, |lowest| lowest.min(me))
}

/// One live peer after the other.
fn turn(count: u64, members: &Members) -> Option<PeerId> {
    let live: Vec<PeerId> = members.live().collect();
    live.get(count.checked_rem(live.len() as u64)? as usize).copied()
}
