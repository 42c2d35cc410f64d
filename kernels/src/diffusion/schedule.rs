//! Which noise levels a picture passes on its way, and the step from one to the next.
//!
//! Flow matching (Lipman et al. 2023; Liu et al. 2023): `x_σ = (1 − σ)·picture + σ·noise`. A denoiser says the velocity
//! `noise − picture`; Euler's method follows it from σ = 1 down to 0.

use crate::diffusion::json;
use crate::error::Error;
use crate::limits;
use serde::Deserialize;

/// What diffusers calls the one that is known here.
const CLASSES: [&str; 1] = ["FlowMatchEulerDiscreteScheduler"];
/// Where x₀ becomes a velocity, times are not taken below this (diffusers' `pipeline_prx_pixel.py`).
const LEAST_TIME: f32 = 0.05;

/// How noise levels are spread.
#[derive(Debug, Clone, PartialEq)]
pub struct Spacing {
    /// Levels that the model was trained with.
    pub train_steps: usize,
    /// `σ' = shift·σ / (1 + (shift − 1)·σ)`: larger ones spend more steps on much noise (Esser et al. 2024).
    pub shift: f64,
    /// Levels are stretched so that the last before 0 is this.
    pub terminal: Option<f64>,
    /// Which of two habits.
    pub kind: Kind,
}

/// Two ways to lay out the same shift.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Kind {
    /// As diffusers computes it: down to a smallest level that is itself shifted already, and then shifted once more.
    #[default]
    Diffusers,
    /// As Photoroom's own sampler does: evenly from 1 to 0, shifted once.
    Photoroom,
}

/// What a denoiser's output is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Prediction {
    /// The velocity.
    #[default]
    Velocity,
    /// The clean picture (PRX in pixels).
    Clean,
}

#[derive(Deserialize)]
#[serde(default)]
struct Raw {
    num_train_timesteps: usize,
    shift: f64,
    shift_terminal: Option<f64>,
    use_dynamic_shifting: bool,
    invert_sigmas: bool,
    use_karras_sigmas: bool,
    use_exponential_sigmas: bool,
    use_beta_sigmas: bool,
    stochastic_sampling: bool,
}

impl Default for Raw {
    /// What the class takes where the file says nothing.
    fn default() -> Self {
        Self {
            num_train_timesteps: 1000,
            shift: 1.0,
            shift_terminal: None,
            use_dynamic_shifting: false,
            invert_sigmas: false,
            use_karras_sigmas: false,
            use_exponential_sigmas: false,
            use_beta_sigmas: false,
            stochastic_sampling: false,
        }
    }
}

impl Default for Spacing {
    /// PRX's: 1000 levels, shifted by 3.
    fn default() -> Self {
        Self { train_steps: 1000, shift: 3.0, terminal: None, kind: Kind::Diffusers }
    }
}

impl Spacing {
    /// Reads `scheduler/scheduler_config.json`.
    ///
    /// # Errors
    /// [`Error::Architecture`] for another scheduler, [`Error::Config`] for settings of this one that are not known here.
    pub fn from_json(json: &[u8]) -> Result<Self, Error> {
        let raw: Raw = json::read(json, &CLASSES)?;
        let unknown = [
            ("use_dynamic_shifting", raw.use_dynamic_shifting),
            ("invert_sigmas", raw.invert_sigmas),
            ("use_karras_sigmas", raw.use_karras_sigmas),
            ("use_exponential_sigmas", raw.use_exponential_sigmas),
            ("use_beta_sigmas", raw.use_beta_sigmas),
            ("stochastic_sampling", raw.stochastic_sampling),
        ];
        if let Some((name, _)) = unknown.iter().find(|(_, on)| *on) {
            return Err(Error::Config(format!(
                "{name} is on; of {} only a fixed shift is supported: set it to false",
                CLASSES[0]
            )));
        }
        let spacing = Self {
            train_steps: raw.num_train_timesteps,
            shift: raw.shift,
            terminal: raw.shift_terminal.filter(|terminal| *terminal != 0.0),
            kind: Kind::Diffusers,
        };
        let terminal = spacing.terminal.unwrap_or(0.5);
        let positive = |x: f64| x.is_finite() && x > 0.0;
        let sound = (1..=1 << 20).contains(&spacing.train_steps)
            && positive(spacing.shift)
            && positive(terminal)
            && terminal < 1.0;
        if !sound {
            return Err(Error::Config(format!(
                "num_train_timesteps {}, shift {}, shift_terminal {:?}: a schedule needs positive ones, the last below 1",
                spacing.train_steps, spacing.shift, spacing.terminal
            )));
        }
        Ok(spacing)
    }

