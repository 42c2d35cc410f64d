//! Norms, rotation, attention, gates and choice on the CPU: against their references over random shapes, against
//! themselves row by row, and against bits that native code (x86-64, aarch64) and wasm gave.

use kernels::ops::attention::{self, Shape, cpu::Cached, cpu::attention};
use kernels::ops::math::{exp, tanh};
use kernels::ops::pick;
use kernels::ops::rms_norm::{self, cpu::rms_norm};
use kernels::ops::rope::{self, cpu::rope};
use kernels::ops::swiglu::{self, Activation, cpu::swiglu};
use kernels::ops::threads;
use kernels::random::uniform;

fn numbers(count: usize, seed: u64, spread: f32) -> Vec<f32> {
    (0..count as u64).map(|i| (uniform(seed, i) as f32 - 0.5) * 2.0 * spread).collect()
}

fn bits(values: &[f32]) -> Vec<u32> {
    values.iter().map(|value| value.to_bits()).collect()
}

/// Within `tolerance` of the largest magnitude there is.
fn assert_near(found: &[f32], expected: &[f64], tolerance: f64, what: &str) {
    assert_eq!(found.len(), expected.len(), "{what}");
    let largest = expected.iter().fold(0.0f64, |largest, value| largest.max(value.abs()));
    for (i, (found, expected)) in found.iter().zip(expected).enumerate() {
        let off = (f64::from(*found) - expected).abs();
        assert!(off <= tolerance * largest, "{what}, number {i}: {found} for {expected}");
    }
}

#[test]
fn exponentials_are_accurate_and_keep_nan() {
    for i in -870_000..=880_000 {
        let x = i as f32 / 10_000.0;
        let expected = f64::from(x).exp();
        let off = (f64::from(exp(x)) / expected - 1.0).abs();
        assert!(off < 2.4e-7, "e^{x} = {} for {expected}", exp(x));
        let off = (f64::from(tanh(x)) - f64::from(x).tanh()).abs();
        assert!(off < 2.5e-7, "tanh {x} = {}", tanh(x));
    }
    assert_eq!(exp(0.0), 1.0);
    assert!(exp(f32::NEG_INFINITY) < 1e-37 && exp(f32::INFINITY) > 1e38);
    assert!(exp(f32::NAN).is_nan() && exp(-f32::NAN).is_nan());
}

#[test]
fn norms_are_those_of_the_formula() {
    for (rows, width, offset) in [(1, 1, 0.0), (3, 16, 0.0), (2, 576, 1.0), (5, 77, 1.0)] {
        let (x, weight) = (numbers(rows * width, 1, 3.0), numbers(width, 2, 1.0));
        let mut out = vec![f32::NAN; x.len()];
        rms_norm(&x, &weight, offset, 1e-5, &mut out);
        let expected = rms_norm::reference::rms_norm(&x, &weight, offset, 1e-5);
        assert_near(&out, &expected, 1e-6, &format!("{rows} × {width}"));
    }
}

#[test]
fn heads_turn_by_their_rows_angles() {
    for (rows, heads, head_dim, turned) in [(1, 1, 2, 2), (3, 4, 64, 64), (5, 2, 96, 48), (2, 3, 10, 0)] {
        let x = numbers(rows * heads * head_dim, 3, 1.0);
        let angles: Vec<f64> = numbers(rows * turned / 2, 4, 100.0).into_iter().map(f64::from).collect();
        let cos: Vec<f32> = angles.iter().map(|angle| angle.cos() as f32).collect();
        let sin: Vec<f32> = angles.iter().map(|angle| angle.sin() as f32).collect();
        let mut found = x.clone();
        rope(&mut found, heads, head_dim, &cos, &sin);
        let expected = rope::reference::rope(&x, heads, head_dim, turned, &angles);
        assert_near(&found, &expected, 1e-6, &format!("{rows} × {heads} × {head_dim}, {turned} turned"));
    }
}

