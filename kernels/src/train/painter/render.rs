//! From a scene to pixels.

use super::scene::{Background, Colour, Kind, Object, Pattern, SIDE, Scene};
use super::shapes::{Part, part};

/// Samples of a pixel on a side: edges are smooth.
const SAMPLES: usize = 3;
/// Where sea and grass begin, pixels from the top: between two rows of the denoiser's squares.
pub(super) const HORIZON: usize = 32;
/// Stripes, and rows and columns of dots, are so many pixels apart.
const PERIOD: f32 = 5.0;
/// Of which so many are white.
const STRIPE: f32 = 2.0;
/// Half the width of a dot, pixels.
const DOT: f32 = 1.25;
/// White marks, eyes and sails.
pub(super) const WHITE: [u8; 3] = Background::White.rgb();

/// A picture of [`SIDE`] × [`SIDE`] pixels.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Picture {
    /// Red, green and blue of each pixel, row by row.
    pub rgb: Vec<[u8; 3]>,
}

impl Picture {
    /// Paints a scene.
    #[must_use]
    pub fn of(scene: &Scene) -> Self {
        let pixel = |at: usize| pixel(scene, at % SIDE, at / SIDE);
        Self { rgb: (0..SIDE * SIDE).map(pixel).collect() }
    }

    /// What a model is given and gives back: channel by channel, from −1 to 1.
    #[must_use]
    pub fn planes(&self) -> Vec<f32> {
        let plane = |channel: usize| self.rgb.iter().map(move |rgb| f32::from(rgb[channel]) / 127.5 - 1.0);
        (0..3).flat_map(plane).collect()
    }

    /// The opposite of [`Picture::planes`]; what lies outside of −1 to 1 is cut off.
    ///
    /// # Panics
    /// If there are fewer than 3 × [`SIDE`] × [`SIDE`] numbers.
    #[must_use]
    pub fn of_planes(planes: &[f32]) -> Self {
        let byte = |x: f32| ((x + 1.0) * 127.5).round().clamp(0.0, 255.0) as u8;
        let pixels = SIDE * SIDE;
        let pixel = |at: usize| [0, 1, 2].map(|channel| byte(planes[channel * pixels + at]));
        Self { rgb: (0..pixels).map(pixel).collect() }
    }
}

fn pixel(scene: &Scene, x: usize, y: usize) -> [u8; 3] {
    let behind = behind(scene.background, y);
    let near = |object: &&Object| {
        let reach = object.radius * 1.15 + 1.0;
        (x as f32 + 0.5 - object.at[0]).abs() < reach && (y as f32 + 0.5 - object.at[1]).abs() < reach
    };
    let objects: Vec<&Object> = scene.objects.iter().filter(near).collect();
    if objects.is_empty() {
        return behind;
    }
    let mut sum = [0_u32; 3];
    for sample in 0..SAMPLES * SAMPLES {
        let offset = |step: usize| (step as f32 + 0.5) / SAMPLES as f32;
        let at = [x as f32 + offset(sample % SAMPLES), y as f32 + offset(sample / SAMPLES)];
        let colour = objects.iter().find_map(|object| painted(object, at)).unwrap_or(behind);
        (0..3).for_each(|channel| sum[channel] += u32::from(colour[channel]));
    }
    sum.map(|sum| (sum / (SAMPLES * SAMPLES) as u32) as u8)
}

fn behind(background: Background, y: usize) -> [u8; 3] {
    match background {
        Background::Grass | Background::Sea if y < HORIZON => Background::Sky.rgb(),
        other => other.rgb(),
    }
}

/// What an object paints at a point of the picture.
fn painted(object: &Object, at: [f32; 2]) -> Option<[u8; 3]> {
    let [mut right, down] = [0, 1].map(|axis| at[axis] - object.at[axis]);
    if object.flipped && matches!(object.kind, Kind::Fish | Kind::Boat) {
        right = -right;
    }
    let colour = match part(object.kind, right / object.radius, down / object.radius)? {
        Part::Own if object.pattern.is_some_and(|pattern| marked(pattern, right, down)) => WHITE,
        Part::Own => object.colour.rgb(),
        Part::Wood => Colour::Brown.rgb(),
        Part::Ray => Colour::Orange.rgb(),
        Part::White => WHITE,
    };
    Some(colour)
}

/// True where a pattern is white, so many pixels from the object's centre.
fn marked(pattern: Pattern, right: f32, down: f32) -> bool {
    let from_middle = |x: f32| ((x + PERIOD / 2.0).rem_euclid(PERIOD) - PERIOD / 2.0).abs();
    match pattern {
        Pattern::Striped => from_middle(down) < STRIPE / 2.0,
        Pattern::Dotted => from_middle(right).hypot(from_middle(down)) < DOT,
    }
}
