//! Keys and values of the rows that a session has seen.

use crate::limits::CACHE_BLOCK;
use crate::llm::{Layers, Rope};
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
pub(super) struct Slot {
    keys: Grown,
    values: Grown,
}

/// `[1, kv_heads, capacity, head_dim]`, of which the first rows are in use.
#[derive(Debug, Clone, Default)]
struct Grown(Option<Tensor<4>>);

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
        (self.keys.append(at, keys), self.values.append(at, values))
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
