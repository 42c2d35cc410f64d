//! What a room does with a picture model: halves and blocks on several painters, checkpoints, hostile peers.

mod common;
#[path = "common/picture.rs"]
mod fixtures;

use common::{Memory, assert_close, block_on, devices, own};
use fixtures::model;
use kernels::Error;
use kernels::device::Opened;
use kernels::diffusion::folder::Folder;
use kernels::diffusion::{Band, Order, Painter, Painting, Piece, Side, Sitting};
use kernels::llm::Layers;
use kernels::weights::{ByteRange, Files, read_tensors};

const SIZE: [usize; 2] = [16, 24];
const STEPS: usize = 4;
const ORDER: Order = Order { size: SIZE, steps: STEPS, guidance: 3.0, seed: 7 };

fn bytes(values: &[f32]) -> Vec<u8> {
    values.iter().flat_map(|value| value.to_le_bytes()).collect()
}

fn floats(bytes: &[u8]) -> Vec<f32> {
    bytes.as_chunks::<4>().0.iter().map(|four| f32::from_le_bytes(*four)).collect()
}

/// Two texts of different lengths.
fn texts() -> [Vec<u8>; 2] {
    let reference = read_tensors(&own("picture/prx-pixel/ref.safetensors")).unwrap();
    let rows = &reference["txt"].values;
    [bytes(&rows[..6 * 24]), bytes(&rows[6 * 24..9 * 24])]
}

struct Room {
    folder: Folder,
    files: Memory,
}

impl Room {
    fn new() -> Self {
        let files = model();
        Self { folder: block_on(Folder::open(&files)).unwrap(), files }
    }

    fn painter(&self, opened: &Opened, layers: Layers, tabled: bool) -> Painter<u32> {
        let mut painter = Painter::new(opened.clone(), self.folder.clone(), tabled);
        let piece = Piece::Denoiser(layers);
        let source = async |range: &ByteRange| self.files.read(&range.file, range.range.clone()).await;
        block_on(painter.load(piece, source)).unwrap();
        assert!(painter.holds(piece) && !painter.ranges(piece).unwrap().is_empty());
        painter
    }

    /// A painter that has opened session 1.
    fn sitting(
        &self,
        opened: &Opened,
        layers: Layers,
        sides: [bool; 2],
        modulations: Option<&[u8]>,
    ) -> Painter<u32> {
        let mut painter = self.painter(opened, layers, modulations.is_some());
        let [with, without] = texts();
        let side = |wanted: bool, text: Vec<u8>| wanted.then_some(text);
        let (with, without) = (side(sides[0], with), side(sides[1], without));
        let (with, without) = (with.as_deref(), without.as_deref());
        let sitting = Sitting { layers, size: SIZE, steps: STEPS, with, without, modulations };
        painter.open(1, &sitting).unwrap();
        painter
    }
}

/// Takes one step with whatever chains of painters compute the two halves.
fn advance(painting: &mut Painting, with: &[&Painter<u32>], without: &[&Painter<u32>]) {
    let half = |chain: &[&Painter<u32>], side: Side| {
        chain.iter().fold(painting.latent(), |x, painter| {
            block_on(painter.denoise(&1, painting.step(), side, &x)).unwrap()
        })
    };
    let (with, without) = (half(with, Side::With), half(without, Side::Without));
    painting.advance(&with, Some(&without)).unwrap();
}

#[test]
fn halves_blocks_and_checkpoints_give_the_picture_of_one_painter() {
    let room = Room::new();
    let all = Layers::new(0, 2);
    let mut pictures: Vec<Vec<f32>> = Vec::new();
    for opened in devices() {
        let solo = room.sitting(&opened, all, [true, true], None);
        let mut painting = Painting::new(&room.folder, ORDER).unwrap();
        assert!(painting.is_guided() && !painting.is_done());
        let mut checkpoint = Vec::new();
        while !painting.is_done() {
            if painting.step() == 2 {
                checkpoint = painting.checkpoint();
            }
            advance(&mut painting, &[&solo], &[&solo]);
        }
        let picture = painting.latent();
        assert_eq!(block_on(solo.decode(&picture, SIZE)).unwrap(), picture, "pixels are pixels already");

        // The halves on two painters.
        let with = room.sitting(&opened, all, [true, false], None);
        let without = room.sitting(&opened, all, [false, true], None);
        let mut halves = Painting::new(&room.folder, ORDER).unwrap();
        (0..STEPS).for_each(|_| advance(&mut halves, &[&with], &[&without]));
        assert!(halves.latent() == picture, "halves on {}: other bits", opened.adapter);

        // Blocks on two painters that never had what computes modulations, from a checkpoint on.
        let table = block_on(solo.modulations(&1)).unwrap();
        let source = async |range: &ByteRange| room.files.read(&range.file, range.range.clone()).await;
        let read = block_on(room.painter(&opened, all, true).tabulate(all, SIZE, STEPS, source)).unwrap();
        assert!(read == table, "a table of weights that are not kept on {}: other bits", opened.adapter);
        let (first, last) = (Layers::new(0, 1), Layers::new(1, 2));
        let block = table.len() - STEPS * 2 * 32 * 4;
        let (head, tail) = (&table[..block / 2], &table[block / 2..]);
        let first = room.sitting(&opened, first, [true, true], Some(head));
        let last = room.sitting(&opened, last, [true, true], Some(tail));
        let mut restored = Painting::new(&room.folder, Order { seed: 8, ..ORDER }).unwrap();
        restored.restore(&checkpoint).unwrap();
        assert_eq!(restored.step(), 2);
        while !restored.is_done() {
            advance(&mut restored, &[&first, &last], &[&first, &last]);
        }
        assert!(restored.latent() == picture, "blocks on {}: other bits", opened.adapter);
        pictures.push(floats(&picture));
    }
    if let [cpu, gpu] = pictures.as_slice() {
        assert_close("GPU beside CPU", gpu, cpu);
    }
}

