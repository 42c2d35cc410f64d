//! The training loop of the story writer.

use std::fs;
use std::panic::resume_unwind;
use std::path::PathBuf;
use std::thread;
use std::time::Instant;

use burn::module::Module;
use burn::nn::loss::CrossEntropyLossConfig;
use burn::optim::{
    AdamWConfig, GradientsAccumulator, GradientsParams, ModuleOptimizer,
    grad_clipping::GradientClippingConfig,
};
use burn::tensor::{Device, Int, Tensor, TensorData};

use super::checkpoint::{Checkpoint, Record};
use super::data::{Encoder, Rows, Stream};
use super::files::write_file;
use super::one_hot;
use super::sample::Saved;
use super::schedule::{Length, Schedule};
use super::vocabulary::{BEGIN_ID, END_ID, learn};
use super::{Grammar, Split, TrainError};
use crate::device::Opened;
use crate::llm::{Config, Embedding, Layers, Model, RopeScaling, read_back};
use crate::tokenizer::Tokenizer;

/// Tokens in the vocabulary.
const VOCABULARY: usize = 1024;
/// Stories that the vocabulary is learned from.
const VOCABULARY_STORIES: u64 = 20_000;
/// Rows of held-out stories that the loss is measured on: about 120 stories.
const HELD_OUT_ROWS: usize = 96;
/// Rows of one measurement at a time.
const HELD_OUT_BATCH: usize = 32;
/// Steps between two looks at the loss. Each look waits for the device, so that there are few of them.
const LOOK: u32 = 20;
/// Steps whose time is not typical, because shaders are compiled in them.
const FIRST_STEPS: u32 = LOOK;
/// Share of the time that is planned for steps; the rest is for measuring and writing.
const STEP_SHARE: f64 = 0.92;

/// What is left of the highest rate at the end (Hoffmann et al. 2022).
const FLOOR: f64 = 0.1;

/// What a run is asked to do.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The model.
    pub config: Config,
    /// Numbers the stories and draws the first weights; below 2^22.
    pub seed: u32,
    /// Rows in a step.
    pub batch: usize,
    /// Tokens in a row; nearly all stories fit into 320.
    pub tokens: usize,
    /// Threads that share the rows of a step. A GPU wants one; burn's CPU path runs in one thread, so that a CPU wants
    /// as many as it has cores.
    pub threads: usize,
    /// Highest learning rate.
    pub rate: f64,
    /// When to stop.
    pub length: Length,
    /// Minutes between two checkpoints.
    pub checkpoint_minutes: f64,
    /// Folder to write to.
    pub out: PathBuf,
    /// Folder of a checkpoint to go on from.
    pub from: Option<PathBuf>,
}

/// The shape of the shipped story writer: 3.3 million parameters in 8 layers, so that a room has something to share.
#[must_use]
pub fn story_config() -> Config {
    Config {
        width: 192,
        ff_width: 512,
        layers: 8,
        heads: 6,
        kv_heads: 2,
        head_dim: 32,
        vocabulary: VOCABULARY,
        context: 512,
        norm_eps: 1e-5,
        rope_theta: 10_000.0,
        rope_scaling: RopeScaling::None,
        tied: true,
        bos: Some(BEGIN_ID),
        eos: vec![END_ID],
        ..Config::default()
    }
}

/// The text of the story writer's `tokenizer.json`; the same for the same seed.
///
/// # Errors
/// [`TrainError::Grammar`], [`TrainError::Vocabulary`].
pub fn learn_tokenizer(seed: u32) -> Result<String, TrainError> {
    let grammar = Grammar::stories()?;
    let stories = (0..VOCABULARY_STORIES).map(|at| grammar.story(Split::Vocabulary.seed(seed, at)));
    let stories: Vec<String> = stories.collect::<Result<_, _>>()?;
    learn(VOCABULARY, stories.into_iter()).map_err(|error| TrainError::Vocabulary(error.to_string()))
}

