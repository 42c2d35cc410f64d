//! Floats into blocks: what a checkpoint in floats is turned into on loading.

use super::{Format, QuantError};
use half::{bf16, f16};

/// Turns floats into blocks of Q8_0, Q4_0, F16, BF16 or F32, as ggml's reference quantisers do.
///
/// Infinities and NaN have no place in a block; they give a block that reads as NaN or as garbage, never a panic.
///
/// # Errors
/// [`QuantError::Columns`] if the weights are not whole blocks, [`QuantError::NoEncoder`] for other formats.
pub fn quantise(format: Format, weights: &[f32]) -> Result<Vec<u8>, QuantError> {
    let bytes = format.row_bytes(weights.len())?;
    let encode: fn(&[f32], &mut Vec<u8>) = match format {
        Format::F32 => |block, out| out.extend(block[0].to_le_bytes()),
        Format::F16 => |block, out| out.extend(f16::from_f32(block[0]).to_le_bytes()),
        Format::BF16 => |block, out| out.extend(bf16::from_f32(block[0]).to_le_bytes()),
        Format::Q8_0 => q8_0,
        Format::Q4_0 => q4_0,
        other => return Err(QuantError::NoEncoder(other)),
    };
    let mut out = Vec::with_capacity(bytes);
    weights.chunks_exact(format.block_len()).for_each(|block| encode(block, &mut out));
    Ok(out)
}

fn q8_0(block: &[f32], out: &mut Vec<u8>) {
    let largest = block.iter().fold(0.0f32, |largest, weight| largest.max(weight.abs()));
    let d = largest / 127.0;
    let inverse = reciprocal(d);
    out.extend(f16::from_f32(d).to_le_bytes());
    out.extend(block.iter().map(|weight| (weight * inverse).round() as i8 as u8));
}

/// The weight that is largest without its sign becomes −8 exactly, so the sign of the scale follows from it.
fn q4_0(block: &[f32], out: &mut Vec<u8>) {
    let keep = |largest: f32, &weight: &f32| if weight.abs() > largest.abs() { weight } else { largest };
    let d = block.iter().fold(0.0, keep) / -8.0;
    let inverse = reciprocal(d);
    out.extend(f16::from_f32(d).to_le_bytes());
    let nibble = |weight: f32| ((weight * inverse + 8.5) as u8).min(15);
    out.extend((0..16).map(|j| nibble(block[j]) | (nibble(block[j + 16]) << 4)));
}

fn reciprocal(d: f32) -> f32 {
    if d == 0.0 { 0.0 } else { 1.0 / d }
}