/// What two bands say of a step that starts from `latent`, told of one another what `contexts` holds.
fn in_bands(
    painter: &Painter<u32>,
    step: usize,
    latent: &[u8],
    of: usize,
    contexts: &[Vec<u8>],
) -> Vec<Vec<u8>> {
    let others = |part: usize| -> Vec<&[u8]> {
        let others = contexts.iter().enumerate().filter(|(other, _)| *other != part);
        others.map(|(_, context)| context.as_slice()).collect()
    };
    let band = |part: usize| {
        let others = others(part);
        let said = painter.denoise_band(&1, step, Side::With, latent, Band { part, of }, &others);
        block_on(said).unwrap()[0].clone()
    };
    (0..of).map(band).collect()
}

/// Told of the same step, bands make the whole picture's step; told of an earlier one, nearly so.
#[test]
fn bands_make_the_step_of_the_whole_picture() {
    let room = Room::new();
    for opened in devices() {
        let painter = room.sitting(&opened, Layers::new(0, 2), [true, false], None);
        for of in [2, 3] {
            let order = Order { guidance: 1.0, ..ORDER };
            let mut whole = Painting::new(&room.folder, order).unwrap();
            let mut banded = whole.clone();
            let context = |latent: &[u8], step: usize| {
                let (said, context) =
                    block_on(painter.denoise_keeping(&1, step, Side::With, latent)).unwrap();
                let of_each = (0..of).map(|part| block_on(context.of(Band { part, of })).unwrap());
                (said, of_each.collect::<Vec<_>>())
            };
            let (said, fresh) = context(&whole.latent(), 0);
            let bands = in_bands(&painter, 0, &banded.latent(), of, &fresh);
            let bands: Vec<&[u8]> = bands.iter().map(Vec::as_slice).collect();
            banded.advance_by_bands(&bands).unwrap();
            whole.advance(&said, None).unwrap();
            assert_close("fresh contexts", &floats(&banded.latent()), &floats(&whole.latent()));

            let stale = in_bands(&painter, 1, &whole.latent(), of, &fresh);
            let (exact, now) = context(&whole.latent(), 1);
            assert!(fresh != now, "another step has other contexts");
            let stale: Vec<&[u8]> = stale.iter().map(Vec::as_slice).collect();
            let mut after = [whole.clone(), whole.clone()];
            after[0].advance_by_bands(&stale).unwrap();
            after[1].advance(&exact, None).unwrap();
            let [stale, exact] = after.map(|painting| floats(&painting.latent()));
            let off: f32 = stale.iter().zip(&exact).map(|(a, b)| (a - b).abs()).sum::<f32>();
            let size: f32 = exact.iter().map(|x| x.abs()).sum();
            assert!(off > 0.0 && off < 0.2 * size, "stale contexts on {}: {}", opened.adapter, off / size);
        }
    }
}

#[test]
fn bands_that_do_not_exist_are_refused() {
    let room = Room::new();
    let painter = room.sitting(&Opened::cpu(), Layers::new(0, 2), [true, false], None);
    let latent = Painting::new(&room.folder, ORDER).unwrap().latent();
    let (_, context) = block_on(painter.denoise_keeping(&1, 0, Side::With, &latent)).unwrap();
    let half = block_on(context.of(Band { part: 1, of: 2 })).unwrap();
    assert!(block_on(context.of(Band { part: 2, of: 2 })).is_err(), "no such band");
    let rows: [(Band, &[&[u8]], &str); 4] = [
        (Band { part: 0, of: 2 }, &[], "no context"),
        (Band { part: 0, of: 2 }, &[&half[4..]], "a context that is cut off"),
        (Band { part: 2, of: 2 }, &[&half], "no such band"),
        (Band { part: 0, of: 5 }, &[&half, &half, &half, &half], "more bands than rows of patches"),
    ];
    for (band, others, why) in rows {
        let said = block_on(painter.denoise_band(&1, 0, Side::With, &latent, band, others));
        assert!(matches!(said, Err(Error::Picture(_))), "{why}: {said:?}");
    }
    let mut painting = Painting::new(&room.folder, ORDER).unwrap();
    assert!(painting.advance_by_bands(&[&latent[..latent.len() / 2]]).is_err(), "half a picture");
    assert!(painting.advance_by_bands(&[&latent[1..]]).is_err(), "no whole rows");
}

