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

/// A PNG file; with `about`, the prompt stands in its metadata for people ("Description"), and all settings for programs
/// ("Manyhands", JSON).
///
/// # Errors
/// In plain words.
pub fn encode(rgb: &Rgb, about: Option<About<'_>>) -> Result<Image, String> {
    let failed = |error: png::EncodingError| format!("the picture cannot be written: {error}");
    let [height, width] = rgb.size.map(|side| u32::try_from(side).unwrap_or(u32::MAX));
    let mut bytes = Vec::new();
    let mut encoder = png::Encoder::new(&mut bytes, width, height);
    encoder.set_color(png::ColorType::Rgb);
    encoder.set_depth(png::BitDepth::Eight);
    if let Some(about) = about {
        let settings = settings(&about);
        for (key, text) in [
            ("Description", about.request.prompt.clone()),
            ("Software", "Manyhands".into()),
            ("Manyhands", settings),
        ] {
            encoder.add_itxt_chunk(key.into(), text).map_err(failed)?;
        }
    }
    encoder.write_header().and_then(|mut writer| writer.write_image_data(&rgb.bytes)).map_err(failed)?;
    Ok(Image { width, height, png: bytes })
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
        let rgb = Rgb { size: [1, 2], bytes: vec![255, 0, 0, 0, 0, 255] };
        let request =
            PaintRequest { prompt: "ein Böötchen".into(), seed: u64::MAX, ..PaintRequest::default() };
        let about = About { request: &request, unit: 1, model: "painter" };
        let image = encode(&rgb, Some(about)).expect("a picture");
        let decoder = png::Decoder::new(std::io::Cursor::new(&image.png));
        let mut reader = decoder.read_info().expect("a PNG file");
        let mut pixels = vec![0; 6];
        reader.next_frame(&mut pixels).expect("pixels");
        assert_eq!((pixels, image.width, image.height), (rgb.bytes, 2, 1));
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
