//! The best tokens of a row of scores.

use crate::common::{Random, gpu, tensor};
use futures::executor::block_on;
use kernels::ops::pick::gpu::{CANDIDATES, pick};

/// Sorted by score, then by id; NaN last.
fn reference(scores: &[f32], count: usize) -> Vec<(u32, f32)> {
    let mut all: Vec<(u32, f32)> = scores.iter().enumerate().map(|(id, score)| (id as u32, *score)).collect();
    all.sort_by(|a, b| b.1.partial_cmp(&a.1).expect("numbers").then(a.0.cmp(&b.0)));
    all.truncate(count);
    all
}

fn log_sum(scores: &[f32], softness: f32) -> f64 {
    let scaled = scores.iter().map(|score| f64::from(*score) * f64::from(softness));
    let top = scaled.clone().fold(f64::MIN, f64::max);
    top + scaled.map(|score| (score - top).exp()).sum::<f64>().ln()
}

#[test]
fn picks_are_the_best_in_order() {
    let Some(bench) = gpu() else { return };
    let mut random = Random(21);
    for (vocabulary, rows, count) in [
        (5, 1, 5),
        (512, 3, 1),
        (2048, 2, 64),
        (2049, 2, 64),
        (32_000, 2, 40),
        (49_152, 1, 1),
        (151_936, 1, 64),
    ] {
        // Few different values, so that there are ties.
        let steps = if count == 40 { 50.0 } else { 1e6 };
        let scores: Vec<f32> =
            (0..rows * vocabulary).map(|_| (random.real() * steps).round() / steps * 12.0).collect();
        let softness: Vec<f32> = (0..rows).map(|_| 0.5 + random.real().abs()).collect();
        let on = tensor(&scores, [rows, vocabulary], &bench.device);
        let before = bench.gpu.counters();
        let found =
            block_on(pick(&bench.gpu, on, count, &softness).expect("it can be picked").read()).expect("read");
        let read = bench.gpu.counters().since(before).bytes_read;
        assert_eq!(found.len(), rows);
        for ((found, scores), softness) in found.iter().zip(scores.chunks_exact(vocabulary)).zip(&softness) {
            let what = format!("{count} of {vocabulary}");
            assert_eq!(found.best, reference(scores, count), "{what}");
            let expected = log_sum(scores, *softness);
            assert!(
                (f64::from(found.log_sum) - expected).abs() < 1e-3,
                "{what}: {} not {expected}",
                found.log_sum
            );
        }
        assert_eq!(read, (rows * (8 + 8 * count)) as u64, "bytes read back");
    }
}

#[test]
fn what_is_not_a_number_is_never_picked_before_a_number() {
    let Some(bench) = gpu() else { return };
    let mut scores = vec![f32::NAN; 3000];
    (scores[7], scores[2999], scores[2500]) = (-3.0, -1e30, 1.0);
    scores[100..140].fill(f32::NEG_INFINITY);
    let on = tensor(&scores, [1, 3000], &bench.device);
    let found = block_on(pick(&bench.gpu, on, 3, &[1.0]).expect("it can be picked").read()).expect("read");
    assert_eq!(found[0].best, [(2500, 1.0), (7, -3.0), (2999, -1e30)]);
}

#[test]
fn counts_out_of_range_are_refused() {
    let Some(bench) = gpu() else { return };
    let on = || tensor(&[1.0; 100], [1, 100], &bench.device);
    for count in [0, CANDIDATES + 1] {
        assert!(pick(&bench.gpu, on(), count, &[1.0]).is_err(), "{count}");
    }
    assert!(pick(&bench.gpu, tensor(&[1.0; 4], [1, 4], &bench.device), 5, &[1.0]).is_err());
    assert!(pick(&bench.gpu, on(), 1, &[f32::NAN]).is_err());
    assert!(pick(&bench.gpu, on(), 1, &[1.0, 1.0]).is_err(), "a softness too many");
}
