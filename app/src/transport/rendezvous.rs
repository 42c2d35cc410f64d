//! The task between the signaling server, matchbox's message loop and the driver.
//!
//! matchbox gives up when its signaller fails, so the signaller that it gets is two channel ends that never do.
//! Behind them this task keeps the line, and lets [`Introductions`] decide what passes.

use super::introductions::{Do, Introductions};
use super::limits::NOTES;
use super::line::{Event, Line};
use super::seal::{Random, Seal};
use super::{JoinOptions, SignalingState};
use async_trait::async_trait;
use coordinator::PeerId;
use futures::channel::mpsc::{self, Receiver, Sender, UnboundedReceiver, UnboundedSender};
use futures::{FutureExt, SinkExt, StreamExt};
use futures_timer::Delay;
use matchbox_socket::{PeerEvent, PeerRequest, SignalingError, Signaller, SignallerBuilder};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use uuid::Uuid;
use web_time::Instant;

/// What the task tells the driver.
#[derive(Debug)]
pub enum Note {
    /// Whose a link is; always before the link opens.
    Link { link: Uuid, peer: PeerId, attempt: u32 },
    /// The other side has lost this attempt.
    Retire { peer: PeerId, attempt: u32 },
    /// The server says that this peer left it.
    Doubt(PeerId),
    /// The line's state.
    Signaling(SignalingState),
    /// Something was dropped.
    Dropped { from: Option<PeerId>, reason: &'static str },
}

/// What the driver tells the task.
#[derive(Debug)]
pub enum Command {
    /// The channels of an attempt opened.
    Opened { peer: PeerId, attempt: u32 },
    /// They closed; `again` if the peer is wanted back.
    Closed { peer: PeerId, attempt: u32, again: bool },
    /// Never again.
    Ban(PeerId),
}

/// The ends of the task's channels that others hold.
pub struct Ends {
    pub builder: Arc<dyn SignallerBuilder>,
    pub notes: Receiver<Note>,
    pub commands: UnboundedSender<Command>,
}

/// The task; see [`Rendezvous::run`].
pub struct Rendezvous {
    introductions: Introductions,
    line: Line,
    notes: Sender<Note>,
    commands: UnboundedReceiver<Command>,
    events: UnboundedSender<PeerEvent>,
    requests: UnboundedReceiver<PeerRequest>,
    start: Instant,
}

impl Rendezvous {
    /// A task that is not running yet, and what it is connected to.
    pub fn new(options: &JoinOptions, mut random: Random) -> (Self, Ends) {
        let (notes, notes_out) = mpsc::channel(NOTES);
        let (commands_in, commands) = mpsc::unbounded();
        let (events, events_out) = mpsc::unbounded();
        let (requests_in, requests) = mpsc::unbounded();
        let seal = Seal::new(options.link.key(), options.link.room());
        let line = Line::new(options.link.signaling_url(), Random::new(random.bytes()));
        let introductions = Introductions::new(options.me, seal, random);
        let bridge = Bridge { events: events_out, requests: requests_in };
        let builder = Arc::new(Builder(Mutex::new(Some(bridge))));
        // Its message loop wants to be told an id once; it is ours from the start.
        let _ = events.unbounded_send(PeerEvent::IdAssigned(Uuid::from_u128(options.me.0).into()));
        let task = Self { introductions, line, notes, commands, events, requests, start: Instant::now() };
        (task, Ends { builder, notes: notes_out, commands: commands_in })
    }

    /// Runs until the driver is gone.
    pub async fn run(mut self) {
        enum Happened {
            Line(Event),
            Request(Option<PeerRequest>),
            Command(Option<Command>),
            Time,
        }
        loop {
            let happened = futures::select! {
                event = self.line.next().fuse() => Happened::Line(event),
                request = self.requests.next() => Happened::Request(request),
                command = self.commands.next() => Happened::Command(command),
                () = sleep_until(self.start, self.introductions.wake_at()).fuse() => Happened::Time,
            };
            match happened {
                Happened::Line(event) => self.line_event(event).await,
                Happened::Request(Some(request)) => self.introductions.request(request),
                Happened::Command(Some(command)) => self.command(command),
                Happened::Request(None) | Happened::Command(None) => return,
                Happened::Time => {}
            }
            let now = self.now();
            self.introductions.tick(now);
            self.perform().await;
        }
    }

