//! Whom this peer is connected to, and who dials whom when.
//!
//! Of two peers the one with the smaller id dials, always; the other can only ask to be dialled. Every dialling is
//! an attempt with its own number and its own link id. matchbox sees link ids only: it cannot dial an id twice
//! (it panics) nor forget one, so a link id is used once and a peer's own id outlives all its links.

use super::limits::{CANDIDATES, CONTACTS, HANDSHAKE_MS, HANDSHAKE_TRIES, LINKS};
use coordinator::PeerId;
use std::collections::BTreeMap;
use uuid::Uuid;

/// Everybody met while the page is open.
#[derive(Debug)]
pub struct Contacts {
    me: PeerId,
    contacts: BTreeMap<PeerId, Contact>,
    links: BTreeMap<Uuid, Link>,
}

#[derive(Debug, Default)]
struct Contact {
    /// Introduced on the present signaling connection, and still there.
    present: bool,
    /// The attempt whose channels are open.
    linked: Option<u32>,
    /// The highest attempt so far.
    last: u32,
    /// The link being dialled, and until when.
    dialling: Option<(Uuid, u64)>,
    fails: u32,
    /// Not before this time is it dialled, or asked to dial.
    next: u64,
    banned: bool,
}

#[derive(Debug)]
struct Link {
    peer: PeerId,
    attempt: u32,
    answered: bool,
    candidates: u32,
}

/// What is to be done about a contact.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Due {
    /// Dial it on this new link.
    Dial { peer: PeerId, link: Uuid, attempt: u32 },
    /// Ask it to dial.
    Ask { peer: PeerId },
    /// It was dialled several times in vain: tell the person.
    Unreachable { peer: PeerId },
}

/// After a lost connection, before the next: time for both sides to notice. Milliseconds; a guess.
const AGAIN_MS: u64 = 1_000;
/// Between tries, at most. Milliseconds; a guess.
const AGAIN_MAX_MS: u64 = 60_000;

impl Contacts {
    /// Nobody met yet.
    #[must_use]
    pub const fn new(me: PeerId) -> Self {
        Self { me, contacts: BTreeMap::new(), links: BTreeMap::new() }
    }

    /// The signaling connection is new: everybody has to be introduced again. Open links stay.
    pub fn forget_introductions(&mut self) {
        for contact in self.contacts.values_mut() {
            contact.present = false;
            contact.dialling = None;
        }
    }

