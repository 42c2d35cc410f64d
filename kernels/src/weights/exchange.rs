//! What comparing with other programs takes: tensors that come in a safetensors file, and others that go out in one.

use crate::error::Error;
use crate::quant::{Format, dequantise};
use safetensors::tensor::{Dtype, SafeTensors, TensorView, serialize};
use std::collections::BTreeMap;

/// A tensor by itself, as f32 whatever it was.
#[derive(Debug, Clone, PartialEq)]
pub struct Numbers {
    /// Sizes of its dimensions.
    pub shape: Vec<usize>,
    /// As many as the shape says.
    pub values: Vec<f32>,
}

/// All tensors of a file, by name. Whole numbers up to 2²⁴ stay what they are.
///
/// # Errors
/// [`Error::Source`] if the file is damaged, or holds numbers of an unknown kind.
pub fn read_tensors(file: &[u8]) -> Result<BTreeMap<String, Numbers>, Error> {
    let bad = |why: String| Error::Source(why);
    let file = SafeTensors::deserialize(file).map_err(|error| bad(error.to_string()))?;
    let mut all = BTreeMap::new();
    for (name, tensor) in file.iter() {
        let values = floats(tensor.dtype(), tensor.data()).map_err(|why| bad(format!("{name}: {why}")))?;
        all.insert(name.to_owned(), Numbers { shape: tensor.shape().to_vec(), values });
    }
    Ok(all)
}

fn floats(kind: Dtype, data: &[u8]) -> Result<Vec<f32>, String> {
    let floats = |format: Format| {
        let mut values = vec![0.0; data.len() / format.block_bytes()];
        dequantise(format, data, &mut values).map_err(|error| error.to_string())?;
        Ok(values)
    };
    match kind {
        Dtype::F32 => floats(Format::F32),
        Dtype::F16 => floats(Format::F16),
        Dtype::BF16 => floats(Format::BF16),
        Dtype::F64 => Ok(data.as_chunks().0.iter().map(|bytes| f64::from_le_bytes(*bytes) as f32).collect()),
        Dtype::I64 => Ok(data.as_chunks().0.iter().map(|bytes| i64::from_le_bytes(*bytes) as f32).collect()),
        Dtype::I32 => Ok(data.as_chunks().0.iter().map(|bytes| i32::from_le_bytes(*bytes) as f32).collect()),
        Dtype::U8 | Dtype::BOOL => Ok(data.iter().copied().map(f32::from).collect()),
        other => Err(format!("{other:?}; F64, F32, F16, BF16, I64, I32, U8 and BOOL are read")),
    }
}

/// A safetensors file with these tensors, as f32.
///
/// # Errors
/// [`Error::Source`] if one has more or fewer numbers than its shape says.
pub fn write_tensors(tensors: &BTreeMap<String, Numbers>) -> Result<Vec<u8>, Error> {
    let bytes: Vec<(&String, &Numbers, Vec<u8>)> = tensors
        .iter()
        .map(|(name, numbers)| {
            (name, numbers, numbers.values.iter().flat_map(|value| value.to_le_bytes()).collect())
        })
        .collect();
    let views = bytes.iter().map(|(name, numbers, bytes)| {
        let view = TensorView::new(Dtype::F32, numbers.shape.clone(), bytes);
        view.map(|view| (name.as_str(), view)).map_err(|error| Error::Source(format!("{name}: {error}")))
    });
    let views = views.collect::<Result<Vec<_>, _>>()?;
    serialize(views, None).map_err(|error| Error::Source(error.to_string()))
}

/// The tensor `input_ids`, `[sequences, tokens]` or `[tokens]`, as sequences of one length.
///
/// # Errors
/// [`Error::Source`] if the file is damaged, or holds no such ids.
pub fn read_ids(file: &[u8]) -> Result<Vec<Vec<u32>>, Error> {
    let bad = |why: String| Error::Source(format!("input_ids: {why}"));
    let file = SafeTensors::deserialize(file).map_err(|error| bad(error.to_string()))?;
    let tensor = file.tensor("input_ids").map_err(|error| bad(error.to_string()))?;
    let tokens = match tensor.shape() {
        [_, tokens] | [tokens] => *tokens,
        shape => return Err(bad(format!("shape {shape:?}, [sequences, tokens] is expected"))),
    };
    let data = tensor.data();
    let ids: Vec<i64> = match tensor.dtype() {
        Dtype::I64 => data.as_chunks::<8>().0.iter().map(|bytes| i64::from_le_bytes(*bytes)).collect(),
        Dtype::I32 => data.as_chunks::<4>().0.iter().map(|bytes| i32::from_le_bytes(*bytes).into()).collect(),
        other => return Err(bad(format!("{other:?}, I64 or I32 is expected"))),
    };
    if ids.is_empty() {
        return Err(bad("no ids".into()));
    }
    let ids = ids.into_iter().map(u32::try_from).collect::<Result<Vec<_>, _>>();
    let ids = ids.map_err(|_| bad("a negative or too large id".into()))?;
    Ok(ids.chunks(tokens).map(<[u32]>::to_vec).collect())
}

/// A safetensors file with the tensor `logits`.
///
/// # Shapes
/// - `logits`: `shape`, `[sequences, tokens, vocabulary]`
///
/// # Errors
/// [`Error::Source`] if there are more or fewer numbers than that.
pub fn write_logits(shape: [usize; 3], logits: &[f32]) -> Result<Vec<u8>, Error> {
    let bytes: Vec<u8> = logits.iter().flat_map(|value| value.to_le_bytes()).collect();
    let view = TensorView::new(Dtype::F32, shape.to_vec(), &bytes);
    let file = view.and_then(|view| serialize([("logits", view)], None));
    file.map_err(|error| Error::Source(format!("logits: {error}")))
}
