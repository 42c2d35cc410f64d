//! The driver loop with a worker of a few lines: one letter per token, one layer, no neural network.

use super::Alone;
use super::board::Board;
use super::view::{Ask, Card, ComputeStatus, View, WriteRequest};
use super::{Node, Setup};
use crate::compute::{Compute, Means, ModelSource, Report, Request, Worn};
use coordinator::io::{
    Capability, Chunk, ChunkOutput, Device, End, Event, Job, Kind, ModelSpec, Offer, Rows, Speed, Task,
    TextWork, Work,
};
use coordinator::{JobId, ModelId, PeerId};
use futures::channel::mpsc::unbounded;
use std::collections::VecDeque;

/// The token that ends a text.
const END: u32 = 0;

/// The token whose text ends an answer, if the toy is told so.
const STOP: u32 = 10;

/// Counts down from the last token: "3" is answered by 2, 1, end.
#[derive(Default)]
struct Toy {
    reports: VecDeque<Report>,
    deaths: u32,
    runs: u32,
    /// Whether a text ends at `STOP`.
    stops: bool,
}

#[async_trait::async_trait(?Send)]
impl Compute for Toy {
    fn ask(&mut self, request: Request) {
        match request {
            Request::Boot { .. } => self.reports.push_back(ready()),
            Request::Load(part) => self.reports.push_back(Report::Loaded(part)),
            Request::Run(chunk) => {
                self.runs += 1;
                if self.deaths > 0 && self.runs == 2 {
                    self.deaths -= 1;
                    self.reports.push_back(Report::Lost("the test pulled the plug".into()));
                    self.reports.push_back(ready());
                    return;
                }
                let result = Ok(count_down(&chunk));
                let Chunk { job, lease, number, .. } = chunk;
                self.reports.push_back(Report::Ran { job, lease, number, result });
            }
            Request::Encode { ticket, prompt, .. } => {
                let tokens =
                    prompt.text.parse().map(|token| vec![token]).map_err(|_| "not a number".to_owned());
                self.reports.push_back(Report::Encoded { ticket, tokens });
            }
            Request::Begin { job, tokens, last, .. } => self.text(job, true, &tokens, last),
            Request::Decode { job, tokens, last } => self.text(job, false, &tokens, last),
            Request::Fit(adapters) => {
                self.reports.push_back(match adapters.iter().any(|(source, _)| source == "another model's") {
                    true => Report::FitsNot(adapters, "another model's: it has other shapes".into()),
                    false => Report::Fits(adapters),
                })
            }
            Request::Adapt(adapters) => self.reports.push_back(ready_with(&adapters)),
            Request::Unload(_) | Request::Forget(..) => {}
            // It does not paint.
            Request::Order { .. } | Request::Preview(_) | Request::Assemble(_) => {}
            // It has no weights.
            Request::Swarm(_) => {}
        }
    }

    fn open(&mut self, _: Option<ModelSource>) {
        self.reports.clear();
        self.reports.push_back(ready());
    }

    async fn next(&mut self) -> Report {
        match self.reports.pop_front() {
            Some(report) => report,
            None => futures::future::pending().await,
        }
    }
}

impl Toy {
    fn text(&mut self, job: JobId, restart: bool, tokens: &[u32], last: bool) {
        let shown = tokens.iter().take_while(|token| **token > STOP || !self.stops);
        let text = shown.map(|token| format!("{token} ")).collect();
        let stopped = self.stops && tokens.contains(&STOP);
        self.reports.push_back(Report::Text { job, restart, text, last, stopped });
    }
}

fn count_down(chunk: &Chunk) -> ChunkOutput {
    let Task::Pass { input: Rows::Tokens(tokens), sample, .. } = &chunk.task else {
        panic!("one stage sees tokens only")
    };
    let token = tokens.last().map_or(END, |last| last.saturating_sub(1));
    sample.as_ref().map_or(ChunkOutput::Nothing, |_| ChunkOutput::Token {
        token,
        end: token == END,
        note: Vec::new(),
    })
}

