//! Keys and values of the rows that a session has seen.

use crate::limits::CACHE_BLOCK;
use crate::llm::{Layers, Rope};
use crate::ops::attention::gpu;
use crate::ops::gpu::{Error as GpuError, Gpu};
use burn::tensor::{Tensor, s};

/// The caches of one session for a range of layers.
#[derive(Debug, Clone)]
pub struct Cache {
    layers: Layers,
    rows: usize,
    slots: Vec<Slot>,
    pub(super) rope: Option<Rope>,
}

/// One layer's keys and values.
#[derive(Debug, Clone, Default)]
pub(super) enum Slot {
    /// Nothing yet.
    #[default]
    Empty,
    /// burn's tensors.
    Stock(Box<[Grown; 2]>),
    /// Slices, `[kv_heads, capacity, head_dim]` each.
    Cpu(Slices),
    /// Buffers of the same shape.
    Gpu(Box<gpu::Cache>),
}

/// `[1, kv_heads, capacity, head_dim]`, of which the first rows are in use.
#[derive(Debug, Clone, Default)]
pub(super) struct Grown(Option<Tensor<4>>);

/// Keys and values, `[kv_heads, capacity, head_dim]` each.
#[derive(Debug, Clone, Default)]
pub(super) struct Slices {
    pub keys: Vec<f32>,
    pub values: Vec<f32>,
    pub capacity: usize,
}

impl Cache {
    /// Empty caches for `layers`; memory is taken as rows come.
    #[must_use]
    pub fn new(layers: Layers) -> Self {
        Self { layers, rows: 0, slots: layers.range().map(|_| Slot::default()).collect(), rope: None }
    }

    /// Where the sequence's length decides how far its positions turn: tables of its own.
    pub(super) fn with_rope(self, rope: Option<Rope>) -> Self {
        Self { rope, ..self }
    }

    /// The layers that it belongs to.
    #[must_use]
    pub const fn layers(&self) -> Layers {
        self.layers
    }

    /// Rows held; the position of the next one.
    #[must_use]
    pub const fn rows(&self) -> usize {
        self.rows
    }

    pub(super) fn slot(&mut self, layer: usize) -> &mut Slot {
        &mut self.slots[layer - self.layers.start]
    }

    pub(super) fn advance(&mut self, rows: usize) {
        self.rows += rows;
    }
}

impl Slot {
    /// Appends rows at position `at` and gives all rows so far, `[1, kv_heads, at + rows, head_dim]` each.
    pub(super) fn append(&mut self, at: usize, keys: Tensor<4>, values: Tensor<4>) -> (Tensor<4>, Tensor<4>) {
        match self {
            Self::Stock(_) => {}
            // It could not grow any more; what it holds goes on.
            Self::Gpu(held) => *self = Self::Stock(Box::new(held.tensors().map(|held| Grown(Some(held))))),
            Self::Empty | Self::Cpu(_) => *self = Self::Stock(Box::default()),
        }
        let Self::Stock(held) = self else { unreachable!("it was made just now") };
        let [held_keys, held_values] = &mut **held;
        (held_keys.append(at, keys), held_values.append(at, values))
    }

    /// Slices with room for `rows` rows.
    pub(super) fn slices(&mut self, rows: usize, kv_heads: usize, head_dim: usize) -> &mut Slices {
        if !matches!(self, Self::Cpu(_)) {
            *self = Self::Cpu(Slices::default());
        }
        let Self::Cpu(slices) = self else { unreachable!("it was made just now") };
        slices.grow(rows, kv_heads, head_dim);
        slices
    }

    /// Buffers with room for `rows` rows, and never for more than `most`.
    ///
    /// # Errors
    /// If the device has no kernel for such a cache, or cannot hold it.
    pub(super) fn buffers(
        &mut self,
        device: &Gpu,
        rows: usize,
        most: usize,
        kv_heads: usize,
        head_dim: usize,
    ) -> Result<&mut gpu::Cache, GpuError> {
        let capacity = rows.next_multiple_of(CACHE_BLOCK).min(most);
        let shape = gpu::CacheShape { slots: 1, kv_heads, capacity, head_dim, half: false };
        match self {
            Self::Gpu(held) if held.shape().capacity >= rows => {}
            Self::Gpu(held) => {
                // Twice as much, so that a long answer is not copied again and again.
                let twice = held.grown(capacity.max(2 * held.shape().capacity).min(most));
                **held = twice.or_else(|_| held.grown(capacity))?;
            }
            Self::Stock(_) => return Err(GpuError::Unsupported("this cache outgrew its buffers".into())),
            Self::Empty | Self::Cpu(_) => *self = Self::Gpu(Box::new(gpu::Cache::new(device, shape)?)),
        }
        let Self::Gpu(held) = self else { unreachable!("it was made just now") };
        Ok(held)
    }
}

impl Slices {
    fn grow(&mut self, rows: usize, kv_heads: usize, head_dim: usize) {
        if rows <= self.capacity {
            return;
        }
        // Twice as much, so that a long answer is not copied again and again.
        let capacity = rows.next_multiple_of(CACHE_BLOCK).max(2 * self.capacity);
        for held in [&mut self.keys, &mut self.values] {
            let mut grown = vec![0.0; kv_heads * capacity * head_dim];
            let old = self.capacity * head_dim;
            for head in 0..if old > 0 { kv_heads } else { 0 } {
                grown[head * capacity * head_dim..][..old].copy_from_slice(&held[head * old..][..old]);
            }
            *held = grown;
        }
        self.capacity = capacity;
    }
}

impl Grown {
    fn append(&mut self, at: usize, new: Tensor<4>) -> Tensor<4> {
        let [_, _, rows, _] = new.dims();
        let end = at + rows;
        // Taken, not borrowed: with a single owner burn writes in place.
        let held = self.grow(end, &new).slice_assign(s![.., .., at..end, ..], new);
        self.0 = Some(held.clone());
        held.narrow(2, 0, end)
    }

    fn grow(&mut self, rows: usize, like: &Tensor<4>) -> Tensor<4> {
        let [batch, heads, _, head_dim] = like.dims();
        let capacity = rows.next_multiple_of(CACHE_BLOCK);
        let room = |rows| Tensor::zeros([batch, heads, rows, head_dim], &like.device());
        match self.0.take() {
            Some(held) if rows <= held.dims()[2] => held,
            Some(held) => {
                let more = capacity - held.dims()[2];
                Tensor::cat(vec![held, room(more)], 2)
            }
            None => room(capacity),
        }
    }
}