/// Trains as the settings say, prints how it goes, and writes a checkpoint every few minutes and at the end.
///
/// # Errors
/// Any [`TrainError`]; the last checkpoint written stays whole.
pub async fn run(settings: &Settings, opened: &Opened) -> Result<Record, TrainError> {
    let device = opened.device.clone().autodiff();
    device.seed(u64::from(settings.seed));
    let (model, tokenizer, before) = match &settings.from {
        Some(folder) => Checkpoint::read(folder)?.into_model(&device).await?,
        None => (Model::init(&settings.config, &device), learn_tokenizer(settings.seed)?, None),
    };
    let record = Record::new(settings, &opened.adapter, &model, before);
    let encoder = || Encoder::new(Tokenizer::from_json(tokenizer.as_bytes(), Some(BEGIN_ID))?);
    let first = record.stories_reserved();
    let stream = Stream::start(encoder()?, settings.seed, first, settings.batch, settings.tokens);
    let held_out = held_out_rows(&encoder()?, settings.seed, settings.tokens)?;
    let trainer = Trainer::new(model, device, settings.rate, settings.threads);
    Run {
        settings,
        trainer,
        stream,
        held_out,
        tokenizer,
        record,
        curve: String::new(),
        started: Instant::now(),
    }
    .until_the_end()
    .await
}

/// The loss of a saved model, nats per token, on the stories that a run with this seed and rows of so many tokens is
/// measured on.
///
/// # Errors
/// [`TrainError::Kernels`] if the model cannot be read or the device fails.
pub async fn held_out_loss(
    saved: Saved,
    seed: u32,
    tokens: usize,
    device: &Device,
) -> Result<f64, TrainError> {
    let model = saved.model(device).await?;
    let rows = held_out_rows(&Encoder::new(saved.tokenizer)?, seed, tokens)?;
    mean_loss(&model, &rows, device).await
}

/// Stories that this seed never trains on.
fn held_out_rows(encoder: &Encoder, seed: u32, tokens: usize) -> Result<Vec<Rows>, TrainError> {
    let mut index = 0;
    let mut next = || {
        index += 1;
        Split::HeldOut.seed(seed, index)
    };
    (0..HELD_OUT_ROWS / HELD_OUT_BATCH).map(|_| encoder.rows(HELD_OUT_BATCH, tokens, &mut next)).collect()
}

/// A model that learns.
pub struct Trainer {
    model: Model,
    optimizer: ModuleOptimizer,
    device: Device,
    schedule: Schedule,
    threads: usize,
    step: u32,
}

impl Trainer {
    /// A trainer for a model on an autodiff device. AdamW's betas and weight decay are those of Touvron et al. 2023
    /// (LLaMA); each parameter's gradient is clipped to norm 1, which needs no wait for the device.
    #[must_use]
    pub fn new(model: Model, device: Device, rate: f64, threads: usize) -> Self {
        let optimizer = AdamWConfig::new()
            .with_beta_2(0.95)
            .with_epsilon(1e-8)
            .with_weight_decay(0.1)
            .with_grad_clipping(Some(GradientClippingConfig::Norm(1.0)))
            .init();
        Self {
            model,
            optimizer,
            device,
            schedule: Schedule { peak: rate, floor: FLOOR, steps: None },
            threads,
            step: 0,
        }
    }

    /// The model as it is now.
    #[must_use]
    pub const fn model(&self) -> &Model {
        &self.model
    }

    /// Learns from the rows; the loss before it did stays on the device.
    ///
    /// # Shapes
    /// - result: `[1]`, nats per token
    pub fn learn(&mut self, rows: &Rows) -> Tensor<1> {
        let mut parts = self.losses_and_gradients(rows).into_iter();
        let (mut loss, first) = parts.next().expect("a step has rows");
        let mut gradients = GradientsAccumulator::new();
        gradients.accumulate(&self.model, first);
        for (part, more) in parts {
            loss = loss + part;
            gradients.accumulate(&self.model, more);
        }
        let rate = self.schedule.rate(self.step);
        self.model = self.optimizer.step(rate, self.model.clone(), gradients.grads());
        self.step += 1;
        loss
    }

    /// What each thread's share of the rows adds to the mean loss `[1]` and to its gradients.
    fn losses_and_gradients(&self, rows: &Rows) -> Vec<(Tensor<1>, GradientsParams)> {
        thread::scope(|scope| {
            let shares = rows.shares(self.threads).into_iter().map(|share| {
                // A fork has a graph of its own: threads that share one would wait for each other.
                let (model, device) = (self.model.clone().fork(&self.device), self.device.clone());
                let weight = share.count as f64 / rows.count as f64;
                scope.spawn(move || {
                    let loss = loss(&model, &share, &device) * weight;
                    let gradients = GradientsParams::from_grads(loss.backward(), &model);
                    (loss.inner(), gradients)
                })
            });
            let started: Vec<_> = shares.collect();
            started.into_iter().map(|one| one.join().unwrap_or_else(|panic| resume_unwind(panic))).collect()
        })
    }

