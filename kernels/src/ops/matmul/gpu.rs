//! Products with packed weights on WebGPU.
//!
//! Weights stay in the blocks of the file; an invocation turns a few of them into floats in registers, multiplies
//! them with a few rows of activations and forgets them. Decode and prefill are the same kernel with 1 and with
//! 4 rows of activations at a time, so that a row's bits do not depend on the rows beside it.

mod layout;
mod lookup;
mod upload;

use crate::ops::gpu::{Access, Consts, Error, Gpu, Kernel, buffer};
use crate::quant::Format;
use burn::tensor::Tensor;
use burn_cubecl::cubecl::server::Handle;
use layout::Layout;
pub use upload::Upload;

/// A weight matrix on the device, `[rows, cols]`: rows are outputs, as in the files.
#[derive(Debug, Clone)]
pub struct Packed {
    gpu: Gpu,
    layout: Layout,
    rows: usize,
    /// Runs of rows; more than one where the matrix is larger than a binding may be.
    pieces: Vec<Piece>,
}

/// Consecutive rows of a matrix, in buffers of their own.
#[derive(Debug, Clone)]
struct Piece {
    first: usize,
    rows: usize,
    quants: Handle,
    scales: Option<Handle>,
}

/// What happens to a product before it is written.
#[derive(Debug, Clone, Default)]
pub struct Finish {
    /// Added to every row; `[outputs]`.
    pub bias: Option<Tensor<1>>,
    /// `cap · tanh(y / cap)`, as Gemma 2 does to its scores.
    pub cap: Option<f32>,
    /// Added last; `[rows, outputs]`.
    pub residual: Option<Tensor<2>>,
}

/// What a gate goes through before it multiplies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Gate {
    /// `g / (1 + e^−g)`, of Llama and most others.
    Silu,
    /// GELU in its tanh form, of Gemma.
    Gelu,
}

impl Packed {
    /// A matrix whose bytes are all at hand; see [`Upload`] for one that arrives in parts.
    ///
    /// # Shapes
    /// - `bytes`: `rows` rows of blocks of `format`, `cols` weights each
    ///
    /// # Errors
    /// If the format has no kernel, a row is not whole blocks, or the bytes are not `rows` rows.
    pub fn new(gpu: &Gpu, format: Format, rows: usize, cols: usize, bytes: &[u8]) -> Result<Self, Error> {
        let mut upload = Upload::new(gpu, format, rows, cols)?;
        upload.push(bytes)?;
        upload.finish()
    }

    /// Outputs.
    #[must_use]
    pub const fn rows(&self) -> usize {
        self.rows
    }

    /// Inputs.
    #[must_use]
    pub const fn cols(&self) -> usize {
        self.layout.cols
    }

    /// How the weights are stored.
    #[must_use]
    pub const fn format(&self) -> Format {
        self.layout.format
    }

    /// Kernels launched per product: 1 unless the matrix is larger than a binding may be.
    #[must_use]
    pub fn launches(&self) -> usize {
        self.pieces.len()
    }

    /// `y = x · Wᵀ`, then [`Finish`].
    ///
    /// # Shapes
    /// - `x`: `[rows, cols]`
    /// - result: `[rows, outputs]`
    ///
    /// # Panics
    /// If a shape does not fit or a tensor is not an f32 one on this device.
    #[must_use]
    pub fn product(&self, x: Tensor<2>, finish: Finish) -> Tensor<2> {
        let outputs = self.rows;
        self.run(x, outputs, finish, None)
    }

    /// `act(x · Gᵀ) ∘ (x · Uᵀ)`, where the first half of the rows is `G` and the second `U`: SwiGLU (Shazeer 2020)
    /// in one launch.
    ///
    /// # Shapes
    /// - `x`: `[rows, cols]`
    /// - result: `[rows, outputs / 2]`
    ///
    /// # Panics
    /// As [`product`](Self::product), and if the matrix had to be split or has an odd number of rows.
    #[must_use]
    pub fn gated(&self, x: Tensor<2>, gate: Gate) -> Tensor<2> {
        assert!(self.pieces.len() == 1 && self.rows.is_multiple_of(2), "gate and up lie in one buffer");
        self.run(x, self.rows / 2, Finish::default(), Some(gate))
    }

    fn run(&self, x: Tensor<2>, width: usize, finish: Finish, gate: Option<Gate>) -> Tensor<2> {
        let [rows, cols] = x.dims();
        assert_eq!(cols, self.cols(), "inputs of the product");
        let tile = Tile::of(&self.layout, rows);
        let (y, result) = self.gpu.output([rows, width]);
        let x = buffer(x);
        let bias = finish.bias.clone().map(|bias| sized(bias.dims() == [width], bias));
        let residual = finish.residual.clone().map(|rest| sized(rest.dims() == [rows, width], rest));
        for piece in &self.pieces {
            let outputs = if gate.is_some() { width } else { piece.rows };
            let kernel = self.kernel(&tile, [outputs, width], &finish, gate);
            let groups = [outputs.div_ceil(tile.outputs(gate)), rows.div_ceil(tile.batch), 1];
            let optional = [piece.scales.clone(), bias.clone(), residual.clone()];
            let mut buffers = vec![piece.quants.clone(), x.clone(), y.clone()];
            buffers.extend(optional.into_iter().flatten());
            self.gpu.launch(kernel, groups, buffers, &[rows, piece.first]);
        }
        result
    }

