//! The memory of all caches: pages of 128 positions (Kwon et al. 2023, PagedAttention), within a budget.
//!
//! ```text
//! sequence ─► Cache ─► page, page, page ──► on the CPU each is memory of its own
//! sequence ─► Cache ─► page, page ────────► on a GPU each is a number in one buffer per layer, so that one launch
//!               └── shared with another sequence that began alike       serves every sequence
//! ```
//! A sequence grows without being copied: the CPU's pages never move, and the GPU's buffers are copied a few times in the
//! life of a pool, whenever they double, not once a sequence.

use crate::error::{Error, StepError};
use crate::limits::CACHE_PAGE;
use crate::llm::{Config, Layers};
use crate::ops::Tier;
use crate::ops::attention::gpu;
use crate::ops::gpu::{Error as GpuError, Gpu};
use burn::tensor::Device;
use half::f16;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// How caches store keys and values.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum CacheFormat {
    /// As they were computed.
    #[default]
    F32,
    /// Rounded to half precision: half the memory, another model to a room (what it costs is in this crate's README).
    F16,
}

/// Bytes that caches may take together. Clones share it.
#[derive(Debug, Clone)]
pub struct Budget(Arc<Purse>);

#[derive(Debug)]
struct Purse {
    limit: u64,
    used: AtomicU64,
}

/// Part of a budget that is in use until this is dropped.
#[derive(Debug)]
struct Charge {
    budget: Budget,
    bytes: u64,
}

/// Pages for the sequences that run through some layers. Clones share them.
#[derive(Debug, Clone)]
pub struct Pool(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    layers: Layers,
    shape: PageShape,
    tier: Tier,
    budget: Budget,
    buffers: Mutex<Buffers>,
}

/// What a page holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct PageShape {
    pub layers: usize,
    pub kv_heads: usize,
    pub head_dim: usize,
    pub format: CacheFormat,
    /// Bytes that a position takes beside its keys and values.
    beside: usize,
}

/// The pages of a GPU.
#[derive(Debug, Default)]
struct Buffers {
    layers: Vec<gpu::Cache>,
    free: Vec<u32>,
    charge: Option<Charge>,
}

/// Keys and values of [`CACHE_PAGE`] positions in all layers of a pool.
#[derive(Debug)]
pub(super) struct Page {
    pub memory: Memory,
    _charge: Option<Charge>,
}

/// Where they are; on the CPU `[layers, 2, kv_heads, page, head_dim]`, keys before values.
#[derive(Debug)]
pub(super) enum Memory {
    F32(Vec<f32>),
    F16(Vec<f16>),
    Gpu(Lent),
}

/// A page of a GPU that goes back to its pool when it is dropped.
#[derive(Debug)]
pub(super) struct Lent {
    pub number: u32,
    pool: Pool,
}

impl Budget {
    /// At most `bytes`.
    #[must_use]
    pub fn new(bytes: u64) -> Self {
        Self(Arc::new(Purse { limit: bytes, used: AtomicU64::new(0) }))
    }

    /// Bytes in use.
    #[must_use]
    pub fn used(&self) -> u64 {
        self.0.used.load(Relaxed)
    }

    /// Bytes that are not in use.
    #[must_use]
    pub fn free(&self) -> u64 {
        self.0.limit.saturating_sub(self.used())
    }

    fn charge(&self, bytes: u64) -> Option<Charge> {
        let more = |used: u64| used.checked_add(bytes).filter(|used| *used <= self.0.limit);
        self.0.used.fetch_update(Relaxed, Relaxed, more).ok()?;
        Some(Charge { budget: self.clone(), bytes })
    }
}

impl Drop for Charge {
    fn drop(&mut self) {
        self.budget.0.used.fetch_sub(self.bytes, Relaxed);
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        self.pool.buffers().free.push(self.number);
    }
}

impl PageShape {
    /// Numbers of one layer's keys, or of its values.
    pub const fn numbers(&self) -> usize {
        self.kv_heads * CACHE_PAGE * self.head_dim
    }

    const fn bytes(&self) -> u64 {
        (self.layers * 2 * self.numbers() * self.number_bytes() + CACHE_PAGE * self.beside) as u64
    }

    const fn number_bytes(&self) -> usize {
        match self.format {
            CacheFormat::F32 => 4,
            CacheFormat::F16 => 2,
        }
    }
}

impl Pool {
    /// No pages yet. `beside`: bytes that the owner of a sequence keeps for every position, which count as well.
    #[must_use]
    pub fn new(
        config: &Config,
        layers: Layers,
        format: CacheFormat,
        budget: &Budget,
        beside: usize,
        device: &Device,
    ) -> Self {
        let shape = PageShape {
            layers: layers.range().len(),
            kv_heads: config.kv_heads,
            head_dim: config.head_dim,
            format,
            beside,
        };
        let (tier, budget) = (Tier::of(device), budget.clone());
        Self(Arc::new(Inner { layers, shape, tier, budget, buffers: Mutex::default() }))
    }

    /// The layers that its sequences run through.
    #[must_use]
    pub fn layers(&self) -> Layers {
        self.0.layers
    }

    /// True if no sequence holds pages of it.
    pub(crate) fn is_idle(&self) -> bool {
        Arc::strong_count(&self.0) == 1
    }

    pub(super) fn shape(&self) -> &PageShape {
        &self.0.shape
    }

    /// True if both are clones of one pool.
    pub(super) fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    /// The buffers of all layers, on a GPU.
    pub(super) fn layer_buffers(&self) -> Vec<gpu::Cache> {
        self.buffers().layers.clone()
    }