#[test]
fn gates_are_those_of_the_formula() {
    for activation in [Activation::Silu, Activation::GeluTanh] {
        for (rows, width) in [(1, 1), (3, 40), (2, 1536)] {
            let gate_up = numbers(rows * 2 * width, 5, 12.0);
            let mut out = vec![f32::NAN; rows * width];
            swiglu(activation, &gate_up, width, &mut out);
            let expected = swiglu::reference::swiglu(activation, &gate_up, width);
            assert_near(&out, &expected, 1e-6, &format!("{activation:?} {rows} × {width}"));
        }
    }
}

struct Case {
    shape: Shape,
    at: usize,
    queries: Vec<f32>,
    keys: Vec<f32>,
    values: Vec<f32>,
}

/// Heads, key-value heads, channels, first position, rows, window, cap.
fn cases() -> Vec<Case> {
    type Row = (usize, usize, usize, usize, usize, Option<usize>, Option<f32>);
    let rows: [Row; 7] = [
        (1, 1, 4, 0, 1, None, None),
        (9, 3, 64, 0, 70, None, None),
        (4, 2, 16, 45, 3, None, Some(5.0)),
        (4, 4, 24, 31, 40, Some(33), None),
        (2, 1, 8, 5, 90, Some(7), Some(30.0)),
        (2, 2, 80, 127, 1, None, None),
        (3, 1, 7, 64, 2, Some(1), None),
    ];
    let case = |(heads, kv_heads, head_dim, at, count, window, soft_cap): (
        usize,
        usize,
        usize,
        usize,
        usize,
        _,
        _,
    )| {
        let page = at + count + 3;
        let scale = (head_dim as f32).powf(-0.5);
        let shape = Shape { heads, kv_heads, head_dim, page, scale, window, soft_cap };
        let held = kv_heads * page * head_dim;
        let queries = numbers(count * heads * head_dim, 6, 4.0);
        Case { shape, at, queries, keys: numbers(held, 7, 4.0), values: numbers(held, 8, 1.0) }
    };
    rows.map(case).into()
}

fn attend<C: Cached>(case: &Case, at: usize, queries: &[f32], keys: &[C], values: &[C]) -> Vec<f32> {
    let mut out = vec![f32::NAN; queries.len()];
    attention(&case.shape, at, queries, &[keys], &[values], &mut out);
    out
}

#[test]
fn attention_is_that_of_the_formula() {
    for case in cases() {
        let Case { shape, at, queries, keys, values } = &case;
        let expected = attention::reference::attention(shape, *at, queries, keys, values);
        assert_near(&attend(&case, *at, queries, keys, values), &expected, 3e-6, &format!("{shape:?}"));
    }
}

/// Where keys and values lie is no part of what is computed.
#[test]
fn pages_give_the_same_bits_as_one_piece() {
    for case in cases() {
        let Case { shape, at, queries, keys, values } = &case;
        let paged = Shape { page: 32, ..*shape };
        let page = |all: &[f32], number: usize| -> Vec<f32> {
            let head = |head: &[f32]| -> Vec<f32> {
                let mut rows: Vec<f32> =
                    head.chunks(32 * shape.head_dim).nth(number).unwrap_or_default().to_vec();
                rows.resize(32 * shape.head_dim, f32::NAN);
                rows
            };
            all.chunks_exact(shape.page * shape.head_dim).flat_map(head).collect()
        };
        let pages = |all: &[f32]| -> Vec<Vec<f32>> {
            (0..shape.page.div_ceil(32)).map(|number| page(all, number)).collect()
        };
        let (keys_in_pages, values_in_pages) = (pages(keys), pages(values));
        let keys_in_pages: Vec<&[f32]> = keys_in_pages.iter().map(Vec::as_slice).collect();
        let values_in_pages: Vec<&[f32]> = values_in_pages.iter().map(Vec::as_slice).collect();
        let mut out = vec![f32::NAN; queries.len()];
        attention(&paged, *at, queries, &keys_in_pages, &values_in_pages, &mut out);
        assert_eq!(bits(&out), bits(&attend(&case, *at, queries, keys, values)), "{shape:?}");
    }
}

