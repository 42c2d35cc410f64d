//! Which teams a room forms.

use super::*;

type Shares = Vec<Vec<(u128, u16)>>;
type Want<'a> = &'a [&'a [(u128, u16)]];

fn teams_of(model: &ModelSpec, workers: &[Worker], links: &Links, jobs: usize) -> (Shares, String) {
    let plan = teams(&room(model, workers, links), jobs, Spread::Measured);
    (plan.teams.iter().map(|team| shares(&team.stages)).collect(), plan.why)
}

/// Memory for so many layers of [`heavy`] and an end.
const fn gb(layers: u64) -> u64 {
    layers * 100_000_000 + 50_000_000
}

#[test]
fn split_only_what_does_not_fit() {
    type Row<'a> = (usize, &'a [(u64, u32)], Want<'a>, &'a str);
    let rows: [Row<'_>; 10] = [
        (1, &[(BIG, 1_000)], &[&[(1, 8)]], "alone"),
        (
            1,
            &[(BIG, 1_000), (BIG, 900)],
            &[&[(2, 8)], &[(1, 8)]],
            "two that hold it: two replicas, fastest first",
        ),
        (1, &[(BIG, 1_000); 4], &[&[(1, 8)], &[(2, 8)]], "a heavy model: one for the job, one warm spare"),
        (3, &[(BIG, 1_000); 4], &[&[(1, 8)], &[(2, 8)], &[(3, 8)], &[(4, 8)]], "three jobs want four"),
        (4, &[(BIG, 1_000), (BIG, 9_000)], &[&[(1, 8)]], "nine times slower: a person would rather wait"),
        (1, &[(gb(4), 1_000), (gb(4), 1_000)], &[&[(1, 4), (2, 4)]], "halves where a half is what fits"),
        (
            1,
            &[(gb(6), 1_000), (gb(6), 3_000)],
            &[&[(1, 6), (2, 2)]],
            "three times as fast, three times as much",
        ),
        (
            1,
            &[(gb(4), 1_000), (gb(4), 1_000), (gb(4), 1_000)],
            &[&[(1, 4), (2, 4)]],
            "the third would only be one more hop",
        ),
        (
            2,
            &[(gb(4), 1_000); 4],
            &[&[(1, 4), (2, 4)], &[(3, 4), (4, 4)]],
            "two jobs, and four that hold a half: two rings",
        ),
        (
            2,
            &[(BIG, 1_000), (gb(4), 1_100), (gb(4), 1_100)],
            &[&[(1, 8)], &[(2, 4), (3, 4)]],
            "a replica, and a ring of those that are too small",
        ),
    ];
    for (jobs, peers, want, why) in rows {
        let want: Shares = want.iter().map(|team| team.to_vec()).collect();
        assert_eq!(teams_of(&heavy(8), &workers(peers), &links(9, 0), jobs).0, want, "{why}");
    }
}

