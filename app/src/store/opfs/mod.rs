//! Blocks in the private files that a browser keeps for a page (OPFS), through handles that read and write at once; those are
//! there for dedicated workers only.
//!
//! **One large file** ([`Packed`]) and not a file for each block: making, opening and closing a file costs a browser as much as
//! writing a megabyte or two, so that files of their own were written at a quarter, and read at a tenth, of the speed of one.
//!
//! **Several tabs.** A handle locks its file against all others, unless the browser knows handles that do not
//! (`readwrite-unsafe`, Chromium since 121). Where it does, everybody keeps both files open: reading needs nobody's leave, for a
//! block is compared with its hash. Changes take turns through a Web Lock, which ends with its tab. Elsewhere the files are
//! opened and closed with each turn, reading included.

mod handle;
mod turn;

use super::packed::{Bytes, Packed};
use super::{BlockStore, Hash, StoreError, Usage, limits};
use crate::clock;
use coordinator::Millis;
use futures::lock::Mutex;
use handle::{Folder, Handle};
use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;
use std::rc::Rc;
use turn::Turn;

/// The folder in the page's private files, and the lock.
const NAME: &str = "manyhands-blocks";

/// A store in the private files of this page's origin.
#[derive(Clone)]
pub struct OpfsStore(Rc<Inner>);

struct Inner {
    folder: Folder,
    /// Whether both files stay open beside those of other tabs.
    shared: bool,
    quota: Cell<u64>,
    turn: Mutex<Option<Held>>,
    files: RefCell<Option<Packed<Handle>>>,
    /// What was read since it was last written down, and when that was.
    read: RefCell<BTreeSet<Hash>>,
    written_down: Cell<Millis>,
}

/// A turn that goes on until nobody here wants it, or for too long.
struct Held {
    since: Millis,
    uses: u64,
    _turn: Turn,
}

impl OpfsStore {
    /// The store of this origin, of `quota` bytes at most.
    ///
    /// # Errors
    /// [`StoreError::Denied`] if the browser has no private files, or none for this page, [`StoreError::Disk`].
    pub async fn open(quota: u64) -> Result<Self, StoreError> {
        let folder = handle::folder(NAME).await?;
        let first = turn::take(NAME).await?;
        let (index, blocks) = Handle::open_both(&folder).await?;
        let shared = index.is_shared();
        let inner = Inner {
            folder,
            shared,
            quota: Cell::new(quota),
            turn: Mutex::new(None),
            files: RefCell::new(shared.then(|| Packed::new(index, blocks))),
            read: RefCell::default(),
            written_down: Cell::new(clock::now()),
        };
        drop(first);
        let store = Self(Rc::new(inner));
        store.allow(quota).await?;
        Ok(store)
    }

    /// Does something while no other tab changes anything.
    async fn alone<T>(
        &self,
        act: impl FnOnce(&mut Packed<Handle>, u64) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let inner = &self.0;
        let mut turn = inner.turn.lock().await;
        if turn.as_ref().is_some_and(|held| clock::now().since(held.since) >= limits::TURN_MS) {
            inner.give_back(&mut turn);
        }
        if turn.is_none() {
            let taken = turn::take(NAME).await?;
            if !inner.shared {
                let (index, blocks) = Handle::open_both(&inner.folder).await?;
                inner.files.replace(Some(Packed::new(index, blocks)));
            }
            *turn = Some(Held { since: clock::now(), uses: 0, _turn: taken });
        }
        let done = inner.act(act);
        let uses = turn.as_mut().map_or(0, |held| {
            held.uses += 1;
            held.uses
        });
        drop(turn);
        self.give_back_when_idle(uses);
        done
    }

    /// Looks at what is there now: at once where files are shared.
    async fn look<T>(
        &self,
        act: impl FnOnce(&Packed<Handle>) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        if !self.0.shared {
            return self.alone(|files, _| act(files)).await;
        }
        let mut files = self.0.files.borrow_mut();
        let files = files.as_mut().ok_or_else(closed)?;
        files.refresh(false)?;
        act(files)
    }