/// A cache of half floats gives what rounded keys and values give, to the bit.
#[test]
fn half_floats_cost_their_rounding_only() {
    let mut huge = [half::f16::ZERO; 3];
    Cached::write(&[1e9, -1e9, 1.0], &mut huge);
    assert_eq!(huge.map(half::f16::to_f32), [65504.0, -65504.0, 1.0], "no infinities");
    for case in cases() {
        let halve = |values: &[f32]| {
            let mut halves = vec![half::f16::ZERO; values.len()];
            Cached::write(values, &mut halves);
            halves
        };
        let (keys, values) = (halve(&case.keys), halve(&case.values));
        let widen = |halves: &[half::f16]| halves.iter().map(|half| half.to_f32()).collect::<Vec<_>>();
        let expected = attend(&case, case.at, &case.queries, &widen(&keys), &widen(&values));
        let found = attend(&case, case.at, &case.queries, &keys, &values);
        assert_eq!(bits(&found), bits(&expected), "{:?}", case.shape);
    }
}

/// Why a replayed prompt writes the same text as the tokens did one by one.
#[test]
fn a_row_attends_with_the_same_bits_alone_and_in_a_prompt() {
    for case in cases() {
        let Case { shape, at, queries, keys, values } = &case;
        let together = attend(&case, *at, queries, keys, values);
        let row = shape.heads * shape.head_dim;
        for (i, (query, expected)) in queries.chunks(row).zip(together.chunks(row)).enumerate() {
            assert_eq!(
                bits(&attend(&case, at + i, query, keys, values)),
                bits(expected),
                "{shape:?} row {i}"
            );
        }
    }
}

/// What lies beyond a row, or before its window, must not reach it, whatever it is.
#[test]
fn unseen_positions_do_not_matter_and_seen_ones_do() {
    for case in cases() {
        let Case { shape, at, queries, keys, values } = &case;
        let row = shape.heads * shape.head_dim;
        let alone = attend(&case, *at, &queries[..row], keys, values);
        let spoil = |keep: bool| {
            let mut spoilt = values.clone();
            for (i, value) in spoilt.iter_mut().enumerate() {
                let position = i / shape.head_dim % shape.page;
                if (position > *at || position < shape.first_seen(*at)) == keep {
                    *value = f32::NAN;
                }
            }
            attend(&case, *at, &queries[..row], keys, &spoilt)
        };
        assert_eq!(bits(&spoil(true)), bits(&alone), "{shape:?}");
        assert!(spoil(false).iter().all(|value| value.is_nan()), "{shape:?}");
    }
}

/// What `threads` threads make of attention, norms and gates that are large enough to be shared.
fn shared_out(threads: usize) -> Vec<u32> {
    threads::take(threads).expect("a few threads can be had");
    assert_eq!(threads::count(), threads);
    let (at, rows) = (61, 83);
    let shape = Shape {
        heads: 9,
        kv_heads: 3,
        head_dim: 64,
        page: at + rows,
        scale: 0.125,
        window: Some(100),
        soft_cap: None,
    };
    let held = numbers(3 * shape.page * 64, 21, 4.0);
    let case = Case { shape, at, queries: numbers(rows * 9 * 64, 22, 4.0), keys: held.clone(), values: held };
    let mixed = attend(&case, at, &case.queries, &case.keys, &case.values);
    let mut normed = vec![f32::NAN; 301 * 313];
    rms_norm(&numbers(normed.len(), 23, 3.0), &numbers(313, 24, 1.0), 0.0, 1e-5, &mut normed);
    let mut gated = vec![f32::NAN; 41 * 703];
    swiglu(Activation::Silu, &numbers(2 * gated.len(), 25, 9.0), 703, &mut gated);
    bits(&[mixed, normed, gated].concat())
}

