//! Rotary position embedding (Su et al. 2021, RoFormer), in Hugging Face's half-split layout.

use crate::llm::{Config, RopeScaling};
use burn::module::Module;
use burn::tensor::{Device, Tensor, TensorData};
use std::f64::consts::TAU;

/// Cosines and sines of every position up to the context, made once and shared by all layers.
///
/// A head's channels are two halves `a`, `b`; channel `i` of the first turns with channel `i` of the second:
/// `a' = a·cos − b·sin`, `b' = b·cos + a·sin`. With the halves on an axis of their own that is
/// `x' = x·cos + flip(x)·[−sin, sin]`: four operations for all query and key heads at once.
#[derive(Module, Debug)]
pub struct Rope {
    /// `[1, context, 1, 1, head_dim / 2]`
    cos: Tensor<5>,
    /// `[1, context, 1, 2, head_dim / 2]`, the first half negative.
    sin: Tensor<5>,
}

/// The rows of [`Rope`] that one pass needs.
#[derive(Debug, Clone)]
pub struct Rotation {
    cos: Tensor<5>,
    sin: Tensor<5>,
}

impl Rope {
    /// The tables of `config` for positions `0..context`.
    #[must_use]
    pub fn new(config: &Config, context: usize, device: &Device) -> Self {
        let frequencies = frequencies(config);
        let half = frequencies.len();
        let mut cos = Vec::with_capacity(context * half);
        let mut sin = Vec::with_capacity(context * half * 2);
        for position in 0..context {
            // Computed in f64, so that position 8000 is as exact as position 1.
            let angles = || frequencies.iter().map(|frequency| position as f64 * frequency);
            cos.extend(angles().map(|angle| angle.cos() as f32));
            sin.extend(angles().map(|angle| -angle.sin() as f32));
            sin.extend(angles().map(|angle| angle.sin() as f32));
        }
        Self {
            cos: Tensor::from_data(TensorData::new(cos, [1, context, 1, 1, half]), device),
            sin: Tensor::from_data(TensorData::new(sin, [1, context, 1, 2, half]), device),
        }
    }

    /// What positions `start..start + rows` turn by.
    ///
    /// # Panics
    /// If they are beyond the context that the tables were made for.
    #[must_use]
    pub fn rotation(&self, start: usize, rows: usize) -> Rotation {
        let take = |table: &Tensor<5>| table.clone().narrow(1, start, rows);
        Rotation { cos: take(&self.cos), sin: take(&self.sin) }
    }
}

impl Rotation {
    /// Turns every head of `x` by its row's position.
    ///
    /// # Shapes
    /// - `x` and the result: `[batch, rows, heads, 2, head_dim / 2]`
    #[must_use]
    pub fn apply(&self, x: Tensor<5>) -> Tensor<5> {
        x.clone() * self.cos.clone() + x.flip([3]) * self.sin.clone()
    }
}

/// Radians per position of each channel pair: `theta^(−2i / head_dim)`, then stretched.
fn frequencies(config: &Config) -> Vec<f64> {
    let pairs = config.head_dim / 2;
    let plain = |i: usize| config.rope_theta.powf(-(i as f64) / pairs as f64);
    (0..pairs).map(|i| stretch(plain(i), config.rope_scaling)).collect()
}

/// Llama 3.1's rule is that of transformers' `_compute_llama3_parameters`.
fn stretch(frequency: f64, scaling: RopeScaling) -> f64 {
    match scaling {
        RopeScaling::None => frequency,
        RopeScaling::Linear { factor } => frequency / factor,
        RopeScaling::Llama3 { factor, low, high, original } => {
            let turns = original * frequency / TAU;
            let keep = ((turns - low) / (high - low)).clamp(0.0, 1.0);
            frequency * keep + frequency / factor * (1.0 - keep)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Rows: frequency, what it becomes under Llama 3.1's published parameters, why.
    #[test]
    fn llama3_stretches_low_frequencies_only() {
        let scaling = RopeScaling::Llama3 { factor: 8.0, low: 1.0, high: 4.0, original: 8192.0 };
        let turning = |turns: f64| turns * TAU / 8192.0;
        let rows = [
            (1.0, 1.0, "the highest frequency is left alone"),
            (turning(4.0), turning(4.0), "the upper edge is left alone"),
            (turning(1.0), turning(1.0) / 8.0, "the lower edge is divided by the whole factor"),
            (turning(0.1), turning(0.1) / 8.0, "below it too"),
            (turning(2.5), turning(2.5) * (0.5 + 0.5 / 8.0), "half way is half of each"),
        ];
        for (frequency, expected, why) in rows {
            assert!((stretch(frequency, scaling) - expected).abs() < 1e-12, "{why}");
        }
    }
}