    /// The loss on rows that are not learned from, in nats per token.
    ///
    /// # Errors
    /// [`TrainError::Kernels`] if the device fails.
    pub async fn measure(&self, batches: &[Rows]) -> Result<f64, TrainError> {
        mean_loss(&self.model.valid(), batches, &self.device.clone().inner()).await
    }
}

async fn mean_loss(model: &Model, batches: &[Rows], device: &Device) -> Result<f64, TrainError> {
    let mut sum = 0.0;
    for rows in batches {
        sum += read_back(loss(model, rows, device)).await?.into_iter().map(f64::from).sum::<f64>();
    }
    Ok(sum / batches.len() as f64)
}

/// Mean cross-entropy of every next token.
fn loss(model: &Model, rows: &Rows, device: &Device) -> Tensor<1> {
    let (count, tokens) = (rows.count, rows.tokens);
    let ids = TensorData::new(rows.ids.clone(), [count, tokens + 1]);
    let ids = Tensor::<2, Int>::from_data(ids, device);
    let targets = ids.clone().narrow(1, 1, tokens).reshape([count * tokens]);
    let layers = Layers::new(0, model.config().layers);
    let x = model.forward(layers, embed(model, ids.narrow(1, 0, tokens), device), None);
    let logits = model.logits(x).reshape([count * tokens, model.config().vocabulary]);
    CrossEntropyLossConfig::new().init(device).forward(logits, targets)
}

/// What [`Model::embed`] computes, as a product: that has a gradient that is fast on a GPU.
fn embed(model: &Model, ids: Tensor<2, Int>, device: &Device) -> Tensor<3> {
    let weight = model.embedding.as_ref().and_then(Embedding::rows).expect("a whole model is trained");
    one_hot::rows(weight, ids, device)
}

