//! A native peer inside the test, whose view the test can read.

use anyhow::{Context, Result, bail};
use app::compute::Means;
use app::compute::native::NativeCompute;
use app::link::RoomLink;
use app::node::view::{Ask, Card, View, WriteRequest};
use app::node::{Alone, Node, Setup};
use app::painting::PaintRequest;
use app::sampling::Sampling;
use app::transport::{IceServers, JoinOptions, Transport, WebRtc};
use coordinator::PeerId;
use coordinator::wire::Team;
use futures::channel::mpsc::{UnboundedSender, unbounded};
use std::path::Path;
use std::time::Duration;
use tokio::sync::watch;

/// Nothing in these tests may take longer; it is a bound, not a measure.
pub const LIMIT: Duration = Duration::from_secs(120);

/// The files of a request's pictures.
#[must_use]
pub fn files(card: &Card) -> Vec<Vec<u8>> {
    let pictures = card.painting.iter().flat_map(|painting| &painting.pictures);
    pictures.filter_map(|picture| picture.image.as_ref()).map(|image| image.png.clone()).collect()
}

/// A node on a thread of its own.
pub struct Peer {
    /// Its id.
    pub me: PeerId,
    asks: UnboundedSender<Ask>,
    views: watch::Receiver<Option<View>>,
}

impl Peer {
    /// A peer without a room.
    pub fn alone(id: u128, model: &Path) -> Self {
        Self::start(PeerId(id), means(&model.to_string_lossy()), || Alone)
    }

    /// A peer that joins the room of `link`.
    pub fn join(id: u128, link: &str, model: &Path) -> Result<Self> {
        Self::join_with(id, link, means(&model.to_string_lossy()))
    }

    /// The same with means of its own.
    pub fn join_with(id: u128, link: &str, means: Means) -> Result<Self> {
        let options =
            JoinOptions { link: RoomLink::parse(link)?, me: PeerId(id), ice: IceServers::default() };
        let join = || WebRtc::join(options).expect("a thread and random numbers");
        Ok(Self::start(PeerId(id), means, join))
    }

    fn start<T: Transport>(me: PeerId, means: Means, transport: impl FnOnce() -> T + Send + 'static) -> Self {
        let (asks, incoming) = unbounded();
        let (publish, views) = watch::channel(None);
        std::thread::spawn(move || {
            let runtime =
                tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
            let local = tokio::task::LocalSet::new();
            local.block_on(&runtime, async {
                let setup = Setup { me, name: format!("test {me}"), room: "test".into(), seed: me.0 as u64 };
                let node = Node::new(setup, transport(), NativeCompute::start(means, false, 1));
                node.run(incoming, |view| {
                    publish.send_replace(Some(view.clone()));
                })
                .await;
            });
        });
        Self { me, asks, views }
    }

    /// Asks the node.
    pub fn ask(&self, ask: Ask) {
        let _ = self.asks.unbounded_send(ask);
    }

    /// Waits until the view satisfies `wanted`.
    pub async fn until(&mut self, what: &str, wanted: impl Fn(&View) -> bool) -> Result<View> {
        let wait = async {
            loop {
                if let Some(view) = self.views.borrow_and_update().as_ref().filter(|view| wanted(view)) {
                    return Ok(view.clone());
                }
                self.views.changed().await.context("the node ended")?;
            }
        };
        match tokio::time::timeout(LIMIT, wait).await {
            Ok(found) => found,
            Err(_) => bail!("{what} did not happen; the view is {:#?}", self.views.borrow()),
        }
    }

    /// Waits until one team of `stages` peers, of `peers` in the room, answers.
    pub async fn until_room(&mut self, peers: usize, stages: usize) -> Result<View> {
        let what = format!("a room of {peers} with {stages} stages");
        self.until(&what, |view| {
            let split = |team: &Team| team.serves && team.stages.len() == stages;
            view.peers.peers.len() == peers && matches!(view.teams(), [team] if split(team))
        })
        .await
    }

    /// Asks for pictures and waits until they are painted.
    pub async fn paint(&mut self, request: &PaintRequest) -> Result<Card> {
        let before = self.views.borrow().as_ref().map_or(0, |view| view.cards.len());
        self.ask(Ask::Paint(request.clone()));
        self.until_painted(before + 1).await
    }

    /// Waits until there are so many requests, and the pictures of the last are painted.
    pub async fn until_painted(&mut self, requests: usize) -> Result<Card> {
        let whole = |card: &Card| {
            let painting = card.painting.as_ref();
            card.end.is_some() && painting.is_some_and(|it| it.pictures.iter().all(|picture| picture.whole))
        };
        let all = |view: &View| view.cards.len() == requests && view.cards.last().is_some_and(whole);
        let view = self.until("the end of the pictures", all).await?;
        view.cards.last().cloned().context("pictures")
    }

    /// Waits until the newest answer that this peer asked for has ended.
    pub async fn until_written(&mut self) -> Result<Card> {
        let newest = |view: &View| view.cards.iter().rfind(|card| card.mine).cloned();
        let ended = |view: &View| newest(view).is_some_and(|card| card.end.is_some());
        let view = self.until("the end of the answer", ended).await?;
        newest(&view).context("an answer")
    }
}

/// A model of a peer that keeps weights in memory.
#[must_use]
pub fn means(model: &str) -> Means {
    Means { chosen: Some(model.to_owned()), ..Means::default() }
}

/// A request whose answer is long enough to lose somebody in the middle.
#[must_use]
pub fn request(seed: u64) -> WriteRequest {
    // The penalty makes each token depend on those before it, which whoever draws it has to know.
    let sampling = Sampling { seed, repetition: 1.05, ..Sampling::default() };
    WriteRequest {
        prompt: "Once upon a time, there was".into(),
        max_new: 120,
        sampling,
        ..WriteRequest::default()
    }
}

/// What one peer alone writes for a request.
pub async fn solo(model: &Path, request: &WriteRequest) -> Result<Card> {
    let mut peer = Peer::alone(0x50_10, model);
    peer.until("the worker", |view| view.model.is_some()).await?;
    peer.ask(Ask::Write(request.clone()));
    peer.until_written().await
}
