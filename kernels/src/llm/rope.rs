//! Rotary position embedding (Su et al. 2021, RoFormer), in Hugging Face's half-split layout.

use crate::llm::{Config, RopeScaling};
use crate::ops::Tier;
use burn::module::Module;
use burn::tensor::{Device, Tensor, TensorData};
use std::f64::consts::TAU;
use std::ops::Range;
use std::sync::Arc;

/// Cosines and sines of every position, made once and shared by all layers.
#[derive(Module, Debug)]
pub struct Rope {
    global: Table,
    /// Of layers with a window, where those turn in another way.
    local: Option<Table>,
}

/// A head's channels are two halves `a`, `b`; channel `i` of the first turns with channel `i` of the second:
/// `a' = a·cos − b·sin`, `b' = b·cos + a·sin`.
#[derive(Module, Debug)]
struct Table {
    #[module(skip)]
    host: Arc<Turns>,
    /// Cosines, then sines, `[positions, 2 · pairs]`, where the kernels read them on the device.
    device: Option<Tensor<2>>,
}

/// `[positions, pairs]` each.
#[derive(Debug, Clone)]
struct Turns {
    pairs: usize,
    cos: Vec<f32>,
    sin: Vec<f32>,
}

/// The rows of a [`Rope`] that one pass needs.
#[derive(Debug, Clone)]
pub struct Rotation {
    table: Table,
    rows: usize,
    /// `[rows, pairs]` each.
    cos: Vec<f32>,
    sin: Vec<f32>,
}

impl Rope {
    /// The tables of `config` for sequences that reach `length` tokens: positions `0..length`.
    #[must_use]
    pub fn new(config: &Config, length: usize, device: &Device) -> Self {
        let (frequencies, attention) = frequencies(config, length);
        let theta = config.window.as_ref().and_then(|window| window.rope_theta);
        let local = theta.map(|theta| Table::new(&plain(config, theta), 1.0, length, device));
        Self { global: Table::new(&frequencies, attention, length, device), local }
    }

    /// What rows at the positions of `spans`, one span after the other, turn by, in layers with a window (`local`) or
    /// without.
    ///
    /// # Panics
    /// If they are beyond the length that the tables were made for.
    #[must_use]
    pub fn rotation(&self, spans: &[Range<usize>], local: bool) -> Rotation {
        let table = self.local.as_ref().filter(|_| local).unwrap_or(&self.global);
        let Turns { pairs, cos, sin } = &*table.host;
        let joined = |all: &[f32]| -> Vec<f32> {
            let rows = |span: &Range<usize>| span.start * pairs..span.end * pairs;
            spans
                .iter()
                .flat_map(|span| all.get(rows(span)).expect("positions of the tables"))
                .copied()
                .collect()
        };
        let rows = spans.iter().map(ExactSizeIterator::len).sum();
        Rotation { table: table.clone(), rows, cos: joined(cos), sin: joined(sin) }
    }
}

impl Table {
    /// `attention` is what queries and keys are multiplied by while they turn.
    fn new(frequencies: &[f64], attention: f64, length: usize, device: &Device) -> Self {
        let pairs = frequencies.len();
        let (mut cos, mut sin) = (Vec::with_capacity(length * pairs), Vec::with_capacity(length * pairs));
        for position in 0..length {
            // Computed in f64, so that position 8000 is as exact as position 1.
            let angles = || frequencies.iter().map(|frequency| position as f64 * frequency);
            cos.extend(angles().map(|angle| (attention * angle.cos()) as f32));
            sin.extend(angles().map(|angle| (attention * angle.sin()) as f32));
        }
        let host = Turns { pairs, cos, sin };
        let device = matches!(Tier::of(device), Tier::Gpu(_)).then(|| host.interleaved(length, device));
        Self { host: Arc::new(host), device }
    }
}

impl Turns {
    fn interleaved(&self, length: usize, device: &Device) -> Tensor<2> {
        let rows = self.cos.chunks(self.pairs).zip(self.sin.chunks(self.pairs));
        let values: Vec<f32> = rows.flat_map(|(cos, sin)| [cos, sin].concat()).collect();
        Tensor::from_data(TensorData::new(values, [length, 2 * self.pairs]), device)
    }
}

impl Rotation {
    /// Pairs of channels that turn.
    #[must_use]
    pub fn pairs(&self) -> usize {
        self.table.host.pairs
    }

    /// Cosines and sines, `[rows, pairs]` each.
    #[must_use]
    pub fn slices(&self) -> (&[f32], &[f32]) {
        (&self.cos, &self.sin)
    }

    /// Cosines, then sines of every position, `[positions, 2 · pairs]`; where our kernels run on a GPU.
    #[must_use]
    pub fn table(&self) -> Option<&Tensor<2>> {
        self.table.device.as_ref()
    }

