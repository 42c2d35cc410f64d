//! CPU products: every instruction set against the plain kernel to the bit, that against the reference, and rows
//! against each other.

use kernels::ops::matmul::cpu::{Isa, Packed, Scratch};
use kernels::ops::matmul::reference;
use kernels::ops::threads;
use kernels::quant::{Format, QuantError, dequantise};
use kernels::random::{philox, uniform};

/// Weights of every format, as random bits with ordinary scales.
fn blocks(format: Format, rows: usize, cols: usize, seed: u32) -> Vec<u8> {
    let count = rows * cols / format.block_len();
    let size = format.block_bytes();
    let random = |i: usize| philox([seed, format as u32], [i as u32, 0, 0, 0]);
    let mut bytes: Vec<u8> =
        (0..(count * size).div_ceil(16)).flat_map(random).flat_map(u32::to_le_bytes).collect();
    bytes.truncate(count * size);
    for (number, block) in bytes.chunks_exact_mut(size).enumerate() {
        for at in scales(format) {
            let scale = half::f16::from_f64(uniform(7, (number * size + at) as u64) / 4.0 - 0.125);
            block[at..at + 2].copy_from_slice(&scale.to_le_bytes());
        }
        match format {
            Format::F32 => block.copy_from_slice(&(uniform(8, number as u64) as f32 - 0.5).to_le_bytes()),
            Format::BF16 => block[1] = 0x3F | (block[1] & 0x80),
            _ => {}
        }
    }
    bytes
}

/// Where a block of a format has half floats.
fn scales(format: Format) -> Vec<usize> {
    match format {
        Format::F32 | Format::BF16 => vec![],
        Format::Q4_1 | Format::Q5_1 | Format::Q4_K | Format::Q5_K => vec![0, 2],
        Format::Q2_K => vec![80, 82],
        Format::Q3_K => vec![108],
        Format::Q6_K => vec![208],
        _ => vec![0],
    }
}

fn activations(n: usize, cols: usize, seed: u64) -> Vec<f32> {
    let normal = |i| (0..4).map(|j| uniform(seed, 4 * i + j) as f32 - 0.5).sum::<f32>() * 3.0;
    (0..(n * cols) as u64).map(normal).collect()
}

fn product(isa: Isa, packed: &Packed, x: &[f32]) -> Vec<f32> {
    let n = x.len() / packed.cols();
    let mut out = vec![f32::NAN; n * packed.rows()];
    packed.matmul_with(isa, x, n, &mut out, &mut Scratch::default());
    out
}

fn bits(values: &[f32]) -> Vec<u32> {
    values.iter().map(|value| value.to_bits()).collect()
}

/// Rows, columns in blocks, activations: one of everything, odd ones, more than one pass of activations.
const SHAPES: [(usize, usize, usize); 5] = [(16, 1, 1), (1, 2, 3), (37, 3, 15), (64, 7, 8), (17, 1, 131)];

fn shape(format: Format, blocks: usize) -> usize {
    if format.block_len() == 1 { blocks * 27 } else { blocks * format.block_len() }
}

/// What quantising `x` may change: half a step of each block, times the weights.
fn tolerance(format: Format, weights: &[f32], x: &[f32]) -> f64 {
    let block = format.block_len();
    let float = weights.iter().zip(x).map(|(w, x)| f64::from((w * x).abs())).sum::<f64>() * 1e-6;
    if !matches!(format, Format::Q8_0 | Format::Q4_0 | Format::Q4_K | Format::Q6_K) {
        return float;
    }
    let step = |x: &[f32]| f64::from(x.iter().fold(0.0f32, |m, x| m.max(x.abs()))) / 127.0;
    let blocks = weights.chunks_exact(block).zip(x.chunks_exact(block));
    float
        + blocks
            .map(|(w, x)| 0.501 * step(x) * w.iter().map(|w| f64::from(w.abs())).sum::<f64>())
            .sum::<f64>()
}

#[test]
fn every_format_is_near_the_reference() {
    for format in Format::ALL {
        for (rows, count, n) in SHAPES {
            let cols = shape(format, count);
            let bytes = blocks(format, rows, cols, 1);
            let x = activations(n, cols, 2);
            let mut weights = vec![0.0; rows * cols];
            dequantise(format, &bytes, &mut weights).expect("whole blocks");
            let expected = reference::matmul(format, cols, &bytes, &x).expect("whole rows");
            let packed = Packed::new(format, rows, cols, bytes).expect("a whole matrix");
            let found = product(Isa::available()[0], &packed, &x);
            for (i, (found, expected)) in found.iter().zip(&expected).enumerate() {
                let (row, column) = (i / rows, i % rows);
                let near = tolerance(format, &weights[column * cols..][..cols], &x[row * cols..][..cols]);
                let off = (f64::from(*found) - expected).abs();
                assert!(
                    off <= near,
                    "{format:?} {rows}×{cols}·{n} at {row}, {column}: {found} for {expected}, {near}"
                );
            }
        }
    }
}

