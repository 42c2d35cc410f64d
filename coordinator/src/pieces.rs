//! The pieces of one picture, who runs them, and what each needs: a dataflow that every member of a crew works out for
//! itself from the same few numbers.
//!
//! ```text
//!   alone:   Encode -> Steps 0..4 -> Steps 4..8 -> … -> Decode 0, 1, …         keeper gets: every latent, every tile
//!   halves:  Encode -+-> Half 0 with -----+-> Join 0 -> Half 1 with ----+-> …   at the first member
//!                    |                    x                             x      velocities cross, both join
//!                    +-> Half 0 without --+-> Join 0 -> Half 1 without -+-> …   at the second
//!   blocks:  Encode -> Blocks 0 with | Blocks 0 without |                Join 0 -> …   at the first stage: layers 0..4
//!                       `-> hidden -> Blocks 0 with | Blocks 0 without     ^            at the last: layers 4..8
//!                                       `--- velocity ------`--- velocity -`
//!   bands:   Encode -> Warm 0 -> Warm 1 -> Patch 2 upper -> Stitch 2 -> …      at the first member
//!                   `> Warm 0 -> Warm 1 -> Patch 2 lower -> Stitch 2 -> …      at the second; velocities cross at once,
//!                                                                              contexts have a step's time
//! ```
//!
//! A piece depends on its inputs alone, so a lost peer costs at most the steps since the last latent that the keeper
//! has. The halves give the same latent as both branches at one peer, so do block ranges, and a tile the same pixels
//! wherever it is decoded. Through block ranges the two branches of guidance follow each other, so that a stage works
//! at one while its neighbour has the other.
//!
//! Bands are lossy, and run only if whoever asked allows it. A band sees its own rows as they are and the others' as they
//! were two steps before: the context that a patch makes is sent when its step ends, is on its way for the whole of the
//! next step, and is needed in the one after. It is always that context, never whatever has come, so the same crew paints
//! the same picture; after a loss the next crew begins with whole steps again. Source: displaced patch parallelism,
//! DistriFusion (Li et al. 2024), whose neighbours are one step old, since they are sent layer by layer.
//!
//! Every output has a number: the encoding is 0, the latent after `n` steps is `4n + 1`, the velocities of step `n` are
//! `4n + 2` with the prompt and `4n + 3` without; tiles start at [`TILES`], hidden states at [`HIDDEN`],
//! velocities of bands at [`BANDS`], contexts at [`CONTEXTS`].

use crate::io::{Piece, Shape, Stage};
use crate::limits;
use crate::mutation::{self, Mutation};

/// The number of the encoding.
pub const ENCODING: u32 = 0;
/// The number of the first tile. Source: above every step's numbers, see [`limits::PICTURE_STEPS`].
pub const TILES: u32 = 1 << 16;
/// The number of the first hidden states. Source: above every tile's.
pub const HIDDEN: u32 = 1 << 17;
/// The number of the first band's velocity. Source: above all hidden states'.
pub const BANDS: u32 = 1 << 18;
/// The number of the first context. Source: above every band's.
pub const CONTEXTS: u32 = 1 << 19;

/// Steps by which the others' contexts are older than the step that a band runs.
const AGE: u16 = 2;
const _: () = assert!(limits::WARM_STEPS >= AGE, "the first bands need contexts of whole steps");

/// How a crew shares one picture.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Split {
    /// Every member holds the whole model; the first two run the halves of guidance, all decode.
    Whole {
        /// How many.
        members: usize,
    },
    /// As `Whole`, but the first members run a band of rows each, with stale neighbours.
    Bands {
        /// How many.
        members: usize,
        /// How many of them run bands.
        bands: u8,
    },
    /// Each member holds some of the layers; the first steers and encodes, the last decodes.
    Blocks {
        /// How many.
        stages: usize,
    },
}

/// One piece at one member of the crew.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Op {
    /// What to run.
    pub piece: Piece,
    /// The numbers of its inputs, in the order that [`Piece`] gives.
    pub inputs: Vec<u32>,
    /// Its outputs, in the order that [`Piece`] gives; never none.
    pub made: Vec<Made>,
}