    fn shifted(&self, level: f64) -> f64 {
        self.shift * level / (1.0 + (self.shift - 1.0) * level)
    }

    /// Levels before the last, which is 0.
    fn levels(&self, steps: usize) -> Vec<f64> {
        let between = |from: f64, to: f64, parts: usize| {
            (0..steps).map(move |i| from + (to - from) * i as f64 / parts.max(1) as f64)
        };
        let mut levels: Vec<f64> = match self.kind {
            Kind::Diffusers => {
                // Its table of levels is one of f32, and both its ends are shifted before they are used.
                let end = |level: f64| f64::from(self.shifted(level) as f32);
                let least = f64::from((1.0 / self.train_steps as f64) as f32);
                between(end(1.0), end(least), steps - 1).map(|level| self.shifted(level)).collect()
            }
            Kind::Photoroom => between(1.0, 0.0, steps).map(|level| self.shifted(level)).collect(),
        };
        // A single level has nothing to stretch.
        let last = levels.last().copied().filter(|last| *last < 1.0);
        if let (Some(terminal), Some(last)) = (self.terminal, last) {
            let stretch = (1.0 - last) / (1.0 - terminal);
            levels.iter_mut().for_each(|level| *level = 1.0 - (1.0 - *level) / stretch);
        }
        levels
    }
}

/// The noise levels of one picture: one more than it has steps.
#[derive(Debug, Clone, PartialEq)]
pub struct Schedule {
    sigmas: Vec<f32>,
    train_steps: f32,
}

impl Schedule {
    /// # Errors
    /// [`Error::Picture`] for no steps or more than [`limits::PICTURE_STEPS`].
    pub fn new(spacing: &Spacing, steps: usize) -> Result<Self, Error> {
        if !(1..=limits::PICTURE_STEPS).contains(&steps) {
            let most = limits::PICTURE_STEPS;
            return Err(Error::Picture(format!("{steps} steps; between 1 and {most} are supported")));
        }
        let levels = spacing.levels(steps).into_iter().map(|level| level as f32);
        let sigmas = levels.chain(std::iter::once(0.0)).collect();
        Ok(Self { sigmas, train_steps: spacing.train_steps as f32 })
    }

    /// Steps.
    #[must_use]
    pub const fn steps(&self) -> usize {
        self.sigmas.len() - 1
    }

    /// Noise levels, the last of which is 0.
    #[must_use]
    pub fn sigmas(&self) -> &[f32] {
        &self.sigmas
    }

    /// What the denoiser is told of each step: its noise level, rounded on the way as diffusers does.
    #[must_use]
    pub fn times(&self) -> Vec<f32> {
        self.sigmas[..self.steps()].iter().map(|sigma| sigma * self.train_steps / self.train_steps).collect()
    }

    /// Takes one step, in f32.
    ///
    /// # Shapes
    /// - `latent`, `predicted`: of one length; what is longer is not looked at
    ///
    /// # Panics
    /// If there is no such step.
    pub fn advance(&self, step: usize, prediction: Prediction, latent: &mut [f32], predicted: &[f32]) {
        let time = self.times()[step].max(LEAST_TIME);
        let distance = self.sigmas[step + 1] - self.sigmas[step];
        for (x, predicted) in latent.iter_mut().zip(predicted) {
            let velocity = match prediction {
                Prediction::Velocity => *predicted,
                Prediction::Clean => (*x - predicted) / time,
            };
            *x += distance * velocity;
        }
    }
}