#[test]
fn a_split_that_beats_the_best_single_device_is_taken() {
    let fast_small = [(BIG, 50_000), (gb(4), 1_000), (gb(4), 1_000)];
    let rows: [(u32, Want<'_>, &str); 3] = [
        (10, &[&[(2, 4), (3, 4)]], "8 + 10 ms against 400 ms, which is not even a spare"),
        (330, &[&[(2, 4), (3, 4)], &[(1, 8)]], "8 + 330 ms is clearly less than 400 ms"),
        (
            350,
            &[&[(2, 4), (3, 4)], &[(1, 8)]],
            "358 ms is less than 400 ms, though not clearly: a second team",
        ),
    ];
    for (round_trip_ms, want, why) in rows {
        let want: Shares = want.iter().map(|team| team.to_vec()).collect();
        let links = links(3, round_trip_ms);
        assert_eq!(teams_of(&heavy(8), &workers(&fast_small), &links, 1).0, want, "{why}");
    }
    // A slow device that holds everything gives up its place as a replica only for what is clearly faster.
    let helped = workers(&[(gb(8), 10_000), (gb(6), 1_000)]);
    let rows: [(u32, Want<'_>, &str); 2] = [
        (10, &[&[(2, 6), (1, 2)]], "6 + 20 + 10 ms against 80 ms; its memory does not hold both"),
        (50, &[&[(1, 8)]], "76 ms against 80 ms is not worth a hop"),
    ];
    for (round_trip_ms, want, why) in rows {
        let want: Shares = want.iter().map(|team| team.to_vec()).collect();
        let links = links(2, round_trip_ms);
        let mut got = teams_of(&heavy(8), &helped, &links, 1).0;
        got.iter_mut().for_each(|team| team.sort_by_key(|(_, layers)| std::cmp::Reverse(*layers)));
        assert_eq!(got, want, "{why}");
    }
}

#[test]
fn all_hold_what_is_cheap_or_there_already() {
    let light = model(8);
    assert_eq!(teams_of(&light, &workers(&[(BIG, 1_000); 5]), &links(5, 0), 1).0.len(), 5, "cheap");
    let mut peers = workers(&[(BIG, 1_000); 5]);
    peers[4].held = vec![Layers { start: 0, end: 8 }];
    let (teams, _) = teams_of(&heavy(8), &peers, &links(5, 0), 1);
    assert_eq!(teams, [[(5, 8)], [(1, 8)]], "among equals the one that need not fetch");
    peers[4].speed.layer_micros = 2_000;
    let (teams, _) = teams_of(&heavy(8), &peers, &links(5, 0), 1);
    assert_eq!(teams, [[(1, 8)], [(2, 8)], [(5, 8)]], "what is held is used, slower or not");
}

#[test]
fn a_mixed_fleet_is_led_by_its_fast_device() {
    // A GPU, two CPUs and a phone: the phone is too slow to be of use, nobody slows the GPU down.
    let fleet = workers(&[(BIG, 40_000), (BIG, 6_000), (BIG, 1_000), (gb(3), 20_000)]);
    let (heavy, links) = (heavy(8), links(4, 10));
    let plan = teams(&room(&heavy, &fleet, &links), 9, Spread::Measured);
    let got: Shares = plan.teams.iter().map(|team| shares(&team.stages)).collect();
    assert_eq!(got, [[(3, 8)], [(2, 8)]]);
    assert_eq!(plan.members(), BTreeSet::from([PeerId(2), PeerId(3)]));
    let want = 1e6 / 8e3 + 1e6 / 48e3;
    assert!((plan.most_tokens_per_second() - want).abs() < 1e-6, "both, each with a job");
}

#[test]
fn neighbours_in_the_ring_are_near() {
    // A square: 1-2, 2-3, 3-4, 4-1 are near, the diagonals far. The way round it is the shortest.
    let peers = workers(&[(gb(2), 1_000); 4]);
    let mut links = links(4, 10);
    for (one, other) in [(1, 3), (2, 4)] {
        links.insert(PeerId(one), PeerId(other), Link { round_trip_ms: 30, bytes_per_ms: u32::MAX });
    }
    let (teams, _) = teams_of(&heavy(8), &peers, &links, 1);
    let ring: Vec<u128> = teams[0].iter().map(|(peer, _)| *peer).collect();
    for at in 0..4 {
        assert_eq!((ring[at] + ring[(at + 1) % 4]) % 2, 1, "odd beside even: no diagonal in {ring:?}");
    }
}

#[test]
fn near_devices_are_taken_before_larger_ones_far_away() {
    let peers = workers(&[(gb(5), 1_000), (gb(4), 1_000), (gb(4), 1_000)]);
    let mut links = links(3, 300);
    links.insert(PeerId(2), PeerId(3), Link { round_trip_ms: 2, bytes_per_ms: u32::MAX });
    let (teams, _) = teams_of(&heavy(8), &peers, &links, 1);
    assert_eq!(teams[0].iter().map(|(peer, _)| *peer).collect::<BTreeSet<_>>(), BTreeSet::from([2, 3]));
}

#[test]
fn the_plan_says_why() {
    let rows: [(&[(u64, u32)], &str); 9] = [
        (&[], "no device is ready to compute yet"),
        (&[(600_000_000, 1)], "this model needs 850 MB, the room has 600 MB: open it on another device"),
        (
            &[(50_000_000, 1); 20],
            "this model needs 850 MB, and the room's 1.0 GB are in pieces too small or too far apart for it",
        ),
        (&[(BIG, 1)], "P1 is alone and holds all 8 layers"),
        (
            &[(BIG, 1), (0, 1)],
            "P1 holds the whole model and answers alone; 1 not needed, too slow or too small",
        ),
        (&[(BIG, 1), (BIG, 1)], "2 devices hold the whole model: they answer 2 people at once"),
        (&[(gb(4), 1), (gb(4), 1)], "2 devices hold 4 + 4 layers, because none could hold them all"),
        (
            &[(gb(4), 1), (gb(4), 1), (gb(4), 1), (gb(4), 1), (0, 1)],
            "no device could hold the whole model, so 2 groups share it; 1 not needed, too slow or too small",
        ),
        (
            &[(BIG, 90_000), (gb(4), 1), (gb(4), 1)],
            "2 devices hold 4 + 4 layers: together they are faster than any alone; \
             1 not needed, too slow or too small",
        ),
    ];
    for (peers, why) in rows {
        let peers = workers(peers);
        let got = teams_of(&heavy(8), &peers, &links(20, 0), 1).1;
        assert_eq!(got, why);
    }
}

#[test]
fn impossible_models_are_refused() {
    for layers in [0, limits::MODEL_LAYERS + 1] {
        let (teams, why) = teams_of(&model(layers), &workers(&[(BIG, 1)]), &links(1, 0), 1);
        assert!(teams.is_empty());
        assert_eq!(why, format!("m has {layers} layers, at most 1024 are possible"));
    }
}

#[test]
fn numbers_from_a_liar_do_no_harm() {
    let mut peers = workers(&[(u64::MAX, 0), (u64::MAX, u32::MAX), (0, 0)]);
    peers[1].speed = Speed {
        layer_micros: u32::MAX,
        prefill_micros: u32::MAX,
        hop_micros: u32::MAX,
        step_micros: u32::MAX,
        encode_micros: u32::MAX,
        decode_micros: u32::MAX,
    };
    let mut worst = Links::default();
    worst.insert(PeerId(1), PeerId(2), Link { round_trip_ms: u32::MAX, bytes_per_ms: 0 });
    for model in [
        ModelSpec { layer_bytes: u64::MAX, ends_bytes: u64::MAX, ..model(1024) },
        ModelSpec { layer_bytes: 0, ends_bytes: 0, ..model(1024) },
        ModelSpec { layer_bytes: u64::MAX / 1024, ends_bytes: u64::MAX, ..model(1024) },
    ] {
        let room = Room { hidden_bytes: u64::MAX, ..room(&model, &peers, &worst) };
        for spread in [Spread::Measured, Spread::Everyone] {
            for team in teams(&room, usize::MAX, spread).teams {
                assert!(predict_text(&room, &team.stages, u32::MAX, usize::MAX).is_some());
            }
        }
        let (latent_bytes, context_bytes) = (u64::MAX, u64::MAX);
        let (steps, tiles, stale) = (u16::MAX, u16::MAX, true);
        let shape =
            PictureShape { steps, guided: true, tiles, stale, everyone: false, latent_bytes, context_bytes };
        let bands = [&peers[0], &peers[1]];
        assert!(predict_bands(&shape, &bands, &bands, &worst).picture_micros > 0);
        let painter = ModelSpec { kind: Kind::Picture, block_bytes: 1, ..model.clone() };
        let room = Room { model: &painter, ..room };
        assert!(!verdict(&room, PeerId(1), usize::MAX, Some(&shape)).text.is_empty());
        let halves = [Layers { start: 0, end: 512 }, Layers { start: 512, end: 1024 }];
        let ring = [0, 1].map(|at| Stage { peer: peers[at].id, layers: halves[at] });
        assert!(predict_blocks(&room, &shape, &ring, usize::MAX).is_some());
    }
}
