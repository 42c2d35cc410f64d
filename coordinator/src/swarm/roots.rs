//! Which contents the others take part in, and where their roots come from: everything else about a content is checked
//! by its root, and the root by the content's name.
//!
//! One root is asked for at a time, of one peer: first what this peer wants to open, then what a person may want to hear of.

use super::Context;
use super::hash::draw;
use super::io::{Content, Event, Output};
use super::message::Message;
use crate::ids::{Millis, PeerId};
use crate::limits;
use std::collections::{BTreeMap, BTreeSet};

/// What is known of the room's contents.
#[derive(Debug, Default)]
pub struct Roots {
    /// Who takes part in which.
    held: BTreeMap<Content, BTreeSet<PeerId>>,
    /// Those whose roots were here.
    known: BTreeSet<Content>,
    /// Those that this peer wants to open.
    sought: BTreeSet<Content>,
    asked: Option<Asked>,
    /// Until when who is not asked for which.
    rests: BTreeMap<(Content, PeerId), Millis>,
    /// When a root was sent last, to anybody.
    sent: Option<Millis>,
}

#[derive(Clone, Copy, Debug)]
struct Asked {
    content: Content,
    of: PeerId,
    /// Since when, or since when it is being checked.
    since: Millis,
    came: bool,
}

impl Roots {
    /// Whether something is to be done that needs the clock.
    pub fn is_active(&self) -> bool {
        self.asked.is_some() || self.held.keys().any(|content| !self.known.contains(content))
    }

    /// A peer takes part in a content.
    pub fn joined(&mut self, content: Content, peer: PeerId, out: &mut Vec<Output>) {
        let of_peer = self.held.values().filter(|peers| peers.contains(&peer)).count();
        let room = self.held.contains_key(&content)
            || self.held.len() < limits::SWARM_HELD
            || self.sought.contains(&content);
        if of_peer >= limits::CONTENTS || !room {
            let reason = "it takes part in more than anybody does";
            return out.push(Output::Event(Event::Dropped { from: peer, reason }));
        }
        if self.held.entry(content).or_default().insert(peer) {
            self.tell(content, out);
        }
    }

    /// A peer takes part in it no longer.
    pub fn left(&mut self, content: Content, peer: PeerId, out: &mut Vec<Output>) {
        let Some(peers) = self.held.get_mut(&content) else { return };
        if peers.remove(&peer) {
            self.tell(content, out);
        }
        self.held.retain(|_, peers| !peers.is_empty());
    }

    /// A peer is gone, or not to be believed.
    pub fn forget(&mut self, peer: PeerId, out: &mut Vec<Output>) {
        for content in self.held.keys().copied().collect::<Vec<_>>() {
            self.left(content, peer, out);
        }
        self.rests.retain(|(_, of), _| *of != peer);
        // What came from it is right or not, whether it is here or not.
        self.asked = self.asked.filter(|asked| asked.of != peer || asked.came);
    }

    /// This peer wants to open a content, and has no root of it, whatever it knew before.
    pub fn seek(&mut self, content: Content) {
        self.known.remove(&content);
        self.sought.insert(content);
        // Whoever was checking one may be gone.
        self.asked = self.asked.filter(|asked| !asked.came);
    }

    /// The root is here.
    pub fn know(&mut self, content: Content) {
        if self.known.len() >= limits::SWARM_HELD + limits::CONTENTS {
            self.known.retain(|one| self.held.contains_key(one));
        }
        self.known.insert(content);
        self.sought.remove(&content);
    }

    /// A root came. It is passed on to be checked if it was asked for.
    pub fn arrived(
        &mut self,
        now: Millis,
        content: Content,
        from: PeerId,
        bytes: Vec<u8>,
        out: &mut Vec<Output>,
    ) {
        match &mut self.asked {
            Some(asked) if (asked.content, asked.of, asked.came) == (content, from, false) => {
                (asked.came, asked.since) = (true, now);
                out.push(Output::CheckRoot { content, from, bytes });
            }
            _ => {
                let reason = "a root that was not asked for";
                out.push(Output::Event(Event::Dropped { from, reason }));
            }
        }
    }

    /// What came has been checked; true if it is what its hash says.
    pub fn checked(&mut self, content: Content, from: PeerId, right: bool) {
        self.asked = self.asked.filter(|asked| (asked.content, asked.of) != (content, from));
        if right {
            self.know(content);
        }
    }

    /// A peer does not send a root.
    pub fn refused(&mut self, now: Millis, content: Content, from: PeerId) {
        if self.asked.is_some_and(|asked| (asked.content, asked.of, asked.came) == (content, from, false)) {
            self.rest(now);
        }
    }

    /// Whether a root may be sent to somebody now. They are small, but there may be many who ask.
    pub fn may_send(&mut self, now: Millis) -> bool {
        let may = self.sent.is_none_or(|sent| now.since(sent) >= limits::SWARM_ROOT_PACE_MS);
        self.sent = if may { Some(now) } else { self.sent };
        may
    }

    /// Asks for the next one.
    pub fn ask(&mut self, context: &mut Context<'_>) {
        let now = context.now;
        if let Some(asked) = self.asked {
            let patience = if asked.came { limits::SWARM_ROOT_CHECK_MS } else { limits::SWARM_ROOT_MS };
            if now.since(asked.since) < patience {
                return;
            }
            self.rest(now);
        }
        self.rests.retain(|_, until| now < *until);
        let next = self.held.keys().filter(|content| !self.known.contains(content));
        let (sought, others): (Vec<_>, Vec<_>) = next.copied().partition(|one| self.sought.contains(one));
        let next = sought
            .into_iter()
            .chain(others)
            .find_map(|content| Some((content, self.holder(context, content)?)));
        if let Some((content, of)) = next {
            self.asked = Some(Asked { content, of, since: now, came: false });
            context.out.push(Output::Send { to: of, message: Message::AskRoot(content) });
        }
    }

    /// Whom to ask: not always the same one.
    fn holder(&self, context: &Context<'_>, content: Content) -> Option<PeerId> {
        let asks = |peer: &&PeerId| {
            !self.rests.contains_key(&(content, **peer))
                && context.peers.get(peer).is_some_and(|supplier| !supplier.lied)
        };
        let drawn = |peer: &&PeerId| draw(**peer, context.me.0 as u64);
        self.held.get(&content)?.iter().filter(asks).max_by_key(drawn).copied()
    }

    fn rest(&mut self, now: Millis) {
        if let Some(asked) = self.asked.take() {
            self.rests.insert((asked.content, asked.of), now.after(limits::SWARM_ROOT_REST_MS));
        }
    }

    fn tell(&self, content: Content, out: &mut Vec<Output>) {
        let peers = self.held.get(&content).map_or(0, BTreeSet::len) as u32;
        out.push(Output::Event(Event::Held { content, peers }));
    }
}
