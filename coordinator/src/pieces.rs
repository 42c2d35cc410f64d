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
//! at one while its neighbour has the other. Bands are lossy: see [`Split::Bands`].
//!
//! Every output has a number: the encoding is 0, the latent after `n` steps is `4n + 1`, the velocities of step `n` are
//! `4n + 2` with the prompt and `4n + 3` without; tiles start at [`TILES`], hidden states at [`HIDDEN`],
//! velocities of bands at [`BANDS`], contexts at [`CONTEXTS`].

use crate::io::{Piece, Shape, Stage};
use crate::limits;
use crate::mutation::{self, Mutation};

mod bands;

use bands::Bands;

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

/// How a crew shares one picture.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Split {
    /// Every member holds the whole model; the first two run the halves of guidance, all decode.
    Whole {
        /// How many.
        members: usize,
    },
    /// As `Whole`, but the first members run a band of rows each, if whoever asked allows it: a band sees its own rows as
    /// they are and the others' as they were two steps before. Always those, never whatever has come, so the same crew
    /// paints the same picture; after a loss the next crew begins with whole steps again.
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
mod tests;
