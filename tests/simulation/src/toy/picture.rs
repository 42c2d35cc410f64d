//! A painter of hashes: a latent is a hash of everything that was done to it, in order, and so are its pixels.
//!
//! Every layer changes the hidden states in its own way, and none but the last knows what a velocity is, so a layer left
//! out, run twice or in another place gives another picture.

use super::{Failed, NONSENSE};
use crate::dice::mix;
use coordinator::Layers;
use coordinator::io::{PictureWork, Piece};

/// Layers of the painter.
pub const LAYERS: u16 = 6;

/// What one peer holds of the painter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Painter {
    /// Its layers.
    pub layers: Layers,
}

/// A picture of a job.
#[derive(Clone, Copy, Debug)]
pub struct Sitting<'a> {
    /// Which; chooses the noise.
    pub unit: u16,
    /// Whether there is guidance, in the first byte; the prompt and the seed.
    pub settings: &'a [u8],
}

impl Painter {
    /// Everything.
    pub const WHOLE: Self = Self { layers: Layers { start: 0, end: LAYERS } };

    /// Runs one piece.
    ///
    /// # Errors
    /// If its inputs are not what the piece takes, or are no numbers.
    pub fn run(self, piece: Piece, of: Sitting<'_>, inputs: &[Vec<u8>]) -> Result<Vec<Vec<u8>>, Failed> {
        let values = inputs.iter().enumerate().map(|(at, bytes)| number(at, bytes));
        let values = values.collect::<Result<Vec<u64>, Failed>>()?;
        let noise = of.noise();
        let whole = self == Self::WHOLE;
        let output = match (piece, values.as_slice()) {
            (Piece::Encode, []) if self.layers.start == 0 => of.encode(),
            (Piece::Steps { from: 0, to }, [encoding]) if whole => self.steps(*encoding, noise, 0, to, of),
            (Piece::Steps { from, to }, [encoding, latent]) if from > 0 && whole => {
                self.steps(*encoding, *latent, from, to, of)
            }
            (Piece::Half { step: 0, prompted }, [encoding]) if whole => {
                self.velocity(*encoding, noise, 0, prompted)
            }
            (Piece::Half { step, prompted }, [encoding, latent]) if step > 0 && whole => {
                self.velocity(*encoding, *latent, step, prompted)
            }
            (Piece::Blocks { step: 0, prompted }, [encoding]) if self.layers.start == 0 => {
                self.blocks(*encoding, begin(noise, 0, prompted), prompted)
            }
            (Piece::Blocks { step, prompted }, [encoding, input]) if step > 0 || self.layers.start > 0 => {
                let first = self.layers.start == 0;
                self.blocks(*encoding, if first { begin(*input, step, prompted) } else { *input }, prompted)
            }
            (Piece::Join { step: 0 }, velocities) => join(noise, velocities),
            (Piece::Join { .. }, [latent, velocities @ ..]) => join(*latent, velocities),
            (Piece::Warm { step, part, of: parts }, [encoding, latent @ ..]) if whole => {
                let latent = latent.first().copied().unwrap_or(noise);
                let others = (0..parts).filter(|other| *other != part);
                let contexts = others.map(|other| context(*encoding, latent, step, other, &[]));
                let after = self.steps(*encoding, latent, step, step + 1, of);
                return Ok([after].into_iter().chain(contexts).map(bytes).collect());
            }
            (Piece::Patch { step, part, of: parts }, [encoding, latent, old @ ..])
                if whole && old.len() + 1 == usize::from(parts) =>
            {
                let seen = context(*encoding, *latent, step, part, old);
                return Ok(vec![bytes(self.band(seen, of)), bytes(seen)]);
            }
            (Piece::Stitch { of: parts, .. }, [latent, bands @ ..]) if bands.len() == usize::from(parts) => {
                join(*latent, bands)
            }
            (Piece::Decode { tile }, [latent]) if self.layers.end == LAYERS => pixels(*latent, tile),
            _ => return Err(Failed::Own(format!("{piece:?} at {self:?} with {} inputs", inputs.len()))),
        };
        Ok(vec![bytes(output)])
    }

    fn steps(self, encoding: u64, latent: u64, from: u16, to: u16, of: Sitting<'_>) -> u64 {
        (from..to).fold(latent, |latent, step| {
            let with = self.velocity(encoding, latent, step, true);
            let without = of.guided().then(|| self.velocity(encoding, latent, step, false));
            join(latent, &[Some(with), without].into_iter().flatten().collect::<Vec<u64>>())
        })
    }

    fn velocity(self, encoding: u64, latent: u64, step: u16, prompted: bool) -> u64 {
        self.blocks(encoding, begin(latent, step, prompted), prompted)
    }

