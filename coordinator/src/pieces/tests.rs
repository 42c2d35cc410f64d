use super::*;
use crate::ids::{Layers, PeerId};
use std::collections::BTreeSet;

fn shape(steps: u16, guided: bool, tiles: u16) -> Shape {
    Shape { count: 1, steps, guided, tiles, stale: true }
}

/// Every way in which so many members may share a picture.
fn splits(members: usize) -> Vec<Split> {
    let blocks = (members > 1).then_some(Split::Blocks { stages: members });
    let bands = (2..=members.min(limits::PATCHES)).map(|bands| Split::Bands { members, bands: bands as u8 });
    [Split::Whole { members }].into_iter().chain(blocks).chain(bands).collect()
}

/// Every input is there in time: made before at the same member, or sent by another, or given by the keeper.
#[test]
fn every_crew_finishes_every_picture() {
    for steps in [1, 4, 5, 28] {
        for (guided, tiles, members, done) in
            (0..64).map(|n| (n & 1 == 1, 1 + (n >> 1) % 4, 1 + usize::from(n >> 3) % 5, (n % 6).min(steps)))
        {
            splits(members).into_iter().for_each(|split| {
                finishes(shape(steps, guided, tiles), split, members, done);
            });
        }
    }
}

fn finishes(shape: Shape, split: Split, members: usize, done: u16) {
    let programs: Vec<_> = (0..members).map(|me| program(shape, split, me, done, 0)).collect();
    let mut have: Vec<BTreeSet<u32>> = vec![before(done).into_iter().collect(); members];
    let mut at = vec![0; members];
    let mut kept = BTreeSet::new();
    loop {
        let ready = (0..members).find(|&m| {
            programs[m].get(at[m]).is_some_and(|op| op.inputs.iter().all(|i| have[m].contains(i)))
        });
        let Some(member) = ready else { break };
        let op = &programs[member][at[member]];
        at[member] += 1;
        for made in &op.made {
            assert!(have[member].insert(made.number), "{split:?}: {} is made twice", made.number);
            for &to in &made.to {
                // A member may have no tile to decode; it gets the last latent all the same.
                let wanted = programs[to].iter().any(|op| op.inputs.contains(&made.number));
                assert!(
                    wanted || made.number == latent(shape.steps),
                    "{split:?}: {} is sent to {to}, which does not need it",
                    made.number
                );
                have[to].insert(made.number);
            }
            kept.extend(made.keeper.then_some(made.number));
        }
    }
    let all = (0..members).all(|m| at[m] == programs[m].len());
    assert!(all, "{shape:?} on {split:?} from step {done} gets stuck");
    let tiles = 0..u32::from(shape.tiles);
    assert!(tiles.into_iter().all(|tile| kept.contains(&(TILES + tile))), "all tiles");
    let checkpoints: Vec<u16> = (done + 1..=shape.steps).filter(|&n| kept.contains(&latent(n))).collect();
    let mut before = done;
    for &checkpoint in &checkpoints {
        assert!(checkpoint - before <= limits::CHECKPOINT_STEPS, "{split:?}: {checkpoints:?}");
        before = checkpoint;
    }
    assert!(done == shape.steps || checkpoints.last() == Some(&shape.steps), "the last latent");
}

#[test]
fn a_crew_is_the_same_layers_or_all_in_their_order() {
    type Row = (&'static [(u16, u16)], Option<Split>, &'static str);
    let rows: [Row; 8] = [
        (&[(0, 8)], Some(Split::Whole { members: 1 }), "alone"),
        (&[(0, 8), (0, 8)], Some(Split::Whole { members: 2 }), "two with everything"),
        (&[(0, 3), (3, 8)], Some(Split::Blocks { stages: 2 }), "one after the other"),
        (&[(0, 3), (4, 8)], None, "a gap"),
        (&[(0, 3), (2, 8)], None, "an overlap"),
        (&[(0, 8), (0, 4)], None, "all, and a half"),
        (&[(2, 8)], None, "without the first"),
        (&[(0, 3), (3, 3), (3, 8)], None, "a stage with nothing to do"),
    ];
    for (layers, want, why) in rows {
        let stage = |&(start, end): &(u16, u16)| Stage { peer: PeerId(1), layers: Layers { start, end } };
        let stages: Vec<Stage> = layers.iter().map(stage).collect();
        assert_eq!(Split::of(&stages).ok(), want, "{why}");
    }
    assert!(Split::of(&[]).is_err(), "nobody");
}

