//! Causal grouped-query attention (Ainslie et al. 2023) over a cache: `softmax(cap(q·Kᵀ·scale))·V`.

pub mod cpu;
pub mod full;
pub mod gpu;
pub mod reference;

/// What all heads of a layer share.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Shape {
    /// Query heads, a multiple of `kv_heads`.
    pub heads: usize,
    /// Heads of keys and values.
    pub kv_heads: usize,
    /// Channels of a head.
    pub head_dim: usize,
    /// Positions of a page of the cache.
    pub page: usize,
    /// What scores are multiplied with, as a rule `1/√head_dim`.
    pub scale: f32,
    /// A row sees so many positions, its own included; all before it, if there is none.
    pub window: Option<usize>,
    /// Scores are bent to `cap·tanh(score/cap)` (Gemma 2).
    pub soft_cap: Option<f32>,
}

impl Shape {
    /// The first position that a row at `position` sees.
    #[must_use]
    pub fn first_seen(&self, position: usize) -> usize {
        self.window.map_or(0, |window| (position + 1).saturating_sub(window))
    }
}
