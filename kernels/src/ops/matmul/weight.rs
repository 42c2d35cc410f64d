//! A matrix on its device, whichever that is, and how it gets there.

use super::{cpu, gpu};
use crate::ops::swiglu::{self, Activation};
use crate::ops::{Tier, floats, on_cpu, rows, widened};
use crate::quant::{Format, dequantise};
use burn::tensor::{Int, Tensor, TensorData};
use std::cell::RefCell;
use std::sync::Arc;

/// A weight matrix, rows being outputs. Its rows may be stored in several formats, one run after the other: checkpoints
/// keep some of what one product multiplies (keys and values, for instance) in finer blocks than the rest.
#[derive(Debug, Clone)]
pub struct Matrix {
    outputs: usize,
    inputs: usize,
    held: Held,
    bias: Option<Tensor<1>>,
    exact: bool,
}

/// Where it lies. Clones are the same memory.
#[derive(Debug, Clone)]
enum Held {
    Cpu(Arc<Vec<cpu::Packed>>),
    Gpu(Vec<gpu::Packed>),
}

/// A matrix whose rows arrive in order, a few at a time, so that no copy of all of it is ever needed.
#[derive(Debug)]
pub struct Filling {
    outputs: usize,
    inputs: usize,
    filled: usize,
    runs: Runs,
}

#[derive(Debug)]
enum Runs {
    /// Format, rows and the bytes so far.
    Cpu(Vec<(Format, usize, Vec<u8>)>),
    /// Format as the file has it, rows, and where they go.
    Gpu(Vec<(Format, usize, gpu::Upload)>),
}

impl Filling {
    /// Room for `runs` (format and rows) of `inputs` weights a row; None where the device has no kernels for it.
    #[must_use]
    pub fn new(tier: &Tier, inputs: usize, runs: &[(Format, usize)]) -> Option<Self> {
        let mut joined: Vec<(Format, usize)> = Vec::new();
        for &(format, rows) in runs {
            match joined.last_mut().filter(|(last, _)| *last == format) {
                Some((_, count)) => *count += rows,
                None => joined.push((format, rows)),
            }
        }
        let outputs = joined.iter().map(|(_, rows)| rows).sum();
        let runs = match tier {
            Tier::Stock => return None,
            Tier::Cpu => {
                Runs::Cpu(joined.into_iter().map(|(format, rows)| (format, rows, Vec::new())).collect())
            }
            Tier::Gpu(gpu) => {
                let upload = |(format, rows)| {
                    // What has no kernel of its own is kept as floats.
                    let own = gpu::Upload::new(gpu, format, rows, inputs);
                    let upload = own.or_else(|_| gpu::Upload::new(gpu, Format::F32, rows, inputs)).ok()?;
                    Some((format, rows, upload))
                };
                Runs::Gpu(joined.into_iter().map(upload).collect::<Option<_>>()?)
            }
        };
        Some(Self { outputs, inputs, filled: 0, runs })
    }

    /// The next rows, as the file stores them.
    ///
    /// # Errors
    /// In words, if they are too many, of another format than announced, or not whole rows.
    pub fn push(&mut self, format: Format, count: usize, bytes: &[u8]) -> Result<(), String> {
        let mut first = self.filled;
        self.filled += count;
        let announced = |found: Format, first: usize, rows: usize| {
            if found != format || first + count > rows {
                return Err(format!("{count} rows of {format:?} where {found:?} was announced"));
            }
            Ok(())
        };
        match &mut self.runs {
            Runs::Cpu(runs) => {
                for (found, rows, held) in runs {
                    if first < *rows {
                        announced(*found, first, *rows)?;
                        if held.is_empty() {
                            let row = format.row_bytes(self.inputs).map_err(|error| error.to_string())?;
                            held.reserve_exact(row.saturating_mul(rows.next_multiple_of(16)));
                        }
                        held.extend_from_slice(bytes);
                        return Ok(());
                    }
                    first -= *rows;
                }
            }
            Runs::Gpu(runs) => {
                for (found, rows, upload) in runs {
                    if first < *rows {
                        announced(*found, first, *rows)?;
                        return push_to_gpu(upload, format, count * self.inputs, bytes);
                    }
                    first -= *rows;
                }
            }
        }
        Err(format!("{} rows for a matrix of {}", self.filled, self.outputs))
    }

