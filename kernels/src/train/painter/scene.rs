//! What is in a picture: one to four objects on a background, and what its caption says of them.

use super::captions;
use super::draw::Draw;

/// Pixels on a side of every picture.
pub const SIDE: usize = 48;

/// What an object is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[allow(missing_docs, reason = "their names say what they are")]
pub enum Kind {
    Circle,
    Square,
    Triangle,
    Star,
    Heart,
    Ring,
    House,
    Tree,
    Sun,
    Fish,
    Boat,
}

impl Kind {
    /// All of them: six shapes, then five things.
    pub const ALL: [Self; 11] = [
        Self::Circle,
        Self::Square,
        Self::Triangle,
        Self::Star,
        Self::Heart,
        Self::Ring,
        Self::House,
        Self::Tree,
        Self::Sun,
        Self::Fish,
        Self::Boat,
    ];
    const SHAPES: usize = 6;
    /// Shapes with room for a pattern.
    const FULL: [Self; 4] = [Self::Circle, Self::Square, Self::Triangle, Self::Heart];

    /// True for house, tree, sun, fish and boat.
    #[must_use]
    pub const fn is_thing(self) -> bool {
        self as usize >= Self::SHAPES
    }

    /// What it is painted in where nobody says: only things have such a colour.
    const fn usual(self) -> Colour {
        match self {
            Self::Tree => Colour::Green,
            Self::Sun => Colour::Yellow,
            Self::Fish => Colour::Orange,
            _ => Colour::Red,
        }
    }

    /// Trunks, roofs and masts are brown, so that what they belong to is not; a sun is always yellow.
    fn takes(self, colour: Colour) -> bool {
        match self {
            Self::Sun => colour == Colour::Yellow,
            Self::House | Self::Tree | Self::Boat => colour != Colour::Brown,
            _ => true,
        }
    }
}

/// What an object is painted in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[allow(missing_docs, reason = "their names say what they are")]
pub enum Colour {
    Red,
    Orange,
    Yellow,
    Green,
    Blue,
    Purple,
    Pink,
    Brown,
}

impl Colour {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::Red,
        Self::Orange,
        Self::Yellow,
        Self::Green,
        Self::Blue,
        Self::Purple,
        Self::Pink,
        Self::Brown,
    ];

    /// Red, green and blue: far apart from one another and from every background, so that a pixel tells which it is.
    #[must_use]
    pub const fn rgb(self) -> [u8; 3] {
        match self {
            Self::Red => [220, 40, 40],
            Self::Orange => [250, 140, 20],
            Self::Yellow => [245, 220, 50],
            Self::Green => [40, 150, 60],
            Self::Blue => [45, 80, 215],
            Self::Purple => [140, 55, 175],
            Self::Pink => [250, 150, 195],
            Self::Brown => [120, 75, 40],
        }
    }
}

/// What lies behind the objects.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[allow(missing_docs, reason = "their names say what they are")]
pub enum Background {
    White,
    Black,
    Sky,
    Night,
    Grass,
    Sea,
}

impl Background {
    /// All of them.
    pub const ALL: [Self; 6] = [Self::White, Self::Black, Self::Sky, Self::Night, Self::Grass, Self::Sea];

    /// Its own colour; above grass and sea is the sky.
    #[must_use]
    pub const fn rgb(self) -> [u8; 3] {
        match self {
            Self::White => [250, 250, 250],
            Self::Black => [20, 20, 20],
            Self::Sky => [165, 210, 245],
            Self::Night => [25, 30, 75],
            Self::Grass => [150, 205, 110],
            Self::Sea => [50, 160, 180],
        }
    }
}

/// How large an object is said to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs, reason = "their names say what they are")]
pub enum Size {
    Small,
    Large,
}

/// White marks on an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs, reason = "their names say what they are")]
pub enum Pattern {
    Striped,
    Dotted,
}

/// Where a single object lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs, reason = "their names say what they are")]
pub enum Place {
    Left,
    Right,
    Top,
    Bottom,
    Middle,
}

impl Place {
    const ALL: [Self; 5] = [Self::Left, Self::Right, Self::Top, Self::Bottom, Self::Middle];
}

/// How the first object lies to the second.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs, reason = "their names say what they are")]
pub enum Relation {
    LeftOf,
    RightOf,
    Above,
    Below,
}

impl Relation {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::LeftOf, Self::RightOf, Self::Above, Self::Below];
}

