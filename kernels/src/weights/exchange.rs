//! What comparing with other programs takes: ids that come in a safetensors file, scores that go out in one.

use crate::error::Error;
use safetensors::tensor::{Dtype, SafeTensors, TensorView, serialize};

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