fn ready() -> Report {
    ready_with(&[])
}

/// The toy with adapters, each of which is another number in its name.
fn ready_with(adapters: &[(ModelSource, f32)]) -> Report {
    let worn = adapters.iter().map(|(source, weight)| Worn {
        source: source.clone(),
        weight: *weight,
        name: source.clone(),
        content: None,
        rank: 4,
        named: false,
    });
    let worn: Vec<Worn> = worn.collect();
    let model = ModelSpec {
        id: ModelId([7 + worn.len() as u8; 32]),
        name: "countdown".into(),
        kind: Kind::Text,
        layers: 1,
        layer_bytes: 1,
        ends_bytes: 1,
        context: 64,
        hidden_bytes: 4,
        block_bytes: 0,
        context_bytes: 0,
    };
    let capability = Capability { device: Device::Cpu, memory: 1 << 30 };
    let speed = Speed { layer_micros: 1, prefill_micros: 1, ..Speed::default() };
    Report::Ready {
        adapter: "toy".into(),
        notice: None,
        capability,
        offers: vec![Offer { model, speed }],
        chat: false,
        easel: None,
        plain: Some(ModelId([7; 32])),
        worn,
    }
}

fn request(prompt: &str) -> WriteRequest {
    WriteRequest { prompt: prompt.into(), max_new: 20, ..WriteRequest::default() }
}

/// Runs a node until `done` has seen what it wants, and returns the last view.
async fn until(toy: Toy, asks: Vec<Ask>, done: impl Fn(&View) -> bool) -> View {
    let setup = Setup { me: PeerId(1), name: "Red fox".into(), room: "r".into(), seed: 1 };
    let mut node = Node::new(setup, Alone, toy);
    node.compute.ask(Request::Boot { gpu: false, means: Means::default(), notice: None });
    let (sender, incoming) = unbounded();
    let mut asks = Some(asks);
    let mut last = None;
    node.run(incoming, |view| {
        if matches!(view.compute, ComputeStatus::Ready { .. }) {
            asks.take()
                .into_iter()
                .flatten()
                .for_each(|ask| sender.unbounded_send(ask).expect("the node listens"));
        }
        if done(view) {
            let _ = sender.unbounded_send(Ask::Leave);
        }
        last = Some(view.clone());
    })
    .await;
    last.expect("a view")
}

fn ended(view: &View) -> bool {
    view.cards.last().is_some_and(|card| card.end.is_some())
}

fn only_card(view: &View) -> &Card {
    assert_eq!(view.cards.len(), 1);
    &view.cards[0]
}

#[tokio::test]
async fn a_prompt_becomes_an_answer() {
    let view = until(Toy::default(), vec![Ask::Write(request("4"))], ended).await;
    let card = only_card(&view);
    assert_eq!(card.text, "3 2 1 ", "all tokens but the end, each once");
    assert_eq!((card.tokens, &card.end), (3, &Some(End::Finished)));
    assert_eq!(card.author, "Red fox");
    assert!(card.first_token_ms.is_some());
}

#[tokio::test]
async fn a_worker_that_dies_loses_nothing() {
    let toy = Toy { deaths: 1, ..Toy::default() };
    let view = until(toy, vec![Ask::Write(request("5"))], ended).await;
    assert_eq!(only_card(&view).text, "4 3 2 1 ");
    let said = view.notices.iter().filter(|(_, text)| text.contains("pulled the plug")).count();
    assert_eq!(said, 1, "{:?}", view.notices);
}

#[tokio::test]
async fn a_stop_text_ends_the_answer() {
    let toy = Toy { stops: true, ..Toy::default() };
    let view = until(toy, vec![Ask::Write(request("14"))], ended).await;
    let card = only_card(&view);
    assert_eq!((card.text.as_str(), &card.end), ("13 12 11 ", &Some(End::Finished)));
    assert!((4..13).contains(&card.tokens), "nothing more is written: {} tokens", card.tokens);
}

