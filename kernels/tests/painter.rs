//! The painter that ships paints what it is asked for.

mod common;

use common::block_on;
use kernels::device::Opened;
use kernels::diffusion::folder::Folder;
use kernels::diffusion::{Order, Painter, Painting, Piece, Side, Sitting};
use kernels::llm::Layers;
use kernels::tokenizer::Tokenizer;
use kernels::weights::{ByteRange, Files};
use std::fs;
use std::ops::Range;
use std::path::PathBuf;

const SIDE: usize = 48;
/// What the folder may weigh, bytes: it comes with the page.
const MOST_BYTES: u64 = 8 << 20;

struct Shipped(PathBuf);

impl Shipped {
    fn new() -> Self {
        Self(PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../assets/painter"))
    }

    fn part(&self, name: &str, range: Range<u64>) -> Result<Vec<u8>, String> {
        let all = fs::read(self.0.join(name)).map_err(|error| format!("{name}: {error}"))?;
        let part = all.get(range.start as usize..range.end as usize);
        part.map(<[u8]>::to_vec).ok_or_else(|| format!("{name} is too short"))
    }

    fn bytes(folder: &PathBuf) -> u64 {
        let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
        entries
            .map(|path| if path.is_dir() { Self::bytes(&path) } else { path.metadata().unwrap().len() })
            .sum()
    }
}

impl Files for Shipped {
    async fn length(&self, name: &str) -> Result<u64, String> {
        fs::metadata(self.0.join(name)).map(|file| file.len()).map_err(|error| format!("{name}: {error}"))
    }

    async fn read(&self, name: &str, range: Range<u64>) -> Result<Vec<u8>, String> {
        self.part(name, range)
    }
}

/// A picture by the way that the app goes: 3 × SIDE × SIDE numbers from −1 to 1.
fn paint(files: &Shipped, prompt: &str, order: Order) -> Vec<f32> {
    let folder = block_on(Folder::open(files)).unwrap();
    let tokenizer = fs::read(files.0.join("tokenizer/tokenizer.json")).unwrap();
    let tokenizer = Tokenizer::from_json(&tokenizer, None).unwrap();
    let layers = Layers::new(0, folder.denoiser.0.depth);
    let encoder = Piece::Encoder(Layers::new(0, folder.text_encoder.0.layers));
    let mut painting = Painting::new(&folder, order).unwrap();
    let mut painter: Painter<u8> = Painter::new(Opened::cpu(), folder, false);
    let source = async |range: &ByteRange| files.part(&range.file, range.range.clone());
    for piece in [encoder, Piece::Denoiser(layers)] {
        block_on(painter.load(piece, source)).unwrap();
    }
    let rows = |text: &str| block_on(painter.encode(&tokenizer.encode(text, true).unwrap(), source)).unwrap();
    let (with, without) = (rows(prompt), rows(""));
    let (with, without) = (Some(&with[..]), Some(&without[..]));
    painter
        .open(0, &Sitting { layers, size: order.size, steps: order.steps, with, without, modulations: None })
        .unwrap();
    while !painting.is_done() {
        let half = |side| block_on(painter.denoise(&0, painting.step(), side, &painting.latent())).unwrap();
        let (with, without) = (half(Side::With), half(Side::Without));
        painting.advance(&with, Some(&without)).unwrap();
    }
    painting.latent().as_chunks::<4>().0.iter().map(|four| f32::from_le_bytes(*four)).collect()
}

/// Rows: what is asked for, and the mean of red, green and blue in the middle, from −1 to 1, that it was trained with.
#[test]
fn the_shipped_painter_paints_what_it_is_asked_for() {
    let files = Shipped::new();
    assert!(Shipped::bytes(&files.0) <= MOST_BYTES, "{} bytes", Shipped::bytes(&files.0));
    let rows: [(&str, [f32; 3]); 3] = [
        ("a large red circle in the middle", [0.73, -0.69, -0.69]),
        ("a large blue square in the middle", [-0.65, -0.37, 0.69]),
        ("a large yellow heart in the middle", [0.92, 0.73, -0.61]),
    ];
    for (prompt, expected) in rows {
        let order = Order { size: [SIDE; 2], steps: 10, guidance: 3.0, seed: 1 };
        let planes = paint(&files, prompt, order);
        for (channel, expected) in expected.into_iter().enumerate() {
            let middle = (21..27).flat_map(|y| (21..27).map(move |x| (y, x)));
            let sum: f32 = middle.map(|(y, x)| planes[(channel * SIDE + y) * SIDE + x]).sum();
            let mean = sum / 36.0;
            assert!((mean - expected).abs() < 0.35, "{prompt}: {mean} for {expected} in channel {channel}");
        }
    }
}
