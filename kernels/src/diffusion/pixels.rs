//! From what a model computes with to what people look at.

use crate::diffusion::autoencoder::{Canvas, Tile, tiles};
use crate::diffusion::folder::Folder;
use crate::diffusion::painting::{from_bytes, latent_shape};
use crate::diffusion::sizes;
use crate::error::Error;

/// Pixels of the picture on a tile's side. Source: guess; a Flux decoder takes some 200 MB for as many.
const TILE: usize = 512;
/// A tile has this many times as many pixels on a side as it shares with the next. Source: guess; four pixels of a Flux
/// latent at least, so that seams fade.
const OVERLAP: usize = 8;

/// A picture as screens show it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rgb {
    /// Height and width.
    pub size: [usize; 2],
    /// Red, green and blue of each pixel, row by row.
    pub bytes: Vec<u8>,
}

/// # Shapes
/// - `values`: `[3, pixels]`, from −1 to 1; what is beyond is cut off
/// - result: `[pixels, 3]`
pub(super) fn to_rgb(values: &[f32]) -> Vec<u8> {
    let pixels = values.len() / 3;
    let byte = |value: f32| ((value / 2.0 + 0.5).clamp(0.0, 1.0) * 255.0).round() as u8;
    (0..pixels).flat_map(|at| [0, 1, 2].map(|channel| byte(values[channel * pixels + at]))).collect()
}

/// The reverse of [`to_rgb`], as far as bytes tell.
fn from_rgb(bytes: &[u8]) -> Vec<f32> {
    let channel = |channel: usize| bytes.iter().skip(channel).step_by(3);
    [0, 1, 2].into_iter().flat_map(channel).map(|byte| f32::from(*byte) / 127.5 - 1.0).collect()
}

impl Folder {
    /// Tiles that the latent of a picture of this size is decoded in, one after the other or at several peers: one where
    /// there is nothing to decode.
    ///
    /// # Errors
    /// [`Error::Picture`] for a size that cannot be painted.
    pub fn tiles(&self, size: [usize; 2]) -> Result<Vec<Tile>, Error> {
        let [_, height, width] = latent_shape(self, size)?;
        match &self.autoencoder {
            None => Ok(vec![Tile { rows: 0..height, columns: 0..width }]),
            Some((config, _)) => {
                let side = (TILE / config.factor()).max(OVERLAP);
                tiles([height, width], side, side / OVERLAP)
            }
        }
    }

    /// The picture of `asked` pixels that decoded tiles make, which may be of a size that it is [painted](Self::painted_size) in.
    ///
    /// # Errors
    /// [`Error::Picture`] if there are more or fewer tiles, or one is of another size.
    pub fn assemble(&self, asked: [usize; 2], decoded: &[Vec<u8>]) -> Result<Rgb, Error> {
        let size = self.painted_size(asked);
        let ([_, height, width], tiles) = (latent_shape(self, size)?, self.tiles(size)?);
        if tiles.len() != decoded.len() {
            let (found, expected) = (decoded.len(), tiles.len());
            return Err(Error::Picture(format!("{found} tiles of a picture of {expected}")));
        }
        let factor = self.autoencoder.as_ref().map_or(1, |(config, _)| config.factor());
        let mut canvas = Canvas::new(tiles, [height, width], 3, factor);
        for (number, bytes) in decoded.iter().enumerate() {
            canvas.add(number, from_rgb(bytes))?;
        }
        let whole = canvas.finish().ok_or_else(|| Error::Picture("a tile is missing".into()))?;
        Ok(Rgb { size: asked, bytes: to_rgb(&sizes::cover(&whole, size, asked)) })
    }

    /// What a picture of `asked` pixels looks like on its way, from its latent: its pixels, noise and all, or where those
    /// have to be decoded first three channels of the latent, each stretched to what a colour can show.
    ///
    /// # Errors
    /// [`Error::Picture`] if the latent has another size; [`StepError::NotFinite`](crate::error::StepError).
    pub fn preview(&self, asked: [usize; 2], latent: &[u8]) -> Result<Rgb, Error> {
        let painted = self.painted_size(asked);
        let [channels, height, width] = latent_shape(self, painted)?;
        let mut values = from_bytes(latent, channels * height * width)?;
        if self.autoencoder.is_none() {
            return Ok(Rgb { size: asked, bytes: to_rgb(&sizes::cover(&values, painted, asked)) });
        }
        values.truncate(3 * height * width);
        values.chunks_exact_mut(height * width).for_each(stretch);
        Ok(Rgb { size: [height, width], bytes: to_rgb(&values) })
    }
}

/// Moves numbers so that two standard deviations around their mean reach from −1 to 1.
fn stretch(values: &mut [f32]) {
    let count = values.len() as f32;
    let mean = values.iter().sum::<f32>() / count;
    let spread = (values.iter().map(|value| (value - mean).powi(2)).sum::<f32>() / count).sqrt();
    values.iter_mut().for_each(|value| *value = (*value - mean) / (2.0 * spread).max(f32::MIN_POSITIVE));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colours_stay_what_they_are() {
        let bytes: Vec<u8> = (0..=254).collect();
        assert_eq!(to_rgb(&from_rgb(&bytes)), bytes);
        assert_eq!(to_rgb(&[-9.0, 9.0, 0.0]), [0, 255, 128]);
        assert_eq!(
            to_rgb(&[1.0, -1.0, 0.0, 0.0, -1.0, 1.0]),
            [255, 128, 0, 0, 128, 255],
            "planes become pixels"
        );
    }

    #[test]
    fn what_is_stretched_fills_the_screen() {
        let mut values = [1.0, 3.0, 1.0, 3.0];
        stretch(&mut values);
        assert_eq!(values, [-0.5, 0.5, -0.5, 0.5]);
        let mut flat = [2.0; 3];
        stretch(&mut flat);
        assert_eq!(flat, [0.0; 3]);
    }
}
