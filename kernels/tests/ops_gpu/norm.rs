//! RMSNorm with additions, and the embedding.

use crate::common::{Random, close, floats, gpu, read, tensor};
use burn::tensor::{Int, Tensor, TensorData};
use kernels::ops::matmul::gpu::{Packed, Upload};
use kernels::ops::rms_norm::gpu::{Add, add_norm, norm};
use kernels::quant::Format;

fn normed(x: &[f32], weight: &[f32], eps: f32) -> Vec<f32> {
    let width = weight.len();
    x.chunks_exact(width)
        .flat_map(|row| {
            let square: f64 = row.iter().map(|x| f64::from(*x).powi(2)).sum();
            let scale = (square / width as f64 + f64::from(eps)).sqrt().recip();
            row.iter().zip(weight).map(move |(x, w)| (f64::from(*x) * scale) as f32 * w).collect::<Vec<_>>()
        })
        .collect()
}

fn sum(a: &[f32], b: &[f32]) -> Vec<f32> {
    a.iter().zip(b).map(|(a, b)| a + b).collect()
}

#[test]
fn norms_agree_and_rows_do_not_touch_each_other() {
    let Some(bench) = gpu() else { return };
    let mut random = Random(11);
    for _ in 0..8 {
        let (rows, width, eps) = (1 + random.below(20), 4 * (1 + random.below(600)), 1e-5);
        let what = format!("{rows}×{width}");
        let (x, d) = (random.reals(rows * width), random.reals(rows * width));
        let (w, post) = (random.reals(width), random.reals(width));
        let on = |data: &[f32]| tensor(data, [rows, width], &bench.device);
        let weight = |data: &[f32]| tensor(data, [width], &bench.device);
        let plain = read(norm(&bench.gpu, on(&x), weight(&w), eps));
        close(&what, &plain, &normed(&x, &w, eps), 1e-5);
        let row = random.below(rows);
        let alone = tensor(&x[row * width..][..width], [1, width], &bench.device);
        assert_eq!(
            read(norm(&bench.gpu, alone, weight(&w), eps)),
            plain[row * width..][..width],
            "{what} alone"
        );

        let (hidden, y) = add_norm(&bench.gpu, on(&x), Add::Plain(on(&d)), weight(&w), eps);
        close(&what, &read(hidden), &sum(&x, &d), 1e-6);
        close(&what, &read(y), &normed(&sum(&x, &d), &w, eps), 1e-5);

        let add = Add::Normed(on(&d), weight(&post));
        let (hidden, y) = add_norm(&bench.gpu, on(&x), add, weight(&w), eps);
        let expected = sum(&x, &normed(&d, &post, eps));
        close(&what, &read(hidden), &expected, 1e-5);
        close(&what, &read(y), &normed(&expected, &w, eps), 1e-5);
    }
}

#[test]
fn an_embedding_gives_the_rows_asked_for() {
    let Some(bench) = gpu() else { return };
    let mut random = Random(12);
    let formats =
        [Format::F32, Format::F16, Format::BF16, Format::Q8_0, Format::Q4_0, Format::Q4_K, Format::Q6_K];
    for format in formats {
        let (rows, cols) = (60, 512);
        let bytes = random.blocks(format, rows * cols);
        let weights = floats(format, &bytes, rows * cols);
        let mut upload = Upload::split(&bench.gpu, format, rows, cols, 20 * cols * 4).expect("rows fit");
        upload.push(&bytes).expect("whole rows");
        let split = upload.finish().expect("all rows");
        let whole = Packed::new(&bench.gpu, format, rows, cols, &bytes).expect("it fits");
        let ids: Vec<i32> = (0..9).map(|_| random.below(rows) as i32).collect();
        let expected: Vec<f32> = ids
            .iter()
            .flat_map(|id| weights[*id as usize * cols..][..cols].iter().map(|w| w * 3.0))
            .collect();
        for packed in [&split, &whole] {
            let ids = Tensor::<1, Int>::from_data(TensorData::new(ids.clone(), [9]), &bench.device);
            close(&format!("{format:?}"), &read(packed.lookup(ids, 3.0)), &expected, 1e-6);
        }
        let beyond = Tensor::<1, Int>::from_data(TensorData::new(vec![-1, 1000], [2]), &bench.device);
        let last = [&weights[(rows - 1) * cols..], &weights[(rows - 1) * cols..]].concat();
        close("beyond the end", &read(whole.lookup(beyond, 1.0)), &last, 1e-6);
    }
}
