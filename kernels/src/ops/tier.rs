//! Which kernels a device runs.

use crate::ops::gpu::Gpu;
use burn::tensor::{Device, Tensor, TensorData};
use std::cell::RefCell;

/// The kernels of a device.
#[derive(Debug, Clone)]
pub enum Tier {
    /// burn's own operations: where gradients flow, and on devices that have no kernels here.
    Stock,
    /// Our kernels over slices.
    Cpu,
    /// Our WGSL.
    Gpu(Gpu),
}

impl Tier {
    /// The tier of `device`.
    #[must_use]
    pub fn of(device: &Device) -> Self {
        if device.is_autodiff() {
            Self::Stock
        } else if *device == Device::flex() {
            Self::Cpu
        } else {
            opened(device).map_or(Self::Stock, Self::Gpu)
        }
    }
}

/// The device's client is found through a tensor, which is too much to do for every operation.
fn opened(device: &Device) -> Option<Gpu> {
    thread_local! {
        static OPENED: RefCell<Option<(Device, Gpu)>> = const { RefCell::new(None) };
    }
    OPENED.with_borrow_mut(|opened| {
        if let Some((_, gpu)) = opened.as_ref().filter(|(known, _)| known == device) {
            return Some(gpu.clone());
        }
        let gpu = Gpu::of(device).ok()?;
        *opened = Some((device.clone(), gpu.clone()));
        Some(gpu)
    })
}

/// The numbers of a tensor of the CPU tier; they move if nobody else holds them.
///
/// # Panics
/// If the tensor is not an f32 one.
pub(crate) fn floats<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
    tensor.into_data().try_into_vec::<f32>().expect("activations are f32")
}

/// A tensor of the CPU tier.
pub(crate) fn on_cpu<const D: usize>(values: Vec<f32>, shape: [usize; D]) -> Tensor<D> {
    Tensor::from_data(TensorData::new(values, shape), &Device::flex())
}

/// The same numbers as rows.
///
/// # Shapes
/// - `x`: `[…, width]`
/// - result: `[rows, width]`
pub(crate) fn rows<const D: usize>(x: Tensor<D>) -> Tensor<2> {
    let dims = x.dims();
    let width = dims[D - 1];
    let count = dims[..D - 1].iter().product::<usize>();
    x.reshape([count, width])
}

/// `shape` with another last size.
pub(crate) fn wide<const D: usize>(mut shape: [usize; D], width: usize) -> [usize; D] {
    shape[D - 1] = width;
    shape
}
