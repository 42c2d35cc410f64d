//! The key-value cache of one layer on WebGPU, and attention over it.

use crate::ops::gpu::{Access, Consts, Error, Gpu, Kernel, buffer};
use burn::tensor::Tensor;
use burn_cubecl::cubecl::server::Handle;

/// Keys and values of one layer: `[slots, kv_heads, capacity, head_dim]` each. A slot is a sequence.
///
/// Memory is taken once, when it is made. Clones are the same memory.
#[derive(Debug, Clone)]
pub struct Cache {
    pub(crate) gpu: Gpu,
    pub(crate) shape: CacheShape,
    pub(crate) keys: Handle,
    pub(crate) values: Handle,
}

/// How large a [`Cache`] is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CacheShape {
    /// Sequences.
    pub slots: usize,
    /// Key-value heads.
    pub kv_heads: usize,
    /// Positions of each sequence.
    pub capacity: usize,
    /// Channels of a head, a multiple of 4.
    pub head_dim: usize,
    /// Stores f16 instead of f32; needs nothing of the adapter.
    pub half: bool,
}

/// Which sequence and position each row of a pass belongs to; uploaded once and used by all layers.
#[derive(Debug, Clone)]
pub struct Places {
    pub(crate) buffer: Handle,
    pub(crate) rows: usize,
    /// Consecutive positions of one sequence, so that neighbours can share the keys that they read.
    consecutive: bool,
}

/// What attention does besides the softmax of scaled products.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Mix {
    /// Query heads, a multiple of the key-value heads.
    pub heads: usize,
    /// What products are multiplied with; usually `1 / √head_dim`.
    pub scale: f32,
    /// Positions that a row sees, itself included; all where there is none.
    pub window: Option<usize>,
    /// `cap · tanh(score / cap)`, as in Gemma 2.
    pub cap: Option<f32>,
}

impl CacheShape {
    /// Bytes on the device, keys and values together; `None` if that overflows.
    #[must_use]
    pub fn bytes(&self) -> Option<usize> {
        let each = if self.half { 4 } else { 8 };
        [self.kv_heads, self.capacity, self.head_dim, each]
            .iter()
            .try_fold(self.slots, |all, n| all.checked_mul(*n))
    }
}

impl Cache {
    /// Empty room for `shape`.
    ///
    /// # Errors
    /// If the device cannot bind that much at once, or a head is not whole vectors of four.
    pub fn new(gpu: &Gpu, shape: CacheShape) -> Result<Self, Error> {
        let bytes = shape.bytes().unwrap_or(usize::MAX) / 2;
        let whole = shape.head_dim.is_multiple_of(4) && shape.head_dim / 4 <= THREADS;
        if bytes == 0 || !whole {
            return Err(Error::Unsupported(format!("a cache of {shape:?} has no GPU kernel; use the CPU")));
        }
        if bytes > gpu.binding_limit() {
            let expected = gpu.binding_limit();
            return Err(Error::Size { what: "bytes of keys in one binding", expected, found: bytes });
        }
        let reserve = || gpu.client.memory_persistent_allocation((), |()| gpu.empty(bytes));
        Ok(Self { gpu: gpu.clone(), shape, keys: reserve(), values: reserve() })
    }

    /// The same keys and values with room for `capacity` positions.
    ///
    /// # Errors
    /// As [`Cache::new`].
    pub fn grown(&self, capacity: usize) -> Result<Self, Error> {
        let CacheShape { slots, kv_heads, head_dim, half, .. } = self.shape;
        let grown = Self::new(&self.gpu, CacheShape { capacity, ..self.shape })?;
        // Two channels of f16 are moved as one float.
        let width = if half { head_dim / 2 } else { head_dim };
        let copy = |room: &Handle, held: &Handle| {
            let room = self.gpu.tensor::<3>(room.clone(), [slots * kv_heads, capacity, width]);
            let held = self.gpu.tensor(held.clone(), [slots * kv_heads, self.shape.capacity, width]);
            buffer(room.slice_assign(burn::tensor::s![.., ..self.shape.capacity, ..], held))
        };
        let (keys, values) = (copy(&grown.keys, &self.keys), copy(&grown.values, &self.values));
        Ok(Self { keys, values, ..grown })
    }

    /// Keys and values of the first sequence, f32, for burn's own operations.
    ///
    /// # Shapes
    /// - result: `[1, kv_heads, capacity, head_dim]` each
    #[must_use]
    pub(crate) fn tensors(&self) -> [Tensor<4>; 2] {
        let CacheShape { kv_heads, capacity, head_dim, .. } = self.shape;
        [&self.keys, &self.values]
            .map(|held| self.gpu.tensor(held.clone(), [1, kv_heads, capacity, head_dim]))
    }

