//! How much is kept, and how much may be: what the person sees and says of the store.

use super::held::Held;
use super::{Keeper, spare};
use crate::compute::swarm::News;
use crate::store::{BlockStore, limits};
use coordinator::swarm::Input;

impl<F, S: BlockStore> Keeper<F, S> {
    /// So many bytes more may be in the store; people are told now and then, and in the end.
    pub(super) async fn kept(&self, bytes: u64, done: bool) {
        self.untold.set(self.untold.get() + bytes);
        if done || self.untold.get() >= limits::TELL_BYTES {
            self.tell_kept().await;
        }
    }

    pub(super) async fn tell_kept(&self) {
        self.untold.set(0);
        match self.store.usage().await {
            Ok(usage) => self.tell(News::Kept(usage)),
            Err(error) => tracing::warn!(%error, "it is not known how much is kept"),
        }
    }

    /// Keeps no more than this from now on. What goes is missed when it is asked for.
    pub(super) async fn allow(&self, quota: u64) {
        if let Err(error) = self.store.allow(quota).await {
            tracing::warn!(%error, "the quota is not kept");
        }
        self.spare.set(spare(quota));
        for held in self.held.borrow().values() {
            held.full.set(false);
            self.hold_spare(held, self.spare.get());
        }
        self.tell_kept().await;
    }

    /// So many blocks beyond those wanted may be held for the room. A person's own lie where they lie.
    pub(super) fn hold_spare(&self, held: &Held<F>, blocks: u32) {
        held.spare.set(if held.own { 0 } else { blocks });
        self.input(Input::Spare { content: held.content, blocks: held.spare.get() });
    }

    /// Takes everything out. What is being computed with stays in memory.
    pub(super) async fn clear(&self) {
        if let Err(error) = self.store.clear().await {
            tracing::warn!(%error, "not everything is cleared");
        }
        for held in self.held.borrow().values().filter(|held| !held.own) {
            let (content, blocks) = (held.content, held.have());
            held.cleared();
            self.input(Input::Evicted { content, blocks });
            self.hold_spare(held, 0);
            self.input(Input::Want { content, blocks: held.wanted() });
            self.tell(News::Progress { content, progress: held.progress() });
        }
        self.wake();
        self.tell_kept().await;
    }
}
