//! [`Transport`] over matchbox: many connections, one stream of events.

use super::frames::{Fault, Frame};
use super::rendezvous::{Command, Note, millis};
use super::seal::Random;
use super::session::{Said, Session};
use super::wires::{Wires, connect, spawn};
use super::{Counters, JoinError, JoinOptions, NetEvent, SendError, Transport};
use coordinator::PeerId;
use coordinator::io::Lane;
use coordinator::limits::PEERS;
use futures::{FutureExt, Stream};
use futures_timer::Delay;
use matchbox_socket::{Packet, PeerId as LinkId, PeerState};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;
use web_time::Instant;

/// Packets taken from a channel before the driver gets its turn again.
const BATCH: usize = 64;
/// For the farewell to leave before the connections close. Milliseconds; a guess.
const FAREWELL_MS: u64 = 300;
/// After matchbox's message loop died, before another is started. Milliseconds; a guess.
const RESTART_MS: u64 = 2_000;

/// A room over WebRTC.
pub struct WebRtc {
    options: JoinOptions,
    random: Random,
    start: Instant,
    wires: Option<Wires>,
    restart: Option<Delay>,
    timer: Option<(u64, Delay)>,
    /// Links that may open: whose, and which attempt.
    names: BTreeMap<LinkId, (PeerId, u32)>,
    links: BTreeMap<LinkId, Link>,
    /// The open link of every peer that is up.
    peers: BTreeMap<PeerId, LinkId>,
    banned: BTreeSet<PeerId>,
    events: VecDeque<NetEvent>,
    turn: usize,
    counters: Counters,
}

impl std::fmt::Debug for WebRtc {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("WebRtc")
            .field("me", &self.options.me)
            .field("peers", &self.peers)
            .finish_non_exhaustive()
    }
}

struct Link {
    peer: PeerId,
    attempt: u32,
    session: Session,
    /// False while only packets have come, which may overtake the news that it is open.
    open: bool,
}

impl WebRtc {
    /// Joins a room. Returns at once; what comes of it comes as events.
    ///
    /// # Errors
    /// See [`JoinError`].
    pub fn join(options: JoinOptions) -> Result<Self, JoinError> {
        let mut seed = [0; 32];
        getrandom::fill(&mut seed).map_err(|error| JoinError::NoRandomness(error.to_string()))?;
        let mut random = Random::new(seed);
        let wires = connect(&options, &mut random)?;
        Ok(Self {
            options,
            random,
            start: Instant::now(),
            wires: Some(wires),
            restart: None,
            timer: None,
            names: BTreeMap::new(),
            links: BTreeMap::new(),
            peers: BTreeMap::new(),
            banned: BTreeSet::new(),
            events: VecDeque::new(),
            turn: 0,
            counters: Counters::default(),
        })
    }

    fn poll_event(&mut self, cx: &mut Context<'_>) -> Poll<NetEvent> {
        loop {
            if let Some(event) = self.events.pop_front() {
                return Poll::Ready(event);
            }
            if self.wires.is_none() && !self.poll_restart(cx) {
                return Poll::Pending;
            }
            let progress = self.poll_notes(cx) | self.poll_links(cx) | self.poll_packets(cx) | self.read();
            self.transmit_all();
            if !(progress | self.poll_time(cx)) && self.events.is_empty() {
                return Poll::Pending;
            }
        }
    }

    fn poll_notes(&mut self, cx: &mut Context<'_>) -> bool {
        let mut progress = false;
        while let Some(wires) = &mut self.wires
            && let Poll::Ready(Some(note)) = Pin::new(&mut wires.notes).poll_next(cx)
        {
            progress = true;
            match note {
                Note::Link { link, peer, attempt } => _ = self.names.insert(link.into(), (peer, attempt)),
                Note::Retire { peer, attempt } => {
                    if let Some(link) = self.link_of(peer, attempt) {
                        self.end(link, true, Some(Frame::Bye { leaves: false }));
                    }
                }
                Note::Doubt(peer) => {
                    let now = millis(self.start);
                    let link = self.peers.get(&peer).and_then(|link| self.links.get_mut(link));
                    link.into_iter().for_each(|it| it.session.doubt(now));
                }
                Note::Signaling(state) => self.events.push_back(NetEvent::Signaling(state)),
                Note::Dropped { from, reason } => self.dropped(from, reason),
            }
        }
        progress
    }