    /// Its size.
    #[must_use]
    pub const fn shape(&self) -> CacheShape {
        self.shape
    }

    /// WGSL type of four channels in the cache.
    pub(crate) const fn kind(&self) -> &'static str {
        if self.shape.half { "array<vec2<u32>>" } else { "array<vec4<f32>>" }
    }

    pub(crate) fn consts(&self) -> Consts {
        vec![
            ("HALF", self.shape.half.into()),
            ("FULL", (!self.shape.half).into()),
            ("SLOTS", self.shape.slots.into()),
            ("KV_HEADS", self.shape.kv_heads.into()),
            ("CAPACITY", self.shape.capacity.into()),
        ]
    }

    /// Attention of rows whose keys and values are in the cache already.
    ///
    /// # Shapes
    /// - `queries` and the result: `[rows, heads · head_dim]`
    ///
    /// # Panics
    /// If a shape does not fit or the tensor is not an f32 one on this device.
    #[must_use]
    pub fn attend(&self, queries: Tensor<2>, places: &Places, mix: &Mix) -> Tensor<2> {
        let shape = self.shape;
        let width = mix.heads * shape.head_dim;
        assert_eq!(queries.dims(), [places.rows, width], "queries");
        assert!(mix.heads.is_multiple_of(shape.kv_heads), "query heads share key-value heads");
        let (y, result) = self.gpu.output([places.rows, width]);
        let rows = if places.consecutive { SHARED } else { 1 };
        let buffers = vec![buffer(queries), self.keys.clone(), self.values.clone(), places.buffer.clone(), y];
        let groups = [mix.heads, places.rows.div_ceil(rows), 1];
        self.gpu.launch(self.kernel(mix, rows), groups, buffers, &[places.rows]);
        result
    }

    fn kernel(&self, mix: &Mix, rows: usize) -> Kernel {
        let quads = self.shape.head_dim / 4;
        let mut consts = self.consts();
        consts.extend([
            ("THREADS", THREADS.into()),
            ("QUADS", quads.into()),
            ("ROWS", rows.into()),
            ("HEADS", mix.heads.into()),
            ("GROUP", (mix.heads / self.shape.kv_heads).into()),
            ("SCALE", mix.scale.into()),
            ("WINDOWED", mix.window.is_some().into()),
            ("UNBOUNDED", mix.window.is_none().into()),
            ("WINDOW", mix.window.unwrap_or(1).max(1).into()),
            ("CAPPED", mix.cap.is_some().into()),
            ("UNCAPPED", mix.cap.is_none().into()),
            ("CAP", mix.cap.unwrap_or(1.0).into()),
            ("QUERY", (rows * quads).into()),
            ("WEIGHTS", (rows * THREADS).into()),
            ("TOPS", (rows * 8).into()),
        ]);
        let bindings = vec![
            ("queries", "array<vec4<f32>>", Access::Read),
            ("keys", self.kind(), Access::Read),
            ("values", self.kind(), Access::Read),
            ("places", "array<u32>", Access::Read),
            ("y", "array<vec4<f32>>", Access::Write),
        ];
        let parts = vec![CACHE, include_str!("gpu.wgsl")];
        Kernel { name: "attention", parts, consts, bindings, threads: THREADS as u32 }
    }
}

/// How four channels are stored and loaded.
pub(crate) const CACHE: &str = include_str!("gpu/cache.wgsl");
/// Invocations of a workgroup, and positions of a tile. Source: guess.
const THREADS: usize = 128;
/// Rows of a prompt that share the keys they read. Source: guess.
const SHARED: usize = 4;

impl Places {
    /// Of `(sequence, position)` for each row.
    ///
    /// # Panics
    /// Without rows, or beyond 2³² positions.
    #[must_use]
    pub fn new(gpu: &Gpu, places: &[(usize, usize)]) -> Self {
        assert!(!places.is_empty(), "a pass has rows");
        let word = |value: usize| u32::try_from(value).expect("positions fit 32 bits");
        let words: Vec<u32> =
            places.iter().flat_map(|(slot, position)| [word(*slot), word(*position)]).collect();
        let follows = |pair: &[(usize, usize)]| pair[0].0 == pair[1].0 && pair[0].1 + 1 == pair[1].1;
        let consecutive = places.len() > 1 && places.windows(2).all(follows);
        Self { buffer: gpu.upload(&words), rows: places.len(), consecutive }
    }

    /// Rows of the pass.
    #[must_use]
    pub const fn rows(&self) -> usize {
        self.rows
    }
}