/// One object, as it is painted and as it is told of.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Object {
    /// What it is.
    pub kind: Kind,
    /// What it is painted in.
    pub colour: Colour,
    /// The caption names the colour.
    pub names_colour: bool,
    /// What the caption says of its size.
    pub size: Option<Size>,
    /// Its pattern.
    pub pattern: Option<Pattern>,
    /// Its centre, pixels from the left and from the top.
    pub at: [f32; 2],
    /// Half its height, pixels.
    pub radius: f32,
    /// Fish and boats look to the left.
    pub flipped: bool,
}

/// A picture and its caption.
#[derive(Debug, Clone, PartialEq)]
pub struct Scene {
    /// What is painted, in the order in which the caption's plan has it.
    pub objects: Vec<Object>,
    /// What lies behind.
    pub background: Background,
    /// The caption names the background.
    pub names_background: bool,
    /// Where the only object is said to lie.
    pub place: Option<Place>,
    /// How the first of two objects is said to lie to the second.
    pub relation: Option<Relation>,
    /// What it is told by.
    pub caption: String,
}

impl Scene {
    /// The scene of this seed.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        let mut draw = Draw::new(seed);
        let plan = draw.weighted(&[(Plan::One, 36), (Plan::Pair, 30), (Plan::Same, 22), (Plan::Some, 12)]);
        let mut scene = match plan {
            Plan::One => one(&mut draw),
            Plan::Pair => pair(&mut draw),
            Plan::Same => same(&mut draw),
            Plan::Some => some(&mut draw),
        };
        scene.background = background(&scene.objects, &mut draw);
        scene.names_background = draw.percent(45);
        scene.caption = captions::caption(&mut scene, &mut draw);
        scene
    }

    /// One object, of which nothing is told.
    #[must_use]
    pub fn alone(object: Object, background: Background) -> Self {
        Self { background, ..Self::of(vec![object]) }
    }

    const fn of(objects: Vec<Object>) -> Self {
        Self {
            objects,
            background: Background::White,
            names_background: false,
            place: None,
            relation: None,
            caption: String::new(),
        }
    }
}

#[derive(Clone, Copy)]
enum Plan {
    One,
    Pair,
    Same,
    Some,
}

/// Centres are whole multiples of so many pixels, and objects have one of four sizes: what is told is never finer than that, and
/// a small model learns its shapes from far fewer pictures. It is the side of the denoiser's squares, so that an object is always
/// cut into squares in the same way.
const GRID: usize = 8;
/// Half the height of an object, pixels: said to be small, one of several, alone or the large one of two, large and alone.
const SMALL: f32 = 5.5;
const ONE_OF_SEVERAL: f32 = 6.5;
const ALONE: f32 = 9.0;
const LARGE: f32 = 13.0;
/// Pixels between two objects, and between an object and the edge.
const GAP: f32 = 2.0;

fn one(draw: &mut Draw) -> Scene {
    let mut object = any_object(draw);
    object.size = draw.weighted(&[(None, 60), (Some(Size::Small), 20), (Some(Size::Large), 20)]);
    object.radius = match object.size {
        None => ALONE,
        Some(Size::Small) => SMALL,
        Some(Size::Large) => LARGE,
    };
    if Kind::FULL.contains(&object.kind) && object.size != Some(Size::Small) && draw.percent(25) {
        object.pattern = Some(draw.pick(&[Pattern::Striped, Pattern::Dotted]));
    }
    let place = draw.percent(40).then(|| draw.pick(&Place::ALL));
    object.at = match place {
        Some(place) => placed(place, object.radius),
        None => [anywhere(object.radius, draw), anywhere(object.radius, draw)],
    };
    Scene { place, ..Scene::of(vec![object]) }
}

fn pair(draw: &mut Draw) -> Scene {
    let relation = draw.pick(&Relation::ALL);
    let [mut first, mut second] = two_objects(draw);
    for object in [&mut first, &mut second] {
        object.size = draw.weighted(&[(None, 70), (Some(Size::Small), 15), (Some(Size::Large), 15)]);
    }
    if first.size == second.size {
        // Two large ones have no room, and two small ones are not small.
        second.size = None;
    }
    for object in [&mut first, &mut second] {
        object.radius = match object.size {
            None => ONE_OF_SEVERAL,
            Some(Size::Small) => SMALL,
            Some(Size::Large) => ALONE,
        };
    }
    // The nearer to the left or the top first.
    let swapped = matches!(relation, Relation::RightOf | Relation::Below);
    let upright = matches!(relation, Relation::Above | Relation::Below);
    let (low, high) = if swapped { (&mut second, &mut first) } else { (&mut first, &mut second) };
    let level = anywhere(low.radius.max(high.radius), draw);
    let along = loop {
        let along = [anywhere(low.radius, draw), anywhere(high.radius, draw)];
        if along[1] - along[0] > low.radius + high.radius + 2.0 * GAP {
            break along;
        }
    };
    for (object, along) in [low, high].into_iter().zip(along) {
        object.at = if upright { [level, along] } else { [along, level] };
    }
    Scene { relation: Some(relation), ..Scene::of(vec![first, second]) }
}

