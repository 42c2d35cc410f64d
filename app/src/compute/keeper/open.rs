//! How a model becomes a content: its root, then its pages, then what of it is here already.

use super::held::Held;
use super::map::Map;
use super::{Keeper, Source};
use crate::compute::Report;
use crate::compute::files::{Checked, Files};
use crate::compute::source::{self, gguf_name, half_cached, is_given, is_own, quantised};
use crate::compute::swarm::{About, Adapts, News};
use crate::store::{BlockStore, Hash, limits};
use coordinator::swarm::{Blocks, Content, Input, OriginId};
use kernels::limits::BLOCK_BYTES;
use kernels::weights::manifest::{
    About as ManifestAbout, FILE_HEAD_BYTES, FILE_NAME, ManifestError, Page, Root, decode_page, decode_root,
    encode_file, encode_root, list, make, root_in_file,
};
use std::collections::BTreeSet;
use std::rc::Rc;

/// The one place that a model's files are read from, besides the room.
const ORIGIN: OriginId = OriginId(0);

/// What people are told of a content.
pub fn about(root: &Root) -> About {
    let ManifestAbout { name, licence, source } = root.about.clone();
    let adapts = root.adapts.clone().map(|adapts| Adapts { rank: adapts.rank, model: adapts.model });
    About { name, licence, source, bytes: root.bytes(), adapts }
}

impl<F: Files + 'static, S: BlockStore + 'static> Keeper<F, S> {
    /// The files of the model `source`, and what it is called from here on: a content that is one GGUF file is called by that.
    ///
    /// # Errors
    /// In plain words.
    pub async fn open(self: &Rc<Self>, source: &str) -> Result<(Source<F, S>, String), String> {
        let plain = quantised(source).0;
        if let Some(id) = source::content(plain)? {
            let found = self.root(Content(id)).await?;
            let held = self.hold(found, None).await?;
            let called = match gguf_name(plain) {
                Some(_) => plain.to_owned(),
                None => source::of_content(&id, single_gguf(&held).unwrap_or_default()),
            };
            let called = source::with(&called, quantised(source).1, half_cached(source).1);
            return Ok((Source::content(self.clone(), held), called));
        }
        let files = (self.files)(plain);
        let opened = match self.manifest(plain, &files).await? {
            Some(found) => self.hold(found, Some(files)).await.map(Some),
            None => Ok(None),
        };
        // A manifest of another file, or one that is damaged, is as good as none.
        let held = opened.unwrap_or_else(|why| {
            tracing::warn!("the manifest beside {plain} is not used: {why}");
            None
        });
        let belongs = |held: &Rc<Held<F>>| {
            let map = held.map.get();
            gguf_name(plain).is_none_or(|name| map.is_some_and(|map| map.length(name).is_some()))
        };
        let source_of = match held {
            Some(held) if belongs(&held) => Source::content(self.clone(), held),
            Some(held) => {
                self.close(held.content);
                Source::Plain((self.files)(plain))
            }
            None => Source::Plain((self.files)(plain)),
        };
        Ok((source_of, source.to_owned()))
    }

    /// The root of a content that is known by its name alone: from the store, or from the room.
    async fn root(self: &Rc<Self>, content: Content) -> Result<Found, String> {
        let id = Hash(content.0);
        let kept = self.store.get(id).await.map_err(|error| error.to_string())?;
        let bytes = match kept {
            Some(bytes) => bytes,
            None if self.alone => {
                return Err(
                    "this model is not kept on this machine, and nobody else is asked for it: name a room (--room LINK) in which somebody has it, or its address"
                        .into(),
                );
            }
            None => {
                let what = "Waiting for somebody who has this model".into();
                (self.report)(Report::Progress { what, done: 0, total: 0 });
                self.sought.borrow_mut().insert(content, None);
                self.input(Input::Seek(content));
                let came = self.until(|| self.sought.borrow().get(&content).cloned().flatten()).await;
                self.sought.borrow_mut().remove(&content);
                came
            }
        };
        let root = decode_root(&bytes, id).map_err(|error| error.to_string())?;
        Ok(Found { root, bytes, made: None })
    }

