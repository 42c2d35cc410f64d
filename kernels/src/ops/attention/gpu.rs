//! The key-value cache of one layer on WebGPU, and attention over it.

use crate::ops::gpu::{Access, Consts, Error, Gpu, Kernel, buffer};
use burn::tensor::Tensor;
use burn_cubecl::cubecl::server::Handle;

/// Keys and values of one layer: pages of `[kv_heads, page, head_dim]` each. Which sequence a page belongs to is
/// [`Places`]' business.
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
    /// Pages; no part of a kernel, so that another number of them compiles nothing again.
    pub pages: usize,
    /// Key-value heads.
    pub kv_heads: usize,
    /// Positions of a page, a multiple of 128.
    pub page: usize,
    /// Channels of a head, a multiple of 4.
    pub head_dim: usize,
    /// Stores f16 instead of f32; needs nothing of the adapter.
    pub half: bool,
}

/// Consecutive rows of a pass that belong to one sequence.
#[derive(Debug, Clone, Copy)]
pub struct Span<'a> {
    /// The pages of the sequence, in order.
    pub pages: &'a [u32],
    /// Position of the first row.
    pub at: usize,
    /// Rows, at least one.
    pub rows: usize,
}

/// Which sequence and position each row of a pass belongs to; uploaded once and used by all layers.
#[derive(Debug, Clone)]
pub struct Places {
    pub(crate) buffer: Handle,
    pub(crate) rows: usize,
    /// Runs of rows that share the keys that they read.
    groups: usize,
    /// Most rows of one of them.
    shared: usize,
    /// What they need of the caches and of the rotary table.
    least: Least,
}

/// How large caches and tables have to be for some [`Places`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Least {
    page: usize,
    pages: usize,
    positions: usize,
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
        [self.kv_heads, self.page, self.head_dim, each]
            .iter()
            .try_fold(self.pages, |all, n| all.checked_mul(*n))
    }
}

impl Cache {
    /// Empty room for `shape`.
    ///
    /// # Errors
    /// If the device cannot bind that much at once, a head is not whole vectors of four, or a page no whole tiles.
    pub fn new(gpu: &Gpu, shape: CacheShape) -> Result<Self, Error> {
        let bytes = shape.bytes().unwrap_or(usize::MAX) / 2;
        let whole = shape.head_dim.is_multiple_of(4)
            && shape.head_dim / 4 <= THREADS
            && shape.page.is_multiple_of(THREADS);
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

    /// The same pages with room for `pages` in all.
    ///
    /// # Errors
    /// As [`Cache::new`].
    pub fn grown(&self, pages: usize) -> Result<Self, Error> {
        let CacheShape { pages: held_pages, kv_heads, page, head_dim, half } = self.shape;
        let grown = Self::new(&self.gpu, CacheShape { pages, ..self.shape })?;
        // Two channels of f16 are moved as one float.
        let width = kv_heads * page * if half { head_dim / 2 } else { head_dim };
        let copy = |room: &Handle, held: &Handle| {
            let room = self.gpu.tensor::<2>(room.clone(), [pages, width]);
            let held = self.gpu.tensor(held.clone(), [held_pages, width]);
            buffer(room.slice_assign(burn::tensor::s![..held_pages, ..], held))
        };
        let (keys, values) = (copy(&grown.keys, &self.keys), copy(&grown.values, &self.values));
        Ok(Self { keys, values, ..grown })
    }

    /// Copies page `from` to page `to`.
    ///
    /// # Panics
    /// If one of them does not exist.
    pub fn copy(&self, from: usize, to: usize) {
        let CacheShape { pages, kv_heads, page, head_dim, .. } = self.shape;
        assert!(from < pages && to < pages, "pages {from} and {to} of {pages}");
        let quads = kv_heads * page * head_dim / 4;
        let kernel = Kernel {
            name: "copy",
            parts: vec![include_str!("gpu/copy.wgsl")],
            consts: vec![("QUADS", quads.into()), ("THREADS", THREADS.into())],
            bindings: vec![("keys", self.kind(), Access::Write), ("values", self.kind(), Access::Write)],
            threads: THREADS as u32,
        };
        let buffers = vec![self.keys.clone(), self.values.clone()];
        self.gpu.launch(kernel, [quads.div_ceil(THREADS), 1, 1], buffers, &[from, to]);
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
            ("KV_HEADS", self.shape.kv_heads.into()),
            ("PAGE", self.shape.page.into()),
        ]
    }

    /// Attention of rows whose keys and values are in the cache already.
    ///
    /// # Shapes
    /// - `queries` and the result: `[rows, heads · head_dim]`
    ///
    /// # Panics
    /// If a shape or a place does not fit or the tensor is not an f32 one on this device.
    #[must_use]
    pub fn attend(&self, queries: Tensor<2>, places: &Places, mix: &Mix) -> Tensor<2> {
        let shape = self.shape;
        let width = mix.heads * shape.head_dim;
        assert_eq!(queries.dims(), [places.rows, width], "queries");
        assert!(mix.heads.is_multiple_of(shape.kv_heads), "query heads share key-value heads");
        self.check(places);
        let (y, result) = self.gpu.output([places.rows, width]);
        let buffers = vec![buffer(queries), self.keys.clone(), self.values.clone(), places.buffer.clone(), y];
        let groups = [mix.heads, places.groups, 1];
        self.gpu.launch(self.kernel(mix, places.shared), groups, buffers, &[places.rows]);
        result
    }

    /// A kernel trusts the places that it is given.
    pub(crate) fn check(&self, places: &Places) {
        let CacheShape { page, pages, .. } = self.shape;
        assert!(places.least.page == page && places.least.pages <= pages, "{:?} of {pages}", places.least);
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
    /// Of the rows of `spans`, one span after the other, in pages of `page` positions.
    ///
    /// # Panics
    /// Without rows, with a row beyond the pages of its sequence, or beyond 2³² positions.
    #[must_use]
    pub fn new(gpu: &Gpu, page: usize, spans: &[Span<'_>]) -> Self {
        let word = |value: usize| u32::try_from(value).expect("places fit 32 bits");
        let rows = spans.iter().map(|span| span.rows).sum();
        let shared = if spans.iter().all(|span| span.rows == 1) { 1 } else { SHARED };
        let mut starts = vec![0];
        for span in spans {
            assert!(span.rows > 0 && span.at + span.rows <= span.pages.len() * page, "rows without a page");
            let first = starts[starts.len() - 1];
            starts.extend(
                (1..=span.rows.div_ceil(shared)).map(|group| first + (group * shared).min(span.rows)),
            );
        }
        let (mut words, mut listed) = (Vec::new(), 2 * rows + starts.len());
        for span in spans {
            words.extend((span.at..span.at + span.rows).flat_map(|position| [word(listed), word(position)]));
            listed += span.pages.len();
        }
        words.extend(starts.iter().map(|start| word(*start)));
        words.extend(spans.iter().flat_map(|span| span.pages));
        let pages = spans.iter().flat_map(|span| span.pages).max().map_or(0, |page| *page as usize + 1);
        let positions = spans.iter().map(|span| span.at + span.rows).max().expect("a pass has rows");
        let least = Least { page, pages, positions };
        Self { buffer: gpu.upload(&words), rows, groups: starts.len() - 1, shared, least }
    }

    /// Rows of the pass.
    #[must_use]
    pub const fn rows(&self) -> usize {
        self.rows
    }

    /// One more than the largest position.
    pub(crate) const fn positions(&self) -> usize {
        self.least.positions
    }
}