    /// A peer was introduced.
    ///
    /// # Errors
    /// The reason why it is not wanted.
    pub fn introduced(&mut self, now: u64, peer: PeerId) -> Result<(), &'static str> {
        if !self.contacts.contains_key(&peer) && self.contacts.len() >= CONTACTS {
            return Err("too many peers met");
        }
        let dials = self.dials(peer);
        let contact = self.contacts.entry(peer).or_default();
        if contact.banned {
            return Err("shown out before");
        }
        contact.present = true;
        contact.fails = 0;
        contact.next = if dials { now } else { now + HANDSHAKE_MS };
        Ok(())
    }

    /// A peer left the signaling server.
    pub fn left(&mut self, peer: PeerId) {
        if let Some(contact) = self.contacts.get_mut(&peer) {
            contact.present = false;
            contact.dialling = None;
        }
    }

    /// The attempt whose channels to `peer` are open.
    #[must_use]
    pub fn linked(&self, peer: PeerId) -> Option<u32> {
        self.contacts.get(&peer)?.linked
    }

    /// The highest attempt so far.
    #[must_use]
    pub fn last(&self, peer: PeerId) -> u32 {
        self.contacts.get(&peer).map_or(0, |it| it.last)
    }

    /// The channels of an attempt are open.
    pub fn opened(&mut self, peer: PeerId, attempt: u32) {
        let contact = self.contacts.entry(peer).or_default();
        contact.linked = Some(attempt);
        contact.dialling = None;
        contact.fails = 0;
    }

    /// The channels of an attempt are closed; `again` if the peer is wanted back.
    pub fn closed(&mut self, now: u64, peer: PeerId, attempt: u32, again: bool) {
        let Some(contact) = self.contacts.get_mut(&peer).filter(|it| it.linked == Some(attempt)) else {
            return;
        };
        contact.linked = None;
        contact.present &= again;
        contact.next = now + if self.me < peer { AGAIN_MS } else { 2 * AGAIN_MS };
    }

    /// Never again.
    pub fn ban(&mut self, peer: PeerId) {
        let contact = self.contacts.entry(peer).or_default();
        contact.banned = true;
        contact.present = false;
        contact.dialling = None;
    }

    /// What the peer says is open, against what is open here: the attempt to give up, if they differ. `last` is the
    /// highest attempt that it remembers: whoever dials goes on from there, even if it has forgotten its own.
    pub fn compare(&mut self, now: u64, peer: PeerId, theirs: Option<u32>, last: u32) -> Option<u32> {
        let contact = self.contacts.get_mut(&peer)?;
        contact.last = contact.last.max(last);
        contact.next = contact.next.min(now + AGAIN_MS);
        contact.linked.filter(|ours| Some(*ours) != theirs)
    }

    /// An offer from a peer.
    ///
    /// # Errors
    /// The reason to drop it.
    pub fn offered(&mut self, now: u64, peer: PeerId, link: Uuid, attempt: u32) -> Result<(), &'static str> {
        if self.dials(peer) {
            return Err("offer from the wrong side");
        }
        if self.links.len() >= LINKS {
            return Err("too many connections; reload the page");
        }
        let Some(contact) = self.contacts.get_mut(&peer).filter(|it| it.present) else {
            return Err("not introduced");
        };
        if attempt <= contact.last || self.links.contains_key(&link) {
            return Err("offer repeated");
        }
        contact.last = attempt;
        contact.next = now + HANDSHAKE_MS;
        self.links.insert(link, Link { peer, attempt, answered: true, candidates: 0 });
        Ok(())
    }

    /// An answer from a peer.
    ///
    /// # Errors
    /// The reason to drop it.
    pub fn answered(&mut self, peer: PeerId, link: Uuid) -> Result<(), &'static str> {
        match self.links.get_mut(&link) {
            Some(known) if known.peer == peer && !known.answered => {
                known.answered = true;
                Ok(())
            }
            _ => Err("answer to no offer"),
        }
    }

    /// A candidate from a peer.
    ///
    /// # Errors
    /// The reason to drop it.
    pub fn candidate(&mut self, peer: PeerId, link: Uuid) -> Result<(), &'static str> {
        let known = self.links.get_mut(&link).filter(|it| it.peer == peer && it.answered);
        let Some(known) = known else {
            return Err("candidate for no connection");
        };
        if known.candidates >= CANDIDATES {
            return Err("too many candidates");
        }
        known.candidates += 1;
        Ok(())
    }

    /// Whose link that is, and which attempt.
    #[must_use]
    pub fn link(&self, link: Uuid) -> Option<(PeerId, u32)> {
        self.links.get(&link).map(|it| (it.peer, it.attempt))
    }

    /// What has to be done by now.
    pub fn due(&mut self, now: u64, mut new_link: impl FnMut() -> Uuid) -> Vec<Due> {
        let mut all = Vec::new();
        for (&peer, contact) in &mut self.contacts {
            if contact.dialling.is_some_and(|(_, until)| until <= now) {
                contact.dialling = None;
                contact.fails += 1;
                contact.next = now + again(contact.fails);
                if contact.fails == HANDSHAKE_TRIES {
                    all.push(Due::Unreachable { peer });
                }
            }
            if !contact.waits() || contact.next > now {
                continue;
            }
            if self.me < peer && self.links.len() < LINKS {
                let link = new_link();
                contact.last = contact.last.saturating_add(1);
                contact.dialling = Some((link, now + HANDSHAKE_MS));
                let attempt = contact.last;
                self.links.insert(link, Link { peer, attempt, answered: false, candidates: 0 });
                all.push(Due::Dial { peer, link, attempt });
            } else {
                contact.fails += 1;
                contact.next = now + again(contact.fails);
                all.push(Due::Ask { peer });
            }
        }
        all
    }

    /// When something is due next.
    #[must_use]
    pub fn wake_at(&self) -> Option<u64> {
        let next = |contact: &Contact| match contact.dialling {
            Some((_, until)) => Some(until),
            None => contact.waits().then_some(contact.next),
        };
        self.contacts.values().filter_map(next).min()
    }

    fn dials(&self, peer: PeerId) -> bool {
        self.me < peer
    }
}

impl Contact {
    fn waits(&self) -> bool {
        self.present && self.linked.is_none() && self.dialling.is_none()
    }
}

fn again(fails: u32) -> u64 {
    (AGAIN_MS << fails.min(6)).min(AGAIN_MAX_MS)
}

#[cfg(test)]
mod tests {
    use super::{AGAIN_MS, Contacts, Due, HANDSHAKE_MS};
    use coordinator::PeerId;
    use uuid::Uuid;

    const LOW: PeerId = PeerId(1);
    const HIGH: PeerId = PeerId(2);