    /// Turns every head of `x` by its row's position: `x' = x·cos + flip(x)·[−sin, sin]`, with the halves on an axis of
    /// their own.
    ///
    /// # Shapes
    /// - `x` and the result: `[batch, rows, heads, 2, pairs]`
    #[must_use]
    pub fn apply(&self, x: Tensor<5>) -> Tensor<5> {
        let (cos, sin) = self.slices();
        let (rows, pairs) = (self.rows, self.pairs());
        let signed: Vec<f32> =
            sin.chunks(pairs).flat_map(|sin| sin.iter().map(|sin| -sin).chain(sin.iter().copied())).collect();
        let on = |values: Vec<f32>, halves: usize| -> Tensor<5> {
            Tensor::from_data(TensorData::new(values, [1, rows, 1, halves, pairs]), &x.device())
        };
        x.clone() * on(cos.to_vec(), 1) + x.clone().flip([3]) * on(signed, 2)
    }
}

/// Radians per position of each pair: `theta^(−2i / channels)`.
fn plain(config: &Config, theta: f64) -> Vec<f64> {
    let pairs = config.rotary_channels() / 2;
    (0..pairs).map(|i| theta.powf(-(i as f64) / pairs as f64)).collect()
}

/// Stretched frequencies for sequences of `length` tokens, and what queries and keys are multiplied by.
/// The rules are those of transformers' `modeling_rope_utils.py`.
fn frequencies(config: &Config, length: usize) -> (Vec<f64>, f64) {
    let plain = |theta| plain(config, theta);
    let each = |rule: &dyn Fn(f64) -> f64| plain(config.rope_theta).into_iter().map(rule).collect();
    let divided = |by: &[f64]| plain(config.rope_theta).iter().zip(by).map(|(f, by)| f / by).collect();
    match &config.rope_scaling {
        RopeScaling::None => (plain(config.rope_theta), 1.0),
        RopeScaling::Linear { factor } => (each(&|f| f / factor), 1.0),
        RopeScaling::Dynamic { factor, original } => {
            let longer = length.max(*original) as f64 / *original as f64;
            let channels = config.rotary_channels() as f64;
            // Two channels have one frequency, which no base changes.
            let power = if channels > 2.0 { channels / (channels - 2.0) } else { 0.0 };
            (plain(config.rope_theta * (factor * longer - (factor - 1.0)).powf(power)), 1.0)
        }
        RopeScaling::LongRope { short, long, original, attention, .. } => {
            (divided(if length > *original { long } else { short }), *attention)
        }
        RopeScaling::Factors(factors) => (divided(factors), 1.0),
        RopeScaling::Llama3 { factor, low, high, original } => {
            (each(&|f| llama3(f, *factor, [*low, *high], *original)), 1.0)
        }
        RopeScaling::Yarn { attention, .. } => (yarn(config), *attention),
    }
}

fn llama3(frequency: f64, factor: f64, [low, high]: [f64; 2], original: f64) -> f64 {
    let turns = original * frequency / TAU;
    let keep = ((turns - low) / (high - low)).clamp(0.0, 1.0);
    frequency * keep + frequency / factor * (1.0 - keep)
}

/// Pairs up to that which turns `fast` times in the original context are kept, from that which turns `slow` times on
/// they are divided by the factor.
fn yarn(config: &Config) -> Vec<f64> {
    let plain = plain(config, config.rope_theta);
    let RopeScaling::Yarn { factor, original, fast, slow, truncate, .. } = config.rope_scaling else {
        return plain;
    };
    let channels = config.rotary_channels() as f64;
    let pair_of = |turns: f64| channels * (original / (turns * TAU)).ln() / (2.0 * config.rope_theta.ln());
    let (mut first, mut last) = (pair_of(fast), pair_of(slow));
    if truncate {
        (first, last) = (first.floor(), last.ceil());
    }
    (first, last) = (first.max(0.0), last.min(channels - 1.0));
    let span = if first == last { 0.001 } else { last - first };
    let blend = |(i, frequency): (usize, f64)| {
        let divided = ((i as f64 - first) / span).clamp(0.0, 1.0);
        frequency / factor * divided + frequency * (1.0 - divided)
    };
    plain.into_iter().enumerate().map(blend).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Rows: frequency, what it becomes under Llama 3.1's published parameters, why.
    #[test]
    fn llama3_stretches_low_frequencies_only() {
        let stretch = |frequency| llama3(frequency, 8.0, [1.0, 4.0], 8192.0);
        let turning = |turns: f64| turns * TAU / 8192.0;
        let rows = [
            (1.0, 1.0, "the highest frequency is left alone"),
            (turning(4.0), turning(4.0), "the upper edge is left alone"),
            (turning(1.0), turning(1.0) / 8.0, "the lower edge is divided by the whole factor"),
            (turning(0.1), turning(0.1) / 8.0, "below it too"),
            (turning(2.5), turning(2.5) * (0.5 + 0.5 / 8.0), "half way is half of each"),
        ];
        for (frequency, expected, why) in rows {
            assert!((stretch(frequency) - expected).abs() < 1e-12, "{why}");
        }
    }
}