    /// The matrix. `exact`: on the CPU too, activations are not rounded to 8 bits where weights are quantised.
    ///
    /// # Errors
    /// In words, if rows are missing, or a block holds a scale that is no number.
    pub fn finish(self, bias: Option<Tensor<1>>, exact: bool) -> Result<Matrix, String> {
        let Self { outputs, inputs, filled, runs } = self;
        if filled != outputs {
            return Err(format!("{filled} of {outputs} rows arrived"));
        }
        let held = match runs {
            Runs::Cpu(runs) => {
                let pack = |(format, rows, bytes)| cpu::Packed::new(format, rows, inputs, bytes);
                let packed = runs.into_iter().map(pack).collect::<Result<_, _>>();
                Held::Cpu(Arc::new(packed.map_err(|error| error.to_string())?))
            }
            Runs::Gpu(runs) => {
                let packed = runs.into_iter().map(|(.., upload)| upload.finish()).collect::<Result<_, _>>();
                Held::Gpu(packed.map_err(|error| error.to_string())?)
            }
        };
        Ok(Matrix { outputs, inputs, held, bias, exact })
    }
}

fn push_to_gpu(upload: &mut gpu::Upload, format: Format, weights: usize, bytes: &[u8]) -> Result<(), String> {
    if upload.format() == format {
        return upload.push(bytes).map_err(|error| error.to_string());
    }
    let mut values = vec![0.0_f32; weights];
    dequantise(format, bytes, &mut values).map_err(|error| error.to_string())?;
    let bytes: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
    upload.push(&bytes).map_err(|error| error.to_string())
}

impl Matrix {
    /// Outputs.
    #[must_use]
    pub const fn outputs(&self) -> usize {
        self.outputs
    }

    /// Inputs.
    #[must_use]
    pub const fn inputs(&self) -> usize {
        self.inputs
    }

    /// Added to every product, `[outputs]`.
    #[must_use]
    pub const fn bias(&self) -> Option<&Tensor<1>> {
        self.bias.as_ref()
    }

    /// Bytes that its weights take in memory.
    #[must_use]
    pub fn bytes(&self) -> usize {
        match &self.held {
            Held::Cpu(parts) => parts.iter().map(|part| part.bytes().len()).sum(),
            Held::Gpu(parts) => {
                parts.iter().map(|part| part.format().row_bytes(part.cols()).unwrap_or(0) * part.rows()).sum()
            }
        }
    }

    /// `x · Wᵀ + b`, with `onto` added if it is there.
    ///
    /// # Shapes
    /// - `x`: `[…, inputs]`
    /// - `onto` and the result: `[…, outputs]`
    #[must_use]
    pub fn product<const D: usize>(&self, x: Tensor<D>, onto: Option<Tensor<D>>) -> Tensor<D> {
        let shape = widened(x.dims(), self.outputs);
        match &self.held {
            Held::Cpu(parts) => {
                let mut out = self.multiply(parts, &floats(x));
                if let Some(bias) = &self.bias {
                    let bias = floats(bias.clone());
                    out.chunks_exact_mut(bias.len()).for_each(|row| add(row, &bias));
                }
                if let Some(onto) = onto {
                    add(&mut out, &floats(onto));
                }
                on_cpu(out, shape)
            }
            Held::Gpu(parts) => {
                let whole = if let [_] = parts.as_slice() { onto.clone() } else { None };
                let mut first = 0;
                let outs = parts.iter().map(|part| {
                    let bias = self.bias.clone().map(|bias| bias.narrow(0, first, part.rows()));
                    first += part.rows();
                    let finish = gpu::Finish { bias, cap: None, residual: whole.clone().map(rows) };
                    part.product(rows(x.clone()), finish)
                });
                let outs: Vec<Tensor<2>> = outs.collect();
                let all = Tensor::cat(outs, 1).reshape(shape);
                match onto.filter(|_| whole.is_none()) {
                    Some(onto) => all + onto,
                    None => all,
                }
            }
        }
    }