fn same(draw: &mut Draw) -> Scene {
    let count = draw.weighted(&[(2, 36), (3, 34), (4, 30)]);
    let mut object = any_object(draw);
    // The sun is alone.
    if object.kind == Kind::Sun {
        object = Object { kind: Kind::Star, names_colour: true, ..object };
    }
    Scene::of(spread(vec![object; count], draw))
}

fn some(draw: &mut Draw) -> Scene {
    let [first, second] = two_objects(draw);
    let mut objects = vec![first, second];
    if draw.percent(35) {
        let mut third = any_object(draw);
        while objects.iter().any(|object| object.kind == third.kind || object.colour == third.colour) {
            third = any_object(draw);
        }
        objects.push(third);
    }
    Scene::of(spread(objects, draw))
}

/// Two that differ in kind or colour: most in both.
fn two_objects(draw: &mut Draw) -> [Object; 2] {
    let first = any_object(draw);
    loop {
        let second = any_object(draw);
        let twice_sun = first.kind == Kind::Sun && second.kind == Kind::Sun;
        if first.colour != second.colour && !twice_sun {
            return [first, second];
        }
    }
}

fn any_object(draw: &mut Draw) -> Object {
    let (shapes, things) = Kind::ALL.split_at(Kind::SHAPES);
    let kind = if draw.percent(65) { draw.pick(shapes) } else { draw.pick(things) };
    let names_colour = !draw.percent(if kind == Kind::Sun { 80 } else { 12 });
    let mut colour = draw.pick(&Colour::ALL);
    while !kind.takes(colour) {
        colour = draw.pick(&Colour::ALL);
    }
    if !names_colour && kind.is_thing() {
        colour = kind.usual();
    }
    Object {
        kind,
        colour,
        names_colour,
        size: None,
        pattern: None,
        at: [0.0; 2],
        radius: 0.0,
        flipped: draw.percent(50),
    }
}

/// The centre nearest to an edge, or to the middle.
fn placed(place: Place, radius: f32) -> [f32; 2] {
    let all = centres(radius);
    let (near, middle, far) = (all[0], all[all.len() / 2], all[all.len() - 1]);
    match place {
        Place::Left => [near, middle],
        Place::Right => [far, middle],
        Place::Top => [middle, near],
        Place::Bottom => [middle, far],
        Place::Middle => [middle, middle],
    }
}

fn anywhere(radius: f32, draw: &mut Draw) -> f32 {
    draw.pick(&centres(radius))
}

/// Where on an axis an object of this size fits.
fn centres(radius: f32) -> Vec<f32> {
    let all = (GRID..SIDE).step_by(GRID).map(|centre| centre as f32);
    all.filter(|centre| centre - radius >= GAP / 2.0 && centre + radius <= SIDE as f32 - GAP / 2.0).collect()
}

/// Puts them where none touches another.
fn spread(mut objects: Vec<Object>, draw: &mut Draw) -> Vec<Object> {
    loop {
        for object in &mut objects {
            object.radius = ONE_OF_SEVERAL;
            object.at = [anywhere(object.radius, draw), anywhere(object.radius, draw)];
        }
        let apart = |a: &Object, b: &Object| {
            // Objects fill squares rather than circles.
            let [x, y] = [0, 1].map(|axis| (a.at[axis] - b.at[axis]).abs());
            x.max(y) > a.radius + b.radius + GAP
        };
        let free = |(at, object): (usize, &Object)| objects[..at].iter().all(|other| apart(object, other));
        if objects.iter().enumerate().all(free) {
            return objects;
        }
    }
}

fn background(objects: &[Object], draw: &mut Draw) -> Background {
    // White marks, eyes and sails are seen on all other backgrounds.
    let on_white = objects.iter().all(|object| object.pattern.is_none() && object.kind != Kind::Boat);
    draw.weighted(&[
        (Background::White, if on_white { 26 } else { 0 }),
        (Background::Sky, 20),
        (Background::Grass, 18),
        (Background::Night, 14),
        (Background::Black, 11),
        (Background::Sea, 11),
    ])
}
