//! A picture in bands of rows, several members at one, each with stale neighbours.
//!
//! The context that a patch makes is sent when its step ends, is on its way for the whole of the next step, and is needed
//! in the one after: so the neighbours are two steps old, and only a slow link is waited for. Source: displaced patch
//! parallelism, DistriFusion (Li et al. 2024), whose neighbours are one step old, since they are sent layer by layer.

use super::{ENCODING, Made, Op, band, before, context, encode, latent};
use crate::io::{Piece, Shape};
use crate::limits;

/// Steps by which the others' contexts are older than the step that a band runs.
const AGE: u16 = 2;
const _: () = assert!(limits::WARM_STEPS >= AGE, "the first bands need contexts of whole steps");

/// A picture in bands, from a step on.
pub struct Bands {
    /// What is painted.
    pub shape: Shape,
    /// Everybody in the crew, those that only decode too.
    pub members: usize,
    /// How many bands.
    pub of: u8,
    /// Steps done already.
    pub done: u16,
}

impl Bands {
    /// What the member with this band runs.
    pub fn steps(&self, part: u8, ops: &mut Vec<Op>) {
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