/// One run: the trainer and everything around it.
struct Run<'a> {
    settings: &'a Settings,
    trainer: Trainer,
    stream: Stream,
    held_out: Vec<Rows>,
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
        println!("{}", self.record.title());
        let (mut checkpoint_at, mut looked_at) = (0.0, 0.0);
        while self.trainer.schedule.steps.is_none_or(|steps| self.trainer.step < steps) {
            let before = self.trainer.step;
            let loss = self.some_steps().await?;
            let seconds = self.started.elapsed().as_secs_f64();
            self.plan(seconds, looked_at);
            let step_seconds = (seconds - looked_at) / f64::from(self.trainer.step - before);
            self.note(loss, seconds, step_seconds)?;
            if seconds - checkpoint_at > self.settings.checkpoint_minutes * 60.0 {
                checkpoint_at = seconds;
                self.checkpoint().await?;
            }
            looked_at = self.started.elapsed().as_secs_f64();
        }
        self.checkpoint().await?;
        Ok(self.record)
    }

    /// Up to [`LOOK`] steps, and their mean loss.
    async fn some_steps(&mut self) -> Result<f64, TrainError> {
        let left = self.trainer.schedule.steps.map_or(LOOK, |steps| steps - self.trainer.step);
        let count = left.min(LOOK);
        let mut sum: Option<Tensor<1>> = None;
        for _ in 0..count {
            let loss = self.trainer.learn(&self.stream.next_rows()?);
            sum = Some(sum.map_or_else(|| loss.clone(), |sum| sum + loss.clone()));
        }
        let mean = match sum {
            Some(sum) => f64::from(read_back(sum).await?[0]) / f64::from(count),
            None => f64::NAN,
        };
        if !mean.is_finite() {
            return Err(TrainError::Diverged { step: self.trainer.step, loss: mean });
        }
        Ok(mean)
    }

    /// Turns minutes into steps once the time of a step is known, so that the schedule is a matter of steps.
    fn plan(&mut self, seconds: f64, looked_at: f64) {
        let Length::Minutes(minutes) = self.settings.length else {
            return;
        };
        if self.trainer.schedule.steps.is_some() || self.trainer.step <= FIRST_STEPS {
            return;
        }
        let step_seconds = (seconds - looked_at) / f64::from(LOOK);
        let left = (minutes * 60.0 * STEP_SHARE - seconds).max(0.0);
        let steps = self.trainer.step + (left / step_seconds) as u32;
        println!("{:.0} ms a step: {steps} steps in {minutes} minutes", step_seconds * 1e3);
        self.trainer.schedule.steps = Some(steps);
    }

    fn note(&mut self, loss: f64, seconds: f64, step_seconds: f64) -> Result<(), TrainError> {
        let step = self.trainer.step;
        let tokens = u64::from(step) * (self.settings.batch * self.settings.tokens) as u64;
        let rate = self.trainer.schedule.rate(step);
        let per_step = step_seconds * 1e3;
        println!("step {step:6}  loss {loss:.4}  rate {rate:.2e}  {per_step:6.0} ms a step  {seconds:6.0} s");
        self.record.progress(step, tokens, seconds, loss);
        self.curve.push_str(&format!("{step},{tokens},{seconds:.1},{rate:.3e},{loss:.4},\n"));
        self.write_curve()
    }

    async fn checkpoint(&mut self) -> Result<(), TrainError> {
        let held_out = self.trainer.measure(&self.held_out).await?;
        self.record.measured(held_out, self.trainer.schedule.steps);
        let step = self.trainer.step;
        self.curve.push_str(&format!("{step},,,,,{held_out:.4}\n"));
        let checkpoint =
            Checkpoint::of(&self.trainer.model.valid(), &self.tokenizer, Some(&self.record)).await?;
        checkpoint.write(&self.settings.out)?;
        println!("step {step:6}  held-out loss {held_out:.4}, written to {}", self.settings.out.display());
        self.write_curve()
    }

    fn write_curve(&self) -> Result<(), TrainError> {
        let head = "step,tokens,seconds,learning_rate,train_loss,held_out_loss\n";
        fs::create_dir_all(&self.settings.out).ok();
        write_file(&self.settings.out.join("loss.csv"), format!("{head}{}", self.curve).as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tiny() -> Config {
        Config {
            width: 32,
            ff_width: 64,
            layers: 2,
            heads: 4,
            kv_heads: 2,
            head_dim: 8,
            vocabulary: 64,
            ..story_config()
        }
    }

    /// Rows that count upwards from somewhere: easy to learn, impossible to guess.
    fn counting(from: usize) -> Rows {
        let (count, tokens) = (8, 24);
        let ids =
            (0..count).flat_map(|row| (0..=tokens).map(move |at| ((from + row * 7 + at) % 60 + 2) as i32));
        Rows { ids: ids.collect(), count, tokens }
    }

    #[test]
    fn the_loss_falls() {
        let device = Device::flex().autodiff();
        device.seed(1);
        let mut trainer = Trainer::new(Model::init(&tiny(), &device), device, 1e-2, 1);
        let held_out = [counting(31)];
        let before = futures::executor::block_on(trainer.measure(&held_out)).expect("a loss");
        for step in 0..60 {
            trainer.learn(&counting(step * 11));
        }
        let after = futures::executor::block_on(trainer.measure(&held_out)).expect("a loss");
        let uniform = 64_f64.ln();
        assert!((before - uniform).abs() < 0.2, "a fresh model guesses evenly: {before} against {uniform}");
        assert!(after < 0.5 * before, "60 steps: {before} to {after}");
    }

    #[test]
    fn threads_that_share_a_step_learn_what_one_learns() {
        let device = Device::flex().autodiff();
        let model = Model::init(&tiny(), &device);
        let learned = |threads| {
            let mut trainer = Trainer::new(model.clone(), device.clone(), 1e-2, threads);
            let loss = trainer.learn(&counting(3)).into_data();
            let after = futures::executor::block_on(trainer.measure(&[counting(5)])).expect("a loss");
            (loss, after)
        };
        let (loss, after) = learned(1);
        // Eight rows on three threads are shares of three, three and two.
        for threads in [2, 3, 8] {
            let (shared_loss, shared_after) = learned(threads);
            shared_loss.assert_approx_eq::<f32>(&loss, burn::tensor::Tolerance::relative(1e-5));
            assert!((shared_after - after).abs() < 1e-4, "{threads} threads: {shared_after} against {after}");
        }
    }

    #[test]
    fn one_hot_rows_embed_as_a_look_up_does() {
        let device = Device::flex();
        let model = Model::init(&tiny(), &device);
        let ids = Tensor::<2, Int>::from_data(TensorData::from([[0, 5, 63], [7, 7, 1]]), &device);
        let ours = embed(&model, ids.clone(), &device).into_data();
        ours.assert_eq(&model.embed(ids).into_data(), true);
    }
}
