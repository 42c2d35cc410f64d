//! The painter to be trained: text encoder and denoiser learn together.

use burn::module::{Module, ModuleMapper, ModuleVisitor, Param, ParamId};
use burn::tensor::activation::log_softmax;
use burn::tensor::{Device, Distribution, Int, Tensor, TensorData};
use std::collections::HashMap;

use super::data::Batch;
use super::labels;
use super::scene::SIDE;
use crate::diffusion::denoiser::{self, Positions, patches};
use crate::diffusion::{Denoiser, Spacing, TextEncoder, text_encoder};
use crate::llm::product::SPREAD;
use crate::llm::{Embedding, Layers, Product};
use crate::train::one_hot;

/// Where a clean picture becomes a velocity, noise levels are not taken below this. With the level that sampling has, the finest
/// grain of nearly finished pictures is most of the loss; but sampling hardly comes by there, and what is painted where is
/// decided long before.
const LEAST_LEVEL: f32 = 0.3;

/// How much the labels count beside the velocity. Source: guess; both send gradients of about the same size then.
const LABELS_WEIGHT: f64 = 0.1;

/// The shape of the shipped denoiser: pixels in squares of 8 × 8, so that a picture is 36 tokens. Smaller squares would
/// cost more than they show in pictures of flat colours: training time went into more pictures instead.
#[must_use]
pub fn denoiser_config() -> denoiser::Config {
    denoiser::Config {
        channels: 3,
        patch: labels::SQUARE,
        text_width: 128,
        width: 160,
        ff_width: 320,
        heads: 5,
        depth: 6,
        axes: [16, 16],
        theta: 10_000.0,
        time_factor: 1000.0,
        time_period: 10_000.0,
        bottleneck: None,
        resolution: false,
    }
}

/// The shape of the shipped text encoder.
#[must_use]
pub fn encoder_config(vocabulary: usize) -> text_encoder::Config {
    text_encoder::Config {
        vocabulary,
        width: 128,
        layers: 2,
        heads: 4,
        kv_heads: 2,
        head_dim: 32,
        ff_width: 256,
        norm_eps: 1e-6,
        rope_theta: 10_000.0,
        score_scale: 32_f64.powf(-0.5),
        score_cap: Some(50.0),
        window: 4096,
        local: vec![false; 2],
        attention_bias: false,
        context: 64,
        bos: Some(super::vocabulary::BEGIN_ID),
    }
}

/// How noise levels are spread in training and in sampling. Pictures of large flat areas show through much noise (Hoogeboom et al.
/// 2023, "simple diffusion"): with PRX's usual shift of 3 only a quarter of the steps are above the level 0.9, where shapes and places
/// are decided, with this one more than half.
#[must_use]
pub fn spacing() -> Spacing {
    Spacing { shift: 10.0, ..Spacing::default() }
}

/// What learns.
#[derive(Module, Debug)]
pub struct Learner {
    /// Captions to rows.
    pub encoder: TextEncoder,
    /// Noise to pictures.
    pub denoiser: Denoiser,
    /// Hidden states half-way through the denoiser to what is in each square; it does not ship.
    pub reader: Product,
}

/// What a step learns from, each `[1]`.
#[derive(Debug, Clone)]
pub struct Losses {
    /// Mean squared error of the velocity.
    pub velocity: Tensor<1>,
    /// Cross entropy of the labels, nats a square.
    pub labels: Tensor<1>,
}

impl Losses {
    /// What is made small.
    #[must_use]
    pub fn sum(&self) -> Tensor<1> {
        self.velocity.clone() + self.labels.clone() * LABELS_WEIGHT
    }
}

impl Learner {
    /// Random weights.
    #[must_use]
    pub fn init(encoder: &text_encoder::Config, denoiser: &denoiser::Config, device: &Device) -> Self {
        let encoder = TextEncoder::init(encoder, device);
        Self::new(encoder, Denoiser::init(denoiser, device), device)
    }

    /// Known weights, and a reader that has yet to learn.
    #[must_use]
    pub fn new(encoder: TextEncoder, denoiser: Denoiser, device: &Device) -> Self {
        let reader = Product::random(denoiser.config().width, labels::CLASSES, SPREAD, device).biased();
        Self { encoder, denoiser, reader }
    }

    /// Numbers of what ships.
    #[must_use]
    pub fn shipped_parameters(&self) -> u64 {
        (self.encoder.num_params() + self.denoiser.num_params()) as u64
    }

