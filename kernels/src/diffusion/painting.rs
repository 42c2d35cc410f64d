//! A picture on its way: what whoever asked for it keeps, wherever its steps are computed.

use crate::diffusion::folder::Folder;
use crate::diffusion::schedule::Prediction;
use crate::diffusion::{Schedule, guide, noise, sizes};
use crate::error::{Error, StepError};
use crate::limits;

/// What to paint, beside its text.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Order {
    /// Height and width in pixels.
    pub size: [usize; 2],
    /// Steps.
    pub steps: usize,
    /// How much more than without it the text counts; from 1 down nothing is computed without it.
    pub guidance: f32,
    /// Draws the first noise.
    pub seed: u64,
}

/// The latent of one picture after some of its steps. The same order becomes the same picture, on whichever devices of one
/// kind its steps run, and from whichever checkpoint they go on.
#[derive(Debug, Clone, PartialEq)]
pub struct Painting {
    order: Order,
    prediction: Prediction,
    schedule: Schedule,
    /// Channels, height and width.
    shape: [usize; 3],
    latent: Vec<f32>,
    step: usize,
}

impl Painting {
    /// A picture that is nothing but noise yet.
    ///
    /// # Errors
    /// [`Error::Picture`] if the model cannot paint that: sizes that are no whole patches or too large, absurd steps or guidance.
    pub fn new(folder: &Folder, order: Order) -> Result<Self, Error> {
        let shape = latent_shape(folder, order.size)?;
        let schedule = Schedule::new(&folder.spacing, order.steps)?;
        if !order.guidance.is_finite() || order.guidance.abs() > limits::GUIDANCE {
            let most = limits::GUIDANCE;
            return Err(Error::Picture(format!("guidance {}; at most {most} is supported", order.guidance)));
        }
        let mut latent = noise(order.seed, shape.iter().product());
        latent.iter_mut().for_each(|value| *value *= folder.noise_scale);
        Ok(Self { order, prediction: folder.prediction, schedule, shape, latent, step: 0 })
    }

    /// Steps that were taken.
    #[must_use]
    pub const fn step(&self) -> usize {
        self.step
    }

    /// True if no step is left.
    #[must_use]
    pub const fn is_done(&self) -> bool {
        self.step == self.schedule.steps()
    }

    /// True if every step is computed without the text (or with the negative one), too.
    #[must_use]
    pub fn is_guided(&self) -> bool {
        self.order.guidance > 1.0
    }

    /// What the denoiser is given next: channels × height × width little-endian f32.
    #[must_use]
    pub fn latent(&self) -> Vec<u8> {
        to_bytes(&self.latent)
    }

    /// Takes one step by what the denoiser said with the text and, where the picture [is guided](Self::is_guided), without it.
    ///
    /// # Errors
    /// [`Error::Picture`] if no step is left or a half is missing or of another size; [`StepError::NotFinite`] for what is no
    /// number. The picture is as it was then: ask somebody else.
    pub fn advance(&mut self, with: &[u8], without: Option<&[u8]>) -> Result<(), Error> {
        if self.is_done() {
            return Err(Error::Picture(format!("all {} steps were taken", self.step)));
        }
        let with = self.numbers(with)?;
        let predicted = match (self.is_guided(), without) {
            (true, Some(without)) => {
                let mut predicted = self.numbers(without)?;
                guide(&mut predicted, &with, self.order.guidance);
                predicted
            }
            (true, None) => return Err(Error::Picture("the half without the text is missing".into())),
            (false, _) => with,
        };
        self.schedule.advance(self.step, self.prediction, &mut self.latent, &predicted);
        self.step += 1;
        Ok(())
    }

    /// Takes one step by what was said of its bands, from the top: each is channels × some of the rows × width, guidance
    /// included.
    ///
    /// # Errors
    /// As [`Painting::advance`].
    pub fn advance_by_bands(&mut self, bands: &[&[u8]]) -> Result<(), Error> {
        let [channels, _, width] = self.shape;
        let row = channels * width * 4;
        if let Some(band) = bands.iter().find(|band| !band.len().is_multiple_of(row)) {
            let found = band.len();
            return Err(Error::Picture(format!("a band of {found} bytes, where a row has {row}")));
        }
        let planes = (0..channels).flat_map(|channel| {
            bands.iter().flat_map(move |band| {
                let plane = band.len() / channels;
                &band[channel * plane..][..plane]
            })
        });
        let whole: Vec<u8> = planes.copied().collect();
        // Between two that are equal guidance does nothing.
        self.advance(&whole, self.is_guided().then_some(&whole))
    }

    /// Step (little-endian u32), then the latent: what [`Painting::restore`] goes on from.
    #[must_use]
    pub fn checkpoint(&self) -> Vec<u8> {
        [&(self.step as u32).to_le_bytes()[..], &self.latent()].concat()
    }

    /// Goes on from a checkpoint of a picture of the same order.
    ///
    /// # Errors
    /// [`Error::Picture`] if it is one of another size or beyond the last step; [`StepError::NotFinite`].
    pub fn restore(&mut self, checkpoint: &[u8]) -> Result<(), Error> {
        let Some((step, latent)) = checkpoint.split_first_chunk() else {
            return Err(Error::Picture("a checkpoint ends before its step".into()));
        };
        let (step, most) = (u32::from_le_bytes(*step) as usize, self.schedule.steps());
        if step > most {
            return Err(Error::Picture(format!("a checkpoint of step {step}, the picture has {most}")));
        }
        (self.latent, self.step) = (self.numbers(latent)?, step);
        Ok(())
    }

    fn numbers(&self, bytes: &[u8]) -> Result<Vec<f32>, Error> {
        from_bytes(bytes, self.latent.len())
    }
}

/// Channels, height and width of the latent of a picture of so many pixels.
///
/// # Errors
/// [`Error::Picture`] if the sizes are no whole patches, or too large.
pub(super) fn latent_shape(folder: &Folder, size: [usize; 2]) -> Result<[usize; 3], Error> {
    let (config, unit) = (&folder.denoiser.0, folder.unit());
    sizes::check(size, unit)?;
    sizes::check_tokens(size.map(|side| side / unit))?;
    let [height, width] = size.map(|side| side / unit * config.patch);
    Ok([config.channels, height, width])
}

pub(super) fn to_bytes(values: &[f32]) -> Vec<u8> {
    values.iter().flat_map(|value| value.to_le_bytes()).collect()
}

/// # Errors
/// [`Error::Picture`] for another number of bytes; [`StepError::NotFinite`].
pub(super) fn from_bytes(bytes: &[u8], numbers: usize) -> Result<Vec<f32>, Error> {
    if bytes.len() != numbers * 4 {
        let (found, expected) = (bytes.len(), numbers * 4);
        return Err(Error::Picture(format!("{found} bytes where {expected} are expected")));
    }
    let values: Vec<f32> = bytes.as_chunks::<4>().0.iter().map(|four| f32::from_le_bytes(*four)).collect();
    match values.iter().position(|value| !value.is_finite()) {
        Some(index) => Err(StepError::NotFinite(index).into()),
        None => Ok(values),
    }
}
