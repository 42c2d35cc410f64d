//! A painter that no device holds alone.

use super::*;

/// 10 guided steps, 4 tiles, a latent of 0.1 MB.
const SHAPE: PictureShape = PictureShape {
    steps: 10,
    guided: true,
    tiles: 4,
    stale: false,
    everyone: false,
    latent_bytes: 100_000,
    context_bytes: 0,
};

/// 8 blocks of 100 MB, hidden states of 1 MB.
fn painter() -> ModelSpec {
    ModelSpec { kind: Kind::Picture, block_bytes: 1_000_000, ..heavy(8) }
}

/// Painters with these memories and milliseconds a pass; each needs 100 ms to encode and 800 ms to decode.
fn painters(peers: &[(u64, u32)]) -> Vec<Worker> {
    let mut workers = workers(&peers.iter().map(|&(memory, _)| (memory, 1)).collect::<Vec<_>>());
    for (worker, (_, step_ms)) in workers.iter_mut().zip(peers) {
        let (encode_micros, decode_micros) = (100_000, 800_000);
        let step_micros = step_ms * 1_000;
        worker.speed = Speed { step_micros, encode_micros, decode_micros, ..Speed::default() };
    }
    workers
}

/// The rings of a room, and why.
fn planned(peers: &[Worker], links: &Links, model: &ModelSpec, units: usize) -> Blocks {
    let passes = in_passes(model, peers);
    blocks(&Room { model, workers: &passes, links, hidden_bytes: model.block_bytes.into() }, units)
}

/// 450 MB: four blocks at an end, which also has the encoder or the decoder, or in the middle.
const HALF: u64 = 450_000_000;
/// Two blocks at an end, three in the middle.
const THIRD: u64 = 300_000_000;

#[test]
fn blocks_are_shared_where_no_device_holds_them_all() {
    type Row<'a> = (&'a [(u64, u32)], usize, &'a [&'a [(u128, u16)]], &'a str);
    let rows: [Row<'_>; 6] = [
        (
            &[(HALF, 80); 2],
            1,
            &[&[(1, 4), (2, 4)]],
            "2 devices hold a part of the painter each (4 + 4 blocks)",
        ),
        (&[(HALF, 80), (HALF, 80), (HALF, 80)], 1, &[&[(1, 4), (2, 4)]], "the fewest hops"),
        (&[(HALF, 80); 4], 3, &[&[(1, 4), (2, 4)], &[(3, 4), (4, 4)]], "so 2 groups share it"),
        (&[(THIRD, 80); 4], 1, &[&[(1, 2), (3, 2), (4, 2), (2, 2)]], "4 devices hold a part"),
        (&[(HALF, 80), (HALF, 0)], 1, &[], "this model needs 850 MB, the room has 450 MB"),
        (&[(THIRD, 80); 2], 1, &[], "this model needs 850 MB, the room has 600 MB"),
    ];
    for (peers, units, want, why) in rows {
        let (peers, links) = (painters(peers), links(4, 10));
        let got = planned(&peers, &links, &painter(), units);
        let rings: Vec<Vec<(u128, u16)>> = got.rings.iter().map(|ring| shares(ring)).collect();
        assert_eq!(rings, want, "{why}");
        assert!(got.why.contains(why) || !want.is_empty() && !why.contains("device"), "{why}: {}", got.why);
    }
}

#[test]
fn only_what_can_be_passed_on_is_split() {
    let largest = limits::BLOB_BYTES as u32;
    let rows = [
        (0, false, "a model whose blocks cannot run apart"),
        (largest, true, "the largest that a message can carry"),
        (largest + 1, false, "larger"),
    ];
    for (block_bytes, possible, why) in rows {
        let model = ModelSpec { block_bytes, ..painter() };
        let got = planned(&painters(&[(HALF, 80); 2]), &links(2, 10), &model, 1);
        assert_eq!(!got.rings.is_empty(), possible, "{why}: {}", got.why);
    }
}

