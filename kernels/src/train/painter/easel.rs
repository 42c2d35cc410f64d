//! Painting with a saved painter, by the product's own sampler.

use std::path::Path;

use super::folder::{Disk, Saved};
use super::render::Picture;
use super::scene::SIDE;
use crate::device::Opened;
use crate::diffusion::{Order, Painter, Painting, Piece, Side, Sitting};
use crate::llm::Layers;
use crate::tokenizer::Tokenizer;
use crate::train::TrainError;
use crate::weights::ByteRange;

/// What to paint.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Wish<'a> {
    /// What to paint.
    pub prompt: &'a str,
    /// What not to paint.
    pub negative: &'a str,
    /// Steps.
    pub steps: usize,
    /// How much the text counts.
    pub guidance: f32,
    /// Draws the noise.
    pub seed: u64,
}

/// A painter with all its weights.
pub struct Easel {
    painter: Painter<u8>,
    tokenizer: Tokenizer,
    files: Disk,
    layers: Layers,
}

impl Easel {
    /// Loads everything.
    ///
    /// # Errors
    /// As [`Saved::open`].
    pub async fn open(path: &Path, opened: Opened) -> Result<Self, TrainError> {
        let Saved { folder, tokenizer, files, .. } = Saved::open(path).await?;
        let layers = Layers::new(0, folder.denoiser.0.depth);
        let encoder = Layers::new(0, folder.text_encoder.0.layers);
        let mut painter = Painter::new(opened, folder, false);
        for piece in [Piece::Encoder(encoder), Piece::Denoiser(layers)] {
            painter.load(piece, async |range: &ByteRange| files.range(range)).await?;
        }
        let tokenizer = Tokenizer::from_json(tokenizer.as_bytes(), None)?;
        Ok(Self { painter, tokenizer, files, layers })
    }

    /// Paints one picture.
    ///
    /// # Errors
    /// [`TrainError::Kernels`] if a setting is impossible or the device fails.
    pub async fn paint(&mut self, wish: &Wish<'_>) -> Result<Picture, TrainError> {
        const SESSION: u8 = 0;
        let size = [SIDE; 2];
        let Wish { prompt, negative, steps, guidance, seed } = *wish;
        let mut painting = Painting::new(self.painter.folder(), Order { size, steps, guidance, seed })?;
        let with = self.rows(prompt).await?;
        let without = if painting.is_guided() { Some(self.rows(negative).await?) } else { None };
        let sitting = Sitting {
            layers: self.layers,
            size,
            steps,
            with: Some(&with),
            without: without.as_deref(),
            modulations: None,
        };
        self.painter.open(SESSION, &sitting)?;
        while !painting.is_done() {
            let (latent, step) = (painting.latent(), painting.step());
            let with = self.painter.denoise(&SESSION, step, Side::With, &latent).await?;
            let without = match painting.is_guided() {
                true => Some(self.painter.denoise(&SESSION, step, Side::Without, &latent).await?),
                false => None,
            };
            painting.advance(&with, without.as_deref())?;
        }
        let pixels = self.painter.decode(&painting.latent(), size).await?;
        let planes: Vec<f32> =
            pixels.as_chunks::<4>().0.iter().map(|four| f32::from_le_bytes(*four)).collect();
        Ok(Picture::of_planes(&planes))
    }

    async fn rows(&self, text: &str) -> Result<Vec<u8>, TrainError> {
        let ids = self.tokenizer.encode(text, true)?;
        Ok(self.painter.encode(&ids, async |range: &ByteRange| self.files.range(range)).await?)
    }
}
