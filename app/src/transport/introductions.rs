//! Who is behind an id of the signaling server: a sealed greeting in three messages, and the sealed handshakes that
//! follow it.
//!
//! ```text
//! A, who was there          server          X, who came
//!          <-------------- NewPeer(x)
//! Hello      (session a)            ------------>
//!            <------------   Welcome (session x, for a)
//! Confirm    (session a, for x)     ------------>        now each knows that the other is there, now
//! Offer, Answer, Candidate …        <----------->        from the smaller id to the larger, and back
//! ```
//!
//! A session is random and new with every signaling connection. Everything but a Hello names the receiver's session,
//! and its counter must grow, so whatever the server keeps, repeats, turns around or brings late is dropped here
//! and counted. A Hello proves nothing and so changes nothing. Sans-IO: time and randomness are arguments.

use super::contacts::{Contacts, Due};
use super::limits::{MEMBERS, SERVER_SILENT_MS, SIGNAL_BYTES};
use super::sdp::{Kind, is_description, plain_candidate};
use super::seal::{Random, Seal};
use coordinator::PeerId;
use matchbox_socket::{PeerEvent, PeerRequest, PeerSignal};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, VecDeque};
use uuid::Uuid;

/// What is to be done, in order.
#[derive(Debug, PartialEq, Eq)]
pub enum Do {
    /// Send this text to the signaling server.
    Say(String),
    /// Hand this to matchbox's message loop.
    Matchbox(PeerEvent),
    /// From now on this link belongs to this peer; before matchbox hears of it.
    Name {
        /// matchbox's id.
        link: Uuid,
        /// Whose it is.
        peer: PeerId,
        /// Which attempt.
        attempt: u32,
    },
    /// The other side has lost this attempt: give it up here.
    Retire {
        /// Whose.
        peer: PeerId,
        /// Which.
        attempt: u32,
    },
    /// The server says that this peer left it: see whether it still lives.
    Doubt(PeerId),
    /// Newcomers can join.
    Open,
    /// The server is silent: connect again.
    Reconnect,
    /// Something was dropped.
    Dropped {
        /// Who sent it, if that is known.
        from: Option<PeerId>,
        /// Its name.
        reason: &'static str,
    },
}

/// What two peers say to each other through the server, inside the seal.
#[derive(Debug, Serialize, Deserialize)]
struct Sealed {
    from: PeerId,
    session: u128,
    /// The receiver's session; 0 in a Hello.
    to: u128,
    count: u64,
    body: Body,
}

#[derive(Debug, Serialize, Deserialize)]
enum Body {
    Hello,
    Welcome(Standing),
    Confirm(Standing),
    /// Please dial: nothing of ours is open.
    Ask(Standing),
    Offer {
        link: u128,
        attempt: u32,
        sdp: String,
    },
    Answer {
        link: u128,
        sdp: String,
    },
    Candidate {
        link: u128,
        json: String,
    },
}

/// How the sender sees its connection to the receiver.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
struct Standing {
    /// The attempt whose channels are open.
    linked: Option<u32>,
    /// The highest attempt so far.
    last: u32,
}

/// One id of the signaling server.
#[derive(Debug, Default)]
struct Member {
    /// Who it is, in which session, and its highest counter; once introduced.
    known: Option<(PeerId, u128, u64)>,
    /// Session and counter of its last Hello.
    hello: Option<(u128, u64)>,
    said: u64,
    answered_stranger: bool,
}

/// The state machine.
#[derive(Debug)]
pub struct Introductions {
    me: PeerId,
    seal: Seal,
    random: Random,
    server_id: Option<Uuid>,
    session: u128,
    heard_at: u64,
    members: BTreeMap<Uuid, Member>,
    contacts: Contacts,
    todo: VecDeque<Do>,
}

type Dropped = &'static str;
/// Whatever the server relays: a sealed text, if it comes from one of us.
type ServerEvent = matchbox_protocol::PeerEvent<serde_json::Value>;