#[test]
fn times_add_up() {
    let (model, peers) = (painter(), painters(&[(HALF, 160), (HALF, 80)]));
    // 10 ms there, and 100 ms for the hidden states of 1 MB.
    let mut links = Links::default();
    links.insert(PeerId(1), PeerId(2), Link { round_trip_ms: 20, bytes_per_ms: 10_000 });
    let room = Room { model: &model, workers: &peers, links: &links, hidden_bytes: 1 };
    let ring = |first: u16| {
        let layers = [Layers { start: 0, end: first }, Layers { start: first, end: 8 }];
        [1, 2].map(PeerId).into_iter().zip(layers).map(|(peer, layers)| Stage { peer, layers })
    };
    let shape = |guided| PictureShape { guided, ..SHAPE };
    let ms = |first, guided, units| {
        let ring: Vec<Stage> = ring(first).collect();
        let got = predict_blocks(&room, &shape(guided), &ring, units).unwrap();
        (got.picture_micros / 1_000, got.between_micros / 1_000)
    };
    // Encoding; a step: both stages, the way with 1 MB, the way back with 0.1 MB; the latent's way, decoding.
    let ends: u64 = 100 + (10 + 10) + 800;
    let way = |one: u64, other: u64| one + (10 + 100) + other + (10 + 10);
    let rows = [
        (ms(4, false, 1), ends + 10 * way(80, 40), ends + 10 * way(80, 40), "half of the blocks each"),
        (ms(2, false, 1), ends + 10 * way(40, 60), ends + 10 * way(40, 60), "fewer at the slow one"),
        (
            ms(4, true, 1),
            ends + 10 * (way(80, 40) + 100),
            ends + 10 * (way(80, 40) + 100),
            "the link is busiest",
        ),
        (ms(4, false, 2), ends + 10 * way(80, 40), (ends + 10 * way(80, 40)) / 2, "two on the way"),
        (
            ms(4, true, 9),
            ends + 10 * (way(80, 40) + 100),
            ends + 10 * (way(80, 40) + 100),
            "no more than one fits",
        ),
    ];
    for ((picture, between), want, apart, why) in rows {
        assert_eq!((picture, between), (want, apart), "{why}");
    }
    let stranger = [Stage { peer: PeerId(9), layers: Layers { start: 0, end: 8 } }];
    assert_eq!(predict_blocks(&room, &shape(true), &stranger, 1), None);
}

#[test]
fn as_many_pictures_at_once_as_keep_the_stages_busy() {
    let rows = [(2, true, 1), (3, true, 2), (4, true, 2), (8, true, 4), (2, false, 2), (4, false, 4)];
    for (stages, guided, want) in rows {
        assert_eq!(block_jobs(stages, guided), want, "{stages} stages, guided {guided}");
    }
}

#[test]
fn the_verdict_says_how_it_is_painted() {
    let shape = PictureShape { tiles: 1, latent_bytes: 1, ..SHAPE };
    type Row<'a> = (&'a [(u64, u32)], bool, Option<u64>, &'a str);
    let rows: [Row<'_>; 5] = [
        (
            &[(BIG, 500)],
            true,
            Some(10_900),
            "This device paints alone. A picture takes about 11 s. You would fetch 850 MB.",
        ),
        (
            &[(BIG, 500), (BIG, 500)],
            true,
            Some(6_100),
            "2 devices paint a picture together. A picture takes about 7 s. You would fetch 850 MB.",
        ),
        (
            &[(HALF, 500), (HALF, 500)],
            true,
            Some(8_610),
            "2 devices hold a part of the painter each. A picture takes about 9 s. You would fetch 450 MB.",
        ),
        (
            &[(THIRD, 500); 2],
            false,
            None,
            "this model needs 850 MB, the room has 600 MB: open it on another device",
        ),
        (&[], false, None, "no device is ready to compute yet"),
    ];
    for (peers, possible, ms, text) in rows {
        let (model, peers, links) = (painter(), painters(peers), links(2, 20));
        let got = verdict(&room(&model, &peers, &links), PeerId(1), 1, Some(&shape));
        assert_eq!((got.possible, got.picture_ms, got.text.as_str()), (possible, ms, text));
    }
}
