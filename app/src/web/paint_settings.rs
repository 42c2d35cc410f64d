//! What a person chose for their pictures, as it is kept between visits.

use super::settings::seed;
use super::words;
use crate::compute::Easel;
use crate::node::view::{ComputeStatus, View};
use crate::painting::{COUNT, PaintRequest};
use serde::{Deserialize, Serialize};

/// Most steps offered. Source: beyond it pictures do not get better, with any schedule that is known here.
pub const STEPS_MAX: u16 = 100;
/// Strongest guidance offered. Source: far below it colours are burnt out already.
pub const GUIDANCE_MAX: f32 = 20.0;
/// How far a shape may be from its name once its sides are multiples of the model's unit. Source: guess; not seen.
const OFF_SHAPE: f64 = 0.1;

/// A picture's shape; its sides are the model's to say.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Shape {
    /// 1 : 1, what the model was trained for.
    #[default]
    Square,
    /// 3 : 4.
    Portrait,
    /// 4 : 3.
    Landscape,
    /// 2 : 3.
    Tall,
    /// 3 : 2.
    Wide,
    /// As typed.
    Custom,
}

impl Shape {
    const NAMED: [(Self, (u32, u32)); 5] = [
        (Self::Square, (1, 1)),
        (Self::Portrait, (3, 4)),
        (Self::Landscape, (4, 3)),
        (Self::Tall, (2, 3)),
        (Self::Wide, (3, 2)),
    ];

    /// For people.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Square => "Square",
            Self::Portrait => "Portrait",
            Self::Landscape => "Landscape",
            Self::Tall => "Tall",
            Self::Wide => "Wide",
            Self::Custom => "Custom",
        }
    }
}

/// Width and height in pixels of the shapes that this model paints, each size once; all have about the area that it was
/// trained for.
#[must_use]
pub fn sizes(easel: Easel) -> Vec<(Shape, (u32, u32))> {
    let mut sizes: Vec<(Shape, (u32, u32))> = Vec::new();
    for (shape, ratio) in Shape::NAMED {
        let Some(size) = fitted(ratio, easel) else { continue };
        if sizes.iter().all(|(_, known)| *known != size) {
            sizes.push((shape, size));
        }
    }
    sizes
}

fn fitted((wide, high): (u32, u32), easel: Easel) -> Option<(u32, u32)> {
    let ratio = f64::from(wide) / f64::from(high);
    let side = |length: f64| near(length, easel.unit);
    let base = f64::from(easel.base);
    let size = (side(base * ratio.sqrt()), side(base / ratio.sqrt()));
    let off = f64::from(size.0) / f64::from(size.1) / ratio - 1.0;
    (off.abs() < OFF_SHAPE).then_some(size)
}

/// The multiple of `unit` that is nearest to this length in pixels, and not 0.
fn near(length: f64, unit: u32) -> u32 {
    let unit = unit.max(1);
    ((length / f64::from(unit)).round() as u32).max(1).saturating_mul(unit)
}

/// Settings of the next pictures.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct PaintSettings {
    /// Which size of those that the model has.
    pub shape: Shape,
    /// In pixels; only of a custom shape.
    pub width: u32,
    /// See `width`.
    pub height: u32,
    /// Denoising steps.
    pub steps: u16,
    /// How much more than without it the prompt counts; 1 and below for no comparison.
    pub guidance: f32,
    /// As typed; empty draws a new one each time.
    pub seed: String,
    /// What not to paint.
    pub negative: String,
    /// How many pictures.
    pub count: u16,
    /// Several devices may share one with stale neighbours.
    pub patches: bool,
}

impl Default for PaintSettings {
    fn default() -> Self {
        let PaintRequest { negative, width, height, steps, guidance, count, patches, .. } =
            PaintRequest::default();
        let (shape, seed) = (Shape::Square, String::new());
        Self { shape, width, height, steps, guidance, seed, negative, count, patches }
    }
}