    fn kernel(
        &self,
        tile: &Tile,
        [outputs, width]: [usize; 2],
        finish: &Finish,
        gate: Option<Gate>,
    ) -> Kernel {
        let template = source(self.format());
        let mut bindings = vec![
            ("quants", "array<vec4<u32>>", Access::Read),
            ("x", "array<vec4<f32>>", Access::Read),
            ("y", "array<f32>", Access::Write),
        ];
        let optional = [
            (self.layout.scale_words > 0, "scales", "array<u32>"),
            (finish.bias.is_some(), "bias", "array<f32>"),
            (finish.residual.is_some(), "residual", "array<f32>"),
        ];
        let there = optional.into_iter().filter(|(there, ..)| *there);
        bindings.extend(there.map(|(_, name, kind)| (name, kind, Access::Read)));
        let mut consts = format_consts(&self.layout);
        consts.extend(tile.consts(gate));
        consts.extend([
            ("OUTPUTS", outputs.into()),
            ("WIDTH", width.into()),
            ("QUADS", (self.cols() / 4).into()),
            ("STEPS", (self.cols() / self.layout.chunk).into()),
            ("GATED", gate.is_some().into()),
            ("PLAIN", gate.is_none().into()),
            ("GELU", (gate == Some(Gate::Gelu)).into()),
            ("SILU", (gate != Some(Gate::Gelu)).into()),
            ("BIAS", finish.bias.is_some().into()),
            ("RESIDUAL", finish.residual.is_some().into()),
            ("CAPPED", finish.cap.is_some().into()),
            ("CAP", finish.cap.unwrap_or(1.0).into()),
        ]);
        let parts = vec![template, include_str!("gpu.wgsl")];
        Kernel { name: "matmul", parts, consts, bindings, threads: THREADS as u32 }
    }
}

fn sized<const D: usize>(fits: bool, tensor: Tensor<D>) -> Handle {
    assert!(fits, "a bias or residual of {:?}", tensor.dims());
    buffer(tensor)
}

/// Invocations of a workgroup. Source: guess; on a software adapter 128 and 256 were no faster.
const THREADS: usize = 64;

/// How a workgroup is cut.
#[derive(Debug, Clone, Copy)]
struct Tile {
    /// Invocations that share a weight row. Depends on the row's length only: it decides the order of summation.
    lanes: usize,
    /// Sums per invocation and row of x.
    sums: usize,
    /// Rows of x at a time.
    batch: usize,
}

impl Tile {
    fn of(layout: &Layout, rows: usize) -> Self {
        let steps = layout.cols / layout.chunk;
        // As many as leave each four steps or more, and few of them idle in the last one.
        let even = |lanes: usize| 4 * lanes <= steps && 3 * steps.next_multiple_of(lanes) <= 4 * steps;
        let lanes = [32, 16, 8, 4, 2].into_iter().find(|lanes| even(*lanes)).unwrap_or(1);
        // More sums save reading x again, until they no longer fit the registers.
        let (sums, batch) = if rows == 1 { (8, 1) } else { (4, 4) };
        Self { lanes, sums, batch }
    }

    const fn groups(&self) -> usize {
        THREADS / self.lanes
    }

    /// Outputs of a group: a gated one takes two sums.
    const fn per_group(&self, gate: Option<Gate>) -> usize {
        if gate.is_some() { self.sums / 2 } else { self.sums }
    }

    /// Outputs of a workgroup.
    const fn outputs(&self, gate: Option<Gate>) -> usize {
        self.groups() * self.per_group(gate)
    }

    fn consts(&self, gate: Option<Gate>) -> Consts {
        vec![
            ("THREADS", THREADS.into()),
            ("LANES", self.lanes.into()),
            ("GROUPS", self.groups().into()),
            ("ROWS", self.sums.into()),
            ("BATCH", self.batch.into()),
            ("PER_GROUP", self.per_group(gate).into()),
            ("PARTIAL", (THREADS * self.sums * self.batch).into()),
        ]
    }
}

/// The code that reads a format.
fn source(format: Format) -> &'static str {
    match format {
        Format::F32 => include_str!("gpu/formats/f32.wgsl"),
        Format::F16 | Format::BF16 => include_str!("gpu/formats/f16.wgsl"),
        Format::Q8_0 => include_str!("gpu/formats/q8_0.wgsl"),
        Format::Q4_0 => include_str!("gpu/formats/q4_0.wgsl"),
        Format::Q4_K => include_str!("gpu/formats/q4_k.wgsl"),
        Format::Q6_K => include_str!("gpu/formats/q6_k.wgsl"),
        other => unreachable!("{other:?} was refused by Layout::of"),
    }
}

/// What the code that reads a format needs to know.
fn format_consts(layout: &Layout) -> Consts {
    let scaled = matches!(layout.format, Format::Q8_0 | Format::Q4_0);
    vec![
        // Tells kernels of two formats apart, whatever else they share.
        ("FORMAT", (layout.format as usize).into()),
        ("VECTORS", layout.vectors.into()),
        ("SCALES", layout.scale_words.into()),
        ("PARTS", (layout.chunk / 4).into()),
        ("SCALED", scaled.into()),
        ("UNSCALED", (!scaled).into()),
        ("BRAIN", (layout.format == Format::BF16).into()),
        ("HALF", (layout.format == Format::F16).into()),
    ]
}
