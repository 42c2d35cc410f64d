//! Keys and values of the rows that a sequence has seen.

use crate::error::{Error, StepError};
use crate::limits::CACHE_PAGE;
use crate::llm::pool::{Memory, Page};
use crate::llm::{CacheFormat, Layers, Pool, Rope};
use crate::ops::attention::Shape;
use crate::ops::attention::cpu::{Cached, attention};
use half::f16;
use std::sync::Arc;

/// The caches of one sequence for a range of layers: pages, of which sequences that began alike share the first.
#[derive(Debug)]
pub struct Cache {
    pool: Pool,
    rows: usize,
    pages: Vec<Arc<Page>>,
    pub(super) rope: Option<Rope>,
}

impl Cache {
    /// Empty; pages are taken from `pool` as rows come.
    #[must_use]
    pub const fn new(pool: Pool) -> Self {
        Self { pool, rows: 0, pages: Vec::new(), rope: None }
    }

    /// Where the sequence's length decides how far its positions turn: tables of its own.
    pub(super) fn with_rope(self, rope: Option<Rope>) -> Self {
        Self { rope, ..self }
    }

    /// The layers that it belongs to.
    #[must_use]
    pub fn layers(&self) -> Layers {
        self.pool.layers()
    }

    /// Rows held; the position of the next one.
    #[must_use]
    pub const fn rows(&self) -> usize {
        self.rows
    }

    /// Its first `rows` rows, or all, as the beginning of another sequence. Nothing is copied until one of the two goes on
    /// in a page that both have.
    #[must_use]
    pub fn prefix(&self, rows: usize) -> Self {
        let rows = rows.min(self.rows);
        let pages = self.pages[..rows.div_ceil(CACHE_PAGE)].to_vec();
        Self { pool: self.pool.clone(), rows, pages, rope: self.rope.clone() }
    }

    /// Makes room for `more` rows, so that a pass of them cannot fail for want of it.
    ///
    /// # Errors
    /// [`StepError::Memory`] if they do not fit the budget or the device; the cache is as it was.
    /// [`Error::Device`] if the device has no kernels for it.
    pub fn reserve(&mut self, more: usize) -> Result<(), Error> {
        let (end, first) = (self.rows + more, self.rows / CACHE_PAGE);
        let shared = self.pages.get(first).is_some_and(|page| Arc::strong_count(page) > 1);
        let missing = end.div_ceil(CACHE_PAGE).saturating_sub(self.pages.len());
        let had = self.pages.len() * CACHE_PAGE;
        let named = |error: Error| match error {
            Error::Step(StepError::Memory { fit, .. }) => {
                let fit =
                    had.saturating_add(fit).saturating_sub(self.rows + usize::from(shared) * CACHE_PAGE);
                StepError::Memory { needed: more, fit }.into()
            }
            error => error,
        };
        let mut pages = self.pool.take(missing).map_err(named)?;
        if shared {
            let own = self.pool.copy(&self.pages[first]).map_err(named)?;
            self.pages[first] = Arc::new(own);
        }
        self.pages.extend(pages.drain(..).map(Arc::new));
        Ok(())
    }

    pub(super) const fn pool(&self) -> &Pool {
        &self.pool
    }

    pub(super) fn advance(&mut self, rows: usize) {
        self.rows += rows;
    }

    /// The numbers of its pages on a GPU.
    pub(super) fn numbers(&self) -> Vec<u32> {
        let number = |page: &Arc<Page>| match &page.memory {
            Memory::Gpu(lent) => Some(lent.number),
            _ => None,
        };
        self.pages.iter().filter_map(number).collect()
    }

    /// Puts rows behind those that are there, on the CPU; [`Cache::advance`] counts them when all layers have theirs.
    ///
    /// # Shapes
    /// - `keys`, `values`: `[rows, kv_heads, head_dim]`
    ///
    /// # Panics
    /// If no room was reserved.
    pub(super) fn write(&mut self, layer: usize, keys: &[f32], values: &[f32]) {
        let shape = *self.pool.shape();
        let width = shape.kv_heads * shape.head_dim;
        let rows = keys.chunks_exact(width).zip(values.chunks_exact(width));
        for (position, (keys, values)) in (self.rows..).zip(rows) {
            let page = Arc::get_mut(&mut self.pages[position / CACHE_PAGE]).expect("a reserved page");
            let (place, both) = ([layer, position % CACHE_PAGE], [keys, values]);
            match &mut page.memory {
                Memory::F32(numbers) => write_row(numbers, place, shape.head_dim, both),
                Memory::F16(numbers) => write_row(numbers, place, shape.head_dim, both),
                Memory::Gpu(_) => unreachable!("kernels write to the caches of a GPU"),
            }
        }
    }

    /// Attention of rows that were written, on the CPU.
    ///
    /// # Shapes
    /// - `queries`, `out`: `[rows, heads, head_dim]`
    pub(super) fn attend(&self, layer: usize, shape: &Shape, queries: &[f32], out: &mut [f32]) {
        match self.pool.shape().format {
            CacheFormat::F32 => self.attend_to::<f32>(layer, shape, queries, out),
            CacheFormat::F16 => self.attend_to::<f16>(layer, shape, queries, out),
        }
    }

    fn attend_to<C: Stored>(&self, layer: usize, shape: &Shape, queries: &[f32], out: &mut [f32]) {
        let numbers = self.pool.shape().numbers();
        let layers = self.pages.iter().filter_map(|page| {
            let held = C::of(&page.memory)?.get(2 * layer * numbers..2 * (layer + 1) * numbers)?;
            Some(held.split_at(numbers))
        });
        let (keys, values): (Vec<&[C]>, Vec<&[C]>) = layers.unzip();
        attention(shape, self.rows, queries, &keys, &values, out);
    }
}

/// A number of a page on the CPU.
trait Stored: Cached {
    fn of(memory: &Memory) -> Option<&[Self]>;
}

impl Stored for f32 {
    fn of(memory: &Memory) -> Option<&[Self]> {
        if let Memory::F32(numbers) = memory { Some(numbers) } else { None }
    }
}

impl Stored for f16 {
    fn of(memory: &Memory) -> Option<&[Self]> {
        if let Memory::F16(numbers) = memory { Some(numbers) } else { None }
    }
}

/// Writes one row's keys and values into a page.
///
/// # Shapes
/// - `page`: `[layers, 2, kv_heads, CACHE_PAGE, head_dim]`, of which `layer`, `row` is meant
/// - `keys`, `values`: `[kv_heads, head_dim]`
fn write_row<C: Cached>(
    page: &mut [C],
    [layer, row]: [usize; 2],
    head_dim: usize,
    [keys, values]: [&[f32]; 2],
) {
    let kv_heads = keys.len() / head_dim;
    for (side, heads) in [keys, values].into_iter().enumerate() {
        for (head, from) in heads.chunks_exact(head_dim).enumerate() {
            let place = ((2 * layer + side) * kv_heads + head) * CACHE_PAGE + row;
            C::write(from, &mut page[place * head_dim..][..head_dim]);
        }
    }
}
