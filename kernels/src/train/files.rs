//! Writing what was trained.

use std::fs;
use std::path::Path;

use half::f16;
use safetensors::tensor::{Dtype, TensorView, serialize};

use super::TrainError;
use crate::llm::Exported;

/// Half precision, in the order of the tensors.
pub(super) fn to_safetensors(tensors: &[Exported]) -> Result<Vec<u8>, TrainError> {
    let bytes: Vec<Vec<u8>> = tensors.iter().map(|tensor| half_bytes(&tensor.values)).collect();
    let refused = |error: safetensors::SafeTensorError| TrainError::Settings(error.to_string());
    let views = tensors.iter().zip(&bytes).map(|(tensor, bytes)| {
        Ok((&tensor.name, TensorView::new(Dtype::F16, tensor.shape.clone(), bytes).map_err(refused)?))
    });
    serialize(views.collect::<Result<Vec<_>, TrainError>>()?, None).map_err(refused)
}

fn half_bytes(values: &[f32]) -> Vec<u8> {
    values.iter().flat_map(|value| f16::from_f32(*value).to_le_bytes()).collect()
}

/// Writes beside it first, so that a run that is killed leaves the old file.
pub(super) fn write_file(path: &Path, bytes: &[u8]) -> Result<(), TrainError> {
    let partial = path.with_extension("partial");
    fs::write(&partial, bytes)
        .and_then(|()| fs::rename(&partial, path))
        .map_err(|error| file_error(path, &error))
}

pub(super) fn file_error(path: &Path, error: &std::io::Error) -> TrainError {
    TrainError::File { path: path.to_owned(), reason: error.to_string() }
}
