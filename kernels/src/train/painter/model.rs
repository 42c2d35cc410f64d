//! The painter to be trained: text encoder and denoiser learn together.

use burn::module::{Module, ModuleMapper, ModuleVisitor, Param, ParamId};
use burn::tensor::{Device, Distribution, Int, Tensor, TensorData};
use std::collections::HashMap;

use super::data::Batch;
use super::scene::SIDE;
use crate::diffusion::denoiser::{self, Positions, patches};
use crate::diffusion::{Denoiser, Spacing, TextEncoder, text_encoder};
use crate::llm::{Embedding, Layers};
use crate::train::one_hot;

/// Where a clean picture becomes a velocity, noise levels are not taken below this. With the level that sampling has, the finest
/// grain of nearly finished pictures is most of the loss; but sampling hardly comes by there, and what is painted where is
/// decided long before.
const LEAST_LEVEL: f32 = 0.3;

/// The shape of the shipped denoiser: pixels in squares of 8 × 8, so that a picture is 36 tokens. Smaller squares would
/// cost more than they show in pictures of flat colours: training time went into more pictures instead.
#[must_use]
pub fn denoiser_config() -> denoiser::Config {
    denoiser::Config {
        channels: 3,
        patch: 8,
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
}

impl Learner {
    /// Random weights.
    #[must_use]
    pub fn init(encoder: &text_encoder::Config, denoiser: &denoiser::Config, device: &Device) -> Self {
        Self { encoder: TextEncoder::init(encoder, device), denoiser: Denoiser::init(denoiser, device) }
    }

    /// The mean squared error of the velocity that follows from the clean picture that the denoiser says (Li and He
    /// 2025, "Back to Basics: Let Denoising Generative Models Denoise"), at low noise levels counted less.
    ///
    /// # Shapes
    /// - `noise`: `[count, 3, SIDE, SIDE]`
    /// - `times`: `count` noise levels between 0 and 1
    /// - result: `[1]`
    ///
    /// # Panics
    /// If the batch is of another shape.
    #[must_use]
    pub fn loss(&self, batch: &Batch, noise: Tensor<4>, times: &[f32], device: &Device) -> Tensor<1> {
        let (count, config) = (batch.count, self.denoiser.config());
        let planes = TensorData::new(batch.planes.clone(), [count, 3, SIDE, SIDE]);
        let clean = patches(Tensor::from_data(planes, device), config.patch);
        let noise = patches(noise, config.patch);
        let level: Tensor<3> = Tensor::from_data(TensorData::new(times.to_vec(), [count, 1, 1]), device);
        let noisy = clean.clone() + level.clone() * (noise - clean.clone());
        let all = Layers::new(0, config.depth);
        let (rows, mask) = self.encode(batch, device);
        let text = self.denoiser.text(all, rows, Some(mask));
        let modulations = self.denoiser.modulations(all, times, [SIDE; 2], device);
        let positions = Positions::new(config, [SIDE / config.patch; 2], device);
        let said = self.denoiser.forward(all, noisy, &text, &modulations, &positions);
        ((said - clean) / level.clamp_min(LEAST_LEVEL)).square().mean()
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