    fn give_back_when_idle(&self, uses: u64) {
        let inner = self.0.clone();
        wasm_bindgen_futures::spawn_local(async move {
            clock::sleep(limits::IDLE_MS).await;
            // Whoever is at it gives it back later.
            if let Some(mut turn) = inner.turn.try_lock()
                && turn.as_ref().is_some_and(|held| held.uses == uses)
            {
                inner.give_back(&mut turn);
            }
        });
    }

    /// Notes that a block was read, and writes such notes down from time to time.
    async fn was_read(&self, block: Hash) -> Result<(), StoreError> {
        self.0.read.borrow_mut().insert(block);
        if clock::now().since(self.0.written_down.get()) >= limits::TOUCH_MS {
            self.alone(|_, _| Ok(())).await?;
        }
        Ok(())
    }
}

impl Inner {
    fn act<T>(
        &self,
        act: impl FnOnce(&mut Packed<Handle>, u64) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let mut files = self.files.borrow_mut();
        let files = files.as_mut().ok_or_else(closed)?;
        files.refresh(true)?;
        let read = self.read.take();
        if !read.is_empty() {
            self.written_down.set(clock::now());
            files.touch(read)?;
        }
        act(files, self.quota.get())
    }

    fn give_back(&self, turn: &mut Option<Held>) {
        if !self.shared {
            self.files.take();
        }
        *turn = None;
    }
}

/// A file of its own beside the store's, to compare with.
///
/// # Errors
/// As [`OpfsStore::open`].
pub async fn plain_file(name: &str) -> Result<impl Bytes, StoreError> {
    Handle::open(&handle::folder(NAME).await?, name).await
}

fn closed() -> StoreError {
    super::browser::refused_text("the store’s files are closed")
}

impl BlockStore for OpfsStore {
    async fn get(&self, block: Hash) -> Result<Option<Vec<u8>>, StoreError> {
        let found = self.look(|files| Ok((files.has(block), files.get(block)?))).await?;
        let bytes = match found {
            (false, _) => return Ok(None),
            (true, Some(bytes)) => bytes,
            // Damaged; or another tab put something else there while we read.
            (true, None) => {
                let again = self.alone(|files, _| match files.get(block)? {
                    None => files.remove(block).map(|()| None),
                    whole => Ok(whole),
                });
                let Some(bytes) = again.await? else { return Ok(None) };
                bytes
            }
        };
        self.was_read(block).await?;
        Ok(Some(bytes))
    }

    async fn put(&self, block: Hash, bytes: &[u8]) -> Result<(), StoreError> {
        super::compare(block, bytes)?;
        self.alone(|files, quota| files.put(block, bytes, quota)).await
    }

    async fn has(&self, block: Hash) -> Result<bool, StoreError> {
        self.look(|files| Ok(files.has(block))).await
    }

    async fn remove(&self, block: Hash) -> Result<(), StoreError> {
        self.alone(|files, _| files.remove(block)).await
    }

    async fn list(&self) -> Result<Vec<(Hash, u64)>, StoreError> {
        self.look(|files| Ok(files.list())).await
    }

    async fn pin(&self, name: Hash, blocks: &[Hash]) -> Result<(), StoreError> {
        self.alone(|files, _| files.pin(name, blocks)).await
    }

    async fn clear(&self) -> Result<(), StoreError> {
        self.alone(|files, _| files.clear()).await
    }

    async fn usage(&self) -> Result<Usage, StoreError> {
        let used = self.look(|files| Ok(files.used_bytes())).await?;
        Ok(Usage { durable: true, used, quota: self.0.quota.get() })
    }

    async fn allow(&self, quota: u64) -> Result<(), StoreError> {
        self.0.quota.set(quota);
        self.alone(|files, quota| files.shrink(quota)).await
    }
}
