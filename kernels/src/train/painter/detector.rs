//! What is in a picture, told from its pixels by exact rules: nothing here was trained.
//!
//! A pixel belongs to the colour of the palette that is nearest to it. Pixels of objects that are next to one another are one
//! object; its kind is that of the rendered outline that is most like its own, both brought to one size.

use std::sync::LazyLock;

use super::render::{Picture, WHITE};
use super::scene::{Background, Colour, Kind, Object, Pattern, SIDE, Scene};

/// Fewer pixels than this are no object but dirt. Source: the smallest rendered star has 30.
const LEAST_PIXELS: usize = 14;
/// So many pixels of background between two of an object do not part it: a mast of one pixel is a mixture that may look
/// like the sky. Rendered objects are at least 3 apart.
const BRIDGED: usize = 1;
/// A pixel this near to a colour is not a mixture of two at an edge: distance in RGB. Source: half of what lies
/// between the two nearest colours of the palette.
const PURE: i32 = 45;
/// Of an object's pure pixels, brown ones only make it brown if fewer than this share are of another colour: roofs
/// and trunks are brown.
const OTHER_SHARE: f32 = 0.2;
/// Cells on a side of an outline.
const CELLS: usize = 16;
/// Of a pattern's pixels at least this share is white. Source: dots cover 20 %, stripes 40 %.
const MARKED_SHARE: f32 = 0.08;

/// One object that was found.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Found {
    /// The most similar kind.
    pub kind: Kind,
    /// Its most frequent colour.
    pub colour: Colour,
    /// The middle of its bounds, pixels from the left and from the top.
    pub at: [f32; 2],
    /// Its pattern.
    pub pattern: Option<Pattern>,
}

/// What was found in a picture.
#[derive(Debug, Clone, PartialEq)]
pub struct Finding {
    /// Objects, those with the topmost pixels first.
    pub objects: Vec<Found>,
    /// What lies behind.
    pub background: Background,
}

/// What a pixel is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Class {
    Object(Colour),
    Background(Background),
}

/// Finds what is in a picture.
#[must_use]
pub fn find(picture: &Picture) -> Finding {
    let classes: Vec<Class> = picture.rgb.iter().map(|rgb| nearest(*rgb)).collect();
    let background = background(&classes);
    let on_white = background == Background::White;
    let solid: Vec<bool> = classes
        .iter()
        .map(|class| match class {
            Class::Object(_) => true,
            Class::Background(behind) => *behind == Background::White && !on_white,
        })
        .collect();
    let objects = components(&solid).into_iter().filter(|pixels| pixels.len() >= LEAST_PIXELS);
    Finding { objects: objects.map(|pixels| describe(picture, &pixels)).collect(), background }
}

fn palette() -> impl Iterator<Item = (Class, [u8; 3])> {
    let objects = Colour::ALL.into_iter().map(|colour| (Class::Object(colour), colour.rgb()));
    let behind = Background::ALL.into_iter().map(|behind| (Class::Background(behind), behind.rgb()));
    objects.chain(behind)
}

fn nearest(rgb: [u8; 3]) -> Class {
    let found = palette().min_by_key(|(_, colour)| distance(rgb, *colour));
    found.map_or(Class::Background(Background::Black), |(class, _)| class)
}

/// Squared.
fn distance(a: [u8; 3], b: [u8; 3]) -> i32 {
    (0..3).map(|channel| (i32::from(a[channel]) - i32::from(b[channel])).pow(2)).sum()
}

/// The most frequent class along the edges; below the sky may be something else.
fn background(classes: &[Class]) -> Background {
    let row = |y: usize| (0..SIDE).map(move |x| y * SIDE + x);
    let most = |pixels: &mut dyn Iterator<Item = usize>| {
        let mut counts = [0; Background::ALL.len()];
        for pixel in pixels {
            if let Class::Background(behind) = classes[pixel] {
                counts[behind as usize] += 1;
            }
        }
        let most = (0..counts.len()).max_by_key(|at| counts[*at]).unwrap_or_default();
        Background::ALL[most]
    };
    let (top, bottom) = (most(&mut row(0).chain(row(1))), most(&mut row(SIDE - 2).chain(row(SIDE - 1))));
    if top == Background::Sky { bottom } else { top }
}

/// Pixels that are near one another: between two objects lie more than [`BRIDGED`].
fn components(solid: &[bool]) -> Vec<Vec<usize>> {
    let mut left = solid.to_vec();
    let mut all = Vec::new();
    for first in 0..left.len() {
        if !std::mem::take(&mut left[first]) {
            continue;
        }
        let (mut pixels, mut at) = (vec![first], 0);
        while let Some(pixel) = pixels.get(at).copied() {
            let reach = |at: usize| at.saturating_sub(1 + BRIDGED)..(at + 2 + BRIDGED).min(SIDE);
            for next in reach(pixel / SIDE).flat_map(|y| reach(pixel % SIDE).map(move |x| y * SIDE + x)) {
                if std::mem::take(&mut left[next]) {
                    pixels.push(next);
                }
            }
            at += 1;
        }
        all.push(pixels);
    }
    all
}

fn describe(picture: &Picture, pixels: &[usize]) -> Found {
    let bounds = Bounds::of(pixels);
    let outline = Outline::new(pixels, &bounds);
    let likest = OUTLINES.iter().min_by_key(|(_, known)| outline.difference(known));
    let kind = likest.map_or(Kind::Circle, |(kind, _)| *kind);
    let pattern = if kind.is_thing() { None } else { pattern(picture, pixels) };
    Found { kind, colour: colour(picture, pixels), at: bounds.middle(), pattern }
}