    /// The manifest that lies beside some files; of what a person gives to the room one is made. What a person keeps to
    /// themselves has none, and nobody looks for one beside the models that ship.
    async fn manifest(&self, source: &str, files: &F) -> Result<Option<Found>, String> {
        if is_own(source) && !is_given(source) || self.shipped.iter().any(|one| one == source) {
            return Ok(None);
        }
        match beside(files).await {
            Some(found) => Ok(Some(found)),
            None if is_given(source) => self.make(source, files).await.map(Some),
            None => Ok(None),
        }
    }

    /// Reads all of a person's files, for nobody else can say what they are.
    async fn make(&self, source: &str, files: &F) -> Result<Found, String> {
        let names = match gguf_name(source) {
            Some(name) => vec![name.to_owned()],
            None => files.names().into_iter().filter(|name| name != FILE_NAME).collect(),
        };
        let failed = |error: kernels::Error| error.to_string();
        let listing = list(&Checked(files), &names).await.map_err(failed)?;
        let total: u64 = listing.files.iter().map(|file| file.bytes).sum();
        let what = "Reading the model for the room";
        let progress = |done| (self.report)(Report::Progress { what: what.into(), done, total });
        let about = ManifestAbout { name: name_of(source, files).await, ..ManifestAbout::default() };
        let made = make(&Checked(files), &listing, about, progress).await.map_err(failed)?;
        let bytes = encode_root(&made.root).map_err(|error| error.to_string())?;
        let file = encode_file(&made).map_err(|error| error.to_string())?;
        Ok(Found { root: made.root, bytes, made: Some(file) })
    }

    /// Takes part in a content, and has all of its pages. `files`: where its files lie, if that is known.
    async fn hold(self: &Rc<Self>, found: Found, files: Option<F>) -> Result<Rc<Held<F>>, String> {
        let Found { root, bytes, made } = found;
        let size: u64 = root.pages.iter().map(|line| u64::from(line.size)).sum();
        if size > limits::PAGES_BYTES {
            let most = limits::PAGES_BYTES;
            return Err(format!("its manifest has {size} bytes, of which {most} at most are read"));
        }
        let own = files.as_ref().is_some_and(|files| !files.is_remote());
        let held = Rc::new(Held::new(root, bytes, files, made, own));
        if let Some(before) = self.content(held.content) {
            return Ok(before);
        }
        // A person's own are read before anybody hears of them: they may be another's.
        let pages = if own { Some(self.own_pages(&held).await?) } else { None };
        self.held.borrow_mut().insert(held.content, held.clone());
        match self.fill(&held, pages).await {
            Ok(()) => Ok(held),
            Err(why) => {
                self.close(held.content);
                Err(why)
            }
        }
    }

    /// Tells the swarm, reads the pages unless they are known, and looks for what is here.
    async fn fill(self: &Rc<Self>, held: &Rc<Held<F>>, pages: Option<Vec<Page>>) -> Result<(), String> {
        let (content, numbers) = (held.content, held.root.numbers());
        held.find(&self.here(held, Blocks::all(held.pages())).await?);
        self.input(Input::Open { content, numbers, block_bytes: BLOCK_BYTES as u32, have: held.have() });
        self.tell(News::About { content, about: about(&held.root) });
        if !held.own {
            self.keep_root(content, &held.root_bytes).await;
        }
        let up = held.files.is_some() && !held.own;
        self.input(Input::Origin { content, origin: ORIGIN, up, shared: true });
        let pages = match pages {
            Some(pages) => pages,
            None => self.room_pages(held).await?,
        };
        let _ = held.map.set(Map::new(&held.root, &pages)?);
        let blocks = self.here(held, std::iter::once(held.pages()..numbers).collect()).await?;
        held.find(&blocks);
        self.input(Input::Found { content, blocks });
        self.hold_spare(held, self.spare.get());
        Ok(())
    }

    /// Takes part in it no longer.
    fn close(&self, content: Content) {
        self.held.borrow_mut().remove(&content);
        self.input(Input::Close(content));
    }