    /// The mean squared error of the velocity that follows from the clean picture that the denoiser says (Li and He
    /// 2025, "Back to Basics: Let Denoising Generative Models Denoise"), at low noise levels counted less; and how well half of
    /// the denoiser knows what will be in each square, which teaches it layout and shapes from far fewer pictures than pixels do
    /// (as in Yu et al. 2024, "Representation Alignment for Generation", but with the renderer's own labels).
    ///
    /// # Shapes
    /// - `noise`: `[count, 3, SIDE, SIDE]`
    /// - `times`: `count` noise levels between 0 and 1
    ///
    /// # Panics
    /// If the batch is of another shape.
    #[must_use]
    pub fn loss(&self, batch: &Batch, noise: Tensor<4>, times: &[f32], device: &Device) -> Losses {
        let (count, config) = (batch.count, self.denoiser.config());
        let planes = TensorData::new(batch.planes.clone(), [count, 3, SIDE, SIDE]);
        let clean = patches(Tensor::from_data(planes, device), config.patch);
        let noise = patches(noise, config.patch);
        let level: Tensor<3> = Tensor::from_data(TensorData::new(times.to_vec(), [count, 1, 1]), device);
        let noisy = clean.clone() + level.clone() * (noise - clean.clone());
        let (rows, mask) = self.encode(batch, device);
        let positions = Positions::new(config, [SIDE / config.patch; 2], device);
        let run = |layers, x| {
            let text = self.denoiser.text(layers, rows.clone(), Some(mask.clone()));
            let modulations = self.denoiser.modulations(layers, times, [SIDE; 2], device);
            self.denoiser.forward(layers, x, &text, &modulations, &positions)
        };
        let half = run(Layers::new(0, config.depth / 2), noisy);
        let said = run(Layers::new(config.depth / 2, config.depth), half.clone());
        let velocity = ((said - clean) / level.clamp_min(LEAST_LEVEL)).square().mean();
        Losses { velocity, labels: self.read(half, batch, device) }
    }

    /// Cross entropy of what is read from hidden states.
    fn read(&self, half: Tensor<3>, batch: &Batch, device: &Device) -> Tensor<1> {
        let said = self.reader.forward(half);
        let [count, squares, classes] = said.dims();
        let right = TensorData::new(batch.labels.clone(), [count, squares, labels::SETS]);
        let right = Tensor::<3, Int>::from_data(right, device);
        let parts = labels::RANGES.iter().enumerate().map(|(set, range)| {
            let said = log_softmax(said.clone().slice([0..count, 0..squares, range.clone()]), 2);
            let right = right.clone().narrow(2, set, 1);
            -said.gather(2, right).mean()
        });
        debug_assert_eq!(classes, labels::CLASSES);
        parts.reduce(|sum, part| sum + part).expect("there are two sets of labels")
    }

    /// Rows of the captions, and which of them count.
    fn encode(&self, batch: &Batch, device: &Device) -> (Tensor<3>, Tensor<2>) {
        let shape = [batch.count, batch.tokens];
        let ids = Tensor::<2, Int>::from_data(TensorData::new(batch.ids.clone(), shape), device);
        let mask = Tensor::<2>::from_data(TensorData::new(batch.mask.clone(), shape), device);
        let weight =
            self.encoder.embedding.as_ref().and_then(Embedding::rows).expect("a whole model is trained");
        let x = one_hot::rows(weight, ids, device) * self.encoder.embedding_scale();
        let all = Layers::new(0, self.encoder.config().layers);
        (self.encoder.forward(all, x, Some(mask.clone())), mask)
    }
}

/// Normal noise of a batch's size.
pub(super) fn noise(count: usize, device: &Device) -> Tensor<4> {
    Tensor::random([count, 3, SIDE, SIDE], Distribution::Normal(0.0, 1.0), device)
}

/// The exponential moving average of a model's weights: what ships. It follows closely at first.
pub(super) struct Average {
    decay: f64,
    step: u32,
    values: HashMap<ParamId, Tensor<1>>,
}

impl Average {
    pub fn new(decay: f64) -> Self {
        Self { decay, step: 0, values: HashMap::new() }
    }

    /// Takes one step's weights in.
    pub fn add(&mut self, model: &Learner) {
        // As in Karras et al.'s and TensorFlow's averages: the first steps are soon forgotten.
        let keep = self.decay.min(f64::from(self.step + 1) / f64::from(self.step + 10));
        self.step += 1;
        model.visit(&mut Adding { keep, values: &mut self.values });
    }

    /// A model with the averaged weights.
    pub fn of(&self, model: &Learner) -> Learner {
        model.clone().map(&mut Putting { values: &self.values })
    }
}

struct Adding<'a> {
    keep: f64,
    values: &'a mut HashMap<ParamId, Tensor<1>>,
}

impl ModuleVisitor for Adding<'_> {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        let value = param.val().inner();
        let count = value.dims().iter().product::<usize>();
        let value: Tensor<1> = value.reshape([count]);
        let mixed = match self.values.remove(&param.id) {
            Some(before) => before * self.keep + value * (1.0 - self.keep),
            None => value,
        };
        self.values.insert(param.id, mixed);
    }
}

struct Putting<'a> {
    values: &'a HashMap<ParamId, Tensor<1>>,
}

impl ModuleMapper for Putting<'_> {
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let Some(value) = self.values.get(&param.id).cloned() else { return param };
        param.map(|tensor| Tensor::from_inner(value.reshape(tensor.dims())))
    }
}