#[tokio::test]
async fn adapters_take_effect_between_two_answers_and_lose_none() {
    let wild = || vec![("wild".to_owned(), 0.5)];
    let asks = vec![Ask::Write(request("5")), Ask::Adapt(wild())];
    let changed = |view: &View| !view.adapters.worn.is_empty();
    let view = until(Toy::default(), asks, changed).await;
    let card = only_card(&view);
    assert_eq!((card.text.as_str(), &card.end), ("4 3 2 1 ", &Some(End::Finished)), "it ended before");
    let id = view.model.as_ref().map(|model| model.id);
    assert_eq!(id, Some(ModelId([8; 32])), "and another model is here");
    assert_eq!((view.adapters.wanted.clone(), crate::compute::asked(&view.adapters.worn)), (None, wild()));
    assert!(!card.foreign, "what the model wrote without it can be read still");
}

#[tokio::test]
async fn what_does_not_fit_changes_nothing_and_is_said() {
    let asks = vec![Ask::Adapt(vec![("another model's".into(), 1.0)]), Ask::Write(request("3"))];
    let said = |view: &View| view.notices.iter().any(|(_, text)| text.contains("other shapes"));
    let view = until(Toy::default(), asks, |view| said(view) && ended(view)).await;
    assert_eq!(only_card(&view).text, "2 1 ");
    assert_eq!((view.adapters.wanted, view.adapters.worn), (None, vec![]));
    assert_eq!(view.model.map(|model| model.id), Some(ModelId([7; 32])));
}

#[tokio::test]
async fn what_is_asked_while_the_model_changes_is_asked_of_the_new_one() {
    let asks = vec![Ask::Adapt(vec![("wild".into(), 1.0)]), Ask::Write(request("4"))];
    let done = |view: &View| ended(view) && !view.adapters.worn.is_empty();
    let view = until(Toy::default(), asks, done).await;
    assert_eq!((only_card(&view).text.as_str(), only_card(&view).foreign), ("3 2 1 ", false));
}

#[tokio::test]
async fn what_cannot_be_asked_is_said() {
    let said = |view: &View| view.notices.iter().any(|(_, text)| text.contains("not a number"));
    let view = until(Toy::default(), vec![Ask::Write(request("no number"))], said).await;
    assert!(view.cards.is_empty());
}

#[test]
fn a_follow_up_is_read_after_everything_before_it() {
    let (me, mut board) = (PeerId(1), Board::new(PeerId(1), "r".into()));
    let ask = |board: &mut Board, serial, request: WriteRequest, answer: &str| {
        let id = JobId { requester: me, serial };
        let work =
            Work::Text(TextWork { prompt: vec![1], max_new: 5, sampling: request.sampling.to_bytes() });
        let (author, text) = (String::new(), request.prompt.clone());
        board.submits(Some(request));
        board.event(Event::Job {
            job: Job { id, model: ModelId([7; 32]), author, text, work },
            tokens: vec![],
        });
        board.text(id, true, answer, false);
        id
    };
    let follow = |follows, prompt: &str| WriteRequest { follows, ..request(prompt) };
    let first = ask(&mut board, 1, request("one"), "1");
    ask(&mut board, 2, request("apart"), "0");
    let second = ask(&mut board, 3, follow(Some(first), "two"), "2");
    let read = board.prompt(&WriteRequest { system: "told".into(), ..follow(Some(second), "three") });
    let before: Vec<_> =
        read.before.iter().map(|turn| (turn.prompt.as_str(), turn.answer.as_str())).collect();
    assert_eq!(before, [("one", "1"), ("two", "2")]);
    assert_eq!((read.system.as_str(), read.text.as_str()), ("told", "three"));
    assert_eq!(board.prompt(&request("alone")).before, []);
}