/// One output of a piece.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Made {
    /// Its number.
    pub number: u32,
    /// Members that need it, by their place in the crew.
    pub to: Vec<usize>,
    /// Whether the keeper gets it too.
    pub keeper: bool,
}

impl Split {
    /// How the members on these stages share a picture.
    ///
    /// # Errors
    /// If they hold neither all the same layers nor layers that follow each other. Whether those are all of the model is
    /// for whoever knows the model.
    pub fn of(stages: &[Stage]) -> Result<Self, String> {
        let whole = stages.first().map(|stage| stage.layers).filter(|all| all.start == 0 && !all.is_empty());
        let whole = whole.ok_or("a picture's session without the first layer")?;
        if stages.iter().all(|stage| stage.layers == whole) {
            return Ok(Self::Whole { members: stages.len() });
        }
        let follows =
            |pair: &[Stage]| pair[0].layers.end == pair[1].layers.start && !pair[1].layers.is_empty();
        if stages.windows(2).all(follows) {
            return Ok(Self::Blocks { stages: stages.len() });
        }
        Err("a picture's session whose members hold neither the same layers nor layers without gaps".into())
    }

    /// The same in this many bands, where that is not 0.
    ///
    /// # Errors
    /// If that is not allowed, or not possible.
    pub fn in_bands(self, bands: u8, shape: Shape) -> Result<Self, String> {
        match self {
            _ if bands == 0 => Ok(self),
            _ if !shape.stale => Err("a picture in bands, which nobody allowed".into()),
            Self::Whole { members } if (2..=limits::PATCHES.min(members)).contains(&bands.into()) => {
                Ok(Self::Bands { members, bands })
            }
            _ => Err("a picture in more or fewer bands than can be".into()),
        }
    }

    /// The place of the member that decodes a tile.
    #[must_use]
    pub const fn decodes(self, tile: u16) -> usize {
        match self {
            Self::Whole { members } | Self::Bands { members, .. } => tile as usize % members,
            Self::Blocks { stages } => stages - 1,
        }
    }

    /// How many members, the first ones, a step is the work of.
    #[must_use]
    pub fn steppers(self, shape: Shape) -> usize {
        match self {
            Self::Whole { members } if shape.guided => members.min(2),
            Self::Whole { .. } => 1,
            Self::Bands { bands, .. } => bands.into(),
            Self::Blocks { stages } => stages,
        }
    }
}

impl Op {
    /// The number of the piece, which is its first output's.
    #[must_use]
    pub fn number(&self) -> u32 {
        self.made[0].number
    }

    fn new(piece: Piece, inputs: impl IntoIterator<Item = u32>, made: Made) -> Self {
        Self { piece, inputs: inputs.into_iter().collect(), made: vec![made] }
    }
}

impl Made {
    fn new(number: u32, to: impl IntoIterator<Item = usize>) -> Self {
        Self { number, to: to.into_iter().collect(), keeper: false }
    }

    fn kept(self, keeper: bool) -> Self {
        Self { keeper, ..self }
    }
}

/// The number of the latent after `steps` steps.
#[must_use]
pub const fn latent(steps: u16) -> u32 {
    4 * steps as u32 + 1
}

/// The number of a step's velocity with the prompt, or without.
#[must_use]
pub const fn velocity(step: u16, prompted: bool) -> u32 {
    latent(step) + if prompted { 1 } else { 2 }
}

/// The number of the hidden states of one branch of a step after the stage at this place.
#[must_use]
pub const fn hidden(step: u16, prompted: bool, stage: usize) -> u32 {
    HIDDEN + (2 * step as u32 + !prompted as u32) * limits::STAGES as u32 + stage as u32
}

/// The number of the velocity of one band of a step.
#[must_use]
pub const fn band(step: u16, part: u8) -> u32 {
    BANDS + step as u32 * limits::PATCHES as u32 + part as u32
}

