//! RMSNorm on WebGPU, with a residual addition in the same launch.

use crate::ops::gpu::{Access, Gpu, Kernel, buffer};
use burn::tensor::Tensor;

/// What is added to the hidden states before they are normalised.
#[derive(Debug, Clone)]
#[allow(clippy::large_enum_variant, reason = "made once per norm and taken apart at once")]
pub enum Add {
    /// `[rows, width]`, as it is.
    Plain(Tensor<2>),
    /// `[rows, width]`, itself normalised and weighted by `[width]` before: the second norm of Gemma's blocks.
    Normed(Tensor<2>, Tensor<1>),
}

/// `y = x / √(mean(x²) + eps) ∘ weight` for each row.
///
/// # Shapes
/// - `x` and the result: `[rows, width]`; `weight`: `[width]`, width a multiple of 4
///
/// # Panics
/// If a shape does not fit or a tensor is not an f32 one on this device.
#[must_use]
pub fn norm(gpu: &Gpu, x: Tensor<2>, weight: Tensor<1>, eps: f32) -> Tensor<2> {
    run(gpu, x, None, weight, eps).1
}

/// `hidden = x + added`, then `y` as in [`norm`]; gives both.
///
/// # Shapes
/// - `x`, what is added and both results: `[rows, width]`
///
/// # Panics
/// As [`norm`].
#[must_use]
pub fn add_norm(gpu: &Gpu, x: Tensor<2>, add: Add, weight: Tensor<1>, eps: f32) -> (Tensor<2>, Tensor<2>) {
    run(gpu, x, Some(add), weight, eps)
}

fn run(gpu: &Gpu, x: Tensor<2>, add: Option<Add>, weight: Tensor<1>, eps: f32) -> (Tensor<2>, Tensor<2>) {
    let [rows, width] = x.dims();
    assert!(width.is_multiple_of(4) && weight.dims() == [width], "a norm of {width} channels");
    let (y, result) = gpu.output([rows, width]);
    let kernel = kernel(width, add.as_ref(), eps);
    let mut buffers = vec![buffer(x.clone()), buffer(weight), y];
    let mut hidden = x;
    if let Some(add) = add {
        let (added, post) = match add {
            Add::Plain(added) => (added, None),
            Add::Normed(added, weight) => (added, Some(weight)),
        };
        assert_eq!(added.dims(), [rows, width], "what is added");
        let (sum, tensor) = gpu.output([rows, width]);
        buffers.extend([buffer(added), sum]);
        buffers.extend(post.map(|weight| {
            assert_eq!(weight.dims(), [width], "the second norm");
            buffer(weight)
        }));
        hidden = tensor;
    }
    gpu.launch(kernel, [rows, 1, 1], buffers, &[]);
    (hidden, result)
}

fn kernel(width: usize, add: Option<&Add>, eps: f32) -> Kernel {
    let quads = "array<vec4<f32>>";
    let mut bindings =
        vec![("x", quads, Access::Read), ("weight", quads, Access::Read), ("y", quads, Access::Write)];
    if add.is_some() {
        bindings.extend([("added", quads, Access::Read), ("hidden", quads, Access::Write)]);
    }
    let post = matches!(add, Some(Add::Normed(..)));
    if post {
        bindings.push(("post_weight", quads, Access::Read));
    }
    // A function of the width alone: it decides the order of summation.
    let threads = (width / 4).next_power_of_two().clamp(1, 128);
    let consts = vec![
        ("THREADS", threads.into()),
        ("QUADS", (width / 4).into()),
        ("EPS", eps.into()),
        ("POST", post.into()),
        ("ADD", (add.is_some() && !post).into()),
        ("SUM", add.is_some().into()),
        ("ONLY", add.is_none().into()),
    ];
    Kernel {
        name: "rms_norm",
        parts: vec![include_str!("gpu.wgsl")],
        consts,
        bindings,
        threads: threads as u32,
    }
}
