//! On WebGPU, with a running softmax: a workgroup makes one head of a few rows.

use super::Shape;
use crate::ops::gpu::{Access, Gpu, Kernel, buffer};
use burn::tensor::Tensor;

/// Invocations of a workgroup. Source: guess.
const THREADS: usize = 128;
/// Keys of a tile: each invocation scores one of them with some of the rows. Source: guess.
const KEYS: usize = 32;
/// Floats of queries that a workgroup holds: 8 KiB of the 16 KiB that every WebGPU device has.
const HELD: usize = 2048;

/// True if there is a kernel for such heads.
#[must_use]
pub fn takes(shape: &Shape) -> bool {
    shape.head_dim.is_multiple_of(4) && shape.head_dim / 4 <= THREADS
}

/// # Shapes
/// - `queries` and the result: `[1, rows, heads · head_dim]`
/// - `keys`, `values`: `[1, seen, kv_heads · head_dim]`
///
/// # Panics
/// If a shape does not fit, [`takes`] says no, or a tensor is not an f32 one on this device.
#[must_use]
pub fn attention(
    gpu: &Gpu,
    queries: Tensor<3>,
    keys: Tensor<3>,
    values: Tensor<3>,
    shape: &Shape,
) -> Tensor<3> {
    let ([one, rows, width], [_, seen, key]) = (queries.dims(), keys.dims());
    assert!(takes(shape) && one == 1, "{shape:?}");
    assert!(shape.heads.is_multiple_of(shape.kv_heads), "query heads share key-value heads");
    assert!(width == shape.heads * shape.head_dim && key == shape.kv_heads * shape.head_dim, "{shape:?}");
    assert!(values.dims() == keys.dims() && seen > 0, "keys and values");
    let kernel = kernel(shape);
    let tile = tile_rows(shape.head_dim);
    let (y, result) = gpu.output([1, rows, width]);
    let buffers = vec![buffer(queries), buffer(keys), buffer(values), y];
    gpu.launch(kernel, [shape.heads, rows.div_ceil(tile), 1], buffers, &[rows, seen]);
    result
}

/// Rows that share the keys they read: a power of two between 4 and 16.
fn tile_rows(head_dim: usize) -> usize {
    let most = (HELD / head_dim).clamp(4, 16);
    1 << most.ilog2()
}

fn kernel(shape: &Shape) -> Kernel {
    let (quads, rows) = (shape.head_dim / 4, tile_rows(shape.head_dim));
    // Groups of invocations that mix values; each has some of the rows.
    let groups = 1 << (THREADS / quads).min(rows).ilog2();
    let consts = vec![
        ("THREADS", THREADS.into()),
        ("KEYS", KEYS.into()),
        ("QUADS", quads.into()),
        ("ROWS", rows.into()),
        ("SCORED", (rows * KEYS / THREADS).into()),
        ("GROUPS", groups.into()),
        ("MIXED", (rows / groups).into()),
        ("HEADS", shape.heads.into()),
        ("KV_HEADS", shape.kv_heads.into()),
        ("SHARE", (shape.heads / shape.kv_heads).into()),
        ("SCALE", shape.scale.into()),
        ("WINDOWED", shape.window.is_some().into()),
        ("UNBOUNDED", shape.window.is_none().into()),
        ("WINDOW", shape.window.unwrap_or(0).into()),
        ("CAPPED", shape.soft_cap.is_some().into()),
        ("UNCAPPED", shape.soft_cap.is_none().into()),
        ("CAP", shape.soft_cap.unwrap_or(1.0).into()),
        ("QUERY", (rows * quads).into()),
        ("WEIGHTS", (rows * KEYS).into()),
    ];
    let quads = "array<vec4<f32>>";
    let bindings = vec![
        ("queries", quads, Access::Read),
        ("keys", quads, Access::Read),
        ("values", quads, Access::Read),
        ("y", quads, Access::Write),
    ];
    let parts = vec![include_str!("gpu.wgsl")];
    Kernel { name: "attention_full", parts, consts, bindings, threads: THREADS as u32 }
}
