//! What people are told before a download.

use super::*;

const ALL: Layers = Layers { start: 0, end: 8 };

#[test]
fn the_verdict_is_said_before_any_download() {
    type Row<'a> = (&'a [(u64, u32)], u128, bool, &'a str);
    let rows: [Row<'_>; 6] = [
        (&[(BIG, 10_000)], 1, true, "This device alone makes about 12 tokens/s. You would fetch 850 MB."),
        (&[(BIG, 10_000), (0, 1)], 2, true, "P1 alone makes about 12 tokens/s. You would fetch nothing."),
        (
            &[(450_000_000, 10_000), (450_000_000, 10_000)],
            1,
            true,
            "Together about 10 tokens/s. You would fetch 450 MB.",
        ),
        (
            &[(BIG, 10_000), (BIG, 10_000)],
            2,
            true,
            "About 12 tokens/s, and 2 people are answered at once. You would fetch 850 MB.",
        ),
        (
            &[(300_000_000, 1), (300_000_000, 1)],
            1,
            false,
            "this model needs 850 MB, the room has 600 MB: open it on another device",
        ),
        (&[], 1, false, "no device is ready to compute yet"),
    ];
    for (peers, me, possible, text) in rows {
        let (model, peers, links) = (heavy(8), workers(peers), links(2, 20));
        let got = verdict(&room(&model, &peers, &links), PeerId(me), 1, None);
        assert_eq!((got.possible, got.text.as_str()), (possible, text));
        assert_eq!(got.possible, got.tokens_per_second > 0.0 && got.first_token_ms > 0);
    }
}

#[test]
fn only_what_is_missing_is_fetched() {
    let layers = |start, end| Layers { start, end };
    type Row = (Layers, &'static [(u16, u16)], u64, &'static str);
    let rows: [Row; 9] = [
        (ALL, &[], 850, "everything, the ends once"),
        (ALL, &[(0, 8)], 0, "all there"),
        (ALL, &[(0, 4)], 400, "the ends came with layer 0"),
        (ALL, &[(2, 4)], 650, "the middle is there, the ends are not"),
        (ALL, &[(0, 5), (3, 8)], 0, "two ranges that overlap cover it"),
        (layers(4, 8), &[(0, 4)], 400, "the head is what the embedding is"),
        (layers(2, 6), &[(0, 4)], 200, "the middle needs no ends"),
        (layers(2, 6), &[(9, 3)], 400, "a range that is none"),
        (layers(0, 4), &[(0, 0)], 450, "an empty range brings no ends"),
    ];
    let model = ModelSpec { layer_bytes: 100, ends_bytes: 50, ..heavy(8) };
    for (want, held, bytes, why) in rows {
        let mut worker = workers(&[(BIG, 1)]).remove(0);
        worker.held = held.iter().map(|&(start, end)| layers(start, end)).collect();
        assert_eq!(fetch_bytes(&model, &worker, Stage { peer: worker.id, layers: want }), bytes, "{why}");
    }
}