#[test]
fn what_a_hostile_peer_sends_is_refused() {
    let room = Room::new();
    let (opened, all) = (Opened::cpu(), Layers::new(0, 2));
    let mut painter = room.sitting(&opened, all, [true, false], None);
    let good = Painting::new(&room.folder, ORDER).unwrap().latent();
    let mut broken = good.clone();
    broken[..4].copy_from_slice(&f32::NAN.to_le_bytes());
    let rows: [(&u32, usize, Side, &[u8], &str); 7] = [
        (&2, 0, Side::With, &good, "no such session"),
        (&1, STEPS, Side::With, &good, "no such step"),
        (&1, usize::MAX, Side::With, &good, "no such step"),
        (&1, 0, Side::Without, &good, "no such text"),
        (&1, 0, Side::With, &good[1..], "half a number"),
        (&1, 0, Side::With, &[], "nothing"),
        (&1, 0, Side::With, &broken, "no number"),
    ];
    for (session, step, side, input, why) in rows {
        let found = block_on(painter.denoise(session, step, side, input));
        assert!(matches!(found, Err(Error::Picture(_) | Error::Step(_))), "{why}: {found:?}");
    }
    let [with, _] = texts();
    let fine = Sitting {
        layers: all,
        size: SIZE,
        steps: STEPS,
        with: Some(&with),
        without: None,
        modulations: None,
    };
    let many = bytes(&vec![0.0; 24 * 513]);
    let sittings = [
        (Sitting { layers: Layers::new(0, 3), ..fine }, "blocks that do not exist"),
        (Sitting { layers: Layers::new(1, 1), ..fine }, "no blocks"),
        (Sitting { size: [16, 22], ..fine }, "half a patch"),
        (Sitting { size: [0, 16], ..fine }, "no picture"),
        (Sitting { size: [usize::MAX, 16], ..fine }, "an absurd picture"),
        (Sitting { size: [4096, 4096], ..fine }, "too many tokens"),
        (Sitting { steps: 0, ..fine }, "no steps"),
        (Sitting { steps: usize::MAX, ..fine }, "absurd steps"),
        (Sitting { with: Some(&[]), ..fine }, "no text"),
        (Sitting { with: Some(&with[..with.len() - 1]), ..fine }, "half a row"),
        (Sitting { with: Some(&many), ..fine }, "too long a text"),
        (Sitting { modulations: Some(&with), ..fine }, "a table of another size"),
    ];
    for (sitting, why) in sittings {
        let found = painter.open(3, &sitting);
        assert!(
            matches!(found, Err(Error::Picture(_) | Error::Step(_) | Error::Config(_))),
            "{why}: {found:?}"
        );
    }
    for session in 2..=16 {
        painter.open(session, &fine).unwrap();
    }
    assert!(painter.open(17, &fine).is_err(), "sessions are bounded");
    painter.forget(&2);
    painter.open(17, &fine).unwrap();
    assert!(block_on(painter.decode(&good, [16, 16])).is_err(), "another size");
    assert!(
        block_on(painter.encode(&[1], async |_| Err("nobody asks".into()))).is_err(),
        "no encoder is loaded"
    );
}

#[test]
fn a_picture_takes_only_what_it_can_go_on_from() {
    let room = Room::new();
    let mut painting = Painting::new(&room.folder, ORDER).unwrap();
    let before = painting.clone();
    let (good, checkpoint) = (painting.latent(), painting.checkpoint());
    let mut infinite = good.clone();
    infinite[8..12].copy_from_slice(&f32::INFINITY.to_le_bytes());
    assert!(painting.advance(&good, None).is_err(), "a half is missing");
    assert!(painting.advance(&infinite, Some(&good)).is_err(), "an infinity");
    assert!(painting.advance(&good, Some(&good[4..])).is_err(), "a half is too short");
    let beyond = [&5u32.to_le_bytes()[..], &good].concat();
    for (bytes, why) in
        [(&checkpoint[..3], "no step"), (&checkpoint[..8], "no latent"), (&beyond, "beyond the end")]
    {
        assert!(painting.restore(bytes).is_err(), "{why}");
    }
    assert_eq!(painting, before, "refusals leave it as it was");
    let orders = [
        (Order { size: [16, 23], ..ORDER }, "half a patch"),
        (Order { steps: 100_000, ..ORDER }, "absurd steps"),
        (Order { guidance: f32::NAN, ..ORDER }, "no guidance"),
        (Order { guidance: 1e9, ..ORDER }, "absurd guidance"),
    ];
    for (order, why) in orders {
        assert!(matches!(Painting::new(&room.folder, order), Err(Error::Picture(_))), "{why}");
    }
    let plain = Order { guidance: 1.0, steps: 1, ..ORDER };
    let mut painting = Painting::new(&room.folder, plain).unwrap();
    painting.advance(&good, None).unwrap();
    assert!(painting.is_done() && painting.advance(&good, None).is_err(), "no step is left");
}