    /// Which of these are in the store, or in the person's own files.
    async fn here(&self, held: &Held<F>, numbers: Blocks) -> Result<Blocks, String> {
        if held.own {
            return Ok(self.own_blocks(held).await.and(&numbers));
        }
        let kept = self.store.list().await.map_err(|error| error.to_string())?;
        let kept: BTreeSet<Hash> = kept.into_iter().map(|(hash, _)| hash).collect();
        let here = |number: &u32| held.hash(*number).is_some_and(|hash| kept.contains(&hash));
        Ok(numbers.iter().filter(here).collect())
    }

    /// All pages, as they come. They stay wanted as long as this worker lives: without them nothing else is of use.
    async fn room_pages(self: &Rc<Self>, held: &Rc<Held<F>>) -> Result<Vec<Page>, String> {
        let what = "Reading the model's manifest".into();
        (self.report)(Report::Progress { what, done: 0, total: 0 });
        let ticket = held.want(Blocks::all(held.pages()));
        self.told_wants(held);
        let mut pages = Vec::new();
        for (number, line) in (0..).zip(&held.root.pages) {
            let bytes = self.block(held, number).await?;
            pages.push(decode_page(&bytes, line).map_err(|error| error.to_string())?);
        }
        held.keep_near(ticket);
        Ok(pages)
    }

    async fn own_pages(&self, held: &Held<F>) -> Result<Vec<Page>, String> {
        let mut pages = Vec::new();
        for (number, line) in (0..).zip(&held.root.pages) {
            let bytes = held.fetch(number).await?;
            pages.push(decode_page(&bytes, line).map_err(|error| error.to_string())?);
        }
        Ok(pages)
    }

    /// What of a person's own files is as long as the manifest says. Their bytes are compared when somebody asks for them.
    async fn own_blocks(&self, held: &Held<F>) -> Blocks {
        let mut here = Blocks::all(held.pages());
        let Some(files) = &held.files else { return Blocks::default() };
        for (name, bytes) in held.map.get().into_iter().flat_map(Map::files) {
            if files.length(name).await != Ok(bytes) {
                continue;
            }
            let parts = held.map.get().and_then(|map| map.parts(name, 0..bytes).ok()).unwrap_or_default();
            parts.into_iter().for_each(|part| here.insert(part.number));
        }
        here
    }
}

/// A manifest's root.
struct Found {
    root: Root,
    /// As it travels.
    bytes: Vec<u8>,
    /// The whole manifest as a file, if it was made here.
    made: Option<Vec<u8>>,
}

/// The root of the manifest that lies beside some files, if there is one.
async fn beside(files: &impl Files) -> Option<Found> {
    let head = files.range(FILE_NAME, 0..FILE_HEAD_BYTES).await.ok()?;
    let found = async {
        let range = root_in_file(&head).map_err(|error| error.to_string())?;
        let bytes = files.range(FILE_NAME, range).await?;
        let root = decode_root(&bytes, Hash::of(&bytes)).map_err(|error| error.to_string())?;
        Ok::<_, String>(Found { root, bytes, made: None })
    };
    match found.await {
        Ok(found) => Some(found),
        Err(why) if why == ManifestError::Foreign.to_string() => None,
        Err(why) => {
            tracing::warn!("the manifest beside the model is not used: {why}");
            None
        }
    }
}

/// What people call files that have no name of their own: a GGUF file's, an adapter's folder's, else the family's.
async fn name_of(source: &str, files: &impl Files) -> String {
    if let Some(name) = gguf_name(source) {
        return name.rsplit_once('.').map_or(name, |(stem, _)| stem).to_owned();
    }
    if source::is_adapter(&files.names()) {
        return source::name(source).to_owned();
    }
    let config = files.whole("config.json").await.ok();
    let config: Option<serde_json::Value> = config.and_then(|json| serde_json::from_slice(&json).ok());
    let family = config.and_then(|config| Some(config.get("model_type")?.as_str()?.to_owned()));
    format!("{} from this room", family.unwrap_or_else(|| "model".to_owned()))
}

/// The name of the file, if a content is one GGUF file.
fn single_gguf<F>(held: &Held<F>) -> Option<&str> {
    let mut ggufs = held.map.get()?.files().filter_map(|(name, _)| gguf_name(name).map(|_| name));
    let first = ggufs.next()?;
    ggufs.next().is_none().then_some(first)
}