    /// The velocity of a band that sees this.
    fn band(self, seen: u64, of: Sitting<'_>) -> u64 {
        let branch = |prompted: bool| self.velocity(of.encode(), seen, 0, prompted);
        join(branch(true), &of.guided().then(|| branch(false)).into_iter().collect::<Vec<u64>>())
    }

    /// Hidden states through the layers held; after the last they are a velocity.
    fn blocks(self, encoding: u64, hidden: u64, prompted: bool) -> u64 {
        let text = if prompted { encoding } else { 0 };
        let layers = self.layers.start..self.layers.end;
        let hidden = layers.fold(hidden, |hidden, layer| mix(hidden ^ text ^ u64::from(layer) << 32));
        if self.layers.end == LAYERS { mix(hidden) } else { hidden }
    }
}

/// The tiles of picture `unit` as one peer alone paints them.
#[must_use]
pub fn solo(work: &PictureWork, unit: u16) -> Vec<Vec<u8>> {
    let of = Sitting { unit, settings: &work.settings };
    let latent = Painter::WHOLE.steps(of.encode(), of.noise(), 0, work.shape.steps, of);
    (0..work.shape.tiles).map(|tile| bytes(pixels(latent, tile))).collect()
}

/// The tiles of picture `unit` in `parts` bands with stale neighbours, without a loss on the way: two whole steps, then
/// every band sees its own rows as they are and the others' as they were two steps before.
#[must_use]
pub fn stale(work: &PictureWork, unit: u16, parts: u8) -> Vec<Vec<u8>> {
    let of = Sitting { unit, settings: &work.settings };
    let (encoding, mut latent) = (of.encode(), of.noise());
    // By step, what each band was seen as.
    let mut seen: Vec<Vec<u64>> = Vec::new();
    for step in 0..work.shape.steps {
        let whole = step < 2;
        let own = |part: u8| {
            let others = (0..parts).filter(|other| *other != part);
            let old = |other: u8| seen[usize::from(step) - 2][usize::from(other)];
            let old: Vec<u64> = if whole { Vec::new() } else { others.map(old).collect() };
            context(encoding, latent, step, part, &old)
        };
        let now: Vec<u64> = (0..parts).map(own).collect();
        latent = if whole {
            Painter::WHOLE.steps(encoding, latent, step, step + 1, of)
        } else {
            join(latent, &now.iter().map(|seen| Painter::WHOLE.band(*seen, of)).collect::<Vec<u64>>())
        };
        seen.push(now);
    }
    (0..work.shape.tiles).map(|tile| bytes(pixels(latent, tile))).collect()
}

impl Sitting<'_> {
    /// The settings of the toy say in their first byte whether guidance is on, as a real model's do in their own way.
    fn guided(self) -> bool {
        self.settings.first().is_some_and(|first| *first == 1)
    }

    fn encode(self) -> u64 {
        self.settings.iter().fold(7, |sum, &byte| mix(sum ^ u64::from(byte)))
    }

    fn noise(self) -> u64 {
        mix(self.encode() ^ mix(u64::from(self.unit)))
    }
}

fn number(at: usize, bytes: &[u8]) -> Result<u64, Failed> {
    let refused = |reason: &str| Failed::Input { input: at as u32, reason: reason.into() };
    match bytes.try_into().map(u64::from_be_bytes) {
        Ok(NONSENSE) => Err(refused("it is no number")),
        Ok(number) => Ok(number),
        Err(_) => Err(refused("it is not eight bytes")),
    }
}

fn bytes(number: u64) -> Vec<u8> {
    number.to_be_bytes().to_vec()
}

/// What a band of a step is made of, and what its neighbours come to see: the step and its own rows as they are, and the
/// others' as they were.
fn context(encoding: u64, latent: u64, step: u16, part: u8, old: &[u64]) -> u64 {
    let own = mix(latent ^ mix(encoding ^ u64::from(step) << 8 ^ u64::from(part)));
    old.iter().fold(own, |sum, old| mix(sum ^ old))
}

/// Hidden states before the first layer.
fn begin(latent: u64, step: u16, prompted: bool) -> u64 {
    mix(latent ^ mix(u64::from(step) << 1 | u64::from(prompted)))
}

fn join(latent: u64, velocities: &[u64]) -> u64 {
    velocities.iter().fold(latent, |latent, velocity| mix(latent ^ mix(*velocity)))
}

fn pixels(latent: u64, tile: u16) -> u64 {
    mix(latent ^ u64::from(tile) << 48)
}

#[cfg(test)]
mod tests {
    use super::*;
    use coordinator::PeerId;
    use coordinator::io::{Shape, Stage};
    use coordinator::pieces::{self, Split, TILES};
    use std::collections::BTreeMap;

