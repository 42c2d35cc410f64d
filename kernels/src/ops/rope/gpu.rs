//! Rotary positions on WebGPU, with the norm of queries and keys before and the write to the cache after, in one
//! launch.

use crate::ops::attention::gpu::{CACHE, Cache, Places};
use crate::ops::gpu::{Access, Kernel, buffer};
use burn::tensor::Tensor;

/// Which channels turn together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pairs {
    /// Channel `i` of the first half with channel `i` of the second: Hugging Face's layout.
    Halves,
    /// Channels `2i` and `2i + 1`: Meta's layout, which Llama's GGUF files keep.
    Neighbours,
}

/// What happens to queries and keys on their way.
#[derive(Debug, Clone)]
pub struct Turn {
    /// Query heads.
    pub heads: usize,
    /// Which channels turn together.
    pub pairs: Pairs,
    /// Cosines, then sines of each position: `[positions, turned]`, where `turned` channels of a head turn and the
    /// rest stay. At least as many positions as the pass reaches.
    pub table: Tensor<2>,
    /// RMS norms of each query and key head before they turn (Qwen3, Gemma 3).
    pub norm: Option<HeadNorm>,
}

/// RMSNorm within heads.
#[derive(Debug, Clone)]
pub struct HeadNorm {
    /// `[head_dim]`
    pub query: Tensor<1>,
    /// `[head_dim]`
    pub key: Tensor<1>,
    /// Added to the mean square.
    pub eps: f32,
}

impl Cache {
    /// Turns queries and keys, puts keys and values into the cache, and gives the queries.
    ///
    /// # Shapes
    /// - `qkv`: `[rows, (heads + 2 · kv_heads) · head_dim]`: queries, keys, values
    /// - result: `[rows, heads · head_dim]`
    ///
    /// # Panics
    /// If a shape or a place does not fit or a tensor is not an f32 one on this device.
    #[must_use]
    pub fn turn(&self, qkv: Tensor<2>, places: &Places, turn: &Turn) -> Tensor<2> {
        let dim = self.shape.head_dim;
        let all = turn.heads + 2 * self.shape.kv_heads;
        let [positions, turned] = turn.table.dims();
        assert_eq!(qkv.dims(), [places.rows(), all * dim], "queries, keys and values");
        assert!(positions >= places.positions(), "the table ends before the rows");
        self.check(places);
        assert!(turned.is_multiple_of(2) && turned <= dim, "{turned} of {dim} channels turn");
        let (queries, result) = self.gpu.output([places.rows(), turn.heads * dim]);
        let mut buffers = vec![
            buffer(qkv),
            buffer(turn.table.clone()),
            places.buffer.clone(),
            queries,
            self.keys.clone(),
            self.values.clone(),
        ];
        if let Some(norm) = &turn.norm {
            assert!(norm.query.dims() == [dim] && norm.key.dims() == [dim], "norms of a head");
            buffers.extend([buffer(norm.query.clone()), buffer(norm.key.clone())]);
        }
        self.gpu.launch(self.turning(turn), [all, places.rows(), 1], buffers, &[]);
        result
    }

    fn turning(&self, turn: &Turn) -> Kernel {
        let dim = self.shape.head_dim;
        let threads = (dim / 4).next_power_of_two().clamp(1, 64);
        let mut consts = self.consts();
        consts.extend([
            ("THREADS", threads.into()),
            ("DIM", dim.into()),
            ("TURNED", turn.table.dims()[1].into()),
            ("HEADS", turn.heads.into()),
            ("HALVES", (turn.pairs == Pairs::Halves).into()),
            ("PAIRS", (turn.pairs == Pairs::Neighbours).into()),
            ("NORMED", turn.norm.is_some().into()),
            ("EPS", turn.norm.as_ref().map_or(0.0, |norm| norm.eps).into()),
        ]);
        let mut bindings = vec![
            ("qkv", "array<f32>", Access::Read),
            ("table", "array<f32>", Access::Read),
            ("places", "array<u32>", Access::Read),
            ("queries", "array<vec4<f32>>", Access::Write),
            ("keys", self.kind(), Access::Write),
            ("values", self.kind(), Access::Write),
        ];
        if turn.norm.is_some() {
            bindings.extend([
                ("query_weight", "array<f32>", Access::Read),
                ("key_weight", "array<f32>", Access::Read),
            ]);
        }
        let parts = vec![CACHE, include_str!("gpu.wgsl")];
        Kernel { name: "rope", parts, consts, bindings, threads: threads as u32 }
    }
}
