//! The training loop of the painter.

use std::fs;
use std::path::PathBuf;
use std::time::Instant;

use burn::module::ParamGroup;
use burn::optim::decay::WeightDecayConfig;
use burn::optim::grad_clipping::GradientClippingConfig;
use burn::optim::{AdamWConfig, AdjustLrFn, GradientsParams, ModuleOptimizer, MuonConfig};
use burn::tensor::{Device, Tensor, TensorData};

use super::data::{Batch, Stream, scenes};
use super::draw::Draw;
use super::folder::{Record, Saved};
use super::model::{Average, Learner, Losses, denoiser_config, encoder_config, noise, spacing};
use super::scene::{SIDE, Scene};
use super::vocabulary;
use crate::device::Opened;
use crate::llm::read_back;
use crate::tokenizer::Tokenizer;
use crate::train::files::write_file;
use crate::train::{Length, Schedule, Split, TrainError};

/// Steps between two looks at the loss.
const LOOK: u32 = 20;
/// Pictures whose captions are held out that the loss is measured on, and how many at a time.
const HELD_OUT: usize = 256;
const HELD_OUT_BATCH: usize = 64;
/// Of the average of the weights, what is kept in a step. Source: guess; it looks back over 500 steps.
const KEPT: f64 = 0.998;
/// The products between hidden states, in blocks of encoder and denoiser.
const HIDDEN: [&str; 5] = ["qkv", "text_kv", "output", "gate_up", "down"];

/// What a run is asked to do.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Numbers the scenes and draws the first weights; below 2^22.
    pub seed: u32,
    /// Pictures in a step.
    pub batch: usize,
    /// Highest learning rate.
    pub rate: f64,
    /// When to stop.
    pub length: Length,
    /// Minutes between two checkpoints.
    pub checkpoint_minutes: f64,
    /// Folder to write to.
    pub out: PathBuf,
    /// Folder of a checkpoint to go on from: its averaged weights; the optimiser begins anew.
    pub from: Option<PathBuf>,
}

/// Trains as the settings say, prints how it goes, and writes a checkpoint every few minutes and at the end.
///
/// # Errors
/// Any [`TrainError`]; the last checkpoint written stays whole.
pub async fn run(settings: &Settings, opened: &Opened) -> Result<Record, TrainError> {
    let device = opened.device.clone().autodiff();
    device.seed(u64::from(settings.seed));
    let (model, tokenizer, before) = match &settings.from {
        Some(folder) => Saved::open(folder).await?.learner(&device).await?,
        None => fresh(settings.seed, &device)?,
    };
    let record = Record::new(settings, &opened.adapter, model.shipped_parameters(), before);
    let encoder = || Tokenizer::from_json(tokenizer.as_bytes(), Some(vocabulary::BEGIN_ID));
    let stream = Stream::start(encoder()?, settings.seed, record.scenes_reserved(), settings.batch);
    let held_out = held_out(&encoder()?, settings.seed)?;
    let trainer = Trainer::new(model, device, settings.rate, u64::from(settings.seed));
    let started = Instant::now();
    Run { settings, trainer, stream, held_out, tokenizer, record, curve: String::new(), started }
        .until_the_end()
        .await
}

fn fresh(seed: u32, device: &Device) -> Result<(Learner, String, Option<Record>), TrainError> {
    let tokenizer = vocabulary::learn(|index| Split::Vocabulary.seed(seed, index))?;
    let words = Tokenizer::from_json(tokenizer.as_bytes(), None)?.vocabulary();
    Ok((Learner::init(&encoder_config(words), &denoiser_config(), device), tokenizer, None))
}

/// A batch with the noise and the times that it is measured with.
type Measured = (Batch, Vec<f32>, Vec<f32>);

/// Batches that are never learned from, with the noise and the times that they are always measured with.
fn held_out(tokenizer: &Tokenizer, seed: u32) -> Result<Vec<Measured>, TrainError> {
    let all: Vec<Scene> = scenes(Split::HeldOut, seed, 0).take(HELD_OUT).collect();
    let mut draw = Draw::new(Split::HeldOut.seed(seed, 0));
    let batches = all.chunks(HELD_OUT_BATCH).enumerate().map(|(number, scenes)| {
        let batch = Batch::new(scenes, tokenizer, || false)?;
        let times = times(batch.count, &mut draw);
        let noise = crate::diffusion::noise(number as u64, batch.planes.len());
        Ok((batch, noise, times))
    });
    batches.collect()
}