    /// `act(x · Gᵀ) ∘ (x · Uᵀ)`, where the first half of the rows is `G` and the second `U`.
    ///
    /// # Shapes
    /// - `x`: `[…, inputs]`
    /// - result: `[…, outputs / 2]`
    #[must_use]
    pub fn gated<const D: usize>(&self, x: Tensor<D>, activation: Activation) -> Tensor<D> {
        match &self.held {
            Held::Gpu(parts) if parts.len() == 1 && parts[0].launches() == 1 && self.bias.is_none() => {
                let shape = widened(x.dims(), self.outputs / 2);
                let gate = match activation {
                    Activation::Silu => gpu::Gate::Silu,
                    Activation::GeluTanh => gpu::Gate::Gelu,
                };
                parts[0].gated(rows(x), gate).reshape(shape)
            }
            _ => swiglu::gated(self.product(x, None), activation),
        }
    }

    /// Some of its rows: the embedding of tokens.
    ///
    /// # Shapes
    /// - `ids`: `[batch, rows]`, each below the outputs
    /// - result: `[batch, rows, inputs]`
    #[must_use]
    pub fn lookup(&self, ids: Tensor<2, Int>) -> Tensor<3> {
        let [batch, count] = ids.dims();
        match &self.held {
            Held::Cpu(_) => {
                let ids = ids.into_data();
                let mut out = vec![0.0; batch * count * self.inputs];
                for (id, out) in ids.iter::<i64>().zip(out.chunks_exact_mut(self.inputs)) {
                    self.row(usize::try_from(id).unwrap_or(0).min(self.outputs - 1), out);
                }
                on_cpu(out, [batch, count, self.inputs])
            }
            Held::Gpu(parts) => {
                let found = parts[0].lookup(ids.reshape([batch * count]), 1.0);
                found.reshape([batch, count, self.inputs])
            }
        }
    }

    /// All weights as floats, `[outputs, inputs]`; None where they lie on a GPU.
    #[must_use]
    pub fn dense(&self) -> Option<Tensor<2>> {
        let Held::Cpu(_) = &self.held else { return None };
        let mut values = vec![0.0; self.outputs * self.inputs];
        values.chunks_exact_mut(self.inputs).enumerate().for_each(|(row, out)| self.row(row, out));
        let data = TensorData::new(values, [self.outputs, self.inputs]);
        Some(Tensor::from_data(data, &burn::tensor::Device::flex()))
    }

    /// The product with each run of rows, side by side.
    fn multiply(&self, parts: &[cpu::Packed], x: &[f32]) -> Vec<f32> {
        thread_local! {
            static SCRATCH: RefCell<cpu::Scratch> = RefCell::default();
        }
        let (count, outputs) = (x.len() / self.inputs, self.outputs);
        let mut out = vec![0.0; count * outputs];
        let one = |part: &cpu::Packed, out: &mut [f32], scratch: &mut cpu::Scratch| match self.exact {
            true => part.matmul_exact(x, count, out),
            false => part.matmul(x, count, out, scratch),
        };
        SCRATCH.with_borrow_mut(|scratch| {
            if let [only] = parts {
                return one(only, &mut out, scratch);
            }
            let mut first = 0;
            for part in parts {
                let mut some = vec![0.0; count * part.rows()];
                one(part, &mut some, scratch);
                for (row, some) in out.chunks_exact_mut(outputs).zip(some.chunks_exact(part.rows())) {
                    row[first..first + part.rows()].copy_from_slice(some);
                }
                first += part.rows();
            }
        });
        out
    }

    /// One row of a matrix on the CPU.
    fn row(&self, mut row: usize, out: &mut [f32]) {
        let Held::Cpu(parts) = &self.held else { return };
        for part in parts.iter() {
            if row < part.rows() {
                return part.row_to_f32(row, out);
            }
            row -= part.rows();
        }
    }
}

fn add(to: &mut [f32], from: &[f32]) {
    to.iter_mut().zip(from).for_each(|(to, from)| *to += from);
}
