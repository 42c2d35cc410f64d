//! Pictures as files.

use crate::compute::Image;
use crate::painting::PaintRequest;
use kernels::diffusion::Rgb;

/// What a whole picture says of itself.
pub struct About<'a> {
    /// What was asked for.
    pub request: &'a PaintRequest,
    /// Which of its pictures.
    pub unit: u16,
    /// Who painted it.
    pub model: &'a str,
}

/// A PNG file (PNG specification, third edition); with `about`, the prompt stands in its metadata for people
/// ("Description"), and all settings for programs ("Manyhands", JSON).
///
/// The frame around what the `png` crate's own compressor makes. That crate itself turns on features of crates that burn
/// stands on: with it all of burn's wasm was compiled anew.
pub fn encode(rgb: &Rgb, about: Option<About<'_>>) -> Image {
    let [height, width] = rgb.size.map(|side| u32::try_from(side).unwrap_or(u32::MAX));
    let mut png = b"\x89PNG\r\n\x1a\n".to_vec();
    // Eight bits, red green blue, and no choice in the rest.
    let head = [&width.to_be_bytes()[..], &height.to_be_bytes(), &[8, 2, 0, 0, 0]].concat();
    chunk(&mut png, *b"IHDR", &head);
    if let Some(about) = about {
        text(&mut png, "Description", &about.request.prompt);
        text(&mut png, "Software", "Manyhands");
        text(&mut png, "Manyhands", &settings(&about));
    }
    let row = rgb.size[1] * 3;
    chunk(&mut png, *b"IDAT", &fdeflate::compress_to_vec(&filtered(&rgb.bytes, row)));
    chunk(&mut png, *b"IEND", &[]);
    Image { width, height, png }
}

/// Every row less the one above it, which leaves little where colours are even (filter 2).
fn filtered(bytes: &[u8], row: usize) -> Vec<u8> {
    let mut above = vec![0; row];
    let mut all = Vec::with_capacity(bytes.len() + bytes.len() / row.max(1));
    for line in bytes.chunks_exact(row.max(1)) {
        all.push(2);
        all.extend(line.iter().zip(&above).map(|(byte, above)| byte.wrapping_sub(*above)));
        above.copy_from_slice(line);
    }
    all
}

fn chunk(png: &mut Vec<u8>, kind: [u8; 4], data: &[u8]) {
    png.extend((data.len() as u32).to_be_bytes());
    let from = png.len();
    png.extend(kind);
    png.extend(data);
    let sum = crc32fast::hash(&png[from..]);
    png.extend(sum.to_be_bytes());
}

/// International text, not compressed, in no language that is told.
fn text(png: &mut Vec<u8>, key: &str, text: &str) {
    chunk(png, *b"iTXt", &[key.as_bytes(), b"\0\0\0\0\0", text.as_bytes()].concat());
}

fn settings(about: &About<'_>) -> String {
    let PaintRequest { prompt, negative, width, height, steps, guidance, .. } = about.request;
    serde_json::json!({
        "model": about.model,
        "prompt": prompt,
        "negative_prompt": negative,
        "width": width,
        "height": height,
        "steps": steps,
        "guidance": guidance,
        "patches": about.request.patches,
        // JavaScript's numbers end before a seed does.
        "seed": about.request.seed_of(about.unit).to_string(),
    })
    .to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_holds_the_pixels_and_what_was_asked_for() {
        let rgb = Rgb { size: [3, 2], bytes: (0..18).map(|at| (at * 29) as u8).collect() };
        let request =
            PaintRequest { prompt: "ein Böötchen".into(), seed: u64::MAX, ..PaintRequest::default() };
        let about = About { request: &request, unit: 1, model: "painter" };
        let image = encode(&rgb, Some(about));
        let decoder = png::Decoder::new(std::io::Cursor::new(&image.png));
        let mut reader = decoder.read_info().expect("a PNG file");
        let mut pixels = vec![0; 18];
        reader.next_frame(&mut pixels).expect("pixels");
        assert_eq!((pixels, image.width, image.height), (rgb.bytes, 2, 3));
        let texts: Vec<(String, String)> = reader
            .info()
            .utf8_text
            .iter()
            .map(|text| (text.keyword.clone(), text.get_text().expect("text")))
            .collect();
        assert_eq!(texts[0], ("Description".into(), "ein Böötchen".into()));
        let settings: serde_json::Value = serde_json::from_str(&texts[2].1).expect("JSON");
        assert_eq!(settings["seed"], "0", "the second picture has the seed after the first's");
    }
}