/// Noise levels of a batch, evenly spread before they are shifted as in sampling: one from each part, in any order of
/// pictures, for their order is random already.
fn times(count: usize, draw: &mut Draw) -> Vec<f32> {
    let shift = spacing().shift;
    let level = |part: usize| {
        let even = (part as f64 + draw.unit()) / count as f64;
        (shift * even / (1.0 + (shift - 1.0) * even)) as f32
    };
    (0..count).map(level).collect()
}

/// A model that learns.
pub struct Trainer {
    model: Learner,
    average: Average,
    optimizer: ModuleOptimizer,
    device: Device,
    schedule: Schedule,
    draw: Draw,
    step: u32,
}

impl Trainer {
    /// A trainer for a model on an autodiff device: AdamW, each parameter's gradient clipped to norm 1, and Muon for the
    /// products between hidden states.
    #[must_use]
    pub fn new(model: Learner, device: Device, rate: f64, seed: u64) -> Self {
        let optimizer = AdamWConfig::new()
            .with_beta_2(0.99)
            .with_epsilon(1e-8)
            .with_weight_decay(0.01)
            .with_grad_clipping(Some(GradientClippingConfig::Norm(1.0)))
            .init();
        // Muon (Jordan et al. 2024; its rate made AdamW's as in Liu et al. 2025) learns from fewer pictures: after the
        // same 20 first steps a loss of 5.4 in place of 6.1.
        let hidden = ParamGroup::from_any_predicates(HIDDEN.to_vec());
        let muon = MuonConfig::new()
            .with_adjust_lr_fn(AdjustLrFn::MatchRmsAdamW)
            .with_weight_decay(Some(WeightDecayConfig::new(0.01)))
            .build();
        let optimizer = optimizer.with_group(hidden, muon, None);
        Self {
            model,
            average: Average::new(KEPT),
            optimizer,
            device,
            schedule: Schedule { peak: rate, floor: 0.0, steps: None },
            draw: Draw::new(seed),
            step: 0,
        }
    }

    /// The model with the average of its weights.
    #[must_use]
    pub fn averaged(&self) -> Learner {
        self.average.of(&self.model)
    }

    /// Learns from the pictures; the losses before it did stay on the device.
    pub fn learn(&mut self, batch: &Batch) -> Losses {
        let times = times(batch.count, &mut self.draw);
        let loss = self.model.loss(batch, noise(batch.count, &self.device), &times, &self.device);
        let gradients = GradientsParams::from_grads(loss.sum().backward(), &self.model);
        let rate = self.schedule.rate(self.step);
        self.model = self.optimizer.step(rate, self.model.clone(), gradients);
        self.average.add(&self.model);
        self.step += 1;
        Losses { velocity: loss.velocity.inner(), labels: loss.labels.inner() }
    }

    async fn measure(&self, batches: &[Measured]) -> Result<f64, TrainError> {
        let (model, mut sum) = (self.averaged(), 0.0);
        for (batch, noise, times) in batches {
            let noise = TensorData::new(noise.clone(), [batch.count, 3, SIDE, SIDE]);
            let noise = Tensor::from_data(noise, &self.device);
            sum += f64::from(read_back(model.loss(batch, noise, times, &self.device).velocity).await?[0]);
        }
        Ok(sum / batches.len() as f64)
    }
}

/// One run: the trainer and everything around it.
struct Run<'a> {
    settings: &'a Settings,
    trainer: Trainer,
    stream: Stream,
    held_out: Vec<Measured>,
    tokenizer: String,
    record: Record,
    curve: String,
    started: Instant,
}

