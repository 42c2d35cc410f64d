//! What is in each of the denoiser's squares, as the renderer knows it: which part of which kind of object, and its colour.

use std::ops::Range;

use super::scene::{Colour, Kind, Object, SIDE, Scene};

/// Pixels on a side of a square.
pub(super) const SQUARE: usize = 8;
/// An object's centre lies on a corner of squares and its radius is under two of them: it touches so many on an axis.
const TOUCHED: usize = 4;

/// Kinds of labels that each square has.
pub const SETS: usize = 2;
const PARTS: usize = 1 + Kind::ALL.len() * TOUCHED * TOUCHED;
const COLOURS: usize = 1 + Colour::ALL.len();
/// All classes, one set after the other.
pub const CLASSES: usize = PARTS + COLOURS;
/// Where each set's classes are. The first of a set is the background.
pub const RANGES: [Range<usize>; SETS] = [0..PARTS, PARTS..CLASSES];

/// The classes of all squares, row by row, each set's own counted from 0.
#[must_use]
pub fn labels(scene: &Scene) -> Vec<i32> {
    let squares = SIDE / SQUARE;
    (0..squares * squares).flat_map(|at| square(scene, [at % squares, at / squares])).collect()
}

fn square(scene: &Scene, at: [usize; 2]) -> [i32; SETS] {
    let offset = |object: &Object, axis: usize| {
        let middle = (at[axis] * SQUARE + SQUARE / 2) as f32 - object.at[axis];
        let touched = middle.abs() < object.radius + (SQUARE / 2) as f32;
        touched.then(|| (middle / SQUARE as f32 + TOUCHED as f32 / 2.0) as usize)
    };
    let part = scene.objects.iter().find_map(|object| {
        let (right, down) = (offset(object, 0)?, offset(object, 1)?);
        Some((object, down * TOUCHED + right))
    });
    part.map_or([0, 0], |(object, part)| {
        let kind = object.kind as usize * TOUCHED * TOUCHED;
        [1 + kind + part, 1 + object.colour as usize].map(|class| class as i32)
    })
}

#[cfg(test)]
mod tests {
    use super::super::scene::{Background, Pattern};
    use super::*;

    #[test]
    fn squares_know_their_part_of_an_object() {
        let object = Object {
            kind: Kind::Square,
            colour: Colour::Orange,
            names_colour: true,
            size: None,
            pattern: Some(Pattern::Dotted),
            at: [16.0, 24.0],
            radius: 6.5,
            flipped: false,
        };
        let labels = labels(&Scene::alone(object, Background::Sky));
        let found: Vec<(usize, i32, i32)> = (0..36)
            .map(|at| (at, labels[at * SETS], labels[at * SETS + 1]))
            .filter(|(_, part, _)| *part != 0)
            .collect();
        let part = |down: i32, right: i32| 1 + 16 + down * 4 + right;
        // Squares of columns 1 and 2, rows 2 and 3: those around the centre.
        let expected = [(13, part(1, 1), 2), (14, part(1, 2), 2), (19, part(2, 1), 2), (20, part(2, 2), 2)];
        assert_eq!(found, expected);
    }

    #[test]
    fn classes_stay_in_their_sets() {
        for seed in 0..2000 {
            for of_square in labels(&Scene::new(seed)).as_chunks::<SETS>().0 {
                let fits = of_square.iter().zip(RANGES).all(|(&class, range)| (class as usize) < range.len());
                assert!(fits, "seed {seed}: {of_square:?}");
            }
        }
    }
}
