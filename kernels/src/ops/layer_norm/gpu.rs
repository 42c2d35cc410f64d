//! On WebGPU, a workgroup to a row.

use crate::ops::gpu::{Access, Gpu, Kernel, buffer};
use burn::tensor::Tensor;

/// Normalises each row, scales and shifts it.
///
/// # Shapes
/// - `x` and the result: `[rows, width]`; `shift`, `scale`: `[width]`, width a multiple of 4
///
/// # Panics
/// If a shape does not fit or a tensor is not an f32 one on this device.
#[must_use]
pub fn modulate(gpu: &Gpu, x: Tensor<2>, shift: Tensor<1>, scale: Tensor<1>, eps: f32) -> Tensor<2> {
    let [rows, width] = x.dims();
    assert!(width.is_multiple_of(4), "a norm of {width} channels");
    assert!(shift.dims() == [width] && scale.dims() == [width], "shift and scale");
    let (y, result) = gpu.output([rows, width]);
    let quads = "array<vec4<f32>>";
    let bindings = vec![
        ("x", quads, Access::Read),
        ("shift", quads, Access::Read),
        ("scale", quads, Access::Read),
        ("y", quads, Access::Write),
    ];
    // A function of the width alone: it decides the order of summation.
    let threads = (width / 4).next_power_of_two().clamp(1, 128);
    let consts = vec![("THREADS", threads.into()), ("QUADS", (width / 4).into()), ("EPS", eps.into())];
    let parts = vec![include_str!("gpu.wgsl")];
    let kernel = Kernel { name: "layer_norm", parts, consts, bindings, threads: threads as u32 };
    gpu.launch(kernel, [rows, 1, 1], vec![buffer(x), buffer(shift), buffer(scale), y], &[]);
    result
}
