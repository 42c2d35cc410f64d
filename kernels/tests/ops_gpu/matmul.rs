//! Products with packed weights.

use crate::common::{Bench, Random, close, floats, gpu, read, tensor};
use kernels::ops::matmul::gpu::{Finish, Gate, Packed, Upload};
use kernels::quant::Format;

const FORMATS: [Format; 7] =
    [Format::F32, Format::F16, Format::BF16, Format::Q8_0, Format::Q4_0, Format::Q4_K, Format::Q6_K];

/// y = x · Wᵀ in f64.
fn reference(weights: &[f32], x: &[f32], cols: usize) -> Vec<f32> {
    let dot = |x: &[f32], w: &[f32]| x.iter().zip(w).map(|(x, w)| f64::from(*x) * f64::from(*w)).sum::<f64>();
    x.chunks_exact(cols)
        .flat_map(|x| weights.chunks_exact(cols).map(move |w| dot(x, w) as f32).collect::<Vec<_>>())
        .collect()
}

/// Columns that `format` can have, of all sizes.
fn columns(format: Format, random: &mut Random) -> usize {
    let unit = if format == Format::F32 { 4 } else { format.block_len().max(8) };
    unit * (1 + random.below(2000 / unit))
}

struct Case {
    format: Format,
    rows: usize,
    cols: usize,
    bytes: Vec<u8>,
    weights: Vec<f32>,
}

impl Case {
    fn new(format: Format, rows: usize, cols: usize, random: &mut Random) -> Self {
        let bytes = random.blocks(format, rows * cols);
        let weights = floats(format, &bytes, rows * cols);
        Self { format, rows, cols, bytes, weights }
    }

    fn packed(&self, bench: &Bench) -> Packed {
        Packed::new(&bench.gpu, self.format, self.rows, self.cols, &self.bytes).expect("it fits")
    }
}

#[test]
fn agrees_with_the_reference_and_rows_do_not_touch_each_other() {
    let Some(bench) = gpu() else { return };
    let mut random = Random(1);
    for format in FORMATS {
        for round in 0..6 {
            let cols = columns(format, &mut random);
            let case = Case::new(format, 1 + random.below(150), cols, &mut random);
            let batch = [1, 2, 4, 5, 9, 33][round];
            let x = random.reals(batch * cols);
            let packed = case.packed(&bench);
            let y = read(packed.product(tensor(&x, [batch, cols], &bench.device), Finish::default()));
            let what = format!("{format:?} {}×{cols}, {batch} rows", case.rows);
            close(&what, &y, &reference(&case.weights, &x, cols), 1e-4);
            let row = random.below(batch);
            let alone = tensor(&x[row * cols..][..cols], [1, cols], &bench.device);
            let alone = read(packed.product(alone, Finish::default()));
            assert_eq!(alone, y[row * case.rows..][..case.rows], "{what}: row {row} alone");
        }
    }
}

#[test]
fn a_split_matrix_gives_the_same() {
    let Some(bench) = gpu() else { return };
    let mut random = Random(2);
    for format in FORMATS {
        let (rows, cols) = (77, 512);
        let case = Case::new(format, rows, cols, &mut random);
        let x = tensor(&random.reals(3 * cols), [3, cols], &bench.device);
        let whole = case.packed(&bench);
        // Arriving in parts that fit neither the buffers nor each other.
        let row = case.bytes.len() / rows;
        let mut upload = Upload::split(&bench.gpu, format, rows, cols, 20 * row).expect("rows fit");
        for part in case.bytes.chunks(13 * row) {
            upload.push(part).expect("whole rows");
        }
        let split = upload.finish().expect("all rows");
        assert_eq!((whole.launches(), split.launches()), (1, 4), "{format:?}");
        let product = |packed: &Packed| read(packed.product(x.clone(), Finish::default()));
        assert_eq!(product(&whole), product(&split), "{format:?}");
    }
}

#[test]
fn bias_cap_and_residual_come_after_the_product() {
    let Some(bench) = gpu() else { return };
    let mut random = Random(3);
    let (rows, cols, batch) = (50, 96, 6);
    let case = Case::new(Format::Q8_0, rows, cols, &mut random);
    let (x, bias, rest) = (random.reals(batch * cols), random.reals(rows), random.reals(batch * rows));
    let finish = Finish {
        bias: Some(tensor(&bias, [rows], &bench.device)),
        cap: Some(3.0),
        residual: Some(tensor(&rest, [batch, rows], &bench.device)),
    };
    let y = read(case.packed(&bench).product(tensor(&x, [batch, cols], &bench.device), finish));
    let plain = reference(&case.weights, &x, cols);
    let after = |at: usize, y: f32| 3.0 * ((y + bias[at % rows]) / 3.0).tanh() + rest[at];
    let expected: Vec<f32> = plain.iter().enumerate().map(|(at, y)| after(at, *y)).collect();
    close("finished", &y, &expected, 1e-4);
}

#[test]
fn a_gate_multiplies() {
    let Some(bench) = gpu() else { return };
    let mut random = Random(4);
    for (gate, format) in [(Gate::Silu, Format::Q8_0), (Gate::Gelu, Format::F32), (Gate::Silu, Format::Q4_K)]
    {
        for batch in [1, 7] {
            let (half, cols) = (1 + random.below(90), 256);
            let case = Case::new(format, 2 * half, cols, &mut random);
            let x = random.reals(batch * cols);
            let y = read(case.packed(&bench).gated(tensor(&x, [batch, cols], &bench.device), gate));
            let both = reference(&case.weights, &x, cols);
            let rows = both.chunks_exact(2 * half);
            let expected: Vec<f32> = rows
                .flat_map(|row| (0..half).map(move |at| activate(gate, row[at]) * row[half + at]))
                .collect();
            close(&format!("{gate:?} {format:?}, {batch} rows of {half}"), &y, &expected, 1e-4);
        }
    }
}

fn activate(gate: Gate, g: f32) -> f32 {
    match gate {
        Gate::Silu => g / (1.0 + (-g).exp()),
        Gate::Gelu => {
            0.5 * g * (1.0 + ((2.0 / std::f32::consts::PI).sqrt() * (g + 0.044_715 * g.powi(3))).tanh())
        }
    }
}

#[test]
fn what_does_not_fit_is_refused() {
    let Some(bench) = gpu() else { return };
    let new = |format, rows, cols, bytes: &[u8]| Packed::new(&bench.gpu, format, rows, cols, bytes).err();
    assert!(
        new(Format::Q8_0, 1, 48, &[0; 51]).is_some_and(|error| error.to_string().contains("whole blocks"))
    );
    assert!(
        new(Format::Q3_K, 1, 256, &[0; 110]).is_some_and(|error| error.to_string().contains("no GPU kernel"))
    );
    assert!(new(Format::F32, 2, 4, &[0; 16]).is_some(), "a row is missing");
    assert!(new(Format::F32, 2, 4, &[0; 48]).is_some(), "a row too many");
    assert!(new(Format::F32, 2, 4, &[0; 33]).is_some(), "not whole rows");
    assert!(new(Format::F32, 0, 4, &[]).is_some(), "no rows");
    assert!(new(Format::F32, usize::MAX, 4, &[0; 16]).is_some(), "rows without end");
    assert!(new(Format::Q4_K, 1, usize::MAX / 256 * 256, &[0; 16]).is_some(), "columns without end");
    assert!(Upload::split(&bench.gpu, Format::F32, 2, 400, 100).is_err(), "a row larger than a binding");
}