    /// Nothing under this lock panics half way, so that what it guards is whole whoever held it.
    fn buffers(&self) -> MutexGuard<'_, Buffers> {
        self.0.buffers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// `count` more pages, or none.
    ///
    /// # Errors
    /// [`StepError::Memory`] if the budget or the device has no room; `fit` is that of the pages alone.
    /// [`Error::Device`] if the device has no kernels for such caches.
    pub(super) fn take(&self, count: usize) -> Result<Vec<Page>, Error> {
        match &self.0.tier {
            Tier::Cpu => (0..count).map(|done| self.page().ok_or_else(|| self.full(count, done))).collect(),
            Tier::Gpu(gpu) => self.lend(gpu, count),
            Tier::Stock => Err(Error::Device("this device has no kernels for caches; use the CPU".into())),
        }
    }

    /// A copy of `page`.
    ///
    /// # Errors
    /// As [`Pool::take`].
    pub(super) fn copy(&self, page: &Page) -> Result<Page, Error> {
        let mut copy = self.take(1)?.pop().ok_or_else(|| self.full(1, 0))?;
        match (&mut copy.memory, &page.memory) {
            (Memory::F32(to), Memory::F32(from)) => to.copy_from_slice(from),
            (Memory::F16(to), Memory::F16(from)) => to.copy_from_slice(from),
            (Memory::Gpu(to), Memory::Gpu(from)) => {
                for layer in &self.buffers().layers {
                    layer.copy(from.number as usize, to.number as usize);
                }
            }
            _ => unreachable!("a pool has pages of one kind"),
        }
        Ok(copy)
    }

    fn full(&self, count: usize, fit: usize) -> Error {
        StepError::Memory { needed: count * CACHE_PAGE, fit: fit.saturating_mul(CACHE_PAGE) }.into()
    }

    /// A page on the CPU, if there is memory for it.
    fn page(&self) -> Option<Page> {
        let shape = &self.0.shape;
        let charge = self.0.budget.charge(shape.bytes())?;
        let count = shape.layers * 2 * shape.numbers();
        let memory = match shape.format {
            CacheFormat::F32 => Memory::F32(zeros(count)?),
            CacheFormat::F16 => Memory::F16(zeros(count)?),
        };
        Some(Page { memory, _charge: Some(charge) })
    }

    fn lend(&self, gpu: &Gpu, count: usize) -> Result<Vec<Page>, Error> {
        let mut buffers = self.buffers();
        let more = count.saturating_sub(buffers.free.len());
        if more > 0 {
            let room = self.room(&buffers, gpu);
            if more > room {
                return Err(self.full(count, buffers.free.len().saturating_add(room)));
            }
            // Twice as many, so that a long answer is not copied again and again.
            let more = more.max(buffers.pages()).min(room);
            self.grow(&mut buffers, gpu, more).map_err(|error| Error::Device(error.to_string()))?;
        }
        let from = buffers.free.len() - count;
        let numbers = buffers.free.split_off(from);
        let lent = |number| Lent { number, pool: self.clone() };
        Ok(numbers
            .into_iter()
            .map(|number| Page { memory: Memory::Gpu(lent(number)), _charge: None })
            .collect())
    }

    /// Pages by which the buffers can grow: within the budget, and within what the device binds at once.
    fn room(&self, buffers: &Buffers, gpu: &Gpu) -> usize {
        let shape = &self.0.shape;
        let budget = usize::try_from(self.0.budget.free() / shape.bytes().max(1)).unwrap_or(usize::MAX);
        let bound = gpu.binding_limit() / (shape.numbers() * shape.number_bytes()).max(1);
        budget.min(bound.saturating_sub(buffers.pages()))
    }

    /// `more` pages in all layers, or everything as it was.
    fn grow(&self, buffers: &mut Buffers, gpu: &Gpu, more: usize) -> Result<(), GpuError> {
        let PageShape { layers, kv_heads, head_dim, format, .. } = self.0.shape;
        let had = buffers.pages();
        let pages = had + more;
        let over = || GpuError::Size { what: "pages of caches", expected: had, found: pages };
        let bytes = self.0.shape.bytes().saturating_mul(more as u64);
        let mut charge = self.0.budget.charge(bytes).ok_or_else(over)?;
        let half = format == CacheFormat::F16;
        let shape = gpu::CacheShape { pages, kv_heads, page: CACHE_PAGE, head_dim, half };
        if had == 0 {
            buffers.layers = (0..layers).map(|_| gpu::Cache::new(gpu, shape)).collect::<Result<_, _>>()?;
        }
        // One by one, so that only one layer is there twice; what fails, fails with the first, because all are alike.
        for held in buffers.layers.iter_mut().filter(|_| had > 0) {
            *held = held.grown(pages)?;
        }
        buffers.free.extend((had..pages).rev().filter_map(|number| u32::try_from(number).ok()));
        // One charge for all, so that it is given back with the buffers.
        if let Some(before) = &mut buffers.charge {
            before.bytes += std::mem::take(&mut charge.bytes);
        } else {
            buffers.charge = Some(charge);
        }
        Ok(())
    }
}

impl Buffers {
    fn pages(&self) -> usize {
        self.layers.first().map_or(0, |layer| layer.shape().pages)
    }
}

/// Zeros, where there is memory for them.
fn zeros<T: Copy + Default>(count: usize) -> Option<Vec<T>> {
    let mut all = Vec::new();
    all.try_reserve_exact(count).ok()?;
    all.resize(count, T::default());
    Some(all)
}
