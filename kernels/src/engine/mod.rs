//! What a compute worker holds: a device, some of a model's layers, and the caches of the sessions that run on them.

mod draw;
mod pass;
mod probe;
mod sessions;
mod step;

pub use probe::Pace;
pub use step::{Draw, Input, Step, StepOut};

use crate::device::{Kind, Opened};
use crate::error::{Error, StepError};
use crate::limits;
use crate::llm::{
    Adapter, CacheFormat, Config, Layers, Model, Paging, PagingFigures, Scratch, ranges, resident_ranges,
};
use crate::weights::manifest::Hash;
use crate::weights::{ByteRange, Header};
use sessions::Sessions;

/// Runs the steps of sessions, which `K` names (whatever the caller tells them apart by).
///
/// The same session gives the same bits whether its layers run here or are split among several engines of the same
/// kind, however its rows are cut into passes, whatever runs beside it, and whether it begins as one before it did.
#[derive(Debug)]
pub struct Engine<K> {
    opened: Opened,
    header: Header,
    model: Model,
    sessions: Sessions<K>,
    /// For draws, used again and again.
    scratch: Scratch,
}

impl<K: Ord + Clone> Engine<K> {
    /// An engine without any layers yet, whose caches hold f32 and take [`CACHE_BYTES`](limits::CACHE_BYTES) at most.
    #[must_use]
    pub fn new(opened: Opened, config: &Config, header: Header) -> Self {
        let model = Model::empty(config, &opened.device);
        let sessions = Sessions::new(CacheFormat::F32, limits::CACHE_BYTES);
        Self { opened, header, model, sessions, scratch: Scratch::default() }
    }

    /// The same engine with other caches: how they store numbers, and the bytes that all of them may take together, those
    /// of sessions that ended included. To be said before anything runs.
    #[must_use]
    pub fn with_caches(self, format: CacheFormat, bytes: u64) -> Self {
        Self { sessions: Sessions::new(format, bytes), ..self }
    }

    /// The same engine, reading experts when a router asks for them, if all of them take more than `paging` allows; then it
    /// runs with [`Engine::run_batch_with`]. To be said before anything is loaded.
    ///
    /// # Errors
    /// See [`Model::page`].
    pub fn with_paging(mut self, paging: Paging) -> Result<Self, Error> {
        self.model.page(&self.header, paging)?;
        Ok(self)
    }

    /// What became of the budget for experts; None if they are not paged.
    #[must_use]
    pub fn paging(&self) -> Option<PagingFigures> {
        self.model.paging()
    }

    /// Rows that sessions took over from others that had begun alike, instead of computing them.
    #[must_use]
    pub const fn reused_rows(&self) -> u64 {
        self.sessions.reused
    }

    /// Bytes that caches take.
    #[must_use]
    pub fn cache_bytes(&self) -> u64 {
        self.sessions.budget.used()
    }

    /// What computes.
    #[must_use]
    pub const fn kind(&self) -> Kind {
        self.opened.kind
    }

    /// The model's shape.
    #[must_use]
    pub const fn config(&self) -> &Config {
        self.model.config()
    }

    /// True if `layers` can run.
    #[must_use]
    pub fn holds(&self, layers: Layers) -> bool {
        self.model.holds(layers)
    }

    /// Where the bytes of `layers` lie in the checkpoint; what is in memory already is included, experts that are paged are
    /// not.
    ///
    /// # Errors
    /// See [`ranges`].
    pub fn ranges(&self, layers: Layers) -> Result<Vec<ByteRange>, Error> {
        match self.paging() {
            Some(_) => self.resident_ranges(layers),
            None => ranges(self.config(), &self.header, layers),
        }
    }

    /// The same without the experts that routers pick from, paged or not: what is in memory in any case.
    ///
    /// # Errors
    /// See [`ranges`].
    pub fn resident_ranges(&self, layers: Layers) -> Result<Vec<ByteRange>, Error> {
        resident_ranges(self.config(), &self.header, layers)
    }

    /// Loads those of `layers` that are not in memory yet, one tensor at a time. See [`Model::load`].
    ///
    /// # Errors
    /// See [`Model::load`].
    pub async fn load<S>(&mut self, layers: Layers, source: S) -> Result<(), Error>
    where
        S: AsyncFnMut(&ByteRange) -> Result<Vec<u8>, String>,
    {
        self.model.load(layers, &self.header, &self.opened.device, source).await
    }

    /// Loads those of `layers` of an adapter that are not in memory yet; steps may name it then. Weights of the model stay where
    /// they are, and so do sessions. See [`Model::load_adapter`].
    ///
    /// # Errors
    /// See [`Model::load_adapter`].
    pub async fn load_adapter<S>(&mut self, adapter: &Adapter, layers: Layers, source: S) -> Result<(), Error>
    where
        S: AsyncFnMut(&ByteRange) -> Result<Vec<u8>, String>,
    {
        self.model.load_adapter(adapter, layers, &self.opened.device, source).await
    }

    /// Frees an adapter; sessions that compute with it cannot go on.
    pub fn unload_adapter(&mut self, id: Hash) {
        self.model.unload_adapter(id);
    }

    /// Frees `layers`, what adapters change in them, and the sessions that ran on any of them.
    pub fn unload(&mut self, layers: Layers) {
        self.sessions.unload(layers);
        self.model.unload(layers);
    }

    /// Ends a session; no harm if there is none. What it computed is kept until the memory is needed, or
    /// [`KEPT`](limits::KEPT) others have ended: a conversation's next turn begins with it.
    pub fn forget(&mut self, session: &K) {
        self.sessions.end(session);
    }

    /// Sessions that run here.
    #[must_use]
    pub fn sessions(&self) -> usize {
        self.sessions.running()
    }

    /// Runs one pass of one session: see [`Engine::run_batch`].
    ///
    /// # Errors
    /// As there.
    pub async fn run(&mut self, step: Step<'_, K>) -> Result<StepOut, Error> {
        self.run_batch(&[step]).await.pop().unwrap_or(Ok(StepOut::Nothing))
    }

    /// The same, for an engine whose experts may be paged.
    ///
    /// # Errors
    /// As [`Engine::run_batch_with`].
    pub async fn run_with<S>(&mut self, step: Step<'_, K>, source: &S) -> Result<StepOut, Error>
    where
        S: AsyncFn(&ByteRange) -> Result<Vec<u8>, String>,
    {
        self.run_batch_with(&[step], source).await.pop().unwrap_or(Ok(StepOut::Nothing))
    }

    fn check(&self, step: &Step<'_, K>) -> Result<(), StepError> {
        let config = self.config();
        step.check(config)?;
        if !self.holds(step.layers) {
            return Err(StepError::NotLoaded(step.layers));
        }
        self.model.check_attached(step.layers, step.adapters)?;
        match self.sessions.find(&step.session) {
            Some(session) if session.cache.layers() != step.layers => Err(StepError::NotLoaded(step.layers)),
            Some(session) if session.adapters != step.adapters => Err(StepError::OtherAdapters),
            Some(session) => step.check_position(session.cache.rows()),
            None if self.sessions() >= limits::SESSIONS => Err(StepError::Sessions),
            None => step.check_position(0),
        }
    }
}