/// Rounding is spread evenly, so the error of a whole product is far below the worst case of each output.
#[test]
fn quantising_activations_costs_less_than_one_percent() {
    for format in [Format::Q8_0, Format::Q4_0, Format::Q4_K, Format::Q6_K] {
        let (rows, cols) = (64, 1536);
        let bytes = blocks(format, rows, cols, 3);
        let x = activations(4, cols, 4);
        let expected = reference::matmul(format, cols, &bytes, &x).expect("whole rows");
        let found =
            product(Isa::best(), &Packed::new(format, rows, cols, bytes).expect("a whole matrix"), &x);
        let square = |values: &mut dyn Iterator<Item = f64>| values.map(|v| v * v).sum::<f64>();
        let off = square(&mut found.iter().zip(&expected).map(|(&a, b)| f64::from(a) - b));
        let whole = square(&mut expected.iter().copied());
        assert!((off / whole).sqrt() < 0.01, "{format:?}: {}", (off / whole).sqrt());
    }
}

#[test]
fn every_instruction_set_gives_the_same_bits() {
    let all = Isa::available();
    eprintln!("compared here: {all:?}");
    for format in Format::ALL {
        for (rows, count, n) in SHAPES {
            let cols = shape(format, count);
            let x = activations(n, cols, 5);
            let packed =
                Packed::new(format, rows, cols, blocks(format, rows, cols, 6)).expect("a whole matrix");
            let plain = product(all[0], &packed, &x);
            for &isa in &all[1..] {
                assert_eq!(
                    bits(&product(isa, &packed, &x)),
                    bits(&plain),
                    "{format:?} {rows}×{cols}·{n} {isa:?}"
                );
            }
        }
    }
}

/// Why a replayed prompt writes the same text as the tokens did one by one.
#[test]
fn a_row_has_the_same_bits_alone_and_among_others() {
    let mut scratch = Scratch::default();
    for format in Format::ALL {
        let (rows, cols, n) = (48, shape(format, 2), 139);
        let packed = Packed::new(format, rows, cols, blocks(format, rows, cols, 7)).expect("a whole matrix");
        let x = activations(n, cols, 8);
        for isa in Isa::available() {
            let together = product(isa, &packed, &x);
            for row in 0..n {
                let mut alone = vec![f32::NAN; rows];
                packed.matmul_with(isa, &x[row * cols..][..cols], 1, &mut alone, &mut scratch);
                assert_eq!(
                    bits(&alone),
                    bits(&together[row * rows..][..rows]),
                    "{format:?} {isa:?} row {row}"
                );
            }
        }
    }
}

/// What `threads` threads make of products, rounded and exact, of shapes drawn at random, some too small to be shared.
fn shared_out(threads: usize) -> Vec<Vec<u32>> {
    threads::take(threads).expect("a few threads can be had");
    assert_eq!(threads::count(), threads);
    let mut all = Vec::new();
    for (number, format) in Format::ALL.into_iter().cycle().take(3 * Format::ALL.len()).enumerate() {
        let draw = |what: u32, below: u32| philox([12, what], [number as u32, 0, 0, 0])[0] % below + 1;
        let (rows, n) = (draw(0, 900) as usize, draw(1, 140) as usize);
        let cols = shape(format, draw(2, 3) as usize);
        let packed = Packed::new(format, rows, cols, blocks(format, rows, cols, 13)).expect("a whole matrix");
        let x = activations(n, cols, 14);
        all.push(bits(&product(Isa::best(), &packed, &x)));
        let mut exact = vec![f32::NAN; n * rows];
        packed.matmul_exact(&x, n, &mut exact);
        all.push(bits(&exact));
    }
    all
}

#[test]
fn any_number_of_threads_gives_the_same_bits() {
    let [one, two, three] =
        [1, 2, 3].map(|threads| std::thread::spawn(move || shared_out(threads)).join().expect("no panic"));
    assert!(one == two && one == three);
    assert!(one.iter().flatten().all(|bits| !f32::from_bits(*bits).is_nan()), "every output is written");
}

