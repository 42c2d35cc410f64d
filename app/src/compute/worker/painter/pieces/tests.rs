//! Every crew on the shipped painter, piece by piece as its members would run them.

use super::*;
use crate::compute::files::Folder;
use coordinator::io::{Part, Shape};
use coordinator::pieces::{self, Split, TILES};
use coordinator::{Epoch, PeerId};
use futures::executor::block_on;
use kernels::device::Opened;
use std::collections::BTreeMap;

const STEPS: u16 = 12;

fn request(guidance: f32) -> PaintRequest {
    PaintRequest {
        prompt: "a red circle above a blue square".into(),
        negative: "a tree".into(),
        width: 48,
        height: 48,
        steps: STEPS,
        guidance,
        seed: 5,
        ..PaintRequest::default()
    }
}

fn painter(layers: Option<Layers>) -> Painter<Folder> {
    tabled_painter(u64::MAX, layers)
}

/// One that takes a table in place of so many bytes of weights or more.
fn tabled_painter(least_bytes: u64, layers: Option<Layers>) -> Painter<Folder> {
    let source = concat!(env!("CARGO_MANIFEST_DIR"), "/../assets/painter");
    let opened = Painter::tabled_from(least_bytes, source, Folder::of(source), Opened::cpu());
    let mut painter = block_on(opened).expect("the shipped painter");
    let part = Part { model: painter.id(), layers: layers.unwrap_or(painter.layers()) };
    block_on(painter.load(part, |_, _| ())).expect("its weights");
    painter
}

fn chunk(painter: &Painter<Folder>, layers: Layers, piece: Piece, request: &PaintRequest) -> Chunk {
    let requester = PeerId(1);
    let task = Task::Piece { piece, unit: 0, settings: request.to_bytes(), inputs: Vec::new() };
    let lease = Lease { epoch: Epoch { term: 1, leader: requester }, serial: 1 };
    Chunk { job: JobId { requester, serial: 1 }, lease, number: 0, model: painter.id(), layers, task }
}

fn run(
    painter: &mut Painter<Folder>,
    layers: Layers,
    piece: Piece,
    request: &PaintRequest,
    inputs: Vec<Vec<u8>>,
) -> ChunkOutput {
    let mut chunk = chunk(painter, layers, piece, request);
    if let Task::Piece { inputs: given, .. } = &mut chunk.task {
        *given = inputs;
    }
    block_on(painter.run(&chunk, &|| {})).expect("a device").expect("a piece that can be run")
}

/// The first tile that members with these layers paint. A member is a painter of its own.
fn paint(request: &PaintRequest, split: Split, layers: &[Layers]) -> Vec<u8> {
    let members = layers.iter().map(|layers| painter(Some(*layers))).collect();
    paint_by(members, request, split, layers)
}

fn paint_by(
    mut members: Vec<Painter<Folder>>,
    request: &PaintRequest,
    split: Split,
    layers: &[Layers],
) -> Vec<u8> {
    let guided = request.guided();
    let shape =
        Shape { count: 1, steps: STEPS, guided, tiles: 1, stale: matches!(split, Split::Bands { .. }) };
    let programs: Vec<_> = (0..layers.len()).map(|me| pieces::program(shape, split, me, 0, 0)).collect();
    let (mut at, mut made) = (vec![0; layers.len()], BTreeMap::<u32, Vec<u8>>::new());
    let ready = |at: &[usize], made: &BTreeMap<u32, Vec<u8>>| {
        (0..at.len()).find(|&member| {
            let next = programs[member].get(at[member]);
            next.is_some_and(|op| op.inputs.iter().all(|input| made.contains_key(input)))
        })
    };
    while let Some(member) = ready(&at, &made) {
        let op = &programs[member][at[member]];
        at[member] += 1;
        let inputs = op.inputs.iter().map(|input| made[input].clone()).collect();
        let outputs = match run(&mut members[member], layers[member], op.piece, request, inputs) {
            ChunkOutput::Piece(bytes) => vec![bytes],
            ChunkOutput::Pieces(all) => all,
            other => panic!("{:?} became {other:?}", op.piece),
        };
        assert_eq!(outputs.len(), op.made.len(), "{:?}", op.piece);
        made.extend(op.made.iter().map(|made| made.number).zip(outputs));
    }
    made.remove(&TILES).expect("a tile")
}

