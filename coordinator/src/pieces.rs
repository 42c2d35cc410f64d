//! The pieces of one picture, who runs them, and what each needs: a dataflow that every member of a crew works out for
//! itself from the same few numbers.
//!
//! ```text
//!   alone:   Encode -> Steps 0..4 -> Steps 4..8 -> … -> Decode 0, 1, …         keeper gets: every latent, every tile
//!   halves:  Encode -+-> Half 0 with -----+-> Join 0 -> Half 1 with ----+-> …   at the first member
//!                    |                    x                             x      velocities cross, both join
//!                    +-> Half 0 without --+-> Join 0 -> Half 1 without -+-> …   at the second
//! ```
//!
//! A piece depends on its inputs alone, so a lost peer costs at most the steps since the last latent that the keeper
//! has. The halves give the same latent as both branches at one peer, and a tile the same pixels wherever it is decoded.
//!
//! Every output has a number: the encoding is 0, the latent after `n` steps is `4n + 1`, the velocities of step `n` are
//! `4n + 2` with the prompt and `4n + 3` without; tiles start at [`TILES`].

use crate::io::{Piece, Shape};
use crate::limits;

/// The number of the encoding.
pub const ENCODING: u32 = 0;
/// The number of the first tile. Source: above every step's numbers, see [`limits::PICTURE_STEPS`].
pub const TILES: u32 = 1 << 16;

/// One piece at one member of the crew.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Op {
    /// What to run.
    pub piece: Piece,
    /// The number of its output.
    pub number: u32,
    /// The numbers of its inputs, in the order that [`Piece`] gives.
    pub inputs: Vec<u32>,
    /// Members that need the output, by their place in the crew.
    pub to: Vec<usize>,
    /// Whether the keeper gets it too.
    pub keeper: bool,
}

/// The number of the latent after `steps` steps.
#[must_use]
pub const fn latent(steps: u16) -> u32 {
    4 * steps as u32 + 1
}

/// What a number that a keeper may get stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Got {
    /// The latent after so many steps.
    Latent(u16),
    /// A tile.
    Tile(u16),
}

/// Reads a number back; None if no keeper gets that.
#[must_use]
pub fn got(number: u32, shape: Shape) -> Option<Got> {
    if let Some(tile) = number.checked_sub(TILES) {
        return (tile < u32::from(shape.tiles)).then_some(Got::Tile(tile as u16));
    }
    let steps = (number / 4) as u16;
    (number % 4 == 1 && (1..=shape.steps).contains(&steps)).then_some(Got::Latent(steps))
}

/// What member `me` of a crew of `members` runs, in order, when `done` steps and the tiles in the bits of `tiles` are
/// there already.
#[must_use]
pub fn program(shape: Shape, members: usize, me: usize, done: u16, tiles: u64) -> Vec<Op> {
    let halves = shape.guided && members > 1;
    let mut ops = Vec::new();
    if done < shape.steps {
        if me == 0 {
            let to = if halves { vec![1] } else { vec![] };
            ops.push(Op { piece: Piece::Encode, number: ENCODING, inputs: vec![], to, keeper: false });
        }
        match (halves, me) {
            (false, 0) => steps(shape, members, done, &mut ops),
            (true, 0 | 1) => half_steps(shape, members, me, done, &mut ops),
            _ => {}
        }
    }
    let open = (0..shape.tiles).filter(|&tile| tiles & (1 << (tile % 64)) == 0);
    ops.extend(open.filter(|&tile| usize::from(tile) % members == me).map(|tile| Op {
        piece: Piece::Decode { tile },
        number: TILES + u32::from(tile),
        inputs: vec![latent(shape.steps)],
        to: vec![],
        keeper: true,
    }));
    ops
}

/// Both branches at the first member, a few steps at a time.
fn steps(shape: Shape, members: usize, done: u16, ops: &mut Vec<Op>) {
    let mut from = done;
    while from < shape.steps {
        let to = (from + limits::CHECKPOINT_STEPS).min(shape.steps);
        ops.push(Op {
            piece: Piece::Steps { from, to },
            number: latent(to),
            inputs: [Some(ENCODING), before(from)].into_iter().flatten().collect(),
            to: if to == shape.steps { (1..members).collect() } else { vec![] },
            keeper: true,
        });
        from = to;
    }
}

/// One branch at each of the first two members.
fn half_steps(shape: Shape, members: usize, me: usize, done: u16, ops: &mut Vec<Op>) {
    for step in done..shape.steps {
        let velocity = |prompted: bool| latent(step) + if prompted { 1 } else { 2 };
        let prompted = me == 0;
        ops.push(Op {
            piece: Piece::Half { step, prompted },
            number: velocity(prompted),
            inputs: [Some(ENCODING), before(step)].into_iter().flatten().collect(),
            to: vec![1 - me],
            keeper: false,
        });
        let last = step + 1 == shape.steps;
        let checkpoint = (step + 1 - done).is_multiple_of(limits::CHECKPOINT_STEPS);
        ops.push(Op {
            piece: Piece::Join { step },
            number: latent(step + 1),
            inputs: before(step).into_iter().chain([velocity(true), velocity(false)]).collect(),
            to: if last && me == 0 { (2..members).collect() } else { vec![] },
            keeper: me == 0 && (last || checkpoint),
        });
    }
}

/// The latent that a step starts from; the first starts from noise.
fn before(step: u16) -> Option<u32> {
    (step > 0).then(|| latent(step))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    fn shape(steps: u16, guided: bool, tiles: u16) -> Shape {
        Shape { count: 1, steps, guided, tiles }
    }

    /// Every input is there in time: made before at the same member, or sent by another, or given by the keeper.
    #[test]
    fn every_crew_finishes_every_picture() {
        for steps in [1, 4, 5, 28] {
            for (guided, tiles, members, done) in (0..64)
                .map(|n| (n & 1 == 1, 1 + (n >> 1) % 4, 1 + usize::from(n >> 3) % 5, (n % 6).min(steps)))
            {
                let shape = shape(steps, guided, tiles);
                let programs: Vec<_> = (0..members).map(|me| program(shape, members, me, done, 0)).collect();
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
                    have[member].insert(op.number);
                    op.to.iter().for_each(|&to| {
                        have[to].insert(op.number);
                    });
                    kept.extend(op.keeper.then_some(op.number));
                }
                let all = (0..members).all(|m| at[m] == programs[m].len());
                assert!(all, "{shape:?} on {members} from step {done} gets stuck");
                assert!((0..tiles).all(|tile| kept.contains(&(TILES + u32::from(tile)))), "all tiles");
                assert!(done == steps || kept.contains(&latent(steps)), "the last latent");
            }
        }
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
            program(shape(8, false, 2), 1, 0, done, tiles).into_iter().map(|op| op.piece).collect()
        };
        assert_eq!(pieces(8, 0b01), [Piece::Decode { tile: 1 }], "one tile is missing");
        assert_eq!(pieces(4, 0b11), [Piece::Encode, Piece::Steps { from: 4, to: 8 }]);
    }
}