    fn poll_links(&mut self, cx: &mut Context<'_>) -> bool {
        let mut progress = false;
        while let Some(wires) = &mut self.wires
            && let Poll::Ready(change) = Pin::new(&mut wires.socket).poll_next(cx)
        {
            progress = true;
            match change {
                Some((link, PeerState::Connected)) => {
                    // Its name was sent before matchbox heard of it, so it is there by now.
                    self.poll_notes(cx);
                    self.opened(link);
                }
                Some((link, PeerState::Disconnected)) => self.end(link, true, None),
                None => self.wires_lost(),
            }
        }
        progress
    }

    fn poll_packets(&mut self, cx: &mut Context<'_>) -> bool {
        let mut progress = false;
        for lane in [Lane::Control, Lane::Bulk] {
            for _ in 0..BATCH {
                let Some(wires) = &mut self.wires else { return true };
                let channel = if lane == Lane::Control { &mut wires.control.1 } else { &mut wires.bulk.1 };
                let Poll::Ready(Some((link, packet))) = Pin::new(channel).poll_next(cx) else {
                    break;
                };
                progress = true;
                self.packet(link, lane, packet);
            }
        }
        progress
    }

    fn packet(&mut self, link: LinkId, lane: Lane, packet: Packet) {
        self.counters.received += packet.len() as u64;
        let now = millis(self.start);
        // What comes on a link that was given up, or over a bound, has no name any more.
        let Some((peer, attempt)) = self.names.get(&link).copied() else {
            return;
        };
        let known = self.links.entry(link);
        let live = known.or_insert_with(|| Link { peer, attempt, session: Session::new(now), open: false });
        match live.session.receive(now, lane, packet) {
            Ok(Said::Nothing) => {}
            Ok(Said::Bye { leaves }) => self.end(link, !leaves, None),
            Err(fault) => self.fault(link, fault),
        }
    }

    /// One message of one peer, the peers in turn.
    fn read(&mut self) -> bool {
        let mut order: Vec<LinkId> = self.links.keys().copied().collect();
        let turn = self.turn % order.len().max(1);
        order.rotate_left(turn);
        for link in order {
            self.turn += 1;
            let Some(live) = self.links.get_mut(&link).filter(|it| it.open) else {
                continue;
            };
            let from = live.peer;
            match live.session.next_message() {
                Some(Ok(bytes)) => self.events.push_back(NetEvent::Message { from, bytes }),
                Some(Err(fault)) => self.fault(link, fault),
                None => continue,
            }
            return true;
        }
        false
    }

    fn fault(&mut self, link: LinkId, fault: Fault) {
        let Some(live) = self.links.get_mut(&link) else {
            return;
        };
        let (peer, out) = (live.peer, live.session.strike(fault));
        self.dropped(Some(peer), fault.name());
        if out {
            self.dropped(Some(peer), "shown out after too many faults");
            self.banned.insert(peer);
            self.command(Command::Ban(peer));
            self.end(link, false, Some(Frame::Bye { leaves: false }));
        }
    }

    fn opened(&mut self, link: LinkId) {
        let Some(&(peer, attempt)) = self.names.get(&link) else {
            return;
        };
        let older = self.peers.get(&peer).copied();
        let newest = older.and_then(|it| self.links.get(&it)).is_none_or(|it| it.attempt < attempt);
        let room = older.is_some() || self.peers.len() + 1 < PEERS;
        if self.banned.contains(&peer) || !newest || !room {
            self.say(link, Frame::Bye { leaves: false });
            self.names.remove(&link);
            self.links.remove(&link);
            return;
        }
        if let Some(older) = older {
            self.end(older, true, None);
        }
        let now = millis(self.start);
        let fresh = || Link { peer, attempt, session: Session::new(now), open: true };
        self.links.entry(link).or_insert_with(fresh).open = true;
        self.peers.insert(peer, link);
        self.command(Command::Opened { peer, attempt });
        self.events.push_back(NetEvent::Up(peer));
    }

    /// Gives up a link for good, with a last word if it may still be heard.
    fn end(&mut self, link: LinkId, again: bool, last_word: Option<Frame<'_>>) {
        self.names.remove(&link);
        let Some(Link { peer, attempt, open, .. }) = self.links.remove(&link) else {
            return;
        };
        if let Some(frame) = last_word {
            self.say(link, frame);
        }
        if open {
            self.peers.remove(&peer);
            self.command(Command::Closed { peer, attempt, again });
            self.events.push_back(NetEvent::Down(peer));
        }
    }

