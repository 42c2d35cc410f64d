//! One ring of everybody who helps.

use super::*;

fn ring(model: &ModelSpec, workers: &[Worker]) -> Vec<(u128, u16)> {
    let links = Links::default();
    let plan = teams(&room(model, workers, &links), 1, Spread::Everyone);
    plan.teams.first().map(|team| shares(&team.stages)).unwrap_or_default()
}

#[test]
fn layers_follow_speed_and_memory() {
    type Row = (u16, &'static [(u64, u32)], &'static [(u128, u16)], &'static str);
    let rows: [Row; 11] = [
        (8, &[(BIG, 1_000)], &[(1, 8)], "alone"),
        (8, &[(BIG, 1_000), (BIG, 1_000)], &[(1, 4), (2, 4)], "two equal tabs halve it"),
        (8, &[(BIG, 1_400), (BIG, 1_000)], &[(1, 4), (2, 4)], "noise below a factor of √2 does not skew"),
        (8, &[(BIG, 400), (BIG, 20)], &[(1, 4), (2, 4)], "where messages cost more, nobody is faster"),
        (9, &[(BIG, 2_000), (BIG, 1_000)], &[(1, 3), (2, 6)], "half as fast, half as much"),
        (8, &[(BIG, 90_000), (BIG, 1_000)], &[(2, 8)], "too slow to help: left out"),
        (8, &[(BIG, 90_000), (750, 1_000)], &[(1, 1), (2, 7)], "slow, but its memory is needed"),
        (8, &[(350, 1_000), (BIG, 1_000)], &[(2, 5), (1, 3)], "memory bounds a share, ends included"),
        (8, &[(BIG, 1), (BIG, 1), (BIG, 1)], &[(1, 3), (3, 3), (2, 2)], "three share 3 + 3 + 2"),
        (
            3,
            &[(400, 90_000), (240, 1), (240, 1)],
            &[(1, 1), (3, 1), (2, 1)],
            "slow, but the others hold no end",
        ),
        (
            9,
            &[(BIG, 1); 9],
            &[(1, 2), (3, 1), (4, 1), (5, 1), (6, 1), (7, 1), (8, 1), (2, 1)],
            "eight at most",
        ),
    ];
    for (layers, peers, want, why) in rows {
        assert_eq!(ring(&model(layers), &workers(peers)), want, "{why}");
    }
}

#[test]
fn an_end_is_never_given_to_a_peer_that_cannot_hold_it() {
    // Each could hold two layers, but none the ends as well: there is no plan, rather than one that does not fit.
    let model = ModelSpec { ends_bytes: 300, ..model(2) };
    assert_eq!(ring(&model, &workers(&[(250, 1); 3])), []);
}

#[test]
fn peers_without_a_link_are_no_neighbours() {
    let mut peers = workers(&[(BIG, 1), (BIG, 1)]);
    peers[1].sees = Sight::default();
    assert_eq!(ring(&model(8), &peers), [(1, 8)]);
}