impl Introductions {
    /// Not connected yet.
    #[must_use]
    pub const fn new(me: PeerId, seal: Seal, random: Random) -> Self {
        Self {
            me,
            seal,
            random,
            server_id: None,
            session: 0,
            heard_at: 0,
            members: BTreeMap::new(),
            contacts: Contacts::new(me),
            todo: VecDeque::new(),
        }
    }

    /// The next thing to do.
    pub fn next(&mut self) -> Option<Do> {
        self.todo.pop_front()
    }

    /// When [`Introductions::tick`] has something to do.
    #[must_use]
    pub fn wake_at(&self) -> Option<u64> {
        let silent = self.server_id.map(|_| self.heard_at + SERVER_SILENT_MS);
        [silent, self.contacts.wake_at()].into_iter().flatten().min()
    }

    /// The signaling socket is lost.
    pub fn lost(&mut self) {
        self.server_id = None;
        self.members.clear();
        self.contacts.forget_introductions();
    }

    /// Time passed.
    pub fn tick(&mut self, now: u64) {
        if self.server_id.is_some() && now >= self.heard_at + SERVER_SILENT_MS {
            self.lost();
            self.todo.push_back(Do::Reconnect);
        }
        let random = &mut self.random;
        for due in self.contacts.due(now, || Uuid::from_u128(random.id())) {
            match due {
                Due::Dial { peer, link, attempt } => {
                    self.todo.push_back(Do::Name { link, peer, attempt });
                    self.todo.push_back(Do::Matchbox(PeerEvent::NewPeer(link.into())));
                }
                Due::Ask { peer } => {
                    let standing = self.standing(peer);
                    self.say_to_peer(peer, Body::Ask(standing));
                }
                Due::Unreachable { peer } => self.dropped(Some(peer), "no direct connection"),
            }
        }
    }

    /// The channels of an attempt opened.
    pub fn opened(&mut self, peer: PeerId, attempt: u32) {
        self.contacts.opened(peer, attempt);
    }

    /// The channels of an attempt closed.
    pub fn closed(&mut self, now: u64, peer: PeerId, attempt: u32, again: bool) {
        self.contacts.closed(now, peer, attempt, again);
    }

    /// Have nothing to do with this peer any more.
    pub fn ban(&mut self, peer: PeerId) {
        self.contacts.ban(peer);
    }

    /// matchbox wants something sent.
    pub fn request(&mut self, request: PeerRequest) {
        let PeerRequest::Signal { receiver: link, data } = request else {
            // A keep-alive. Sent to ourselves: if it comes back, the server lives.
            if let Some(me) = self.server_id {
                self.say(me, "echo".to_owned());
            }
            return;
        };
        let Some((peer, attempt)) = self.contacts.link(link.0) else {
            return;
        };
        let link = link.0.as_u128();
        let body = match data {
            PeerSignal::Offer(sdp) => Body::Offer { link, attempt, sdp },
            PeerSignal::Answer(sdp) => Body::Answer { link, sdp },
            PeerSignal::IceCandidate(json) => Body::Candidate { link, json },
        };
        self.say_to_peer(peer, body);
    }

    /// The server said something.
    pub fn heard(&mut self, now: u64, text: &str) {
        self.heard_at = now;
        let event = if text.len() > SIGNAL_BYTES + 1_024 { None } else { serde_json::from_str(text).ok() };
        match event {
            Some(ServerEvent::IdAssigned(id)) => self.assigned(id.0),
            Some(ServerEvent::NewPeer(id)) => self.greet(id.0),
            Some(ServerEvent::PeerLeft(id)) => self.left(id.0),
            Some(ServerEvent::Signal { sender, .. }) if Some(sender.0) == self.server_id => {}
            Some(ServerEvent::Signal { sender, data }) => self.signal(now, sender.0, data.as_str()),
            None => self.dropped(None, "signaling server not understood"),
        }
        self.tick(now);
    }

