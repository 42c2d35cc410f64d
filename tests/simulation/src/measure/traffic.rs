//! What a step of a large picture costs in bytes: counted from the very pieces that every member runs.

use coordinator::io::{Piece, Shape};
use coordinator::limits::CHECKPOINT_STEPS;
use coordinator::pieces::{self, Op, Split};

/// Bytes of one latent, and of one velocity: 16 channels of 128 × 128 in f32. Source: `prx.md`, PRX-1024 at 1024 × 1024.
pub const LATENT_BYTES: u64 = 16 * 128 * 128 * 4;
/// Bytes of the hidden states of one branch: 4,096 tokens of 1,792 channels in f32. Source: as above.
pub const HIDDEN_BYTES: u64 = 4_096 * 1_792 * 4;

/// Bytes of the keys and values of all tokens in 16 blocks, of both branches. Source: as above.
pub const CONTEXT_BYTES: u64 = 2 * 16 * 2 * HIDDEN_BYTES;

/// Bytes that each member sends in a step, to other members and to a keeper that is none of them.
#[derive(Clone, Debug, PartialEq)]
pub struct Traffic {
    /// How the picture is shared.
    pub split: String,
    /// By member, over a long picture: checkpoints count with their share.
    pub sent: Vec<u64>,
}

/// Every way of sharing one guided picture.
#[must_use]
pub fn all() -> Vec<Traffic> {
    let rows = [
        ("alone", Split::Whole { members: 1 }),
        ("guidance halves", Split::Whole { members: 2 }),
        ("block ranges, two stages", Split::Blocks { stages: 2 }),
        ("block ranges, four stages", Split::Blocks { stages: 4 }),
        ("two bands with stale neighbours", Split::Bands { members: 2, bands: 2 }),
    ];
    rows.map(|(name, split)| Traffic { split: name.into(), sent: sent(split) }).into()
}

/// Bytes a step by member, in the middle of a picture.
fn sent(split: Split) -> Vec<u64> {
    let (Split::Whole { members } | Split::Bands { members, .. } | Split::Blocks { stages: members }) = split;
    // Whole groups of checkpoints, without the encoding and the end.
    let steps = 16 * CHECKPOINT_STEPS;
    let shape = Shape { count: 1, steps: steps + CHECKPOINT_STEPS, guided: true, tiles: 1, stale: true };
    let bytes = |op: &Op| {
        let each =
            |made: &pieces::Made| size(op.piece, made) * (made.to.len() as u64 + u64::from(made.keeper));
        op.made.iter().map(each).sum::<u64>()
    };
    let of = |me| {
        let program = pieces::program(shape, split, me, 0, 0);
        let middle = program.iter().filter(|op| step(op.piece).is_some_and(|step| step < steps));
        middle.map(bytes).sum::<u64>() / u64::from(steps)
    };
    (0..members).map(of).collect()
}

/// The step that a piece is of.
const fn step(piece: Piece) -> Option<u16> {
    match piece {
        Piece::Steps { from: step, .. }
        | Piece::Half { step, .. }
        | Piece::Blocks { step, .. }
        | Piece::Warm { step, .. }
        | Piece::Patch { step, .. }
        | Piece::Stitch { step, .. }
        | Piece::Join { step } => Some(step),
        Piece::Encode | Piece::Decode { .. } => None,
    }
}

/// Bytes of an output.
fn size(piece: Piece, made: &pieces::Made) -> u64 {
    match piece {
        Piece::Blocks { .. } if made.number >= pieces::HIDDEN => HIDDEN_BYTES,
        Piece::Patch { of, .. } if made.number >= pieces::CONTEXTS => CONTEXT_BYTES / u64::from(of),
        Piece::Patch { of, .. } => LATENT_BYTES / u64::from(of),
        _ => LATENT_BYTES,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_what_the_model_says() {
        let (latent, hidden) = (LATENT_BYTES, HIDDEN_BYTES);
        let checkpoint = latent / u64::from(CHECKPOINT_STEPS);
        let want = [
            vec![checkpoint],
            vec![latent + checkpoint, latent],
            vec![2 * hidden + checkpoint, 2 * latent],
            vec![2 * hidden + checkpoint, 2 * hidden, 2 * hidden, 2 * latent],
        ];
        let mut got: Vec<Vec<u64>> = all().into_iter().map(|traffic| traffic.sent).collect();
        let bands = got.pop().expect("the last row");
        assert_eq!(got, want);
        // The first two steps are whole, and send nothing.
        let [first, second] = bands[..] else { panic!("two bands") };
        assert!(second < CONTEXT_BYTES / 2 + latent / 2 && second > CONTEXT_BYTES / 2 * 9 / 10, "{second}");
        assert!((first - second).abs_diff(checkpoint) < latent, "checkpoints come from the first");
    }
}