    fn poll_time(&mut self, cx: &mut Context<'_>) -> bool {
        let Some(at) = self.links.values().map(|it| it.session.wake_at()).min() else {
            return false;
        };
        let now = millis(self.start);
        let timer = self.timer.get_or_insert_with(|| (at, delay(at, now)));
        if timer.0 != at {
            *timer = (at, delay(at, now));
        }
        if timer.1.poll_unpin(cx).is_pending() && now < at {
            return false;
        }
        self.timer = None;
        let silent: Vec<LinkId> =
            self.links.iter_mut().filter_map(|(link, it)| it.session.tick(now).then_some(*link)).collect();
        for link in silent {
            self.end(link, true, Some(Frame::Bye { leaves: false }));
        }
        self.transmit_all();
        true
    }

    fn transmit_all(&mut self) {
        let open: Vec<LinkId> = self.peers.values().copied().collect();
        for link in open {
            self.transmit(link);
        }
    }

    fn transmit(&mut self, link: LinkId) {
        let (Some(wires), Some(live)) = (&self.wires, self.links.get_mut(&link)) else {
            return;
        };
        while let Some((lane, bytes)) = live.session.next_packet() {
            self.counters.sent += bytes.len() as u64;
            let channel = if lane == Lane::Control { &wires.control.0 } else { &wires.bulk.0 };
            // A closed channel is reported by its other end.
            let _ = channel.unbounded_send((link, bytes.into()));
        }
    }

    fn say(&mut self, link: LinkId, frame: Frame<'_>) {
        if let Some(wires) = &self.wires {
            let _ = wires.control.0.unbounded_send((link, frame.encode().into()));
        }
    }

    fn command(&self, command: Command) {
        if let Some(wires) = &self.wires {
            let _ = wires.commands.unbounded_send(command);
        }
    }

    fn dropped(&mut self, from: Option<PeerId>, reason: &'static str) {
        self.events.push_back(NetEvent::Dropped { from, reason });
    }

    fn link_of(&self, peer: PeerId, attempt: u32) -> Option<LinkId> {
        let link = self.peers.get(&peer)?;
        (self.links.get(link)?.attempt == attempt).then_some(*link)
    }

    /// matchbox's message loop is gone, and every connection with it. It should not happen; it is mended by another.
    fn wires_lost(&mut self) {
        tracing::error!("the WebRTC loop ended; starting another");
        self.wires = None;
        self.names.clear();
        self.links.clear();
        self.events.extend(std::mem::take(&mut self.peers).into_keys().map(NetEvent::Down));
        self.restart = Some(Delay::new(Duration::from_millis(RESTART_MS)));
    }

    fn poll_restart(&mut self, cx: &mut Context<'_>) -> bool {
        let due = self.restart.as_mut().is_some_and(|it| it.poll_unpin(cx).is_ready());
        if due {
            self.restart = None;
            match connect(&self.options, &mut self.random) {
                Ok(wires) => self.wires = Some(wires),
                Err(error) => tracing::error!(%error, "no network"),
            }
        }
        self.wires.is_some()
    }
}

impl Transport for WebRtc {
    fn next(&mut self) -> impl Future<Output = NetEvent> {
        poll_fn(|cx| self.poll_event(cx))
    }

    fn send(&mut self, to: PeerId, lane: Lane, bytes: Vec<u8>) -> Result<(), SendError> {
        let link = *self.peers.get(&to).ok_or(SendError::NotConnected)?;
        let live = self.links.get_mut(&link).ok_or(SendError::NotConnected)?;
        live.session.send(lane, bytes)?;
        self.transmit(link);
        Ok(())
    }

    fn leave(&mut self) {
        let open: Vec<LinkId> = self.peers.values().copied().collect();
        for link in open {
            self.say(link, Frame::Bye { leaves: true });
        }
        self.peers.clear();
        self.links.clear();
        self.events.clear();
        self.restart = None;
        if let Some(wires) = self.wires.take() {
            let linger = async move {
                Delay::new(Duration::from_millis(FAREWELL_MS)).await;
                drop(wires);
            };
            if let Err(error) = spawn(linger) {
                tracing::debug!(%error, "left without waiting");
            }
        }
    }

    fn counters(&self) -> Counters {
        self.counters
    }
}

impl Drop for WebRtc {
    fn drop(&mut self) {
        self.leave();
    }
}

fn delay(at: u64, now: u64) -> Delay {
    Delay::new(Duration::from_millis(at.saturating_sub(now)))
}