/// The number of the context of one band of a step.
#[must_use]
pub const fn context(step: u16, part: u8) -> u32 {
    CONTEXTS + step as u32 * limits::PATCHES as u32 + part as u32
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

/// What the member at place `me` of a crew runs, in order, when `done` steps and the tiles in the bits of `tiles` are
/// there already.
#[must_use]
pub fn program(shape: Shape, split: Split, me: usize, done: u16, tiles: u64) -> Vec<Op> {
    let mut ops = Vec::new();
    if done < shape.steps {
        match split {
            Split::Whole { members } if shape.guided && members > 1 && me < 2 => {
                half_steps(shape, members, me, done, &mut ops);
            }
            Split::Whole { members } if me == 0 => steps(shape, members, done, &mut ops),
            Split::Whole { .. } => {}
            Split::Bands { members, bands } => {
                let of = Bands { shape, members, of: bands, done };
                u8::try_from(me)
                    .into_iter()
                    .filter(|part| *part < bands)
                    .for_each(|part| of.steps(part, &mut ops));
            }
            Split::Blocks { stages } => block_steps(shape, stages, me, done, &mut ops),
        }
    }
    let open = (0..shape.tiles).filter(|&tile| tiles & (1 << (tile % 64)) == 0);
    ops.extend(open.filter(|&tile| split.decodes(tile) == me).map(|tile| {
        let pixels = Made::new(TILES + u32::from(tile), []).kept(true);
        Op::new(Piece::Decode { tile }, [latent(shape.steps)], pixels)
    }));
    ops
}

fn encode(to: impl IntoIterator<Item = usize>) -> Op {
    Op::new(Piece::Encode, [], Made::new(ENCODING, to))
}

/// Both branches at the first member, a few steps at a time.
fn steps(shape: Shape, members: usize, done: u16, ops: &mut Vec<Op>) {
    ops.push(encode([]));
    let mut from = done;
    while from < shape.steps {
        let to = (from + limits::CHECKPOINT_STEPS).min(shape.steps);
        let others = if to == shape.steps { 1..members } else { 0..0 };
        let inputs = [Some(ENCODING), before(from)].into_iter().flatten();
        ops.push(Op::new(Piece::Steps { from, to }, inputs, Made::new(latent(to), others).kept(true)));
        from = to;
    }
}

/// One branch at each of the first two members.
fn half_steps(shape: Shape, members: usize, me: usize, done: u16, ops: &mut Vec<Op>) {
    ops.extend((me == 0).then(|| encode([1])));
    for step in done..shape.steps {
        let prompted = me == 0;
        let inputs = [Some(ENCODING), before(step)].into_iter().flatten();
        let half = Made::new(velocity(step, prompted), [1 - me]);
        ops.push(Op::new(Piece::Half { step, prompted }, inputs, half));
        let last = step + 1 == shape.steps;
        let others = if last && me == 0 { 2..members } else { 0..0 };
        ops.push(join(shape, step, done, others, me == 0));
    }
}

/// The layers of one stage, in both branches one after the other; the first stage joins.
fn block_steps(shape: Shape, stages: usize, me: usize, done: u16, ops: &mut Vec<Op>) {
    let last = stages - 1;
    ops.extend((me == 0).then(|| encode(1..stages)));
    for step in done..shape.steps {
        for prompted in branches(shape) {
            let swapped = me == last && shape.guided && mutation::on(Mutation::SwapBranches);
            let from = if me == 0 { before(step) } else { Some(hidden(step, prompted != swapped, me - 1)) };
            let made = if me == last {
                Made::new(velocity(step, prompted), [0])
            } else {
                Made::new(hidden(step, prompted, me), [me + 1])
            };
            let inputs = [Some(ENCODING), from].into_iter().flatten();
            ops.push(Op::new(Piece::Blocks { step, prompted }, inputs, made));
        }
        if me == 0 {
            let others = if step + 1 == shape.steps { last..stages } else { 0..0 };
            ops.push(join(shape, step, done, others, true));
        }
    }
}

/// A picture in bands, from a step on.
struct Bands {
    shape: Shape,
    members: usize,
    of: u8,
    done: u16,
}

impl Bands {
    /// What the member with this band runs.
    fn steps(&self, part: u8, ops: &mut Vec<Op>) {
        ops.extend((part == 0).then(|| encode(1..self.of.into())));
        for step in self.done..self.shape.steps {
            if step < self.done.saturating_add(limits::WARM_STEPS) {
                ops.push(self.warm(step, part));
            } else {
                ops.extend([self.patch(step, part), self.stitch(step, part)]);
            }
        }
    }

    fn warm(&self, step: u16, part: u8) -> Op {
        let contexts = self.others(part).map(|other| Made::new(context(step, other), []));
        Op {
            piece: Piece::Warm { step, part, of: self.of },
            inputs: [Some(ENCODING), before(step)].into_iter().flatten().collect(),
            made: [self.latent_after(step, part)].into_iter().chain(contexts).collect(),
        }
    }

    fn patch(&self, step: u16, part: u8) -> Op {
        let places = || self.others(part).map(usize::from);
        let old = self.others(part).map(|other| context(step - AGE, other));
        // What is made in the last steps is nobody's past.
        let used = step + AGE < self.shape.steps;
        let context = Made::new(context(step, part), places().filter(|_| used));
        Op {
            piece: Piece::Patch { step, part, of: self.of },
            inputs: [ENCODING, latent(step)].into_iter().chain(old).collect(),
            made: vec![Made::new(band(step, part), places()), context],
        }
    }

    fn stitch(&self, step: u16, part: u8) -> Op {
        let inputs = [latent(step)].into_iter().chain((0..self.of).map(|part| band(step, part)));
        Op::new(Piece::Stitch { step, of: self.of }, inputs, self.latent_after(step, part))
    }

    /// Every member has it by itself; the first tells the keeper, and those that only decode.
    fn latent_after(&self, step: u16, part: u8) -> Made {
        let last = step + 1 == self.shape.steps;
        let checkpoint = (step + 1 - self.done).is_multiple_of(limits::CHECKPOINT_STEPS);
        let others = if last && part == 0 { usize::from(self.of)..self.members } else { 0..0 };
        Made::new(latent(step + 1), others).kept(part == 0 && (last || checkpoint))
    }

    fn others(&self, part: u8) -> impl Iterator<Item = u8> {
        (0..self.of).filter(move |other| *other != part)
    }
}

/// The end of a step; the keeper gets the last latent, and one every few steps, if it is to have any from here.
fn join(shape: Shape, step: u16, done: u16, to: impl IntoIterator<Item = usize>, keeper: bool) -> Op {
    let inputs = before(step).into_iter().chain(branches(shape).map(|prompted| velocity(step, prompted)));
    let checkpoint = (step + 1 - done).is_multiple_of(limits::CHECKPOINT_STEPS);
    let kept = keeper && (checkpoint || step + 1 == shape.steps);
    Op::new(Piece::Join { step }, inputs, Made::new(latent(step + 1), to).kept(kept))
}

/// With the prompt; and without, if there is guidance.
fn branches(shape: Shape) -> impl Iterator<Item = bool> {
    [true, false].into_iter().take(1 + usize::from(shape.guided))
}

/// The latent that a step starts from; the first starts from noise.
fn before(step: u16) -> Option<u32> {
    (step > 0).then(|| latent(step))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::{Layers, PeerId};
    use std::collections::BTreeSet;

    fn shape(steps: u16, guided: bool, tiles: u16) -> Shape {
        Shape { count: 1, steps, guided, tiles, stale: true }
    }

    /// Every way in which so many members may share a picture.
    fn splits(members: usize) -> Vec<Split> {
        let blocks = (members > 1).then_some(Split::Blocks { stages: members });
        let bands =
            (2..=members.min(limits::PATCHES)).map(|bands| Split::Bands { members, bands: bands as u8 });
        [Split::Whole { members }].into_iter().chain(blocks).chain(bands).collect()
    }

    /// Every input is there in time: made before at the same member, or sent by another, or given by the keeper.
    #[test]
    fn every_crew_finishes_every_picture() {
        for steps in [1, 4, 5, 28] {
            for (guided, tiles, members, done) in (0..64)
                .map(|n| (n & 1 == 1, 1 + (n >> 1) % 4, 1 + usize::from(n >> 3) % 5, (n % 6).min(steps)))
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
}
