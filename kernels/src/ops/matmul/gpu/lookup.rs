//! Rows of a packed matrix as floats: the embedding of tokens.

use super::{Packed, THREADS, format_consts, source};
use crate::ops::gpu::{Access, Kernel, int_buffer};
use burn::tensor::{Int, Tensor};

impl Packed {
    /// The rows `ids`, each weight times `factor` (Gemma multiplies its embedding by `√width`).
    ///
    /// # Shapes
    /// - `ids`: `[tokens]`, each below the matrix's rows; larger ones give the last row
    /// - result: `[tokens, cols]`
    ///
    /// # Panics
    /// If a tensor is not a 32-bit one on this device.
    #[must_use]
    pub fn lookup(&self, ids: Tensor<1, Int>, factor: f32) -> Tensor<2> {
        let [tokens] = ids.dims();
        let ids = int_buffer(ids);
        let (y, result) = self.gpu.output([tokens, self.cols()]);
        let steps = self.cols() / self.layout.chunk;
        for piece in &self.pieces {
            let mut buffers = vec![piece.quants.clone(), ids.clone(), y.clone()];
            buffers.extend(piece.scales.clone());
            let groups = [steps.div_ceil(THREADS), tokens, 1];
            self.gpu.launch(self.reader(factor), groups, buffers, &[self.rows, piece.first, piece.rows]);
        }
        result
    }

    fn reader(&self, factor: f32) -> Kernel {
        let template = source(self.format());
        let mut bindings = vec![
            ("quants", "array<vec4<u32>>", Access::Read),
            ("ids", "array<i32>", Access::Read),
            ("y", "array<vec4<f32>>", Access::Write),
        ];
        if self.layout.scale_words > 0 {
            bindings.push(("scales", "array<u32>", Access::Read));
        }
        let mut consts = format_consts(&self.layout);
        consts.extend([
            ("THREADS", THREADS.into()),
            ("QUADS", (self.cols() / 4).into()),
            ("STEPS", (self.cols() / self.layout.chunk).into()),
            ("FACTOR", factor.into()),
        ]);
        let parts = vec![template, include_str!("lookup.wgsl")];
        Kernel { name: "lookup", parts, consts, bindings, threads: THREADS as u32 }
    }
}
