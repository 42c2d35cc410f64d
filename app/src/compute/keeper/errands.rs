//! What the swarm asks for: blocks are checked, kept, served and fetched, some at a time.

use super::Keeper;
use super::held::Held;
use crate::compute::files::Files;
use crate::compute::swarm::{Errand, News};
use crate::store::{BlockStore, Hash, StoreError};
use coordinator::PeerId;
use coordinator::swarm::{Content, Input, OriginId, Source, Verdict};
use futures::channel::mpsc::UnboundedReceiver;
use futures::future::{AbortHandle, Abortable};
use futures::stream::FuturesUnordered;
use futures::{FutureExt, StreamExt, select};
use kernels::weights::manifest::{ManifestError, decode_root};
use std::collections::BTreeMap;
use std::pin::pin;

impl<F: Files, S: BlockStore> Keeper<F, S> {
    /// Does what is asked until nobody asks any more. How much is under way at once is bounded by the swarm.
    pub async fn run(&self, mut errands: UnboundedReceiver<Errand>) {
        // Beside the rest: whatever is under way may have to go on before the store can be changed.
        let mut pins = pin!(self.pin_all().fuse());
        let mut under_way = FuturesUnordered::new();
        let mut fetches: BTreeMap<(Content, OriginId, u32), AbortHandle> = BTreeMap::new();
        self.tell_kept().await;
        loop {
            select! {
                errand = errands.next() => match errand {
                    None => return,
                    Some(Errand::Abort { content, origin, number }) => {
                        if let Some(fetch) = fetches.remove(&(content, origin, number)) {
                            fetch.abort();
                        }
                    }
                    Some(errand) => {
                        let (handle, registration) = AbortHandle::new_pair();
                        if let Errand::Fetch { content, origin, number } = &errand {
                            fetches.retain(|_, fetch| !fetch.is_aborted());
                            fetches.insert((*content, *origin, *number), handle);
                        }
                        under_way.push(Abortable::new(self.carry_out(errand), registration));
                    }
                },
                _ = under_way.select_next_some() => {}
                () = pins => {}
            }
        }
    }

    /// Pins what is said to be wanted, one content after the other.
    async fn pin_all(&self) {
        let Some(mut contents) = self.to_pin.take() else { return };
        while let Some(content) = contents.next().await {
            self.pin(content).await;
        }
    }

    async fn carry_out(&self, errand: Errand) {
        match errand {
            Errand::Check { content, number, from, bytes } => {
                self.check(content, number, from, &bytes).await;
            }
            Errand::Serve { to, content, number } => self.serve(to, content, number).await,
            Errand::Fetch { content, origin, number } => self.fetch(content, origin, number).await,
            Errand::CheckRoot { content, from, bytes } => self.check_root(content, from, bytes).await,
            Errand::ServeRoot { to, content } => {
                if let Some(held) = self.content(content) {
                    self.tell(News::Root { to, content, bytes: held.root_bytes.clone() });
                }
            }
            Errand::Allow(quota) => self.allow(quota).await,
            Errand::Clear => self.clear().await,
            Errand::Abort { .. } => {}
        }
    }

    async fn check(&self, content: Content, number: u32, from: Source, bytes: &[u8]) {
        let Some(held) = self.content(content) else { return };
        let verdict = self.keep(&held, number, bytes).await;
        match (verdict, from) {
            (Verdict::Kept, _) => held.gain(number),
            (Verdict::Wrong, Source::Origin(_)) => {
                let why = held.spoiled(number);
                tracing::warn!("{why}");
            }
            _ => {}
        }
        self.input(Input::Checked { content, number, from, verdict });
        let progress = held.progress();
        self.tell(News::Progress { content, progress });
        self.wake();
        self.kept(bytes.len() as u64, progress.here == progress.wanted).await;
    }

    async fn keep(&self, held: &Held<F>, number: u32, bytes: &[u8]) -> Verdict {
        // Nothing is asked for whose hash is not known; a source is not to blame if it was.
        let Some(hash) = held.hash(number) else { return Verdict::NoRoom };
        // It was on its way when all was cleared, or is needed no more.
        if held.spare.get() == 0 && !held.wanted().contains(number) {
            return if Hash::of(bytes) == hash { Verdict::Unwanted } else { Verdict::Wrong };
        }
        match self.store.put(hash, bytes).await {
            Ok(()) => Verdict::Kept,
            Err(StoreError::Wrong(_) | StoreError::TooLong(_)) => Verdict::Wrong,
            Err(error) => {
                held.full.set(true);
                // Whoever is reading it gets it all the same.
                let mut hot = self.hot.borrow_mut();
                if let Some(place) = hot.get_mut(&(held.content, number)) {
                    *place = bytes.to_vec();
                    return Verdict::Kept;
                }
                tracing::warn!(%error, "a block is not kept");
                Verdict::NoRoom
            }
        }
    }

    async fn serve(&self, to: PeerId, content: Content, number: u32) {
        let bytes = match self.content(content) {
            Some(held) => {
                let bytes = self.read(&held, number).await.ok().flatten();
                if bytes.is_none() {
                    self.miss(&held, number);
                }
                bytes
            }
            None => None,
        };
        self.tell(News::Block { to, content, number, bytes: bytes.map(Into::into) });
    }

    async fn fetch(&self, content: Content, origin: OriginId, number: u32) {
        let Some(held) = self.content(content) else { return };
        let fetched = held.fetch(number).await;
        held.fetched(fetched.as_ref().map(drop));
        let result = fetched.as_ref().map(|bytes| bytes.len() as u32).map_err(Clone::clone);
        self.input(Input::Fetched { content, origin, number, result });
        match fetched {
            Ok(bytes) => self.check(content, number, Source::Origin(origin), &bytes).await,
            Err(_) => self.wake(),
        }
    }

    /// It is small, and a content is found by it after a restart.
    pub(super) async fn keep_root(&self, content: Content, bytes: &[u8]) {
        if let Err(error) = self.store.put(Hash(content.0), bytes).await {
            tracing::debug!(%error, "a root is not kept");
        }
    }

    async fn check_root(&self, content: Content, from: PeerId, bytes: Vec<u8>) {
        let id = Hash(content.0);
        let root = decode_root(&bytes, id);
        // Who has a newer program does not lie.
        let right = matches!(root, Ok(_) | Err(ManifestError::Version(_)));
        self.input(Input::RootChecked { content, from, right });
        let Ok(root) = root else { return };
        self.tell(News::About { content, about: super::open::about(&root) });
        self.keep_root(content, &bytes).await;
        if let Some(sought) = self.sought.borrow_mut().get_mut(&content) {
            *sought = Some(bytes);
        }
        self.wake();
    }
}
