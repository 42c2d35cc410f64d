//! What picture models compute besides products: on the CPU and on WebGPU against plain references, over random shapes.

mod common;

use burn::tensor::{Tensor, TensorData};
use common::{block_on, devices};
use kernels::device::Opened;
use kernels::ops::attention::full::{Shape, attend, cpu, reference};
use kernels::ops::{gated_sum, layer_norm, split, turn};
use kernels::random::uniform;

fn numbers(count: usize, seed: u64) -> Vec<f32> {
    (0..count as u64).map(|i| (uniform(seed, i) as f32 - 0.5) * 4.0).collect()
}

fn on<const D: usize>(values: &[f32], shape: [usize; D], opened: &Opened) -> Tensor<D> {
    Tensor::from_data(TensorData::new(values.to_vec(), shape), &opened.device)
}

fn values<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
    block_on(tensor.into_data_async()).unwrap().try_into_vec().unwrap()
}

fn assert_near(found: &[f32], expected: &[f64], what: &str) {
    assert_eq!(found.len(), expected.len(), "{what}");
    let largest = expected.iter().fold(0.0f64, |largest, value| largest.max(value.abs()));
    for (i, (found, expected)) in found.iter().zip(expected).enumerate() {
        let off = (f64::from(*found) - expected).abs();
        assert!(off <= 4e-6 * largest, "{what}, number {i}: {found} for {expected}");
    }
}

/// Rows, keys, query heads, key-value heads, channels of a head, window, cap.
type Case = (usize, usize, usize, usize, usize, Option<usize>, Option<f32>);

const CASES: [Case; 9] = [
    (1, 1, 1, 1, 4, None, None),
    (5, 7, 2, 2, 8, None, None),
    (33, 70, 2, 1, 64, None, None),
    (18, 40, 4, 2, 20, None, Some(5.0)),
    (16, 31, 1, 1, 128, None, None),
    (9, 9, 2, 1, 256, Some(3), Some(50.0)),
    (40, 40, 2, 2, 16, Some(8), None),
    (70, 70, 1, 1, 32, Some(1), None),
    (6, 37, 1, 1, 512, None, None),
];

#[test]
fn attention_on_both_sides_is_that_of_the_formula() {
    for opened in devices() {
        for (number, (rows, seen, heads, kv_heads, head_dim, window, soft_cap)) in
            CASES.into_iter().enumerate()
        {
            let shape =
                Shape { heads, kv_heads, head_dim, scale: (head_dim as f32).powf(-0.5), soft_cap, window };
            let (width, key) = (heads * head_dim, kv_heads * head_dim);
            let seed = number as u64 * 10;
            let (q, k, v) =
                (numbers(rows * width, seed), numbers(seen * key, seed + 1), numbers(seen * key, seed + 2));
            let (keys, held) = (on(&k, [1, seen, key], &opened), on(&v, [1, seen, key], &opened));
            let queries = on(&q, [1, rows, width], &opened);
            let what = format!("{shape:?}, {rows} × {seen} on {}", opened.adapter);
            let found = values(attend(queries.clone(), keys.clone(), held.clone(), None, &shape));
            assert_near(&found, &reference::attention(&shape, &q, &k, &v), &what);
            // Windows depend on where a row lies, so that only rows without them can be asked for alone.
            if window.is_none() {
                for row in [0, rows / 2, rows - 1] {
                    let alone = queries.clone().narrow(1, row, 1);
                    let alone = values(attend(alone, keys.clone(), held.clone(), None, &shape));
                    assert_eq!(alone, found[row * width..][..width], "{what}: row {row} alone");
                }
            }
            // A mask that hides nothing sends it through burn's own operations.
            let mask = Tensor::<4>::zeros([1, 1, 1, seen], &opened.device);
            let stock = values(attend(queries, keys, held, Some(mask), &shape));
            assert_near(&stock, &reference::attention(&shape, &q, &k, &v), &format!("{what}, stock"));
        }
    }
}

#[test]
fn pictures_of_a_batch_do_not_see_each_other() {
    let shape = Shape { heads: 2, kv_heads: 2, head_dim: 8, scale: 0.35, soft_cap: None, window: None };
    for opened in devices() {
        let of = |count: usize, seed: u64| on(&numbers(2 * count * 16, seed), [2, count, 16], &opened);
        let (queries, keys, held) = (of(5, 1), of(9, 2), of(9, 3));
        let both = values(attend(queries.clone(), keys.clone(), held.clone(), None, &shape));
        for row in 0..2 {
            let one = |x: &Tensor<3>| x.clone().narrow(0, row, 1);
            let alone = values(attend(one(&queries), one(&keys), one(&held), None, &shape));
            assert_eq!(alone, both[row * 80..][..80]);
        }
    }
}

