//! A model's files as the engine reads them: as they lie somewhere, or from the blocks of a content.

use super::held::Held;
use super::{Keeper, Wanted};
use crate::compute::files::{Bringing, Brought, Files, WHOLE_FILE_BYTES};
use crate::store::{BlockStore, limits};
use coordinator::swarm::{Blocks, Content};
use std::ops::Range;
use std::rc::Rc;

/// Where a model is read from.
pub enum Source<F, S> {
    /// Files without a manifest.
    Plain(F),
    /// A content.
    Content(Rc<Keeper<F, S>>, Rc<Held<F>>),
}

impl<F, S> Source<F, S> {
    pub(super) const fn content(keeper: Rc<Keeper<F, S>>, held: Rc<Held<F>>) -> Self {
        Self::Content(keeper, held)
    }

    /// The files that it is read from as they lie.
    fn plain(&self) -> Option<&F> {
        match self {
            Self::Plain(files) => Some(files),
            Self::Content(_, held) => held.files.as_ref().filter(|_| held.own),
        }
    }
}

impl<F: Files + 'static, S: BlockStore + 'static> Keeper<F, S> {
    /// A block, as soon as it is here; with it the few behind it come near.
    pub(super) async fn block(
        self: &Rc<Self>,
        held: &Rc<Held<F>>,
        number: u32,
    ) -> Result<Rc<Vec<u8>>, String> {
        if let Some((last, bytes)) = &*held.last.borrow()
            && *last == number
        {
            return Ok(bytes.clone());
        }
        let mut waits: Option<Waits<F, S>> = None;
        loop {
            let kept =
                self.hot.borrow_mut().remove(&(held.content, number)).filter(|bytes| !bytes.is_empty());
            let gone = kept.is_some();
            let bytes = match kept {
                Some(bytes) => Some(bytes),
                None => self.read(held, number).await.map_err(|error| error.to_string())?,
            };
            if let Some(bytes) = bytes {
                if gone {
                    self.miss(held, number);
                }
                let bytes = Rc::new(bytes);
                held.last.replace(Some((number, bytes.clone())));
                return Ok(bytes);
            }
            if held.own {
                return Err(held.spoiled(number));
            }
            self.miss(held, number);
            waits.get_or_insert_with(|| Waits::new(self, held, number));
            self.hot.borrow_mut().entry((held.content, number)).or_default();
            let came = || {
                let hot =
                    self.hot.borrow().get(&(held.content, number)).is_some_and(|bytes| !bytes.is_empty());
                let came = (hot || held.has(number)).then_some(Ok(()));
                came.or_else(|| self.in_vain(held).map(Err))
            };
            self.until(came).await?;
        }
    }
}

/// Somebody reads from a block on, and waits.
struct Waits<F, S: BlockStore> {
    _wanted: Wanted<F, S>,
    keeper: Rc<Keeper<F, S>>,
    held: Rc<Held<F>>,
    ahead: Blocks,
}

impl<F, S: BlockStore> Waits<F, S> {
    fn new(keeper: &Rc<Keeper<F, S>>, held: &Rc<Held<F>>, number: u32) -> Self {
        let most = number.saturating_add(limits::READ_AHEAD).min(held.root.numbers());
        let ahead = std::iter::once(number..most).collect::<Blocks>();
        let mut hot = keeper.hot.borrow_mut();
        // What nobody came for goes first.
        hot.retain(|(content, of), _| *content != held.content || ahead.contains(*of));
        for number in ahead.minus(&held.have()).iter() {
            hot.entry((held.content, number)).or_default();
        }
        drop(hot);
        let _wanted = keeper.want(held, ahead.clone());
        Self { _wanted, keeper: keeper.clone(), held: held.clone(), ahead }
    }
}

