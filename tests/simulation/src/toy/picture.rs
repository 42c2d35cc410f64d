//! A painter of hashes: a latent is a hash of everything that was done to it, in order, and so are its pixels.

use crate::dice::mix;
use coordinator::io::{PictureWork, Piece};

/// Runs one piece of picture `unit`.
///
/// # Errors
/// If its inputs are not what the piece takes.
pub fn run(piece: Piece, unit: u16, settings: &[u8], inputs: &[Vec<u8>]) -> Result<Vec<u8>, String> {
    let values: Option<Vec<u64>> =
        inputs.iter().map(|bytes| Some(u64::from_be_bytes(bytes.as_slice().try_into().ok()?))).collect();
    let values = values.ok_or_else(|| format!("{piece:?}: an input that is not eight bytes"))?;
    let noise = noise(unit, settings);
    let output = match (piece, values.as_slice()) {
        (Piece::Encode, []) => encode(settings),
        (Piece::Steps { from: 0, to }, [encoding]) => steps(*encoding, noise, 0, to, guided(settings)),
        (Piece::Steps { from, to }, [encoding, latent]) if from > 0 => {
            steps(*encoding, *latent, from, to, guided(settings))
        }
        (Piece::Half { step: 0, prompted }, [encoding]) => velocity(*encoding, noise, 0, prompted),
        (Piece::Half { step, prompted }, [encoding, latent]) if step > 0 => {
            velocity(*encoding, *latent, step, prompted)
        }
        (Piece::Join { step: 0 }, [with, without]) => join(noise, *with, *without),
        (Piece::Join { step }, [latent, with, without]) if step > 0 => join(*latent, *with, *without),
        (Piece::Decode { tile }, [latent]) => mix(latent ^ u64::from(tile) << 48),
        _ => return Err(format!("{piece:?} with {} inputs", inputs.len())),
    };
    Ok(output.to_be_bytes().to_vec())
}

/// The tiles of picture `unit` as one peer alone paints them.
#[must_use]
pub fn solo(work: &PictureWork, unit: u16) -> Vec<Vec<u8>> {
    let settings = &work.settings;
    let latent = steps(encode(settings), noise(unit, settings), 0, work.shape.steps, work.shape.guided);
    let tile = |tile: u16| mix(latent ^ u64::from(tile) << 48).to_be_bytes().to_vec();
    (0..work.shape.tiles).map(tile).collect()
}

/// The settings of the toy say in their first byte whether guidance is on, as a real model's do in their own way.
fn guided(settings: &[u8]) -> bool {
    settings.first().is_some_and(|first| *first == 1)
}

fn encode(settings: &[u8]) -> u64 {
    settings.iter().fold(7, |sum, &byte| mix(sum ^ u64::from(byte)))
}

fn noise(unit: u16, settings: &[u8]) -> u64 {
    mix(encode(settings) ^ mix(u64::from(unit)))
}

fn steps(encoding: u64, latent: u64, from: u16, to: u16, guided: bool) -> u64 {
    (from..to).fold(latent, |latent, step| {
        let with = velocity(encoding, latent, step, true);
        if guided { join(latent, with, velocity(encoding, latent, step, false)) } else { mix(latent ^ with) }
    })
}

fn velocity(encoding: u64, latent: u64, step: u16, prompted: bool) -> u64 {
    mix(latent ^ mix(u64::from(step) << 1 | u64::from(prompted)) ^ if prompted { encoding } else { 0 })
}

fn join(latent: u64, with: u64, without: u64) -> u64 {
    mix(latent ^ mix(with) ^ without)
}

#[cfg(test)]
mod tests {
    use super::*;
    use coordinator::io::Shape;
    use coordinator::pieces::{self, TILES};
    use std::collections::BTreeMap;

    /// However a picture is cut into pieces, its pixels are the same.
    #[test]
    fn every_crew_paints_the_same() {
        for (guided, members, done) in
            [(true, 1, 0), (true, 2, 0), (true, 3, 3), (false, 1, 0), (false, 2, 4)]
        {
            let shape = Shape { count: 1, steps: 9, guided, tiles: 3 };
            let work = PictureWork { shape, settings: vec![u8::from(guided), 5] };
            let programs: Vec<_> =
                (0..members).map(|me| pieces::program(shape, members, me, done, 0)).collect();
            let start = steps(encode(&work.settings), noise(0, &work.settings), 0, done, guided);
            let mut made: BTreeMap<u32, Vec<u8>> = BTreeMap::new();
            if done > 0 {
                made.insert(pieces::latent(done), start.to_be_bytes().to_vec());
            }
            let mut at = vec![0; members];
            while let Some(member) = (0..members).find(|&member| {
                let next = programs[member].get(at[member]);
                next.is_some_and(|op| op.inputs.iter().all(|input| made.contains_key(input)))
            }) {
                let op = &programs[member][at[member]];
                at[member] += 1;
                let inputs: Vec<Vec<u8>> = op.inputs.iter().map(|input| made[input].clone()).collect();
                let output = run(op.piece, 0, &work.settings, &inputs).expect("the right inputs");
                made.insert(op.number, output);
            }
            let tiles: Vec<Vec<u8>> = (0..3).map(|tile| made[&(TILES + tile)].clone()).collect();
            assert_eq!(tiles, solo(&work, 0), "guided {guided}, {members} members, from step {done}");
        }
    }
}