impl PaintSettings {
    /// Those that paint this picture once more, and no other.
    #[must_use]
    pub fn of(request: &PaintRequest, picture: u16, easel: Option<Easel>) -> Self {
        let size = (request.width, request.height);
        let named = easel.map(sizes).unwrap_or_default().into_iter().find(|(_, known)| *known == size);
        Self {
            shape: named.map_or(Shape::Custom, |(shape, _)| shape),
            width: request.width,
            height: request.height,
            steps: request.steps,
            guidance: request.guidance,
            seed: request.seed_of(picture).to_string(),
            negative: request.negative.clone(),
            count: 1,
            patches: request.patches,
        }
    }

    /// Whether the prompt is compared with none, which gives guidance and what is unwanted their effect.
    #[must_use]
    pub fn guided(&self) -> bool {
        self.guidance > 1.0
    }

    /// Width and height in pixels with this model; of its square where the shape is none of its.
    #[must_use]
    pub fn size(&self, easel: Easel) -> (u32, u32) {
        if self.shape == Shape::Custom {
            return (self.width, self.height);
        }
        let named = sizes(easel).into_iter().find(|(shape, _)| *shape == self.shape);
        named.map_or((easel.base, easel.base), |(_, size)| size)
    }

    /// The request for `prompt`, or what a person has to change. `random` becomes the seed if none is set; `easel` is the
    /// model that paints, once known.
    ///
    /// # Errors
    /// A sentence for people: the prompt is empty or too long, the seed is not a number, the size is none of the model's, or
    /// there is no model yet.
    pub fn request(&self, prompt: &str, random: u64, easel: Option<Easel>) -> Result<PaintRequest, String> {
        if prompt.trim().is_empty() {
            return Err("Write what to paint; a few words are enough.".to_owned());
        }
        let easel = easel
            .ok_or("The model that paints is still on its way to this device. Try again in a moment.")?;
        let (width, height) = self.size(easel);
        check(width, height, easel)?;
        let request = PaintRequest {
            prompt: prompt.trim().to_owned(),
            negative: if self.guided() { self.negative.trim().to_owned() } else { String::new() },
            width,
            height,
            steps: self.steps.clamp(1, STEPS_MAX),
            guidance: self.guidance.clamp(0.0, GUIDANCE_MAX),
            seed: seed(&self.seed, random)?,
            count: self.count.clamp(1, COUNT),
            patches: self.patches,
        };
        request.check().map(|()| request)
    }
}

fn check(width: u32, height: u32, easel: Easel) -> Result<(), String> {
    let fits = |side: u32| side > 0 && side.is_multiple_of(easel.unit.max(1));
    if fits(width) && fits(height) {
        return Ok(());
    }
    let near = |side: u32| near(f64::from(side), easel.unit);
    Err(format!(
        "Both sides of a picture are multiples of {} pixels with this model: {} would do.",
        easel.unit,
        words::size(near(width), near(height))
    ))
}

/// Why pictures cannot be asked for on this device; None if they can, or if that is not known yet.
#[must_use]
pub fn hindrance(view: &View) -> Option<&'static str> {
    match view.compute {
        _ if view.painter.is_some() => None,
        ComputeStatus::Loading { .. } => None,
        ComputeStatus::Ready { .. } => Some("The model on this device only writes."),
        ComputeStatus::Failed(_) => Some("This device cannot compute."),
    }
}

#[cfg(test)]
mod tests {
    use super::super::example::ready_view;
    use super::*;

    const SMALL: Easel = Easel { base: 48, unit: 8 };
    const LARGE: Easel = Easel { base: 512, unit: 16 };

    #[test]
    fn shapes_are_near_what_the_model_knows() {
        type Sizes = &'static [(Shape, (u32, u32))];
        let rows: [(Easel, Sizes, &str); 4] = [
            (
                SMALL,
                &[(Shape::Square, (48, 48)), (Shape::Portrait, (40, 56)), (Shape::Landscape, (56, 40))],
                "2 : 3 would be 40 × 56 again",
            ),
            (
                LARGE,
                &[
                    (Shape::Square, (512, 512)),
                    (Shape::Portrait, (448, 592)),
                    (Shape::Landscape, (592, 448)),
                    (Shape::Tall, (416, 624)),
                    (Shape::Wide, (624, 416)),
                ],
                "all five",
            ),
            (Easel { base: 48, unit: 48 }, &[(Shape::Square, (48, 48))], "no other divides"),
            (Easel { base: 0, unit: 0 }, &[(Shape::Square, (1, 1))], "a model that says nonsense"),
        ];
        for (easel, expected, why) in rows {
            assert_eq!(sizes(easel), expected, "{why}");
        }
    }

