//! The device, random numbers, and blocks of every format.

use burn::tensor::{Device, Tensor, TensorData};
use kernels::device::{self, Kind, Opened, Prefer};
use kernels::ops::gpu::Gpu;
use kernels::quant::{self, Format};
use std::sync::LazyLock;

pub struct Bench {
    pub device: Device,
    pub gpu: Gpu,
}

/// The GPU with counters of its own, or nothing and a word about it.
pub fn gpu() -> Option<Bench> {
    // Opened once: two that open it at the same time get in each other's way.
    static OPENED: LazyLock<Opened> =
        LazyLock::new(|| futures::executor::block_on(device::open(Prefer::Gpu)));
    let opened = OPENED.clone();
    if opened.kind != Kind::Gpu {
        eprintln!("skipped: {}", opened.notice.unwrap_or_default());
        return None;
    }
    let gpu = Gpu::of(&opened.device).expect("a GPU device");
    Some(Bench { device: opened.device, gpu })
}

/// xorshift64*: enough to make shapes and weights.
pub struct Random(pub u64);

impl Random {
    pub fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_F491_4F6C_DD1D)
    }

    pub fn below(&mut self, end: usize) -> usize {
        (self.next() >> 33) as usize % end
    }

    /// Between −1 and 1.
    pub fn real(&mut self) -> f32 {
        (self.next() >> 40) as f32 / (1 << 23) as f32 - 1.0
    }

    pub fn reals(&mut self, count: usize) -> Vec<f32> {
        (0..count).map(|_| self.real()).collect()
    }

    /// Blocks of `format` whose weights are about as large as those of a model.
    pub fn blocks(&mut self, format: Format, weights: usize) -> Vec<u8> {
        if matches!(format, Format::F32 | Format::F16 | Format::Q8_0 | Format::Q4_0) {
            return quant::quantise(format, &self.reals(weights)).expect("whole blocks");
        }
        let bytes = format.row_bytes(weights).expect("whole blocks");
        let mut all: Vec<u8> = (0..bytes).map(|_| self.next() as u8).collect();
        let scales: &[usize] = match format {
            Format::Q4_K => &[0, 2],
            Format::Q6_K => &[208],
            _ => &[0],
        };
        for block in all.chunks_exact_mut(format.block_bytes()) {
            for at in scales {
                let scale = self.real() * 1e-3;
                let two = if format == Format::BF16 {
                    half::bf16::from_f32(scale).to_le_bytes()
                } else {
                    half::f16::from_f32(scale).to_le_bytes()
                };
                block[*at..at + 2].copy_from_slice(&two);
            }
        }
        all
    }
}

pub fn floats(format: Format, bytes: &[u8], count: usize) -> Vec<f32> {
    let mut out = vec![0.0; count];
    quant::dequantise(format, bytes, &mut out).expect("whole blocks");
    out
}

pub fn tensor<const D: usize>(data: &[f32], shape: [usize; D], device: &Device) -> Tensor<D> {
    Tensor::from_data(TensorData::new(data.to_vec(), shape), device)
}

pub fn read<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
    let data = futures::executor::block_on(tensor.into_data_async()).expect("a tensor can be read");
    data.try_to_vec().expect("f32")
}

/// Asserts that `found` is `expected` up to `tolerance` of the spread of `expected`.
#[track_caller]
pub fn close(what: &str, found: &[f32], expected: &[f32], tolerance: f32) {
    assert_eq!(found.len(), expected.len(), "{what}: length");
    let square: f64 = expected.iter().map(|x| f64::from(*x) * f64::from(*x)).sum();
    let spread = ((square / expected.len() as f64).sqrt() as f32).max(1e-6);
    for (at, (found, expected)) in found.iter().zip(expected).enumerate() {
        let off = (found - expected).abs() / spread;
        assert!(off <= tolerance, "{what}: at {at} {found} instead of {expected}, off by {off} spreads");
    }
}