impl Run<'_> {
    async fn until_the_end(mut self) -> Result<Record, TrainError> {
        if let Length::Steps(steps) = self.settings.length {
            self.trainer.schedule.steps = Some(steps);
        }
        println!("{} parameters on {}: {}", self.record.parameters, self.record.device, self.record.command);
        let (mut checkpoint_at, mut looked_at) = (0.0, 0.0);
        while self.trainer.schedule.steps.is_none_or(|steps| self.trainer.step < steps) {
            let before = self.trainer.step;
            let loss = self.some_steps().await?;
            let seconds = self.started.elapsed().as_secs_f64();
            self.plan(seconds);
            let pictures = f64::from(self.trainer.step - before) * self.settings.batch as f64;
            self.note(loss, seconds, pictures / (seconds - looked_at))?;
            if seconds - checkpoint_at > self.settings.checkpoint_minutes * 60.0 {
                checkpoint_at = seconds;
                self.checkpoint().await?;
            }
            looked_at = self.started.elapsed().as_secs_f64();
        }
        self.checkpoint().await?;
        Ok(self.record)
    }

    /// Up to [`LOOK`] steps, and their mean losses: of the velocity, and of the labels.
    async fn some_steps(&mut self) -> Result<[f64; 2], TrainError> {
        let left = self.trainer.schedule.steps.map_or(LOOK, |steps| steps - self.trainer.step);
        let count = left.min(LOOK);
        let mut sum: Option<Tensor<1>> = None;
        for _ in 0..count {
            let Losses { velocity, labels } = self.trainer.learn(&self.stream.next_batch()?);
            let both = Tensor::cat(vec![velocity, labels], 0);
            sum = Some(sum.map_or_else(|| both.clone(), |sum| sum + both.clone()));
        }
        let means = match sum {
            Some(sum) => {
                let sum = read_back(sum).await?;
                [0, 1].map(|which| f64::from(sum[which]) / f64::from(count))
            }
            None => [f64::NAN; 2],
        };
        if means.iter().any(|mean| !mean.is_finite()) {
            return Err(TrainError::Diverged { step: self.trainer.step, loss: means[0] });
        }
        Ok(means)
    }

    /// Turns minutes into steps, again and again: a machine with other work does not keep its pace.
    fn plan(&mut self, seconds: f64) {
        let Length::Minutes(minutes) = self.settings.length else {
            return;
        };
        let step = self.trainer.step;
        let left = (minutes * 60.0 - seconds).max(0.0);
        let steps = left / (seconds / f64::from(step));
        self.trainer.schedule.steps = Some(step + steps as u32);
    }

    fn note(&mut self, [loss, labels]: [f64; 2], seconds: f64, per_second: f64) -> Result<(), TrainError> {
        let step = self.trainer.step;
        let pictures = u64::from(step) * self.settings.batch as u64;
        let rate = self.trainer.schedule.rate(step);
        let of = self.trainer.schedule.steps.unwrap_or(0);
        println!(
            "step {step:6} of {of}  loss {loss:.4}  labels {labels:.4}  rate {rate:.2e}  {per_second:5.1} pictures a second  {seconds:6.0} s"
        );
        self.record.progress(step, pictures, seconds, loss);
        self.curve.push_str(&format!("{step},{pictures},{seconds:.1},{rate:.3e},{loss:.5},,{labels:.5}\n"));
        self.write_curve()
    }

    async fn checkpoint(&mut self) -> Result<(), TrainError> {
        let held_out = self.trainer.measure(&self.held_out).await?;
        let (step, seconds) = (self.trainer.step, self.started.elapsed().as_secs_f64());
        self.record.measured(held_out, step);
        self.curve.push_str(&format!("{step},,{seconds:.1},,,{held_out:.5},\n"));
        Saved::write(&self.settings.out, &self.trainer.averaged(), &self.tokenizer, &self.record).await?;
        println!("step {step:6}  held-out loss {held_out:.4}, written to {}", self.settings.out.display());
        self.write_curve()
    }

    fn write_curve(&self) -> Result<(), TrainError> {
        let head = "step,pictures,seconds,learning_rate,train_loss,held_out_loss,label_loss\n";
        fs::create_dir_all(&self.settings.out).ok();
        write_file(&self.settings.out.join("loss.csv"), format!("{head}{}", self.curve).as_bytes())
    }
}