    async fn line_event(&mut self, event: Event) {
        let now = self.now();
        match event {
            Event::Text(text) => self.introductions.heard(now, &text),
            Event::Other => {
                let reason = "signaling server not understood";
                self.note(Note::Dropped { from: None, reason }).await;
            }
            Event::State(state) => {
                self.introductions.lost();
                self.note(Note::Signaling(state)).await;
            }
        }
    }

    fn command(&mut self, command: Command) {
        match command {
            Command::Opened { peer, attempt } => self.introductions.opened(peer, attempt),
            Command::Closed { peer, attempt, again } => {
                self.introductions.closed(self.now(), peer, attempt, again);
            }
            Command::Ban(peer) => self.introductions.ban(peer),
        }
    }

    async fn perform(&mut self) {
        while let Some(task) = self.introductions.next() {
            match task {
                Do::Say(text) => {
                    if let Some(Event::State(state)) = self.line.say(text).await {
                        self.introductions.lost();
                        self.note(Note::Signaling(state)).await;
                    }
                }
                Do::Matchbox(event) => _ = self.events.unbounded_send(event),
                Do::Name { link, peer, attempt } => self.note(Note::Link { link, peer, attempt }).await,
                Do::Retire { peer, attempt } => self.note(Note::Retire { peer, attempt }).await,
                Do::Doubt(peer) => self.note(Note::Doubt(peer)).await,
                Do::Open => self.note(Note::Signaling(SignalingState::Open)).await,
                Do::Reconnect => {
                    if let Event::State(state) = self.line.wait(None) {
                        self.note(Note::Signaling(state)).await;
                    }
                }
                Do::Dropped { from, reason } => self.note(Note::Dropped { from, reason }).await,
            }
        }
    }

    /// Waits while the driver has many unread; a driver that is gone ends the task by its command channel.
    async fn note(&mut self, note: Note) {
        let _ = self.notes.send(note).await;
    }

    fn now(&self) -> u64 {
        millis(self.start)
    }
}

/// Milliseconds since `start`.
pub fn millis(start: Instant) -> u64 {
    u64::try_from(start.elapsed().as_millis()).unwrap_or(u64::MAX)
}

/// Sleeps until `at` milliseconds after `start`; for ever without one.
pub async fn sleep_until(start: Instant, at: Option<u64>) {
    match at {
        Some(at) => Delay::new(Duration::from_millis(at.saturating_sub(millis(start)))).await,
        None => std::future::pending().await,
    }
}

struct Bridge {
    events: UnboundedReceiver<PeerEvent>,
    requests: UnboundedSender<PeerRequest>,
}

struct Builder(Mutex<Option<Bridge>>);

impl std::fmt::Debug for Builder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Builder")
    }
}

#[cfg_attr(not(target_arch = "wasm32"), async_trait)]
#[cfg_attr(target_arch = "wasm32", async_trait(?Send))]
impl SignallerBuilder for Builder {
    async fn new_signaller(&self, _: Option<u16>, _: String) -> Result<Box<dyn Signaller>, SignalingError> {
        let bridge = self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
        let bridge =
            bridge.ok_or_else(|| SignalingError::UserImplementationError("asked for twice".to_owned()))?;
        Ok(Box::new(bridge))
    }
}

#[cfg_attr(not(target_arch = "wasm32"), async_trait)]
#[cfg_attr(target_arch = "wasm32", async_trait(?Send))]
impl Signaller for Bridge {
    async fn send(&mut self, request: PeerRequest) -> Result<(), SignalingError> {
        // If the task is gone, so is the driver, and the message loop ends by itself.
        let _ = self.requests.unbounded_send(request);
        Ok(())
    }

    async fn next_message(&mut self) -> Result<PeerEvent, SignalingError> {
        match self.events.next().await {
            Some(event) => Ok(event),
            None => std::future::pending().await,
        }
    }
}