/// Rows: guidance, how it is split, who holds what.
#[test]
fn every_crew_paints_the_same_pixels() {
    let depth = painter(None).layers().end;
    let all = Layers { start: 0, end: depth };
    let two = [Layers { start: 0, end: 2 }, Layers { start: 2, end: depth }];
    let each: Vec<_> = (0..depth).map(|start| Layers { start, end: start + 1 }).collect();
    for guidance in [1.0, 3.0] {
        let request = request(guidance);
        let alone = paint(&request, Split::Whole { members: 1 }, &[all]);
        let rows = [
            (Split::Whole { members: 2 }, vec![all; 2]),
            (Split::Blocks { stages: 2 }, two.to_vec()),
            (Split::Blocks { stages: each.len() }, each.clone()),
        ];
        for (split, layers) in rows {
            assert!(paint(&request, split, &layers) == alone, "guidance {guidance}, {split:?}: other pixels");
        }
        let tabled = two.iter().map(|layers| tabled_painter(0, Some(*layers))).collect();
        let pixels = paint_by(tabled, &request, Split::Blocks { stages: 2 }, &two);
        assert!(pixels == alone, "guidance {guidance}, tables in place of weights: other pixels");
    }
}

/// The one way that is not exact, and how far off it is.
#[test]
fn bands_with_stale_neighbours_are_near() {
    let all = painter(None).layers();
    for (guidance, members) in [(1.0, 2), (3.0, 2), (3.0, 3)] {
        let request = request(guidance);
        let exact = paint(&request, Split::Whole { members: 1 }, &[all]);
        let split = Split::Bands { members, bands: members as u8 };
        let bands = paint(&request, split, &vec![all; members]);
        assert!(bands == paint(&request, split, &vec![all; members]), "the same crew, the same picture");
        let off: u32 = exact.iter().zip(&bands).map(|(a, b)| u32::from(a.abs_diff(*b))).sum();
        let off = f64::from(off) / exact.len() as f64;
        println!("guidance {guidance}, {members} bands: {off:.2} of 255 off");
        assert!(off > 0.0 && off < 32.0, "guidance {guidance}, {members} bands: {off} of 255 off");
    }
}

#[test]
fn inputs_that_are_no_good_are_named() {
    let (mut painter, request) = (painter(None), request(3.0));
    let layers = painter.layers();
    let ChunkOutput::Piece(encoding) = run(&mut painter, layers, Piece::Encode, &request, Vec::new()) else {
        panic!("an encoding")
    };
    let latent = vec![0; 48 * 48 * 3 * 4];
    let not_finite = [&f32::NAN.to_le_bytes()[..], &latent[4..]].concat();
    let steps = Piece::Steps { from: 4, to: 8 };
    let join = Piece::Join { step: 3 };
    let patch = Piece::Patch { step: 3, part: 0, of: 2 };
    // A band of two rows of squares in place of three.
    let short = latent[..latent.len() / 3].to_vec();
    let config = &painter.engine.folder().denoiser.0;
    // Keys and values of 3 × 6 squares in all blocks, with the prompt and without.
    let context = f32::NAN.to_le_bytes().repeat(18 * config.width * config.depth * 2 * 2);
    let rows: [(Piece, Vec<Vec<u8>>, u32, &str); 10] = [
        (steps, vec![encoding[..9].to_vec(), latent.clone()], 0, "an encoding that breaks off"),
        (steps, vec![encoding.clone(), not_finite.clone()], 1, "a latent with a NaN"),
        (steps, vec![encoding.clone(), latent[4..].to_vec()], 1, "a latent of another size"),
        (join, vec![latent.clone(), latent.clone(), not_finite.clone()], 2, "a velocity with a NaN"),
        (join, vec![latent.clone(), latent[8..].to_vec(), latent.clone()], 1, "a velocity of another size"),
        (Piece::Decode { tile: 0 }, vec![not_finite.clone()], 0, "a last latent with a NaN"),
        (patch, vec![encoding.clone(), latent.clone(), not_finite], 2, "a context of another size"),
        (patch, vec![encoding.clone(), latent.clone(), context], 2, "a context with NaNs"),
        (
            Piece::Stitch { step: 3, of: 2 },
            vec![latent.clone(), latent[..latent.len() / 2].to_vec(), latent[..7].to_vec()],
            2,
            "a band",
        ),
        (
            Piece::Stitch { step: 3, of: 2 },
            vec![latent.clone(), short, latent.clone()],
            1,
            "rows are missing",
        ),
    ];
    for (piece, inputs, place, why) in rows {
        match run(&mut painter, layers, piece, &request, inputs) {
            ChunkOutput::Refused { input, .. } => assert_eq!(input, place, "{why}"),
            other => panic!("{why}: {other:?}"),
        }
        painter.forget((
            JobId { requester: PeerId(1), serial: 1 },
            chunk(&painter, layers, piece, &request).lease,
        ));
    }
}