impl<F, S: BlockStore> Drop for Waits<F, S> {
    fn drop(&mut self) {
        // Those that came stay for whoever reads on.
        let (content, ahead) = (self.held.content, &self.ahead);
        let keep = |of: &u32, bytes: &Vec<u8>| !ahead.contains(*of) || !bytes.is_empty();
        self.keeper.hot.borrow_mut().retain(|(one, of), bytes| *one != content || keep(of, bytes));
    }
}

#[async_trait::async_trait(?Send)]
impl<F: Files + 'static, S: BlockStore + 'static> Files for Source<F, S> {
    async fn length(&self, name: &str) -> Result<u64, String> {
        match self {
            Self::Plain(files) => files.length(name).await,
            Self::Content(_, held) => {
                let length = held.map.get().and_then(|map| map.length(name));
                length.ok_or_else(|| format!("{name} is not a file of this model"))
            }
        }
    }

    async fn whole(&self, name: &str) -> Result<Vec<u8>, String> {
        match self {
            Self::Plain(files) => files.whole(name).await,
            Self::Content(..) => {
                let length = self.length(name).await?;
                if length > WHOLE_FILE_BYTES {
                    return Err(format!("{name} has {length} bytes, which are not read at once"));
                }
                self.range(name, 0..length).await
            }
        }
    }

    async fn range(&self, name: &str, range: Range<u64>) -> Result<Vec<u8>, String> {
        let (keeper, held) = match self {
            Self::Plain(files) => return files.range(name, range).await,
            Self::Content(_, held) if held.own => {
                let files = held.files.as_ref().ok_or("the files of this model are gone")?;
                return files.range(name, range).await;
            }
            Self::Content(keeper, held) => (keeper, held),
        };
        let map = held.map.get().ok_or("the manifest of this model is not here yet")?;
        let mut bytes = Vec::new();
        for part in map.parts(name, range)? {
            let block = keeper.block(held, part.number).await?;
            let piece = block.get(part.bytes).ok_or("a block is shorter than its manifest says")?;
            bytes.extend_from_slice(piece);
        }
        Ok(bytes)
    }

    async fn range_beside(&self, name: &str, range: Range<u64>) -> Result<Vec<u8>, String> {
        match self.plain() {
            Some(files) => files.range_beside(name, range).await,
            None => self.range(name, range).await,
        }
    }

    fn reads_beside(&self) -> bool {
        self.plain().is_some_and(Files::reads_beside)
    }

    fn is_remote(&self) -> bool {
        match self {
            Self::Plain(files) => files.is_remote(),
            Self::Content(_, held) => !held.own,
        }
    }

    fn called(&self) -> Option<String> {
        match self {
            Self::Plain(files) => files.called(),
            Self::Content(_, held) => Some(held.root.about.name.clone()).filter(|name| !name.is_empty()),
        }
    }

    fn content(&self) -> Option<Content> {
        match self {
            Self::Plain(_) => None,
            Self::Content(_, held) => Some(held.content),
        }
    }

    fn bring(&self, ranges: &[(String, Range<u64>)]) -> Option<Bringing> {
        let Self::Content(keeper, held) = self else { return None };
        let map = held.map.get().filter(|_| !held.own)?;
        // What the manifest does not have is said when it is read.
        let parts =
            ranges.iter().flat_map(|(name, range)| map.parts(name, range.clone()).unwrap_or_default());
        let blocks: Blocks = parts.map(|part| part.number).collect();
        let wanted = keeper.want(held, blocks.clone());
        let (keeper, held) = (keeper.clone(), held.clone());
        held.full.set(false);
        Some(Box::pin(async move {
            // Without room it is read as it comes, and not kept; who waits in vain is told when it is read.
            let never = || held.full.get() || keeper.in_vain(&held).is_some();
            let here = || held.has_all(&blocks).then_some(true).or_else(|| never().then_some(false));
            let kept = keeper.until(here).await.then_some(wanted);
            kept.iter().for_each(Wanted::keep_near);
            Box::new(kept) as Brought
        }))
    }
}
