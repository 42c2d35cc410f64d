//! The one driver loop: transport, compute worker and person on one side, the coordinator on the other.
//!
//! ```text
//!            Ask ┐                      ┌ View (for the face)
//!   NetEvent ────┼──▶ Node::run ──▶ Coordinator::handle ──▶ Outputs: send, load, run, event
//!     Report ────┘      │  one turn per thing that happened, then sleep until `wake_at`
//! ```
//! The swarm stands beside the coordinator (`weights.rs`): messages about weights go to it, and what it wants goes to the keeper
//! of weights in the worker.
//!
//! It decides nothing. What it adds to the coordinator is translation: text to tokens and back (asked of the
//! worker), events to the [`View`] that a face draws.

mod adapting;
mod alone;
mod board;
pub mod view;
mod weights;

pub use alone::Alone;

use crate::clock;
use crate::compute::swarm::Errand;
use crate::compute::{Compute, ModelSource, Report, Request};
use crate::transport::{NetEvent, SendError, SignalingState, Transport};
use board::{Board, Computing};

use crate::painting::PaintRequest;
use coordinator::io::{Command, Event, Input, Output, PictureWork, Shape, TextWork, Work};
use coordinator::swarm::{self, Swarm};
use coordinator::{Config, Coordinator, PeerId, wire};
use futures::channel::mpsc::UnboundedReceiver;
use futures::{FutureExt, StreamExt, select};
use std::collections::BTreeMap;
use view::{Ask, SignalingStatus, View, WriteRequest};
use weights::Line;

/// Prompts that wait for the tokenizer. Source: guess; a person types one at a time.
const PROMPTS_WAITING: usize = 16;

/// For the goodbye to reach the others before a program ends. Source: guess; a slow round trip.
const FAREWELL_MS: u64 = 400;

/// Everything that differs between one node and another.
pub struct Setup {
    /// This peer's id, random.
    pub me: PeerId,
    /// The person's name.
    pub name: String,
    /// The room's name.
    pub room: String,
    /// For the coordinator's jitter.
    pub seed: u64,
}

/// One peer: see the module.
pub struct Node<T, C> {
    transport: T,
    compute: C,
    coordinator: Coordinator,
    swarm: Swarm,
    line: Line,
    board: Board,
    /// Prompts at the tokenizer, by ticket.
    encoding: BTreeMap<u32, WriteRequest>,
    /// Pictures whose settings the worker looks at, by ticket.
    ordering: BTreeMap<u32, PaintRequest>,
    tickets: u32,
    /// Other adapters, on their way.
    adapting: Option<adapting::Stage>,
    /// Prompts that were encoded while the model changed.
    late: Vec<(u32, Result<Vec<u32>, String>)>,
    leaving: bool,
}

impl<T: Transport, C: Compute> Node<T, C> {
    /// A node that has not met anybody yet. `compute` has been asked to boot.
    pub fn new(setup: Setup, transport: T, compute: C) -> Self {
        let config = Config { me: setup.me, name: setup.name, seed: setup.seed };
        Self {
            transport,
            compute,
            coordinator: Coordinator::new(config, clock::now()),
            swarm: Swarm::new(setup.me, clock::now()),
            line: Line::default(),
            board: Board::new(setup.me, setup.room),
            encoding: BTreeMap::new(),
            ordering: BTreeMap::new(),
            tickets: 0,
            adapting: None,
            late: Vec::new(),
            leaving: false,
        }
    }

    /// Runs until the person leaves or `asks` is closed. `on_view` is called after every turn that changed
    /// something to show.
    pub async fn run(mut self, mut asks: UnboundedReceiver<Ask>, mut on_view: impl FnMut(&View)) {
        self.handle(Input::Tick);
        while !self.leaving {
            self.board.counters(self.transport.counters());
            if self.board.take_dirty() {
                on_view(self.board.view());
            }
            self.watch_line();
            self.change_if_idle();
            let wake = [self.coordinator.wake_at(), self.swarm.wake_at()].into_iter().flatten().min();
            select! {
                ask = asks.next() => match ask {
                    Some(ask) => self.on_ask(ask),
                    None => self.leaving = true,
                },
                event = self.transport.next().fuse() => self.on_net(event),
                report = self.compute.next().fuse() => self.on_report(report),
                () = clock::sleep_until(wake).fuse() => self.tick(),
            }
        }
        self.transport.leave();
        clock::sleep(FAREWELL_MS).await;
    }

