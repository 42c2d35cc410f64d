//! Who paints, and how long that takes.

use super::*;

/// 8 guided steps, 4 tiles, a latent of 32 kB (that takes 32 ms at 1 MB/s).
const SHAPE: PictureShape = PictureShape {
    steps: 8,
    guided: true,
    tiles: 4,
    stale: false,
    everyone: false,
    latent_bytes: 32_000,
    context_bytes: 800_000,
};

/// Painters with these milliseconds a step; each needs 100 ms to encode and 800 ms to decode.
fn painters(step_ms: &[u32]) -> Vec<Worker> {
    let mut peers = workers(&vec![(BIG, 1); step_ms.len()]);
    for (peer, ms) in peers.iter_mut().zip(step_ms) {
        let (encode_micros, decode_micros) = (100_000, 800_000);
        peer.speed = Speed { step_micros: ms * 1_000, encode_micros, decode_micros, ..peer.speed };
    }
    peers
}

fn all_linked(peers: usize, link: Link) -> Links {
    let mut links = Links::default();
    for one in 1..=peers as u128 {
        (one + 1..=peers as u128).for_each(|other| links.insert(PeerId(one), PeerId(other), link));
    }
    links
}

#[test]
fn a_picture_each_or_several_at_one() {
    const NEAR: Link = Link { round_trip_ms: 10, bytes_per_ms: 10_000 };
    const FAR: Link = Link { round_trip_ms: 400, bytes_per_ms: 1_000 };
    type Row = (&'static [u32], usize, Link, Option<u128>, &'static [(u128, u16)], &'static str);
    let rows: [Row; 9] = [
        (&[200], 1, NEAR, None, &[(1, 4)], "alone"),
        (&[200, 200], 2, NEAR, None, &[(1, 4)], "two pictures, two devices: one each"),
        (&[200, 200, 200], 2, NEAR, None, &[(1, 4)], "the third cannot help both"),
        (&[200, 200], 1, NEAR, Some(2), &[(1, 2), (2, 2)], "one picture, two devices: halves, and tiles"),
        (&[200, 200], 1, FAR, None, &[(1, 3), (2, 1)], "the way is longer than a branch; a tile is worth it"),
        (&[200, 600], 1, NEAR, None, &[(1, 2), (2, 2)], "a step there takes longer than both here"),
        (&[600, 200], 1, NEAR, None, &[(2, 2), (1, 2)], "the fastest comes first"),
        (&[200; 4], 1, NEAR, Some(2), &[(1, 1), (2, 1), (3, 1), (4, 1)], "a tile on each of four"),
        (&[200; 4], 2, NEAR, Some(2), &[(1, 2), (2, 2)], "two pictures: two devices are this one's"),
    ];
    for (step_ms, units, link, half, tiles, why) in rows {
        let peers = painters(step_ms);
        let free: Vec<&Worker> = peers.iter().collect();
        let crew = crew(&SHAPE, &free, &all_linked(peers.len(), link), units).unwrap();
        let got: Vec<(u128, u16)> = crew.tiles.iter().map(|(peer, tiles)| (peer.0, *tiles)).collect();
        assert_eq!((crew.half.map(|peer| peer.0), got.as_slice()), (half, tiles), "{why}");
        assert_eq!(crew.primary.0, tiles[0].0, "{why}");
    }
}

#[test]
fn times_add_up() {
    let peers = painters(&[200, 300]);
    let links = all_linked(2, Link { round_trip_ms: 20, bytes_per_ms: 1_000 });
    let (a, b) = (&peers[0], &peers[1]);
    let plain = PictureShape { guided: false, ..SHAPE };
    let ms =
        |shape, half, decoders: &[&Worker]| predict_picture(shape, a, half, decoders, &links).picture_ms();
    let rows = [
        (ms(&plain, None, &[a]), 100 + 8 * 200 + 800, "one branch"),
        (ms(&SHAPE, None, &[a]), 100 + 8 * 400 + 800, "two branches"),
        (
            ms(&SHAPE, Some(b), &[a]),
            100 + 8 * (300 + 20 + 64) + 800,
            "the other's branch, the way, two latents",
        ),
        (ms(&plain, Some(b), &[a]), 100 + 8 * 200 + 800, "without guidance there is no other half"),
        (
            ms(&SHAPE, None, &[a, b]),
            100 + 8 * 400 + 20 + 2 * (200 + 32),
            "two tiles each: 200 ms to decode one, 8 kB there and 24 kB back",
        ),
    ];
    for (got, want, why) in rows {
        assert_eq!(got, want, "{why}");
    }
}

#[test]
fn the_room_paints_as_fast_as_all_its_devices() {
    let peers = painters(&[200, 200, 400]);
    let free: Vec<&Worker> = peers.iter().collect();
    let links = Links::default();
    let crew = crew(&SHAPE, &free, &links, 9).unwrap();
    // 4.1 s, 4.1 s and 7.3 s for a picture.
    let want = 60.0 / 4.1 + 60.0 / 4.1 + 60.0 / 7.3;
    assert!((crew.prediction.pictures_per_minute() / want - 1.0).abs() < 1e-3);
    assert_eq!(crew.prediction.picture_ms(), 4_100);
}

#[test]
fn help_is_never_slower_and_only_from_those_that_can() {
    let mut dice = Dice(6);
    let mut helped = 0;
    for _ in 0..1_000 {
        let steps: Vec<u32> = (0..=dice.roll(6)).map(|_| dice.roll(4) as u32 * 150).collect();
        let mut peers = painters(&steps);
        for peer in &mut peers {
            peer.speed.decode_micros = dice.roll(3) as u32 * 1_000_000;
            peer.sees = peer.sees.without(PeerId(1 + u128::from(dice.roll(6))));
        }
        let link = Link { round_trip_ms: dice.roll(200) as u32, bytes_per_ms: 1 + dice.roll(5_000) as u32 };
        let links = all_linked(peers.len(), link);
        let free: Vec<&Worker> = peers.iter().collect();
        let units = 1 + dice.roll(4) as usize;
        let Some(crew) = crew(&SHAPE, &free, &links, units) else {
            assert!(steps.iter().all(|step| *step == 0), "somebody can paint");
            continue;
        };
        let find = |id: PeerId| free.iter().find(|peer| peer.id == id).copied().unwrap();
        let primary = find(crew.primary);
        let alone = predict_picture(&SHAPE, primary, None, &[primary], &links).picture_micros;
        assert!(crew.prediction.picture_micros <= alone);
        assert_eq!(crew.tiles.iter().map(|(_, tiles)| *tiles).sum::<u16>(), SHAPE.tiles);
        for helper in crew.members().into_iter().filter(|peer| *peer != crew.primary) {
            assert!(find(helper).is_linked(primary) && find(helper).speed.step_micros > 0);
            helped += 1;
        }
        let able = steps.iter().filter(|step| **step > 0).count();
        assert!(
            crew.members().len() <= (able / units).max(1),
            "the other pictures' devices are left to them"
        );
    }
    assert!(helped > 100, "the dice made too few crews: {helped}");
}

#[test]
fn a_crew_says_why() {
    let near = Link { round_trip_ms: 1, bytes_per_ms: 10_000 };
    let rows: [(&[u32], usize, &str); 5] = [
        (&[200], 1, "P1 is the only one free to paint"),
        (&[200, 200], 2, "there are pictures for all: each device paints its own"),
        (&[200, 200], 1, "P1 and another device run a guidance half each; 2 decode the tiles"),
        (&[200, 900], 1, "P1 paints; 2 devices decode the tiles"),
        (&[200, 0], 1, "P1 is the only one free to paint"),
    ];
    for (step_ms, units, why) in rows {
        let peers = painters(step_ms);
        let free: Vec<&Worker> = peers.iter().collect();
        assert_eq!(crew(&SHAPE, &free, &all_linked(2, near), units).unwrap().why, why);
    }
}

#[test]
fn bands_are_for_those_who_allow_them_and_pay() {
    const NEAR: Link = Link { round_trip_ms: 10, bytes_per_ms: 10_000 };
    const SLOW: Link = Link { round_trip_ms: 10, bytes_per_ms: 100 };
    let stale = PictureShape { stale: true, ..SHAPE };
    let plain = PictureShape { guided: false, ..stale };
    type Row = (PictureShape, usize, usize, Link, usize, &'static str);
    let rows: [Row; 9] = [
        (PictureShape { stale: false, ..plain }, 2, 1, NEAR, 0, "nobody allowed it"),
        (plain, 2, 1, NEAR, 2, "without guidance there are no halves"),
        (stale, 2, 1, NEAR, 0, "halves are exact, and as fast"),
        (stale, 4, 1, NEAR, 4, "four bands are faster than two halves"),
        (plain, 4, 2, NEAR, 2, "the other picture's devices are left to it"),
        (plain, 2, 1, SLOW, 0, "contexts take longer than the step that they hide behind"),
        (PictureShape { steps: 2, ..plain }, 2, 1, NEAR, 0, "all steps would be whole"),
        (PictureShape { context_bytes: 0, ..plain }, 2, 1, NEAR, 0, "a model that knows no bands"),
        (PictureShape { context_bytes: 1 << 40, ..plain }, 2, 1, NEAR, 0, "more than a message can carry"),
    ];
    for (shape, devices, units, link, bands, why) in rows {
        let peers = painters(&vec![200; devices]);
        let free: Vec<&Worker> = peers.iter().collect();
        let crew = crew(&shape, &free, &all_linked(devices, link), units).unwrap();
        assert_eq!(crew.bands.len(), bands, "{why}");
        assert!(
            bands == 0 || crew.half.is_none() && crew.members()[..bands] == crew.bands,
            "{why}: they come first"
        );
    }
    let peers = painters(&[200, 300]);
    let both: Vec<&Worker> = peers.iter().collect();
    let links = all_linked(2, Link { round_trip_ms: 20, bytes_per_ms: 1_000 });
    let ms = |shape| predict_bands(shape, &both, &both[..1], &links).picture_ms();
    // Velocities take 16 ms, contexts of 400 kB 400 ms; each has 10 ms of way.
    assert_eq!(
        ms(&plain),
        100 + 2 * 300 + 6 * (10 + 400) + 800,
        "the slower of two, then contexts are what is waited for"
    );
    let small = PictureShape { context_bytes: 80_000, ..plain };
    assert_eq!(ms(&small), 100 + 2 * 300 + 6 * (150 + 10 + 16) + 800, "half of a step and the velocities");
}