    fn due(contacts: &mut Contacts, now: u64) -> Vec<Due> {
        let mut next = u128::from(now) * 1_000;
        contacts.due(now, || {
            next += 1;
            Uuid::from_u128(next)
        })
    }

    #[test]
    fn the_smaller_id_dials_and_the_larger_asks() {
        let mut low = Contacts::new(LOW);
        low.introduced(0, HIGH).expect("wanted");
        assert!(matches!(due(&mut low, 0)[..], [Due::Dial { peer: HIGH, attempt: 1, .. }]));
        assert!(due(&mut low, 1).is_empty(), "once");
        let mut high = Contacts::new(HIGH);
        high.introduced(0, LOW).expect("wanted");
        assert!(due(&mut high, 0).is_empty(), "it waits to be dialled first");
        assert_eq!(due(&mut high, HANDSHAKE_MS), [Due::Ask { peer: LOW }]);
    }

    #[test]
    fn who_is_linked_is_not_dialled_again_after_another_introduction() {
        let mut low = Contacts::new(LOW);
        low.introduced(0, HIGH).expect("wanted");
        due(&mut low, 0);
        low.opened(HIGH, 1);
        low.forget_introductions();
        low.introduced(50, HIGH).expect("wanted");
        assert!(due(&mut low, 100_000).is_empty());
        assert_eq!(low.compare(60, HIGH, Some(1), 1), None, "both have the same");
        assert_eq!(low.compare(60, HIGH, None, 1), Some(1), "the other has lost it");
    }

    #[test]
    fn who_forgot_its_attempts_goes_on_from_the_others_memory() {
        let mut low = Contacts::new(LOW);
        low.introduced(0, HIGH).expect("wanted");
        assert_eq!(low.compare(0, HIGH, None, 4), None);
        assert!(matches!(due(&mut low, 0)[..], [Due::Dial { attempt: 5, .. }]));
    }

    #[test]
    fn a_handshake_that_hangs_is_tried_again_and_said_once() {
        let mut low = Contacts::new(LOW);
        low.introduced(0, HIGH).expect("wanted");
        let mut now = 0;
        let mut seen = Vec::new();
        while seen.len() < 6 {
            seen.extend(due(&mut low, now));
            now = low.wake_at().expect("never given up");
        }
        let attempts: Vec<u32> = seen
            .iter()
            .filter_map(|it| if let Due::Dial { attempt, .. } = it { Some(*attempt) } else { None })
            .collect();
        assert_eq!(attempts, [1, 2, 3, 4, 5]);
        assert_eq!(seen[3], Due::Unreachable { peer: HIGH }, "after three in vain");
    }

    #[test]
    fn what_is_dropped_of_offers_answers_and_candidates() {
        let (link, other) = (Uuid::from_u128(7), Uuid::from_u128(8));
        let mut high = Contacts::new(HIGH);
        assert_eq!(high.offered(0, LOW, link, 1), Err("not introduced"));
        high.introduced(0, LOW).expect("wanted");
        assert_eq!(high.offered(0, LOW, link, 1), Ok(()));
        assert_eq!(high.offered(0, LOW, other, 1), Err("offer repeated"), "the same attempt");
        assert_eq!(high.offered(0, LOW, link, 2), Err("offer repeated"), "the same link");
        assert_eq!(high.offered(0, PeerId(3), other, 1), Err("offer from the wrong side"));
        assert_eq!(high.answered(LOW, link), Err("answer to no offer"), "it was they who offered");
        assert_eq!(high.candidate(LOW, other), Err("candidate for no connection"));
        assert_eq!(high.candidate(PeerId(0), link), Err("candidate for no connection"), "of another peer");
        for _ in 0..super::CANDIDATES {
            assert_eq!(high.candidate(LOW, link), Ok(()));
        }
        assert_eq!(high.candidate(LOW, link), Err("too many candidates"));
    }

    #[test]
    fn a_lost_link_is_dialled_again_and_a_farewell_is_not() {
        let mut low = Contacts::new(LOW);
        low.introduced(0, HIGH).expect("wanted");
        due(&mut low, 0);
        low.opened(HIGH, 1);
        low.closed(10, HIGH, 1, true);
        assert!(due(&mut low, 10).is_empty(), "it may have left: wait for the server to say so");
        assert!(matches!(due(&mut low, 10 + AGAIN_MS)[..], [Due::Dial { attempt: 2, .. }]));
        low.opened(HIGH, 2);
        low.closed(20, HIGH, 2, false);
        assert!(due(&mut low, 100_000).is_empty());
        low.ban(HIGH);
        assert_eq!(low.introduced(0, HIGH), Err("shown out before"));
    }
}
