//! Rotation and attention of rows in burn's own operations: for training, and for devices without kernels of ours.

use crate::llm::rope::Rotation;
use burn::tensor::activation::softmax;
use burn::tensor::{Device, Tensor, TensorData};

/// Turns every head by its row's position, in Hugging Face's half-split layout: channel `i` of the first half of
/// the channels that turn goes with channel `i` of their second half. Channels behind those stay.
///
/// # Shapes
/// - `x` and the result: `[batch, rows, heads, head_dim]`
pub(super) fn rope(x: Tensor<4>, rotation: &Rotation) -> Tensor<4> {
    let [batch, rows, heads, head_dim] = x.dims();
    let half = rotation.pairs();
    let turn = |x: Tensor<4>| -> Tensor<4> {
        let halves = x.reshape([batch, rows, heads, 2, half]);
        rotation.apply(halves).reshape([batch, rows, heads, 2 * half])
    };
    if 2 * half == head_dim {
        return turn(x);
    }
    let still = x.clone().narrow(3, 2 * half, head_dim - 2 * half);
    Tensor::cat(vec![turn(x.narrow(3, 0, 2 * half)), still], 3)
}

/// How rows look at those before them.
#[derive(Debug, Clone)]
pub(super) struct View {
    /// Added to the scores, `[1, 1, rows, rows]`; none where there is one row.
    pub mask: Option<Tensor<4>>,
}

impl View {
    /// Of the `rows` rows of a sequence. Each sees `window` rows, itself included, or all before it.
    pub fn new(rows: usize, window: Option<usize>, device: &Device) -> Self {
        Self { mask: (rows > 1).then(|| causal_mask(rows, window, device)) }
    }
}

/// A finite number instead of −∞: shader compilers may assume that there are no infinities.
const UNSEEN: f32 = -1e30;

/// # Shapes
/// `[1, 1, rows, rows]`: 0 where a row may look, far below every score elsewhere.
fn causal_mask(rows: usize, window: Option<usize>, device: &Device) -> Tensor<4> {
    let row = |row: usize| {
        let first = window.map_or(0, |window| (row + 1).saturating_sub(window));
        (0..rows).map(move |column| if (first..=row).contains(&column) { 0.0 } else { UNSEEN })
    };
    let data: Vec<f32> = (0..rows).flat_map(row).collect();
    Tensor::from_data(TensorData::new(data, [1, 1, rows, rows]), device)
}

/// `softmax(cap(Q·Kᵀ·scale) + mask)·V`, where `heads / kv_heads` query heads share one key-value head: they become its
/// rows, so that nothing is repeated.
///
/// # Shapes
/// - `queries` and the result: `[batch, heads, rows, head_dim]`
/// - `keys`, `values`: `[batch, kv_heads, rows, head_dim]`
pub(super) fn attention(
    queries: Tensor<4>,
    keys: Tensor<4>,
    values: Tensor<4>,
    view: &View,
    scale: f64,
    cap: Option<f64>,
) -> Tensor<4> {
    let [batch, heads, rows, head_dim] = queries.dims();
    let [_, kv_heads, seen, _] = keys.dims();
    let grouped = heads / kv_heads * rows;
    let queries = (queries * scale).reshape([batch, kv_heads, grouped, head_dim]);
    let scores = soft_cap(queries.matmul(keys.swap_dims(2, 3)), cap);
    let weights = match view.mask.clone() {
        Some(mask) => softmax(scores.reshape([batch, heads, rows, seen]) + mask, 3),
        None => softmax(scores, 3),
    };
    let weights = weights.reshape([batch, kv_heads, grouped, seen]);
    weights.matmul(values).reshape([batch, heads, rows, head_dim])
}

/// `cap·tanh(x / cap)`: nothing gets beyond the cap.
pub(super) fn soft_cap<const D: usize>(x: Tensor<D>, cap: Option<f64>) -> Tensor<D> {
    match cap {
        Some(cap) => (x / cap).tanh() * cap,
        None => x,
    }
}
