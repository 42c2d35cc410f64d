//! One content as its keeper has it: what names its blocks, what of it is here, and what is wanted.

use super::map::Map;
use crate::compute::files::Files;
use crate::compute::swarm::Progress;
use crate::store::limits;
use coordinator::swarm::{Blocks, Content};
use kernels::limits::BLOCK_BYTES;
use kernels::weights::manifest::{FILE_NAME, Hash, Root, page_in_file};
use std::cell::{Cell, OnceCell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::rc::Rc;

/// See the module.
pub struct Held<F> {
    pub content: Content,
    pub root: Root,
    /// The root as it travels.
    pub root_bytes: Vec<u8>,
    /// The files, if it is known where they lie.
    pub files: Option<F>,
    /// The manifest as a file, if it was made here and lies nowhere.
    pub made: Option<Vec<u8>>,
    /// True if they are a person's own, so that nothing has to be fetched or kept.
    pub own: bool,
    /// Where everything is, once all pages are here.
    pub map: OnceCell<Map>,
    /// Blocks beyond those wanted that are held for the room.
    pub spare: Cell<u32>,
    /// True once the store had no room for what is wanted.
    pub full: Cell<bool>,
    /// Fetches in a row that failed.
    failures: Cell<u32>,
    /// Why the last of them did, if there were several.
    gone: RefCell<Option<String>>,
    /// What of its files is wrong where they lie: nothing more is taken from there.
    spoiled: RefCell<Option<String>>,
    /// The block that was read last: readers go through files in pieces that end within blocks.
    pub last: RefCell<Option<(u32, Rc<Vec<u8>>)>>,
    have: RefCell<Blocks>,
    /// What is wanted for what, by ticket.
    wants: RefCell<BTreeMap<u32, Blocks>>,
    /// Of these, what is only to stay near, for what was read of it is in use.
    near: RefCell<BTreeSet<u32>>,
    /// All of it, and how far it is.
    wanted: RefCell<Blocks>,
    progress: Cell<Progress>,
    tickets: Cell<u32>,
}

impl<F> Held<F> {
    pub fn new(root: Root, root_bytes: Vec<u8>, files: Option<F>, made: Option<Vec<u8>>, own: bool) -> Self {
        Self {
            content: Content(Hash::of(&root_bytes).0),
            root,
            root_bytes,
            files,
            made,
            own,
            map: OnceCell::new(),
            spare: Cell::new(0),
            full: Cell::new(false),
            failures: Cell::new(0),
            gone: RefCell::default(),
            spoiled: RefCell::default(),
            last: RefCell::default(),
            have: RefCell::default(),
            wants: RefCell::default(),
            near: RefCell::default(),
            wanted: RefCell::default(),
            progress: Cell::default(),
            tickets: Cell::new(0),
        }
    }

    /// How many of its numbers are pages.
    pub fn pages(&self) -> u32 {
        self.root.pages.len() as u32
    }

    /// What a page or a block has to be.
    pub fn hash(&self, number: u32) -> Option<Hash> {
        match self.root.pages.get(number as usize) {
            Some(line) => Some(line.hash),
            None => self.map.get()?.block(number).map(|place| place.hash),
        }
    }

    /// The length of a page or a block.
    pub fn bytes(&self, number: u32) -> u64 {
        match self.root.pages.get(number as usize) {
            Some(line) => line.size.into(),
            None => self.map.get().and_then(|map| map.block(number)).map_or(0, |place| length(&place.range)),
        }
    }

    pub fn have(&self) -> Blocks {
        self.have.borrow().clone()
    }

    pub fn has(&self, number: u32) -> bool {
        self.have.borrow().contains(number)
    }

    /// True if all of these are here.
    pub fn has_all(&self, blocks: &Blocks) -> bool {
        blocks.minus(&self.have.borrow()).is_empty()
    }

    pub fn wanted(&self) -> Blocks {
        self.wanted.borrow().clone()
    }

    pub fn progress(&self) -> Progress {
        self.progress.get()
    }

    /// The store, or the person's files, have these.
    pub fn find(&self, blocks: &Blocks) {
        let new = blocks.minus(&self.have.borrow());
        let bytes = self.sum(&new.and(&self.wanted.borrow()));
        let mut progress = self.progress.get();
        (progress.here, progress.found) = (progress.here + bytes, progress.found + bytes);
        self.progress.set(progress);
        let have = self.have.borrow().or(&new);
        self.have.replace(have);
    }

    /// Why whoever has nobody else to ask waits in vain.
    pub fn hopeless(&self) -> Option<String> {
        self.spoiled.borrow().clone().or_else(|| self.gone.borrow().clone())
    }

    /// A fetch ended; a host may well stumble once.
    pub fn fetched(&self, result: Result<(), &String>) {
        let failures = result.map_or_else(|_| self.failures.get() + 1, |()| 0);
        self.failures.set(failures);
        let gone = result.err().filter(|_| failures >= limits::FETCH_TRIES);
        self.gone.replace(gone.cloned());
    }

    /// What lies where its files are is not what its manifest says, which nothing will change. Says of which file.
    pub fn spoiled(&self, number: u32) -> String {
        let place = self.map.get().and_then(|map| map.block(number));
        let (file, from) = place.map_or((FILE_NAME.into(), 0), |place| (place.file, place.range.start));
        let why = format!(
            "{file} is not what its manifest says, from byte {from} on: it was changed or damaged; bring it again, or make the manifest again"
        );
        self.spoiled.replace(Some(why.clone()));
        why
    }

    /// A block came.
    pub fn gain(&self, number: u32) {
        if !self.has(number) {
            self.have.borrow_mut().insert(number);
            self.count(number, |here, bytes| here + bytes);
        }
    }

    /// A block is gone; true if it was here.
    pub fn lose(&self, number: u32) -> bool {
        let had = self.has(number);
        if had {
            self.have.borrow_mut().remove(number);
            self.count(number, u64::saturating_sub);
        }
        had
    }

    fn count(&self, number: u32, change: impl FnOnce(u64, u64) -> u64) {
        if self.wanted.borrow().contains(number) {
            let mut progress = self.progress.get();
            progress.here = change(progress.here, self.bytes(number));
            self.progress.set(progress);
        }
    }

    /// Notes that these are needed; returns the ticket that ends it.
    pub fn want(&self, blocks: Blocks) -> u32 {
        let ticket = self.tickets.get();
        self.tickets.set(ticket.wrapping_add(1));
        let new = blocks.minus(&self.wanted.borrow());
        let here = self.sum(&new.and(&self.have.borrow()));
        let mut progress = self.progress.get();
        progress.wanted += self.sum(&new);
        (progress.here, progress.found) = (progress.here + here, progress.found + here);
        self.progress.set(progress);
        let wanted = self.wanted.borrow().or(&new);
        self.wanted.replace(wanted);
        self.wants.borrow_mut().insert(ticket, blocks);
        ticket
    }

    /// The same of what was read already, and is only to stay near.
    pub fn keep_near(&self, ticket: u32) {
        self.near.borrow_mut().insert(ticket);
    }

    /// Nothing of it is in the store any more; what is in use is not fetched again for that.
    pub fn cleared(&self) {
        self.have.take();
        self.last.take();
        self.full.set(true);
        let near = self.near.take();
        self.wants.borrow_mut().retain(|ticket, _| !near.contains(ticket));
        self.count_wants();
    }

    pub fn need_no_more(&self, ticket: u32) {
        self.wants.borrow_mut().remove(&ticket);
        self.near.borrow_mut().remove(&ticket);
        self.count_wants();
    }

    fn count_wants(&self) {
        let wanted = self.wants.borrow().values().fold(Blocks::default(), |all, blocks| all.or(blocks));
        let here = self.sum(&wanted.and(&self.have.borrow()));
        let mut progress = self.progress.get();
        (progress.wanted, progress.here) = (self.sum(&wanted), here);
        progress.found = progress.found.min(here);
        self.progress.set(progress);
        self.wanted.replace(wanted);
    }

    fn sum(&self, blocks: &Blocks) -> u64 {
        blocks.iter().map(|number| self.bytes(number)).sum()
    }

    /// A page or a block from where its files lie. It is not compared with its hash.
    pub async fn fetch(&self, number: u32) -> Result<Vec<u8>, String>
    where
        F: Files,
    {
        let files = self.files.as_ref().ok_or("it is not known where the files of this model lie")?;
        if number < self.pages() {
            let range = page_in_file(&self.root, self.root_bytes.len() as u64, number as usize);
            if let Some(made) = &self.made {
                let page = made.get(range.start as usize..range.end as usize);
                return page.map(<[u8]>::to_vec).ok_or_else(|| "the manifest ends too early".into());
            }
            return files.range(FILE_NAME, range).await;
        }
        let place = self.map.get().and_then(|map| map.block(number));
        let place = place.ok_or("this model has no such block")?;
        debug_assert!(length(&place.range) <= BLOCK_BYTES);
        files.range(&place.file, place.range).await
    }
}

const fn length(range: &Range<u64>) -> u64 {
    range.end - range.start
}