    #[test]
    fn what_cannot_be_painted_is_explained() {
        let custom =
            |width, height| PaintSettings { shape: Shape::Custom, width, height, ..Default::default() };
        let seeded = |seed: &str| PaintSettings { seed: seed.into(), ..Default::default() };
        let rows = [
            ("a boat", seeded(""), Some(SMALL), Ok(42), "an empty seed is drawn"),
            ("a boat", seeded(" 7 "), Some(SMALL), Ok(7), "a typed seed counts"),
            ("a boat", seeded("x"), Some(SMALL), Err("whole number"), "not a seed"),
            (" \n", seeded("7"), Some(SMALL), Err("what to paint"), "nothing to paint"),
            ("a boat", seeded("7"), None, Err("on its way"), "nobody knows yet which sizes there are"),
            ("a boat", custom(64, 24), Some(SMALL), Ok(42), "multiples of 8"),
            ("a boat", custom(50, 45), Some(SMALL), Err("48 × 48 would do"), "between two"),
            ("a boat", custom(0, 48), Some(SMALL), Err("8 × 48 would do"), "no picture at all"),
            (&"x".repeat(9_000), seeded("7"), Some(SMALL), Err("shorter"), "more than the room carries"),
        ];
        for (prompt, settings, easel, expected, why) in rows {
            match (settings.request(prompt, 42, easel), expected) {
                (Ok(request), Ok(seed)) => assert_eq!(request.seed, seed, "{why}"),
                (Err(said), Err(expected)) => assert!(said.contains(expected), "{why}: {said}"),
                (found, _) => panic!("{why}: {found:?}"),
            }
        }
    }

    #[test]
    fn stored_settings_are_not_trusted() {
        let stored: PaintSettings = serde_json::from_str(
            r#"{"steps":60000,"guidance":-4,"count":0,"negative":"rain","shape":"Tall"}"#,
        )
        .unwrap();
        let request = stored.request("a boat", 1, Some(SMALL)).unwrap();
        let PaintRequest { steps, guidance, count, negative, width, height, .. } = request;
        assert_eq!((steps, guidance, count), (STEPS_MAX, 0.0, 1));
        assert_eq!(negative, "", "without guidance it would do nothing");
        assert_eq!((width, height), (48, 48), "a shape that this model does not have");
    }

    #[test]
    fn a_picture_is_asked_for_once_more() {
        let settings = PaintSettings {
            shape: Shape::Portrait,
            negative: "rain".into(),
            seed: "7".into(),
            count: 4,
            ..Default::default()
        };
        let four = settings.request("a boat", 1, Some(SMALL)).unwrap();
        let again = PaintSettings::of(&four, 2, Some(SMALL));
        assert_eq!(again.shape, Shape::Portrait);
        let third = again.request("a boat", 1, Some(SMALL)).unwrap();
        assert_eq!(third, PaintRequest { seed: 9, count: 1, ..four.clone() });
        assert_eq!(PaintSettings::of(&four, 0, Some(LARGE)).shape, Shape::Custom, "no size of that model");
    }

    #[test]
    fn who_cannot_paint_knows_why() {
        let can = ready_view(&[(1, "Teal Owl", 0, 8)]);
        let writes = View { painter: None, ..can.clone() };
        let failed = View { compute: ComputeStatus::Failed("Reload.".into()), ..writes.clone() };
        let starting = ComputeStatus::Loading { what: "Starting".into(), done: 0, total: 0 };
        let loading = View { compute: starting, ..writes.clone() };
        let rows =
            [(can, None), (writes, Some("only writes")), (failed, Some("cannot compute")), (loading, None)];
        for (view, expected) in rows {
            let found = hindrance(&view);
            assert_eq!(found.is_some(), expected.is_some(), "{found:?}");
            assert!(found.is_none_or(|why| why.contains(expected.unwrap_or_default())), "{found:?}");
        }
    }
}