    fn assigned(&mut self, id: Uuid) {
        self.lost();
        self.server_id = Some(id);
        self.session = self.random.id().max(1);
        self.todo.push_back(Do::Open);
    }

    fn greet(&mut self, id: Uuid) {
        if self.member(id).is_some() {
            self.say_to(id, 0, Body::Hello);
        }
    }

    fn left(&mut self, id: Uuid) {
        if let Some((peer, ..)) = self.members.remove(&id).and_then(|it| it.known) {
            self.contacts.left(peer);
            self.todo.push_back(Do::Doubt(peer));
        }
    }

    fn signal(&mut self, now: u64, sender: Uuid, data: Option<&str>) {
        let Some(me) = self.server_id else { return };
        let known = self.members.get(&sender).and_then(|it| it.known).map(|(peer, ..)| peer);
        let opened = data.and_then(|text| self.seal.open(sender, me, text));
        let Some(plain) = opened else {
            self.dropped(known, "not sealed with this room's key");
            return self.answer_stranger(sender);
        };
        let result = match postcard::from_bytes::<Sealed>(&plain) {
            Ok(sealed) => self.opened_seal(now, sender, sealed),
            Err(_) => Err("sealed, but not understood"),
        };
        if let Err(reason) = result {
            self.dropped(known, reason);
        }
    }

    /// A peer with another key cannot know why nobody answers. A Hello that it cannot open either tells it.
    fn answer_stranger(&mut self, sender: Uuid) {
        let Some(member) = self.member(sender) else { return };
        if !member.answered_stranger && member.known.is_none() {
            member.answered_stranger = true;
            self.say_to(sender, 0, Body::Hello);
        }
    }

    fn opened_seal(&mut self, now: u64, sender: Uuid, sealed: Sealed) -> Result<(), Dropped> {
        if sealed.from == self.me || sealed.session == self.session {
            return Err("our own message, sent back");
        }
        if matches!(sealed.body, Body::Hello) {
            return self.hello(sender, &sealed);
        }
        if sealed.to != self.session {
            return Err("meant for another session");
        }
        let introduces = matches!(sealed.body, Body::Welcome(_) | Body::Confirm(_));
        let member = self.member(sender).ok_or("too many peers at the signaling server")?;
        match &mut member.known {
            Some((peer, session, count)) if *peer == sealed.from && *session == sealed.session => {
                if sealed.count <= *count {
                    return Err("sealed message repeated");
                }
                *count = sealed.count;
            }
            Some(_) => return Err("sealed by somebody else"),
            None if introduces => self.know(now, sender, &sealed)?,
            None => return Err("not introduced"),
        }
        self.body(now, sender, sealed)
    }

    fn hello(&mut self, sender: Uuid, sealed: &Sealed) -> Result<(), Dropped> {
        let member = self.member(sender).ok_or("too many peers at the signaling server")?;
        if member.hello.is_some_and(|(session, count)| session == sealed.session && sealed.count <= count) {
            return Err("sealed message repeated");
        }
        member.hello = Some((sealed.session, sealed.count));
        let standing = self.standing(sealed.from);
        self.say_to(sender, sealed.session, Body::Welcome(standing));
        Ok(())
    }

    /// From now on this id of the server is this peer. An older id of the same peer is void.
    fn know(&mut self, now: u64, sender: Uuid, sealed: &Sealed) -> Result<(), Dropped> {
        self.contacts.introduced(now, sealed.from)?;
        for member in self.members.values_mut() {
            member.known.take_if(|(peer, ..)| *peer == sealed.from);
        }
        let member = self.member(sender).ok_or("too many peers at the signaling server")?;
        member.known = Some((sealed.from, sealed.session, sealed.count));
        Ok(())
    }