#[test]
fn modulated_norms_are_those_of_the_formula() {
    for opened in devices() {
        for (rows, width) in [(1, 1), (3, 16), (2, 77), (5, 1792), (1, 36)] {
            let (x, shift, scale) = (numbers(rows * width, 1), numbers(width, 2), numbers(width, 3));
            let vector = |values: &[f32]| on(values, [1, 1, width], &opened);
            let found = layer_norm::modulated(
                on(&x, [1, rows, width], &opened),
                vector(&shift),
                vector(&scale),
                1e-6,
            );
            let expected = layer_norm::reference::modulated(&x, &shift, &scale, 1e-6);
            assert_near(&values(found), &expected, &format!("{rows} × {width} on {}", opened.adapter));
        }
        // Two pictures at different times go through burn's own operations.
        let (x, both) = (numbers(2 * 3 * 8, 4), numbers(2 * 8, 5));
        let by_time = on(&both, [2, 1, 8], &opened);
        let found = layer_norm::modulated(on(&x, [2, 3, 8], &opened), by_time.clone(), by_time, 1e-6);
        let of = |row: usize| {
            let own = &both[row * 8..][..8];
            layer_norm::reference::modulated(&x[row * 24..][..24], own, own, 1e-6)
        };
        assert_near(&values(found), &[of(0), of(1)].concat(), "two times");
    }
}

#[test]
fn gates_let_through_what_the_formula_says() {
    for opened in devices() {
        for (batch, rows, width) in [(1, 1, 1), (1, 5, 77), (2, 3, 160)] {
            let of = |count: usize, seed: u64| numbers(count * width, seed);
            let (x, y, gate) = (of(batch * rows, 1), of(batch * rows, 2), of(1, 3));
            let shape = [batch, rows, width];
            let gates = on(&gate, [1, 1, width], &opened);
            let found = gated_sum::gated_sum(on(&x, shape, &opened), on(&y, shape, &opened), gates);
            let expected = gated_sum::reference::gated_sum(&x, &y, &gate);
            assert_near(&values(found), &expected, &format!("{shape:?} on {}", opened.adapter));
        }
        // Two pictures at different times.
        let (x, gates) = (numbers(2 * 3 * 8, 4), numbers(2 * 8, 5));
        let both = on(&x, [2, 3, 8], &opened);
        let found = gated_sum::gated_sum(both.clone(), both, on(&gates, [2, 1, 8], &opened));
        let of = |at: usize| {
            let x = &x[at * 24..][..24];
            gated_sum::reference::gated_sum(x, x, &gates[at * 8..][..8])
        };
        assert_near(&values(found), &[of(0), of(1)].concat(), "two gates");
    }
}

#[test]
fn heads_turn_by_the_angles_of_their_tokens() {
    for opened in devices() {
        for (batch, tokens, heads, pairs) in [(1, 1, 1, 1), (1, 7, 5, 16), (2, 3, 2, 9)] {
            let shape = [batch, tokens, heads, 2 * pairs];
            let x = numbers(shape.iter().product(), 1);
            let angles: Vec<f64> = numbers(tokens * pairs, 2).iter().map(|x| f64::from(*x) * 5.0).collect();
            let cos: Vec<f32> = angles.iter().map(|angle| angle.cos() as f32).collect();
            let sin = angles.iter().flat_map(|angle| [-angle.sin() as f32, angle.sin() as f32]);
            let of = |values: &[f32], each: usize| on(values, [1, tokens, 1, pairs, each], &opened);
            let sin = of(&sin.collect::<Vec<_>>(), 2);
            let found = turn::turned(on(&x, shape, &opened), of(&cos, 1), sin);
            let one = |x: &[f32]| turn::reference::turned(x, heads, &angles, tokens);
            let expected: Vec<f64> = x.chunks_exact(x.len() / batch).flat_map(one).collect();
            assert_near(&values(found), &expected, &format!("{shape:?} on {}", opened.adapter));
        }
    }
}

#[test]
fn parts_of_rows_keep_their_order() {
    for opened in devices() {
        let x = numbers(2 * 3 * 12, 1);
        let found: [Tensor<3>; 3] = split::parts(on(&x, [2, 3, 12], &opened));
        for (part, found) in found.into_iter().enumerate() {
            let expected: Vec<f32> =
                x.chunks_exact(12).flat_map(|row| &row[part * 4..][..4]).copied().collect();
            assert_eq!(values(found), expected, "part {part} on {}", opened.adapter);
        }
    }
}

/// Each row is made by one thread, in the order that it always has.
#[test]
fn any_number_of_threads_gives_the_same_bits() {
    let compute = |threads: usize| {
        let start = move || {
            kernels::ops::threads::take(threads).unwrap();
            let shape =
                Shape { heads: 2, kv_heads: 2, head_dim: 64, scale: 0.125, soft_cap: None, window: None };
            let of = |count: usize, seed: u64| numbers(count * 128, seed);
            let (queries, keys, held) = (of(203, 1), of(259, 2), of(259, 3));
            let mut out = vec![0.0; queries.len()];
            cpu::attention(&shape, &queries, &keys, &held, &mut out);
            layer_norm::cpu::modulate(&mut out, &keys[..128], &held[..128], 1e-6);
            out.iter().map(|value| value.to_bits()).collect::<Vec<u32>>()
        };
        std::thread::spawn(start).join().unwrap()
    };
    let alone = compute(1);
    assert!((2..=3).all(|threads| compute(threads) == alone));
}