    /// Time passed, for whom it is due. With nothing due, the line may have become quiet.
    fn tick(&mut self) {
        let now = clock::now();
        if self.swarm.wake_at().is_some_and(|at| at <= now) {
            self.swarm(swarm::Input::Tick);
        }
        if self.coordinator.wake_at().is_none_or(|at| at <= now) {
            self.handle(Input::Tick);
        }
    }

    fn on_ask(&mut self, ask: Ask) {
        match ask {
            Ask::Write(request) => self.encode(request),
            Ask::Paint(request) => self.order(request),
            Ask::Stop(job) => self.handle(Input::Command(Command::Stop(job))),
            Ask::Rename(name) => self.handle(Input::Command(Command::Rename(name))),
            Ask::Share(on) => self.handle(Input::Command(Command::Share(on))),
            Ask::Vitals(vitals) => self.handle(Input::Command(Command::Vitals(vitals))),
            Ask::Spread(spread) => self.handle(Input::Command(Command::Spread(spread))),
            Ask::Open(model) => self.open(model),
            Ask::Adapt(adapters) => self.adapt(adapters),
            Ask::Sharing(sharing) => {
                self.board.sharing(sharing);
                self.swarm(swarm::Input::Sharing(sharing));
            }
            Ask::Pause(paused) => {
                self.board.paused(paused);
                self.swarm(swarm::Input::Pause(paused));
            }
            Ask::Allow(quota) => self.compute.ask(Request::Swarm(Errand::Allow(quota))),
            Ask::Clear => self.compute.ask(Request::Swarm(Errand::Clear)),
            Ask::Leave => self.leaving = true,
        }
    }

    fn on_net(&mut self, event: NetEvent) {
        match event {
            NetEvent::Up(peer) => {
                self.handle(Input::PeerUp(peer));
                self.swarm(swarm::Input::PeerUp(peer));
            }
            NetEvent::Down(peer) => {
                self.handle(Input::PeerDown(peer));
                self.swarm(swarm::Input::PeerDown(peer));
            }
            NetEvent::Message { from, bytes } if wire::is_swarm(&bytes) => self.on_weights(from, &bytes),
            NetEvent::Message { from, bytes } => {
                self.line.passed(&bytes);
                self.handle(Input::Received { from, bytes });
            }
            NetEvent::Signaling(state) => self.board.signaling(status(state)),
            NetEvent::Dropped { reason, .. } => self.board.dropped(reason.into()),
        }
    }

    fn on_report(&mut self, report: Report) {
        match report {
            Report::Progress { what, done, total } => {
                self.board.loading(what, done, total);
                self.handle(Input::Working);
            }
            Report::Working => self.handle(Input::Working),
            Report::Ready { adapter, notice, capability, offers, chat, easel, plain, worn } => {
                let device = Computing { device: capability.device, adapter, notice };
                self.board.ready(device, &offers, chat, easel, (plain, worn.clone()));
                self.handle(Input::ComputeReady { capability, offers });
                for request in self.board.decode_everything() {
                    self.compute.ask(request);
                }
                self.ready_with(&worn);
            }
            Report::Fits(adapters) => self.fits(&adapters),
            Report::FitsNot(adapters, why) => self.fits_not(&adapters, why),
            Report::Failed(why) => {
                self.close_weights();
                self.board.compute_failed(why.clone());
                self.handle(Input::ComputeLost(why));
            }
            Report::Lost(why) => {
                self.close_weights();
                self.handle(Input::ComputeLost(why));
            }
            Report::Loaded(part) => {
                self.board.fetched();
                self.handle(Input::Loaded(part));
            }
            Report::LoadFailed(part, why) => {
                self.board.fetched();
                self.handle(Input::LoadFailed(part, why));
            }
            Report::Ran { job, lease, number, result } => {
                self.line.ran();
                self.handle(Input::Ran { job, lease, number, result })
            }
            Report::Swarm(news) => self.on_news(news),
            Report::Encoded { ticket, tokens } => self.submit(ticket, tokens),
            Report::Ordered { ticket, shape } => self.submit_pictures(ticket, shape),
            Report::Image { job, unit, whole, image } => {
                let next = self.board.image(job, unit, whole, image);
                next.into_iter().for_each(|request| self.compute.ask(request));
            }
            Report::Text { job, restart, text, last, stopped } => {
                self.board.text(job, restart, &text, last);
                if stopped && !last {
                    self.handle(Input::Command(Command::Finish(job)));
                }
            }
        }
    }