    fn body(&mut self, now: u64, sender: Uuid, sealed: Sealed) -> Result<(), Dropped> {
        let from = sealed.from;
        match sealed.body {
            Body::Hello => {}
            Body::Welcome(theirs) => {
                let ours = self.standing(from);
                self.say_to(sender, sealed.session, Body::Confirm(ours));
                self.compare(now, from, theirs);
            }
            Body::Confirm(theirs) | Body::Ask(theirs) => self.compare(now, from, theirs),
            Body::Offer { link, attempt, sdp } => {
                self.offer(now, from, Uuid::from_u128(link), attempt, sdp)?;
            }
            Body::Answer { link, sdp } => {
                let link = Uuid::from_u128(link);
                if !is_description(Kind::Answer, &sdp) {
                    return Err("answer is no session description");
                }
                self.contacts.answered(from, link)?;
                self.matchbox(link, PeerSignal::Answer(sdp));
            }
            Body::Candidate { link, json } => {
                let link = Uuid::from_u128(link);
                let plain = plain_candidate(&json).ok_or("not an ICE candidate")?;
                self.contacts.candidate(from, link)?;
                self.matchbox(link, PeerSignal::IceCandidate(plain));
            }
        }
        Ok(())
    }

    fn offer(
        &mut self,
        now: u64,
        from: PeerId,
        link: Uuid,
        attempt: u32,
        sdp: String,
    ) -> Result<(), Dropped> {
        if !is_description(Kind::Offer, &sdp) {
            return Err("offer is no session description");
        }
        self.contacts.offered(now, from, link, attempt)?;
        self.todo.push_back(Do::Name { link, peer: from, attempt });
        self.matchbox(link, PeerSignal::Offer(sdp));
        Ok(())
    }

    fn standing(&self, peer: PeerId) -> Standing {
        Standing { linked: self.contacts.linked(peer), last: self.contacts.last(peer) }
    }

    fn compare(&mut self, now: u64, peer: PeerId, theirs: Standing) {
        if let Some(attempt) = self.contacts.compare(now, peer, theirs.linked, theirs.last) {
            self.todo.push_back(Do::Retire { peer, attempt });
        }
    }

    fn matchbox(&mut self, link: Uuid, data: PeerSignal) {
        self.todo.push_back(Do::Matchbox(PeerEvent::Signal { sender: link.into(), data }));
    }

    fn member(&mut self, id: Uuid) -> Option<&mut Member> {
        if !self.members.contains_key(&id) && self.members.len() >= MEMBERS {
            return None;
        }
        Some(self.members.entry(id).or_default())
    }

    fn say_to_peer(&mut self, to: PeerId, body: Body) {
        let is =
            |member: &Member| member.known.filter(|(peer, ..)| *peer == to).map(|(_, session, _)| session);
        let found = self.members.iter().find_map(|(id, member)| Some((*id, is(member)?)));
        // Not at the server now: what it misses is made good when it is introduced again.
        if let Some((id, session)) = found {
            self.say_to(id, session, body);
        }
    }

    fn say_to(&mut self, receiver: Uuid, session: u128, body: Body) {
        let (Some(sender), Some(member)) = (self.server_id, self.members.get_mut(&receiver)) else {
            return;
        };
        member.said += 1;
        let sealed = Sealed { from: self.me, session: self.session, to: session, count: member.said, body };
        let plain = postcard::to_stdvec(&sealed).unwrap_or_default();
        if let Some(text) = self.seal.seal(self.random.bytes(), sender, receiver, &plain) {
            self.say(receiver, text);
        }
    }

    fn say(&mut self, receiver: Uuid, data: String) {
        let request = matchbox_protocol::PeerRequest::Signal { receiver: receiver.into(), data };
        if let Ok(text) = serde_json::to_string(&request) {
            self.todo.push_back(Do::Say(text));
        }
    }

    fn dropped(&mut self, from: Option<PeerId>, reason: Dropped) {
        self.todo.push_back(Do::Dropped { from, reason });
    }
}

#[cfg(test)]
#[path = "introductions_tests.rs"]
mod tests;