#[test]
fn any_number_of_threads_gives_the_same_bits() {
    let [one, two, three] =
        [1, 2, 3].map(|threads| std::thread::spawn(move || shared_out(threads)).join().expect("no panic"));
    assert!(one == two && one == three);
    assert!(one.iter().all(|bits| !f32::from_bits(*bits).is_nan()), "every output is written");
}

#[test]
fn the_largest_scores_are_found() {
    for (count, seed) in [(1, 1), (255, 2), (256, 3), (257, 4), (49_152, 5)] {
        // Few different values, so that there are ties.
        let scores: Vec<f32> = numbers(count, seed, 40.0).into_iter().map(f32::round).collect();
        let sorted = pick::reference::top_k(&scores, count);
        assert_eq!(pick::cpu::arg_max(&scores), Some(sorted[0].0 as usize), "{count} scores");
        for k in [0, 1, 7, count, count + 1] {
            assert_eq!(pick::cpu::top_k(&scores, k), sorted[..k.min(count)], "{k} of {count}");
        }
    }
    let rows: [(&[f32], Option<usize>, &str); 5] = [
        (&[], None, "nothing to choose from"),
        (&[1.0, f32::NAN, 2.0], None, "NaN is no score"),
        (&[f32::NEG_INFINITY; 3], Some(0), "all forbidden: the first"),
        (&[f32::NEG_INFINITY, -3.0], Some(1), "one is allowed"),
        (&[0.0, f32::INFINITY, f32::INFINITY], Some(1), "the lowest id of equal ones"),
    ];
    for (scores, expected, why) in rows {
        assert_eq!(pick::cpu::arg_max(scores), expected, "{why}");
    }
}

/// The bits of everything above on fixed inputs, as x86-64, aarch64 (in QEMU) and wasm32 (in Node) gave them: other machines must too.
/// A change of the arithmetic changes it, and with it what rooms of old and new peers write.
#[test]
fn all_machines_give_these_bits() {
    assert_eq!(digest(), 3_618_373_628_314_181_549);
}

/// FNV-1a over the bits.
pub fn digest() -> u64 {
    let mut digest = 0xcbf2_9ce4_8422_2325u64;
    let mut feed = |values: &[f32]| {
        for value in values {
            digest = (digest ^ u64::from(value.to_bits())).wrapping_mul(0x0100_0000_01b3);
        }
    };
    let x = numbers(3 * 77, 11, 3.0);
    let mut out = vec![0.0; x.len()];
    rms_norm(&x, &x[..77], 1.0, 1e-5, &mut out);
    feed(&out);
    let mut turned = numbers(2 * 3 * 10, 12, 1.0);
    rope(&mut turned, 3, 10, &numbers(10, 13, 1.0), &numbers(10, 14, 1.0));
    feed(&turned);
    for activation in [Activation::Silu, Activation::GeluTanh] {
        let mut out = vec![0.0; 300];
        swiglu(activation, &numbers(600, 15, 9.0), 100, &mut out);
        feed(&out);
    }
    for case in cases() {
        feed(&attend(&case, case.at, &case.queries, &case.keys, &case.values));
    }
    for (format, cols) in [(8, 96), (2, 96), (12, 512), (14, 512), (1, 55), (0, 55)] {
        feed(&product(kernels::quant::Format::from_gguf(format).expect("known"), cols));
    }
    digest
}

/// Five rows of a product with weights made of random bits that are all finite.
fn product(format: kernels::quant::Format, cols: usize) -> Vec<f32> {
    use kernels::ops::matmul::cpu;
    let size = 20 * format.row_bytes(cols).expect("whole blocks");
    let bytes = (0..size as u64).map(|i| (uniform(16, i) * 256.0) as u8 & 0xBB).collect();
    let packed = cpu::Packed::new(format, 20, cols, bytes).expect("a whole matrix");
    let mut out = vec![0.0; 5 * 20];
    packed.matmul(&numbers(5 * cols, 17, 2.0), 5, &mut out, &mut cpu::Scratch::default());
    out
}