/// The largest weights and activations there are must not overflow any kernel's sums.
#[test]
fn extremes_do_not_overflow() {
    for format in [Format::Q8_0, Format::Q4_0, Format::Q4_K, Format::Q6_K] {
        for fill in [0x00, 0x7F, 0x80, 0xFF] {
            let (rows, cols) = (16, 2 * format.block_len());
            let mut bytes = vec![fill; rows * cols / format.block_len() * format.block_bytes()];
            for block in bytes.chunks_exact_mut(format.block_bytes()) {
                for at in scales(format) {
                    block[at..at + 2].copy_from_slice(&half::f16::ONE.to_le_bytes());
                }
            }
            let x: Vec<f32> = (0..2 * cols).map(|i| if i < cols { 1.0 } else { -1.0 }).collect();
            let expected = reference::matmul(format, cols, &bytes, &x).expect("whole rows");
            let packed = Packed::new(format, rows, cols, bytes).expect("a whole matrix");
            for isa in Isa::available() {
                for (found, expected) in product(isa, &packed, &x).iter().zip(&expected) {
                    let off = (f64::from(*found) - expected).abs();
                    assert!(
                        off <= expected.abs() * 1e-6,
                        "{format:?} {fill} {isa:?}: {found} for {expected}"
                    );
                }
            }
        }
    }
}

#[test]
fn a_row_can_be_looked_up() {
    for format in Format::ALL {
        let (rows, cols) = (35, shape(format, 2));
        let bytes = blocks(format, rows, cols, 9);
        let mut expected = vec![0.0; rows * cols];
        dequantise(format, &bytes, &mut expected).expect("whole blocks");
        let packed = Packed::new(format, rows, cols, bytes).expect("a whole matrix");
        let mut found = vec![f32::NAN; cols];
        for row in 0..rows {
            packed.row_to_f32(row, &mut found);
            assert_eq!(bits(&found), bits(&expected[row * cols..][..cols]), "{format:?} row {row}");
        }
    }
}

#[test]
fn what_is_no_number_stays_visible() {
    for format in Format::ALL {
        let (rows, cols) = (16, shape(format, 4));
        let packed = Packed::new(format, rows, cols, blocks(format, rows, cols, 10)).expect("a whole matrix");
        for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            let mut x = activations(1, cols, 11);
            x[3] = bad;
            for isa in Isa::available() {
                let found = product(isa, &packed, &x);
                assert!(
                    found.iter().all(|value| !value.is_finite()),
                    "{format:?} {isa:?} hides {bad}: {found:?}"
                );
            }
        }
        for x in [0.0, f32::MIN_POSITIVE, 1e-42] {
            let found = product(Isa::best(), &packed, &vec![x; cols]);
            assert!(found.iter().all(|value| value.abs() < 1e-30), "{format:?}: {x} gives {found:?}");
        }
    }
}

/// Descriptions of matrices come from files, and so from strangers.
#[test]
fn what_is_no_matrix_is_refused() {
    let new = |format, rows, cols, bytes: usize| Packed::new(format, rows, cols, vec![0; bytes]).map(|_| ());
    let length =
        |weights, expected, found| Err(QuantError::Length { format: Format::Q8_0, weights, expected, found });
    assert_eq!(new(Format::Q8_0, 2, 32, 68), Ok(()));
    assert_eq!(new(Format::Q8_0, 0, 32, 0), Ok(()));
    assert_eq!(new(Format::Q8_0, 2, 32, 67), length(64, 68, 67));
    assert_eq!(new(Format::Q8_0, usize::MAX, 32, 34), length(usize::MAX, usize::MAX, 34));
    assert!(matches!(new(Format::Q8_0, 2, 33, 68), Err(QuantError::Columns { cols: 33, .. })));
    assert!(matches!(new(Format::F32, 2, 0, 0), Err(QuantError::Columns { cols: 0, .. })));
    for format in [Format::Q8_0, Format::Q4_0, Format::Q4_K, Format::Q6_K, Format::F16] {
        let cols = format.block_len();
        let mut bytes = vec![0; 20 * format.block_bytes()];
        let at = 18 * format.block_bytes() + scales(format)[0];
        bytes[at..at + 2].copy_from_slice(&half::f16::INFINITY.to_le_bytes());
        assert_eq!(
            Packed::new(format, 20, cols, bytes).map(|_| ()),
            Err(QuantError::NotFinite { format, row: 18 })
        );
    }
}