    /// What members with these layers paint, from the latent of one peer alone after `done` steps; by the numbers of
    /// [`pieces`].
    fn paint(work: &PictureWork, layers: &[Layers], bands: u8, done: u16) -> BTreeMap<u32, Vec<u8>> {
        let of = Sitting { unit: 0, settings: &work.settings };
        let stages: Vec<Stage> = layers.iter().map(|&layers| Stage { peer: PeerId(1), layers }).collect();
        let split = Split::of(&stages).and_then(|split| split.in_bands(bands, work.shape)).expect("a crew");
        let programs: Vec<_> =
            (0..layers.len()).map(|me| pieces::program(work.shape, split, me, done, 0)).collect();
        let start = Painter::WHOLE.steps(of.encode(), of.noise(), 0, done, of);
        let mut made: BTreeMap<u32, Vec<u8>> = BTreeMap::new();
        if done > 0 {
            made.insert(pieces::latent(done), start.to_be_bytes().to_vec());
        }
        let mut at = vec![0; layers.len()];
        while let Some(member) = (0..layers.len()).find(|&member| {
            let next = programs[member].get(at[member]);
            next.is_some_and(|op| op.inputs.iter().all(|input| made.contains_key(input)))
        }) {
            let op = &programs[member][at[member]];
            at[member] += 1;
            let inputs: Vec<Vec<u8>> = op.inputs.iter().map(|input| made[input].clone()).collect();
            let painter = Painter { layers: layers[member] };
            let outputs = painter.run(op.piece, of, &inputs).expect("the right inputs");
            assert_eq!(outputs.len(), op.made.len(), "{:?}", op.piece);
            for (made_here, output) in op.made.iter().zip(outputs) {
                let before = made.insert(made_here.number, output.clone());
                assert!(before.is_none_or(|before| before == output), "all make the same: {:?}", op.piece);
            }
        }
        made
    }

    /// However a picture is cut into pieces, its pixels are the same.
    #[test]
    fn every_crew_paints_the_same() {
        let all = Layers { start: 0, end: LAYERS };
        let cut = |ends: &[u16]| -> Vec<Layers> {
            let starts = [0].into_iter().chain(ends.iter().copied());
            starts.zip(ends).map(|(start, &end)| Layers { start, end }).collect()
        };
        let rows = [
            (true, vec![all], 0),
            (true, vec![all; 2], 0),
            (true, vec![all; 3], 3),
            (false, vec![all], 0),
            (false, vec![all; 2], 4),
            (true, cut(&[1, LAYERS]), 0),
            (true, cut(&[2, 3, 5, LAYERS]), 3),
            (false, cut(&[5, LAYERS]), 0),
            (false, cut(&[1, 2, 3, 4, 5, LAYERS]), 4),
        ];
        for (guided, layers, done) in rows {
            let shape = Shape { count: 1, steps: 9, guided, tiles: 3, stale: false };
            let work = PictureWork { shape, settings: vec![u8::from(guided), 5] };
            let made = paint(&work, &layers, 0, done);
            let tiles: Vec<Vec<u8>> = (0..3).map(|tile| made[&(TILES + tile)].clone()).collect();
            assert_eq!(tiles, solo(&work, 0), "guided {guided}, {layers:?}, from {done}");
        }
    }

    /// Bands paint what bands are to paint, whoever runs them, and not what one peer alone does.
    #[test]
    fn bands_are_as_stale_as_they_should_be() {
        let all = Layers { start: 0, end: LAYERS };
        for (guided, members, bands) in
            [(true, 2, 2), (false, 2, 2), (true, 3, 2), (true, 4, 4), (false, 5, 3)]
        {
            let shape = Shape { count: 1, steps: 9, guided, tiles: 3, stale: true };
            let work = PictureWork { shape, settings: vec![u8::from(guided), 5] };
            let made = paint(&work, &vec![all; members], bands, 0);
            let tiles: Vec<Vec<u8>> = (0..3).map(|tile| made[&(TILES + tile)].clone()).collect();
            assert_eq!(tiles, stale(&work, 0, bands), "guided {guided}, {bands} of {members}");
            assert_ne!(tiles, solo(&work, 0), "it is lossy");
        }
    }

    #[test]
    fn what_is_no_number_is_refused_by_its_place() {
        let good = 1_u64.to_be_bytes().to_vec();
        let rows = [
            (vec![good.clone(), NONSENSE.to_be_bytes().to_vec()], 1, "no number"),
            (vec![vec![], good], 0, "not eight bytes"),
        ];
        let of = Sitting { unit: 0, settings: &[1] };
        for (inputs, at, why) in rows {
            let ran = Painter::WHOLE.run(Piece::Half { step: 1, prompted: true }, of, &inputs);
            assert!(matches!(ran, Err(Failed::Input { input, .. }) if input == at), "{why}: {ran:?}");
        }
    }
}