#[test]
fn no_two_outputs_have_the_same_number() {
    let shape = shape(limits::PICTURE_STEPS, true, limits::TILES);
    let made = |split: Split, members: usize| -> Vec<u32> {
        let ops = (0..members).flat_map(|me| program(shape, split, me, 0, 0));
        ops.flat_map(|op| op.made).map(|made| made.number).collect()
    };
    let mut blocks = made(Split::Blocks { stages: limits::STAGES }, limits::STAGES);
    let count = blocks.len();
    blocks.sort_unstable();
    blocks.dedup();
    assert_eq!(blocks.len(), count);
    let bands = made(Split::Bands { members: 4, bands: 4 }, 4);
    let ranges = [0..TILES, TILES..HIDDEN, HIDDEN..BANDS, BANDS..CONTEXTS, CONTEXTS..u32::MAX];
    let of = |number: &u32| ranges.iter().position(|range| range.contains(number));
    let kinds: BTreeSet<Option<usize>> = blocks.iter().map(of).collect();
    assert_eq!(kinds, [Some(0), Some(1), Some(2)].into(), "latents and velocities, tiles, hidden states");
    let kinds: BTreeSet<Option<usize>> = bands.iter().map(of).collect();
    assert_eq!(kinds, [Some(0), Some(1), Some(3), Some(4)].into(), "velocities of bands, contexts");
}

#[test]
fn bands_are_two_to_four_and_allowed() {
    let lossy = shape(8, true, 1);
    let (three, blocks) = (Split::Whole { members: 3 }, Split::Blocks { stages: 3 });
    let rows = [
        (three, 0, Some(three), "none"),
        (three, 1, None, "one is all of it"),
        (three, 2, Some(Split::Bands { members: 3, bands: 2 }), "two, and one that only decodes"),
        (three, 4, None, "more than members"),
        (Split::Whole { members: 8 }, 5, None, "more than can be"),
        (blocks, 2, None, "of members that do not hold the whole model"),
        (blocks, 0, Some(blocks), "none"),
    ];
    for (split, bands, want, why) in rows {
        assert_eq!(split.in_bands(bands, lossy).ok(), want, "{why}");
    }
    assert!(three.in_bands(2, Shape { stale: false, ..lossy }).is_err(), "nobody allowed it");
}

#[test]
fn numbers_are_read_back() {
    let shape = shape(8, true, 2);
    let rows = [
        (latent(3), Some(Got::Latent(3)), "a checkpoint"),
        (latent(0), None, "there is no latent before the first step"),
        (latent(9), None, "more steps than asked for"),
        (ENCODING, None, "the encoding stays in the crew"),
        (latent(3) + 1, None, "and velocities do"),
        (TILES + 1, Some(Got::Tile(1)), "a tile"),
        (TILES + 2, None, "more tiles than asked for"),
    ];
    for (number, want, why) in rows {
        assert_eq!(got(number, shape), want, "{why}");
    }
}

#[test]
fn what_is_there_is_not_made_again() {
    let pieces = |done, tiles| -> Vec<Piece> {
        let alone = Split::Whole { members: 1 };
        program(shape(8, false, 2), alone, 0, done, tiles).into_iter().map(|op| op.piece).collect()
    };
    assert_eq!(pieces(8, 0b01), [Piece::Decode { tile: 1 }], "one tile is missing");
    assert_eq!(pieces(4, 0b11), [Piece::Encode, Piece::Steps { from: 4, to: 8 }]);
}
