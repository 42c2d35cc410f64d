//! Sizes of pictures: those that a model was trained with, and how a picture gets the size that was asked for.

use crate::error::Error;
use crate::limits;

/// Height over width as diffusers writes it, height, width.
type Bin = (f64, usize, usize);

/// Of models for 256 pixels (diffusers' `pipeline_prx.py`, as all three).
const AROUND_256: [Bin; 7] = [
    (0.46, 160, 352),
    (0.6, 192, 320),
    (0.78, 224, 288),
    (1.0, 256, 256),
    (1.29, 288, 224),
    (1.67, 320, 192),
    (2.2, 352, 160),
];

const AROUND_512: [Bin; 13] = [
    (0.5, 352, 704),
    (0.57, 384, 672),
    (0.6, 384, 640),
    (0.68, 416, 608),
    (0.78, 448, 576),
    (0.88, 480, 544),
    (1.0, 512, 512),
    (1.13, 544, 480),
    (1.29, 576, 448),
    (1.46, 608, 416),
    (1.67, 640, 384),
    (1.75, 672, 384),
    (2.0, 704, 352),
];

const AROUND_1024: [Bin; 24] = [
    (0.49, 704, 1440),
    (0.52, 736, 1408),
    (0.53, 736, 1376),
    (0.57, 768, 1344),
    (0.59, 768, 1312),
    (0.62, 800, 1280),
    (0.67, 832, 1248),
    (0.68, 832, 1216),
    (0.78, 896, 1152),
    (0.83, 928, 1120),
    (0.94, 992, 1056),
    (1.0, 1024, 1024),
    (1.06, 1056, 992),
    (1.13, 1088, 960),
    (1.21, 1120, 928),
    (1.29, 1152, 896),
    (1.37, 1184, 864),
    (1.46, 1216, 832),
    (1.5, 1248, 832),
    (1.71, 1312, 768),
    (1.75, 1344, 768),
    (1.87, 1376, 736),
    (1.91, 1408, 736),
    (2.05, 1440, 704),
];

/// Height and width that a model for `base` pixels paints best, of about the shape that was asked for; none where no sizes
/// are known for such a model.
#[must_use]
pub fn nearest(base: usize, [height, width]: [usize; 2]) -> Option<[usize; 2]> {
    let bins: &[Bin] = match base {
        256 => &AROUND_256,
        512 => &AROUND_512,
        1024 => &AROUND_1024,
        _ => return None,
    };
    let ratio = height as f64 / width.max(1) as f64;
    let off = |bin: &Bin| (bin.0 - ratio).abs();
    let (_, height, width) = bins.iter().min_by(|a, b| off(a).total_cmp(&off(b)))?;
    Some([*height, *width])
}

/// Checks a size in pixels that has to be whole units of `unit` pixels on both sides.
///
/// # Errors
/// [`Error::Picture`]
pub fn check([height, width]: [usize; 2], unit: usize) -> Result<(), Error> {
    let most = limits::PICTURE_SIDE;
    let fits = |side: usize| (1..=most).contains(&side) && side.is_multiple_of(unit);
    if fits(height) && fits(width) {
        return Ok(());
    }
    Err(Error::Picture(format!(
        "a size of {width}×{height}; both sides have to be multiples of {unit} and at most {most}"
    )))
}

/// Checks how many tokens (or pixels of a latent) are computed at once.
///
/// # Errors
/// [`Error::Picture`]
pub(super) fn check_tokens([rows, columns]: [usize; 2]) -> Result<(), Error> {
    let most = limits::PICTURE_TOKENS;
    match rows.saturating_mul(columns) {
        count if count <= most => Ok(()),
        count => {
            Err(Error::Picture(format!("{count} tokens at once, at most {most}: a smaller size, or tiles")))
        }
    }
}

/// Stretches pixels until they cover another size, then cuts their middle out: bilinear, as diffusers'
/// `resize_and_crop_tensor` does.
///
/// # Shapes
/// - `pixels`: `[channels, from height, from width]`
/// - result: `[channels, height, width]`
///
/// # Panics
/// If the pixels are others than that, or a side is 0.
#[must_use]
pub fn cover(pixels: &[f32], from: [usize; 2], to: [usize; 2]) -> Vec<f32> {
    let plane = from[0] * from[1];
    assert!(plane > 0 && to[0] * to[1] > 0 && pixels.len().is_multiple_of(plane), "whole planes");
    if from == to {
        return pixels.to_vec();
    }
    let ratio = (to[0] as f64 / from[0] as f64).max(to[1] as f64 / from[1] as f64);
    // Rounding may take a pixel off the side that fits exactly.
    let side = |axis: usize| ((from[axis] as f64 * ratio) as usize).max(to[axis]);
    let [rows, columns] = [0, 1].map(|axis| Samples::new(from[axis], side(axis), to[axis]).0);
    let mut out = Vec::with_capacity(pixels.len() / plane * to[0] * to[1]);
    for plane in pixels.chunks_exact(plane) {
        for (top, bottom, down) in &rows {
            let row = |row: usize| &plane[row * from[1]..][..from[1]];
            for (left, right, over) in &columns {
                let across = |row: &[f32]| row[*left] * (1.0 - over) + row[*right] * over;
                out.push(across(row(*top)) * (1.0 - down) + across(row(*bottom)) * down);
            }
        }
    }
    out
}

/// For each pixel of a side: the two that it lies between, and how near it is to the second.
struct Samples(Vec<(usize, usize, f32)>);

impl Samples {
    /// `to` in the middle of `stretched`, which was `from`.
    fn new(from: usize, stretched: usize, to: usize) -> Self {
        let first = (stretched - to) / 2;
        let sample = |pixel: usize| {
            let at = (pixel as f64 + 0.5) * from as f64 / stretched as f64 - 0.5;
            let at = at.clamp(0.0, (from - 1) as f64);
            let left = at as usize;
            (left, (left + 1).min(from - 1), (at - left as f64) as f32)
        };
        Self((first..first + to).map(sample).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_shape_is_taken() {
        let rows = [
            (1024, [1024, 1024], Some([1024, 1024]), "the same"),
            (1024, [1, 100], Some([704, 1440]), "wider than all"),
            (512, [800, 600], Some([576, 448]), "4:3 upright"),
            (256, [90, 160], Some([192, 320]), "16:9"),
            (48, [48, 48], None, "no sizes are known"),
        ];
        for (base, asked, expected, why) in rows {
            assert_eq!(nearest(base, asked), expected, "{why}");
        }
    }

    #[test]
    fn sizes_have_to_be_whole_patches() {
        assert!(check([512, 704], 16).is_ok());
        for size in [[0, 16], [16, 8], [16, 4112], [usize::MAX, 16]] {
            assert!(check(size, 16).is_err(), "{size:?}");
        }
    }

    #[test]
    fn a_ramp_stays_a_ramp_and_the_middle_is_cut_out() {
        let ramp: Vec<f32> = (0..4).flat_map(|_| [0.0, 1.0, 2.0, 3.0]).collect();
        assert_eq!(cover(&ramp, [4, 4], [4, 4]), ramp);
        assert_eq!(cover(&ramp, [4, 4], [4, 2])[..2], [1.0, 2.0]);
        let wide = cover(&ramp, [4, 4], [8, 8]);
        assert_eq!(wide[..8], [0.0, 0.25, 0.75, 1.25, 1.75, 2.25, 2.75, 3.0]);
    }
}
