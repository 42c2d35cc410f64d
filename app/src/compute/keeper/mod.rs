//! The keeper of weights: it opens models as contents, answers the swarm's errands, and has the blocks that models are read
//! from. It runs beside the engine, in the same worker.
//!
//! ```text
//!  swarm ──Errand──▶ errands: check, serve, fetch ──┐
//!        ◀──News───                                 ├── Keeper: store, origins, maps, what is wanted
//!  engine ──Files──▶ files: which blocks, bring, read┘
//! ```
//!
//! A model is a content if its source is `content:…`, or if a `manyhands.manifest` lies beside its files. What lies on a server
//! is fetched in blocks, by the swarm's word, and kept in the store. A person's own files are read where they are, and served
//! from there. Without a manifest a model is read as it always was, and nobody is told of it. The models that come with the program
//! are no contents either: everybody has them from the same place as the program itself, whose service worker keeps them.

mod errands;
mod files;
mod held;
mod map;
mod open;
mod room;

pub use files::Source;

use super::source::quantised;
use super::swarm::News;
use super::{Means, Report};
use crate::store::{BlockStore, Hash, StoreError, limits};
use coordinator::swarm::{Blocks, Content, Input};
use futures::channel::mpsc::{UnboundedReceiver, UnboundedSender, unbounded};
use held::Held;
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::future::{Future, poll_fn};
use std::rc::Rc;
use std::task::{Poll, Waker};

/// See the module.
pub struct Keeper<F, S> {
    store: S,
    /// Whether nobody else will ever come.
    alone: bool,
    /// Models that come with the program.
    shipped: Vec<String>,
    files: Box<dyn Fn(&str) -> F>,
    report: Rc<dyn Fn(Report)>,
    held: RefCell<BTreeMap<Content, Rc<Held<F>>>>,
    /// Roots that are wanted, and those that came.
    sought: RefCell<BTreeMap<Content, Option<Vec<u8>>>>,
    /// Blocks that the store had no room for, and somebody waits for.
    hot: RefCell<BTreeMap<(Content, u32), Vec<u8>>>,
    wakers: RefCell<Vec<Waker>>,
    /// Contents whose pins are to be set anew.
    pins: UnboundedSender<Content>,
    to_pin: Cell<Option<UnboundedReceiver<Content>>>,
    /// Blocks beyond those wanted that this device holds for the room.
    spare: Cell<u32>,
    /// Bytes that were kept since people were told how much is.
    untold: Cell<u64>,
}

impl<F, S: BlockStore> Keeper<F, S> {
    /// A keeper of what is in a store, for these means; `files` finds what lies beside a source.
    pub fn new(
        store: S,
        means: &Means,
        files: impl Fn(&str) -> F + 'static,
        report: Rc<dyn Fn(Report)>,
    ) -> Rc<Self> {
        let (pins, to_pin) = unbounded();
        let shipped = means.text.iter().chain(&means.pictures);
        let quota = means.keep.quota.unwrap_or(limits::QUOTA_BYTES);
        Rc::new(Self {
            store,
            alone: means.alone,
            shipped: shipped.map(|source| quantised(source).0.to_owned()).collect(),
            files: Box::new(files),
            report,
            held: RefCell::default(),
            sought: RefCell::default(),
            hot: RefCell::default(),
            wakers: RefCell::default(),
            pins,
            to_pin: Cell::new(Some(to_pin)),
            spare: Cell::new(spare(quota)),
            untold: Cell::new(0),
        })
    }

    fn tell(&self, news: News) {
        (self.report)(Report::Swarm(news));
    }

    fn input(&self, input: Input) {
        self.tell(News::Input(input));
    }

    fn content(&self, content: Content) -> Option<Rc<Held<F>>> {
        self.held.borrow().get(&content).cloned()
    }