fn colour(picture: &Picture, pixels: &[usize]) -> Colour {
    let mut counts = [0.0_f32; Colour::ALL.len()];
    for pixel in pixels {
        let rgb = picture.rgb[*pixel];
        if let Class::Object(colour) = nearest(rgb) {
            // Edges are mixtures; they only count where an object is nothing but edge.
            let pure = distance(rgb, colour.rgb()) <= PURE * PURE;
            counts[colour as usize] += if pure { 1.0 } else { 0.001 };
        }
    }
    let most = |but: Option<Colour>| {
        let others = Colour::ALL.into_iter().filter(|colour| Some(*colour) != but);
        others.max_by(|a, b| counts[*a as usize].total_cmp(&counts[*b as usize])).unwrap_or(Colour::Brown)
    };
    let other = most(Some(Colour::Brown));
    let sum: f32 = counts.iter().sum();
    if counts[other as usize] >= OTHER_SHARE * sum { other } else { most(None) }
}

/// White rows are stripes, white spots are dots.
fn pattern(picture: &Picture, pixels: &[usize]) -> Option<Pattern> {
    let white = |pixel: usize| distance(picture.rgb[pixel], WHITE) <= 70 * 70;
    let mut rows = [[0.0_f32; 2]; SIDE];
    for pixel in pixels {
        let row = &mut rows[pixel / SIDE];
        row[0] += 1.0;
        row[1] += f32::from(u8::from(white(*pixel)));
    }
    let marked: f32 = rows.iter().map(|[_, white]| white).sum();
    if marked < MARKED_SHARE * pixels.len() as f32 {
        return None;
    }
    // In a striped object every white pixel lies in a row that is nearly all white.
    let in_white_rows: f32 =
        rows.iter().filter(|[all, white]| *white > 0.6 * *all).map(|[_, white]| white).sum();
    Some(if in_white_rows > 0.5 * marked { Pattern::Striped } else { Pattern::Dotted })
}

/// Pixels from the first to behind the last.
struct Bounds {
    from: [usize; 2],
    to: [usize; 2],
}

impl Bounds {
    fn of(pixels: &[usize]) -> Self {
        let mut bounds = Self { from: [SIDE; 2], to: [0; 2] };
        for pixel in pixels {
            for (axis, at) in [pixel % SIDE, pixel / SIDE].into_iter().enumerate() {
                bounds.from[axis] = bounds.from[axis].min(at);
                bounds.to[axis] = bounds.to[axis].max(at + 1);
            }
        }
        bounds
    }

    fn middle(&self) -> [f32; 2] {
        [0, 1].map(|axis| (self.from[axis] + self.to[axis]) as f32 / 2.0)
    }

    /// The longer side.
    fn side(&self) -> f32 {
        (self.to[0] - self.from[0]).max(self.to[1] - self.from[1]) as f32
    }
}

/// An object's outline, brought to one size: how much of each cell it covers, of 16.
#[derive(Clone)]
struct Outline(Vec<u8>);

impl Outline {
    fn new(pixels: &[usize], bounds: &Bounds) -> Self {
        const SAMPLES: usize = 4;
        let mut solid = [false; SIDE * SIDE];
        pixels.iter().for_each(|pixel| solid[*pixel] = true);
        let (middle, side) = (bounds.middle(), bounds.side());
        let at = |sample: usize, axis: usize| {
            let along = (sample as f32 + 0.5) / (CELLS * SAMPLES) as f32 - 0.5;
            (middle[axis] + along * side).floor()
        };
        let mut cells = vec![0; CELLS * CELLS];
        for row in 0..CELLS * SAMPLES {
            for column in 0..CELLS * SAMPLES {
                let (x, y) = (at(column, 0), at(row, 1));
                let inside = (0.0..SIDE as f32).contains(&x) && (0.0..SIDE as f32).contains(&y);
                if inside && solid[y as usize * SIDE + x as usize] {
                    cells[row / SAMPLES * CELLS + column / SAMPLES] += 1;
                }
            }
        }
        Self(cells)
    }

    fn difference(&self, other: &Self) -> u32 {
        self.0.iter().zip(&other.0).map(|(a, b)| u32::from(a.abs_diff(*b)).pow(2)).sum()
    }
}

/// Outlines of every kind, at several sizes and places between the pixels.
static OUTLINES: LazyLock<Vec<(Kind, Outline)>> = LazyLock::new(|| {
    let mut all = Vec::new();
    for kind in Kind::ALL {
        let both = matches!(kind, Kind::Fish | Kind::Boat);
        for radius in [5.5, 6.5, 7.5, 9.0, 11.0, 13.0] {
            for shift in [[0.0, 0.0], [0.5, 0.0], [0.0, 0.5], [0.5, 0.5]] {
                for flipped in [false, true].into_iter().take(1 + usize::from(both)) {
                    all.push((kind, outline(kind, radius, shift, flipped)));
                }
            }
        }
    }
    all
});

fn outline(kind: Kind, radius: f32, shift: [f32; 2], flipped: bool) -> Outline {
    let middle = SIDE as f32 / 2.0;
    let object = Object {
        kind,
        colour: if kind == Kind::Sun { Colour::Yellow } else { Colour::Purple },
        names_colour: true,
        size: None,
        pattern: None,
        at: shift.map(|shift| middle + shift),
        radius,
        flipped,
    };
    let picture = Picture::of(&Scene::alone(object, Background::Black));
    let solid: Vec<bool> = picture
        .rgb
        .iter()
        .map(|rgb| !matches!(nearest(*rgb), Class::Background(behind) if behind != Background::White))
        .collect();
    let pixels = components(&solid).into_iter().max_by_key(Vec::len).unwrap_or_default();
    Outline::new(&pixels, &Bounds::of(&pixels))
}
