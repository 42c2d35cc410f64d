//! The swarm beside the coordinator: what it asks for goes to peers and to the keeper of weights, what comes of it to the view.

use super::Node;
use super::view::Weights;
use crate::clock;
use crate::compute::swarm::{Errand, News};
use crate::compute::{Compute, Request};
use crate::transport::Transport;
use coordinator::io::Lane;
use coordinator::swarm::{Content, Event, Input, Message, Output, Source};
use coordinator::{PeerId, wire};
use std::collections::BTreeSet;

/// Milliseconds after an activation in which the next one is expected, as long as something is being computed. Source: guess;
/// a round through a room.
const BUSY_MS: u64 = 2_000;

/// What keeps the line from weights: activations on their way.
///
/// It holds while a chunk runs here. Between two tokens none does, and a block or two leave: natively on two cores an answer of two
/// stages took 2.4 times as long (median of five) beside a fetch at full rate (`weights_give_way_to_an_answer` in `tests/weights.rs`).
#[derive(Debug, Default)]
pub struct Line {
    /// Chunks at the worker.
    running: u32,
    /// When an activation went by last, in ms.
    latest: Option<u64>,
    busy: bool,
}

impl Line {
    /// A chunk is with the worker.
    pub const fn runs(&mut self) {
        self.running = self.running.saturating_add(1);
    }

    /// A chunk is done.
    pub const fn ran(&mut self) {
        self.running = self.running.saturating_sub(1);
    }

    /// The worker is gone, with all of them.
    pub const fn lost(&mut self) {
        self.running = 0;
    }

    /// A message comes or goes.
    pub fn passed(&mut self, bytes: &[u8]) {
        if wire::is_activation(bytes) {
            self.latest = Some(clock::now().0);
        }
    }

    /// Whether it is busy now, if that changed.
    fn changed(&mut self, now: u64) -> Option<bool> {
        let recent = self.latest.is_some_and(|latest| now.saturating_sub(latest) < BUSY_MS);
        let busy = self.running > 0 && recent;
        (std::mem::replace(&mut self.busy, busy) != busy).then_some(busy)
    }
}

impl<T: Transport, C: Compute> Node<T, C> {
    /// Hands something to the swarm, and does what it says.
    pub(super) fn swarm(&mut self, input: Input) {
        for output in self.swarm.handle(clock::now(), input) {
            match Errand::try_from(output) {
                Ok(errand) => self.compute.ask(Request::Swarm(errand)),
                Err(Output::Send { to, message }) => self.say(to, message),
                Err(Output::Event(event)) => self.on_swarm(event),
                Err(_) => {}
            }
        }
    }

    /// Tells the swarm whether activations are on their way.
    pub(super) fn watch_line(&mut self) {
        if let Some(busy) = self.line.changed(clock::now().0) {
            self.swarm(Input::Busy(busy));
        }
    }

    /// A message about weights came.
    pub(super) fn on_weights(&mut self, from: PeerId, bytes: &[u8]) {
        match wire::decode(bytes) {
            Ok(wire::Message::Swarm(message)) => {
                let content = message.content();
                self.swarm(Input::Received { from, message });
                self.count_others(content);
            }
            Ok(_) => {}
            Err(error) => self.board.dropped(error.to_string()),
        }
    }

    /// The keeper says something.
    pub(super) fn on_news(&mut self, news: News) {
        match news {
            News::Input(input) => {
                match &input {
                    Input::Open { content, numbers, .. } => self.board.weights(*content, |one| {
                        (one.open, one.numbers) = (true, *numbers);
                    }),
                    Input::Close(content) => self.board.weights(*content, Weights::close),
                    _ => {}
                }
                self.swarm(input);
            }
            News::Block { to, content, number, bytes } => {
                let length = bytes.as_ref().map(|bytes| bytes.len() as u32);
                if let Some(bytes) = bytes {
                    self.say(to, Message::Block { content, number, bytes: bytes.into_vec() });
                }
                self.swarm(Input::Served { to, content, number, bytes: length });
            }
            News::Root { to, content, bytes } => self.say(to, Message::Root { content, bytes }),
            News::About { content, about } => self.board.weights(content, |one| one.about = Some(about)),
            News::Progress { content, progress } => {
                self.board.weights(content, |one| one.progress = progress);
                self.count_others(content);
            }
            News::Kept(usage) => self.board.kept(usage),
        }
    }

    /// What the others have of a content that is open here.
    fn count_others(&mut self, content: Content) {
        if self.board.view().weights.iter().any(|one| one.open && one.content == content) {
            let counted = self.swarm.others(content);
            self.board.weights(content, |one| (one.others, one.covered) = counted);
        }
    }

    /// The worker is gone, and its keeper with it: what is open is opened again by the next one.
    pub(super) fn close_weights(&mut self) {
        self.line.lost();
        let open = self.board.view().weights.iter().filter(|one| one.open).map(|one| one.content);
        for content in open.collect::<Vec<Content>>() {
            self.on_news(News::Input(Input::Close(content)));
        }
    }

    fn say(&mut self, to: PeerId, message: Message) {
        let lane: Lane = message.lane();
        let bytes = wire::encode(&wire::Message::Swarm(message));
        if let Err(error) = self.transport.send(to, lane, bytes) {
            self.not_sent(error);
        }
    }

    fn on_swarm(&mut self, event: Event) {
        match event {
            Event::Held { content, peers } => self.board.weights(content, |one| one.peers = peers),
            Event::Got { content, from, bytes, .. } => {
                self.board.weights(content, |one| one.got(from, bytes.into()));
            }
            Event::Complete(_) => {}
            Event::Lied { source, content, .. } => {
                let who = self.source_name(source);
                self.board.weights(content, |one| one.liars.insert(who.clone()));
                self.board.notice(format!(
                    "{who} sent weights that are not what they should be. Nothing of it was used, and nothing more is taken from there."
                ));
            }
            Event::Stalled { source, .. } => {
                self.board.dropped(format!("{} sends no weights for a while", self.source_name(source)));
            }
            Event::Failed { reason, .. } => self.board.trouble(reason),
            Event::NoRoom(content) => {
                self.board.weights(content, |one| one.no_room = true);
                self.board.trouble(
                    "There is no room for more weights in this device's storage: allow more, or clear what is there."
                        .into(),
                );
            }
            Event::Dropped { reason, .. } => self.board.dropped(reason.into()),
        }
    }

    fn source_name(&self, source: Source) -> String {
        match source {
            Source::Peer(peer) => self.board.name_of(peer),
            Source::Origin(_) => "The place that this model comes from".into(),
        }
    }
}

impl Weights {
    /// A content of which nothing is known yet.
    pub(crate) fn new(content: Content) -> Self {
        Self {
            content,
            about: None,
            open: false,
            peers: 0,
            numbers: 0,
            others: Default::default(),
            covered: 0,
            progress: Default::default(),
            from_origin: 0,
            from_peers: Default::default(),
            liars: BTreeSet::new(),
            no_room: false,
        }
    }

    fn got(&mut self, from: Source, bytes: u64) {
        self.no_room = false;
        match from {
            Source::Peer(peer) => *self.from_peers.entry(peer).or_default() += bytes,
            Source::Origin(_) => self.from_origin += bytes,
        }
    }

    fn close(&mut self) {
        let before = std::mem::replace(self, Self::new(self.content));
        (self.about, self.peers, self.liars) = (before.about, before.peers, before.liars);
    }

    /// Whether there is nothing to show any more.
    pub(super) const fn is_over(&self) -> bool {
        !self.open && self.peers == 0
    }
}
