//! Whether a picture shows what its caption asks for.

use super::detector::{Finding, Found};
use super::scene::{Object, Place, Relation, SIDE, Scene};

/// What is right in a picture; None where nothing was asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Score {
    /// The colours that are found are those that were asked for.
    pub colour: Option<bool>,
    /// The kinds that are found are those that were asked for.
    pub shape: bool,
    /// There are as many objects as were asked for.
    pub count: bool,
    /// The first of two lies to the second, or the only one lies in the picture, as was asked for.
    pub relation: Option<bool>,
    /// An only object has the pattern that was asked for, or none.
    pub pattern: Option<bool>,
    /// What lies behind is what was asked for.
    pub background: Option<bool>,
    /// Every object is of its own kind and colour, there is no other, and relation, pattern and background are right.
    pub all: bool,
}

/// Compares what was found with what the caption says.
#[must_use]
pub fn judge(asked: &Scene, found: &Finding) -> Score {
    let objects = &found.objects;
    let named = |object: &&Object| object.names_colour;
    let colours: Vec<_> = asked.objects.iter().filter(named).map(|object| object.colour).collect();
    let whole = colours.len() == asked.objects.len();
    let colour = (!colours.is_empty()).then(|| {
        let shown = colours.iter().all(|colour| objects.iter().any(|found| found.colour == *colour));
        shown && (!whole || objects.iter().all(|found| colours.contains(&found.colour)))
    });
    let kinds: Vec<_> = asked.objects.iter().map(|object| object.kind).collect();
    let shape = kinds.iter().all(|kind| objects.iter().any(|found| found.kind == *kind))
        && objects.iter().all(|found| kinds.contains(&found.kind));
    let count = objects.len() == kinds.len();
    let relation = relation(asked, objects);
    let pattern = match asked.objects.as_slice() {
        [one] if !one.kind.is_thing() => Some(objects.len() == 1 && objects[0].pattern == one.pattern),
        _ => None,
    };
    let background = asked.names_background.then_some(found.background == asked.background);
    let right = |part: Option<bool>| part != Some(false);
    let all = count
        && assign(&asked.objects, objects).is_some()
        && [relation, pattern, background].into_iter().all(right);
    Score { colour, shape, count, relation, pattern, background, all }
}

fn relation(asked: &Scene, found: &[Found]) -> Option<bool> {
    let middle = SIDE as f32 / 2.0;
    // How far from the middle an object is at an edge, and how far it may be in the middle: pixels.
    const AT_EDGE: f32 = 5.0;
    const IN_MIDDLE: f32 = 7.0;
    if let Some(place) = asked.place {
        let [one] = found else { return Some(false) };
        let [x, y] = one.at.map(|at| at - middle);
        return Some(match place {
            Place::Left => x < -AT_EDGE,
            Place::Right => x > AT_EDGE,
            Place::Top => y < -AT_EDGE,
            Place::Bottom => y > AT_EDGE,
            Place::Middle => x.abs().max(y.abs()) < IN_MIDDLE,
        });
    }
    let relation = asked.relation?;
    Some(likely(&asked.objects, found).iter().any(|order| {
        let [x, y] = [0, 1].map(|axis| found[order[1]].at[axis] - found[order[0]].at[axis]);
        let (along, across) = match relation {
            Relation::LeftOf => (x, y),
            Relation::RightOf => (-x, y),
            Relation::Above => (y, x),
            Relation::Below => (-y, x),
        };
        along > across.abs() && along > AT_EDGE
    }))
}

/// Which found object is which asked one, if every one is there and no other.
fn assign(asked: &[Object], found: &[Found]) -> Option<Vec<usize>> {
    let fits = |asked: &Object, found: &Found| {
        asked.kind == found.kind && (!asked.names_colour || asked.colour == found.colour)
    };
    orders(found.len(), asked.len())
        .into_iter()
        .find(|order| asked.iter().zip(order).all(|(asked, at)| fits(asked, &found[*at])))
}

/// The same as far as it goes, all ways that are equally good: two objects are told apart by colour or, if that does not do,
/// by kind.
fn likely(asked: &[Object], found: &[Found]) -> Vec<Vec<usize>> {
    let alike = |asked: &Object, found: &Found| {
        2 * u32::from(asked.colour == found.colour && asked.names_colour)
            + u32::from(asked.kind == found.kind)
    };
    let sum = |order: &Vec<usize>| {
        let each = asked.iter().zip(order).map(|(asked, at)| alike(asked, &found[*at]));
        if each.clone().any(|alike| alike == 0) { 0 } else { each.sum() }
    };
    let mut all = orders(found.len(), asked.len());
    let best = all.iter().map(sum).max().unwrap_or_default();
    all.retain(|order| best > 0 && sum(order) == best);
    all
}

/// All ways to choose `taken` of `count` in order. Pictures with more than six objects are wrong in any case.
fn orders(count: usize, taken: usize) -> Vec<Vec<usize>> {
    if count > 6 || taken > count {
        return Vec::new();
    }
    let mut all = vec![Vec::new()];
    for _ in 0..taken {
        let longer = |order: &Vec<usize>| {
            let order = order.clone();
            let next = (0..count).filter(|at| !order.contains(at)).collect::<Vec<_>>();
            next.into_iter().map(move |at| [&order[..], &[at]].concat())
        };
        all = all.iter().flat_map(longer).collect();
    }
    all
}

/// How many of many pictures are right.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Tally {
    /// Pictures.
    pub pictures: u32,
    /// Right and asked, of colour, shape, count, relation or place, pattern, background and all together.
    pub parts: [[u32; 2]; 7],
}

impl Tally {
    /// What the parts are called.
    pub const NAMES: [&str; 7] =
        ["colour", "shape", "count", "relation or place", "pattern", "background", "all together"];

    /// Takes one picture in.
    pub fn add(&mut self, score: &Score) {
        let Score { colour, shape, count, relation, pattern, background, all } = *score;
        let parts = [colour, Some(shape), Some(count), relation, pattern, background, Some(all)];
        self.pictures += 1;
        for (tally, part) in self.parts.iter_mut().zip(parts) {
            tally[0] += u32::from(part == Some(true));
            tally[1] += u32::from(part.is_some());
        }
    }

    /// The share of a part that is right, in percent.
    #[must_use]
    pub fn percent(&self, part: usize) -> f64 {
        let [right, asked] = self.parts[part];
        100.0 * f64::from(right) / f64::from(asked.max(1))
    }
}