    /// What ran here is written on by others, if there are any.
    fn open(&mut self, model: Option<ModelSource>) {
        self.close_weights();
        // They change the model that was here.
        self.adapting = None;
        self.late.clear();
        self.board.opening(model.clone());
        self.handle(Input::ComputeLost("it opens another model".into()));
        self.compute.open(model);
        // Prompts that waited for the old one wait for the new one.
        for (&ticket, request) in &self.encoding {
            let (prompt, sampling) = (self.board.prompt(request), request.sampling.clone());
            self.compute.ask(Request::Encode { ticket, prompt, sampling });
        }
        for (&ticket, request) in &self.ordering {
            self.compute.ask(Request::Order { ticket, request: request.clone() });
        }
    }

    fn encode(&mut self, request: WriteRequest) {
        if !self.has_room() {
            return;
        }
        let (prompt, sampling) = (self.board.prompt(&request), request.sampling.clone());
        self.compute.ask(Request::Encode { ticket: self.tickets, prompt, sampling });
        self.encoding.insert(self.tickets, request);
    }

    /// Whether another prompt may wait; it gets the next ticket then.
    fn has_room(&mut self) -> bool {
        let room = self.encoding.len() + self.ordering.len() < PROMPTS_WAITING;
        if room {
            self.tickets = self.tickets.wrapping_add(1);
        } else {
            self.board
                .notice("Too many prompts wait for this device to be ready; try again in a moment.".into());
        }
        room
    }

    fn order(&mut self, request: PaintRequest) {
        if self.has_room() {
            self.compute.ask(Request::Order { ticket: self.tickets, request: request.clone() });
            self.ordering.insert(self.tickets, request);
        }
    }

    fn submit_pictures(&mut self, ticket: u32, shape: Result<Shape, String>) {
        let Some(request) = self.ordering.remove(&ticket) else { return };
        match shape {
            Ok(shape) => {
                let work = Work::Picture(PictureWork { shape, settings: request.to_bytes() });
                let model = self.board.view().painter.as_ref().map(|painter| painter.id);
                self.handle(Input::Command(Command::Submit { model, text: request.prompt, work }));
            }
            Err(why) => self.board.notice(why),
        }
    }

    fn submit(&mut self, ticket: u32, tokens: Result<Vec<u32>, String>) {
        // Nobody could write for the model that is about to go; the next one has the same tokens.
        if matches!(self.adapting, Some(adapting::Stage::Changing)) {
            return self.late.push((ticket, tokens));
        }
        let Some(request) = self.encoding.remove(&ticket) else { return };
        match tokens {
            Ok(prompt) => {
                let (sampling, max_new) = (request.sampling.to_bytes(), request.max_new);
                let work = Work::Text(TextWork { prompt, max_new, sampling });
                // Token ids mean something only to the model whose tokenizer made them.
                let model = self.board.view().model.as_ref().map(|model| model.id);
                let text = request.prompt.clone();
                self.board.submits(Some(request));
                self.handle(Input::Command(Command::Submit { model, text, work }));
                self.board.submits(None);
            }
            Err(why) => self.board.notice(why),
        }
    }

    fn handle(&mut self, input: Input) {
        for output in self.coordinator.handle(clock::now(), input) {
            match output {
                Output::Send { to, lane, bytes } => {
                    self.line.passed(&bytes);
                    if let Err(error) = self.transport.send(to, lane, bytes) {
                        self.not_sent(error);
                    }
                }
                Output::Load(part) => self.compute.ask(Request::Load(part)),
                Output::Unload(part) => self.compute.ask(Request::Unload(part)),
                Output::Run(chunk) => {
                    self.line.runs();
                    self.compute.ask(Request::Run(chunk));
                }
                Output::Forget(job, lease) => self.compute.ask(Request::Forget(job, lease)),
                Output::Event(event) => self.on_event(event),
            }
        }
    }

    /// The coordinator's leases cover what is lost here; a person sees it in the details.
    fn not_sent(&mut self, error: SendError) {
        self.board.dropped(format!("not sent: {error}"));
    }

    fn on_event(&mut self, event: Event) {
        for request in self.board.event(event) {
            self.compute.ask(request);
        }
    }
}

fn status(state: SignalingState) -> SignalingStatus {
    match state {
        SignalingState::Connecting => SignalingStatus::Connecting,
        SignalingState::Open => SignalingStatus::Open,
        SignalingState::Lost { retry_ms } => SignalingStatus::Lost { retry_ms },
        SignalingState::Refused(why) => SignalingStatus::Refused(why),
    }
}

#[cfg(test)]
mod tests;