/// Classifier-free guidance (Ho and Salimans 2022): `without + scale·(with − without)`, in place of `without`.
///
/// # Shapes
/// - `without`, `with`: of one length; what is longer is not looked at
pub fn guide(without: &mut [f32], with: &[f32], scale: f32) {
    without.iter_mut().zip(with).for_each(|(without, with)| *without += scale * (with - *without));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sigmas(spacing: &Spacing, steps: usize) -> Vec<f32> {
        Schedule::new(spacing, steps).unwrap().sigmas().to_vec()
    }

    /// Rows: the spacing, steps, what diffusers 0.42.1 answers (`set_timesteps`), why.
    #[test]
    fn levels_are_those_of_diffusers() {
        let shifted = Spacing::default();
        let plain = Spacing { shift: 1.0, ..Spacing::default() };
        let ended = Spacing { terminal: Some(0.1), ..Spacing::default() };
        let rows: [(&Spacing, usize, &[f32], &str); 4] = [
            (
                &shifted,
                8,
                &[1.0, 0.947_543, 0.882_788, 0.800_837, 0.693_793, 0.548_046, 0.337_972, 0.008_929, 0.0],
                "shifted twice",
            ),
            (&shifted, 1, &[1.0, 0.0], "one step"),
            (&plain, 4, &[1.0, 0.667, 0.334, 0.001, 0.0], "no shift"),
            (&ended, 3, &[1.0, 0.773_991, 0.1, 0.0], "stretched to an end"),
        ];
        for (spacing, steps, expected, why) in rows {
            let found = sigmas(spacing, steps);
            assert_eq!(found.len(), expected.len(), "{why}");
            for (found, expected) in found.iter().zip(expected) {
                assert!((found - expected).abs() < 2e-6, "{why}: {found} for {expected}");
            }
        }
    }

    #[test]
    fn photorooms_levels_are_shifted_once() {
        let found = sigmas(&Spacing { kind: Kind::Photoroom, ..Spacing::default() }, 28);
        assert!((found[27] - 0.1).abs() < 1e-6 && found[28] == 0.0 && found[0] == 1.0, "{found:?}");
    }

    #[test]
    fn unknown_schedulers_and_absurd_settings_are_refused() {
        let class = "FlowMatchEulerDiscreteScheduler";
        let rows = [
            (r#"{"_class_name": "DDPMScheduler"}"#.to_owned(), "another scheduler"),
            ("{}".to_owned(), "none"),
            ("[]".to_owned(), "no object"),
            (format!(r#"{{"_class_name": "{class}", "shift": 0}}"#), "no shift"),
            (format!(r#"{{"_class_name": "{class}", "num_train_timesteps": 0}}"#), "no levels"),
            (format!(r#"{{"_class_name": "{class}", "use_karras_sigmas": true}}"#), "other levels"),
            (format!(r#"{{"_class_name": "{class}", "use_dynamic_shifting": true}}"#), "a shift by size"),
            (format!(r#"{{"_class_name": "{class}", "shift_terminal": 1.0}}"#), "an end at the start"),
        ];
        for (json, why) in rows {
            assert!(Spacing::from_json(json.as_bytes()).is_err(), "{why}");
        }
        let known = format!(r#"{{"_class_name": "{class}", "shift": 3.0, "use_beta_sigmas": false}}"#);
        assert_eq!(Spacing::from_json(known.as_bytes()).unwrap(), Spacing::default());
        for steps in [0, 1001, usize::MAX] {
            assert!(matches!(Schedule::new(&Spacing::default(), steps), Err(Error::Picture(_))), "{steps}");
        }
    }

    #[test]
    fn a_step_follows_the_velocity() {
        let schedule = Schedule::new(&Spacing { shift: 1.0, ..Spacing::default() }, 1).unwrap();
        let (mut by_velocity, mut by_picture) = ([2.0, -1.0], [2.0, -1.0]);
        schedule.advance(0, Prediction::Velocity, &mut by_velocity, &[1.5, -3.0]);
        schedule.advance(0, Prediction::Clean, &mut by_picture, &[0.5, 2.0]);
        assert_eq!((by_velocity, by_picture), ([0.5, 2.0], [0.5, 2.0]));
        let mut without = [1.0, 2.0];
        guide(&mut without, &[2.0, 0.0], 5.0);
        assert_eq!(without, [6.0, -8.0]);
    }
}