    /// Resolves when `ready` says so; it is asked again whenever something came.
    fn until<T>(&self, mut ready: impl FnMut() -> Option<T>) -> impl Future<Output = T> {
        poll_fn(move |cx| match ready() {
            Some(value) => Poll::Ready(value),
            None => {
                let mut wakers = self.wakers.borrow_mut();
                if !wakers.iter().any(|waker| waker.will_wake(cx.waker())) {
                    wakers.push(cx.waker().clone());
                }
                Poll::Pending
            }
        })
    }

    fn wake(&self) {
        // One of them may look at once, and wait again.
        let wakers = self.wakers.take();
        wakers.into_iter().for_each(Waker::wake);
    }

    /// Says that these are needed, until what comes back is dropped.
    fn want(self: &Rc<Self>, held: &Rc<Held<F>>, blocks: Blocks) -> Wanted<F, S> {
        let ticket = held.want(blocks);
        self.told_wants(held);
        Wanted { keeper: self.clone(), held: held.clone(), ticket }
    }

    fn told_wants(&self, held: &Held<F>) {
        let (content, blocks) = (held.content, held.wanted());
        self.input(Input::Want { content, blocks });
        self.tell(News::Progress { content, progress: held.progress() });
        let _ = self.pins.unbounded_send(content);
    }

    /// Keeps what is wanted from being pushed out of the store.
    async fn pin(&self, content: Content) {
        let Some(held) = self.content(content).filter(|held| !held.own) else { return };
        let mut blocks: Vec<Hash> = held.wanted().iter().filter_map(|number| held.hash(number)).collect();
        // Without the root nobody finds the rest.
        blocks.extend((!blocks.is_empty()).then_some(Hash(content.0)));
        if let Err(error) = self.store.pin(Hash(content.0), &blocks).await {
            tracing::warn!(%error, "weights in use are not pinned");
        }
    }

    /// A block as it should be, from the store or from the person's own files; None if it is not there.
    async fn read(&self, held: &Held<F>, number: u32) -> Result<Option<Vec<u8>>, StoreError>
    where
        F: super::files::Files,
    {
        let Some(hash) = held.hash(number) else { return Ok(None) };
        if !held.own {
            return self.store.get(hash).await;
        }
        let bytes = held.fetch(number).await.ok();
        let right = bytes.as_ref().is_some_and(|bytes| Hash::of(bytes) == hash);
        if !right {
            let why = held.spoiled(number);
            tracing::warn!("{why}");
        }
        Ok(bytes.filter(|_| right))
    }

    /// Why waiting for more of a content is in vain: it does not come from where it lies, and nobody else is there.
    fn in_vain(&self, held: &Held<F>) -> Option<String> {
        held.hopeless().filter(|_| self.alone)
    }

    /// A block is not where it was.
    fn miss(&self, held: &Held<F>, number: u32) {
        if held.lose(number) {
            let blocks = Blocks::from_iter([number]);
            self.input(Input::Evicted { content: held.content, blocks });
            self.tell(News::Progress { content: held.content, progress: held.progress() });
        }
    }
}

/// Blocks beyond those wanted that are held for the room under this quota.
fn spare(quota: u64) -> u32 {
    u32::try_from(quota / limits::SPARE_PART / limits::BLOCK_BYTES as u64).unwrap_or(u32::MAX)
}

/// Blocks that are needed, for as long as this lives.
pub struct Wanted<F, S: BlockStore> {
    keeper: Rc<Keeper<F, S>>,
    held: Rc<Held<F>>,
    ticket: u32,
}

impl<F, S: BlockStore> Wanted<F, S> {
    /// They are here, and are only to stay near.
    fn keep_near(&self) {
        self.held.keep_near(self.ticket);
    }
}

impl<F, S: BlockStore> Drop for Wanted<F, S> {
    fn drop(&mut self) {
        self.held.need_no_more(self.ticket);
        self.keeper.told_wants(&self.held);
    }
}

#[cfg(test)]
mod tests;
