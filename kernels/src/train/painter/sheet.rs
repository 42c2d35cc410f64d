//! Many small pictures on one sheet.

use std::path::Path;

use super::render::Picture;
use super::scene::SIDE;
use crate::train::TrainError;
use crate::train::files::write_file;

/// A pixel becomes a square of so many on a side.
const SCALE: usize = 3;
/// Between two pictures, pixels of the sheet.
const GAP: usize = 6;
const PAPER: [u8; 3] = [128, 128, 128];

/// Writes the pictures as one PNG file, `columns` in a row.
///
/// # Errors
/// [`TrainError::File`] if it cannot be written.
pub fn sheet(pictures: &[Picture], columns: usize, path: &Path) -> Result<(), TrainError> {
    let columns = columns.clamp(1, pictures.len().max(1));
    let pitch = SIDE * SCALE + GAP;
    let (width, height) = (columns * pitch + GAP, pictures.len().div_ceil(columns) * pitch + GAP);
    let mut rgb = PAPER.repeat(width * height);
    for (number, picture) in pictures.iter().enumerate() {
        let (left, top) = (number % columns * pitch + GAP, number / columns * pitch + GAP);
        for y in 0..SIDE * SCALE {
            for x in 0..SIDE * SCALE {
                let at = ((top + y) * width + left + x) * 3;
                rgb[at..at + 3].copy_from_slice(&picture.rgb[y / SCALE * SIDE + x / SCALE]);
            }
        }
    }
    let png = encode(&rgb, width as u32, height as u32);
    let png = png.map_err(|error| TrainError::File { path: path.to_owned(), reason: error.to_string() })?;
    write_file(path, &png)
}

fn encode(rgb: &[u8], width: u32, height: u32) -> Result<Vec<u8>, png::EncodingError> {
    let mut bytes = Vec::new();
    let mut encoder = png::Encoder::new(&mut bytes, width, height);
    encoder.set_color(png::ColorType::Rgb);
    encoder.set_compression(png::Compression::High);
    let mut writer = encoder.write_header()?;
    writer.write_image_data(rgb)?;
    writer.finish()?;
    Ok(bytes)
}
