//! A picture model's files, and the parts of it that are in memory.

mod pieces;

use super::image::{self, About};
use super::model::{block_format, range};
use super::reading::{self, Reading};
use crate::compute::files::{Bringing, Checked, Files};
use crate::compute::source::{name, quantised};
use crate::compute::{Canvas, Easel, Image};
use crate::painting::PaintRequest;
use coordinator::io::{self, ModelSpec, Offer, Part, Shape, Speed};
use coordinator::{JobId, Layers, Lease, ModelId, limits};
use kernels::Error;
use kernels::device::Opened;
use kernels::diffusion::folder::Folder;
use kernels::diffusion::{self, Order, Painting, clean};
use kernels::tokenizer::Tokenizer;
use kernels::weights::ByteRange;

/// Bytes of what computes modulations from which it is not kept in memory: a table is made of it for each schedule, for which it is
/// read once more. Source: guess; small models are held whole, so that nobody waits for their files again.
const TABLED_BYTES: u64 = 64 << 20;

/// What a table of modulations depends on.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Schedule {
    layers: Layers,
    size: [usize; 2],
    steps: usize,
}

/// The engine, where its weights come from, and what the room calls it.
pub struct Painter<F> {
    engine: diffusion::Painter<(JobId, Lease)>,
    /// Whose texts and schedule are ready in the engine.
    open: Vec<(JobId, Lease)>,
    /// The latest table of modulations, and what it is for.
    table: Option<(Schedule, Vec<u8>)>,
    files: F,
    tokenizer: Tokenizer,
    spec: ModelSpec,
    /// The ranges of blocks that were asked for.
    held: Vec<Layers>,
}

/// True if the model with these files paints.
pub async fn paints(files: &impl Files) -> bool {
    files.length("model_index.json").await.is_ok()
}

impl<F: Files> Painter<F> {
    /// Reads the descriptions of the model `source`, a folder; no weights yet.
    pub async fn open(source: &str, files: F, opened: Opened) -> Result<Self, String> {
        Self::tabled_from(TABLED_BYTES, source, files, opened).await
    }

    async fn tabled_from(least_bytes: u64, source: &str, files: F, opened: Opened) -> Result<Self, String> {
        let plain = |error: Error| error.to_string();
        let mut folder = Folder::open(&Checked(&files)).await.map_err(plain)?;
        let (source, quantisation) = quantised(source);
        if let Some(name) = quantisation {
            folder = folder.quantised(block_format(name)).map_err(plain)?;
        }
        let words = files.whole("tokenizer/tokenizer.json").await?;
        let tokenizer = Tokenizer::from_json(&words, folder.text_encoder.0.bos).map_err(plain)?;
        let id = ModelId(folder.id(&words).0);
        let tabled = folder.modulation_bytes().map_err(plain)? >= least_bytes;
        let engine = diffusion::Painter::new(opened, folder, tabled);
        let called = files.called().unwrap_or_else(|| name(source).to_owned());
        let name = quantisation.map(|as_| format!("{called} as {as_}")).unwrap_or(called);
        let spec = spec(name, &engine, id)?;
        Ok(Self { engine, open: Vec::new(), table: None, files, tokenizer, spec, held: Vec::new() })
    }

    /// The model, and how fast this device is with it, which is measured.
    pub async fn offer(&self) -> Result<Offer, String> {
        let pace = self.engine.probe().await.map_err(|error| error.to_string())?;
        let speed = Speed {
            step_micros: pace.step_micros,
            encode_micros: pace.encode_micros,
            decode_micros: pace.decode_micros,
            ..Speed::default()
        };
        Ok(Offer { model: self.spec.clone(), speed })
    }

    /// What the room calls it.
    pub const fn id(&self) -> ModelId {
        self.spec.id
    }

    /// All blocks.
    pub const fn layers(&self) -> Layers {
        self.spec.whole()
    }

    /// The sizes that it paints.
    pub fn easel(&self) -> Easel {
        let number = |side: usize| u32::try_from(side).unwrap_or(u32::MAX);
        let folder = self.engine.folder();
        Easel { base: number(folder.side()), unit: number(folder.unit()) }
    }

    /// What a request takes, or what is wrong with it in plain words.
    pub fn order(&self, request: &PaintRequest) -> Result<Shape, String> {
        let plain = |error: Error| error.to_string();
        request.check()?;
        let (size, _) = self.painting(request, 0)?;
        for text in [&request.prompt, &request.negative] {
            let (found, most) = (self.tokens(text)?.len(), self.most_tokens());
            if found > most {
                return Err(format!("A prompt of {found} tokens; this model reads {most}: make it shorter."));
            }
        }
        let folder = self.engine.folder();
        let (bytes, tiles) = (latent_bytes(folder, size), folder.tiles(size).map_err(plain)?.len());
        if bytes > limits::BLOB_BYTES || tiles > usize::from(limits::TILES) {
            return Err(
                "A picture as large as that does not travel through a room: choose a smaller one.".into()
            );
        }
        Ok(Shape {
            count: request.count,
            steps: request.steps,
            guided: request.guided(),
            tiles: tiles as u16,
            stale: request.patches,
        })
    }

    fn most_tokens(&self) -> usize {
        self.engine.folder().text_encoder.0.context.min(kernels::limits::PROMPT_TOKENS)
    }

    fn tokens(&self, text: &str) -> Result<Vec<u32>, String> {
        self.tokenizer.encode(&clean(text), true).map_err(|error| error.to_string())
    }

    /// One of the pictures that were asked for, before its first step, and the size that it is painted in.
    fn painting(&self, request: &PaintRequest, unit: u16) -> Result<([usize; 2], Painting), String> {
        let folder = self.engine.folder();
        let size = folder.painted_size([request.height as usize, request.width as usize]);
        let order = Order {
            size,
            steps: request.steps.into(),
            guidance: request.guidance,
            seed: request.seed_of(unit),
        };
        Painting::new(folder, order).map(|painting| (size, painting)).map_err(|error| error.to_string())
    }

    /// Brings a part's weights near; see [`Files::bring`].
    pub fn bring(&self, part: Part) -> Option<Bringing> {
        self.files.bring(&reading::of(&self.ranges(part.layers).ok()?))
    }

    fn ranges(&self, layers: Layers) -> Result<Vec<ByteRange>, String> {
        let mut ranges = Vec::new();
        for piece in pieces(&self.engine, layers) {
            ranges.extend(self.engine.ranges(piece).map_err(|error| error.to_string())?);
        }
        Ok(ranges)
    }

    /// Loads a part; `progress` is told the bytes so far and in all.
    pub async fn load(&mut self, part: Part, progress: impl Fn(u64, u64)) -> Result<(), String> {
        let plain = |error: Error| error.to_string();
        let pieces = pieces(&self.engine, part.layers);
        let ranges = self.ranges(part.layers)?;
        let mut reading = Reading::new(&self.files, &ranges, progress);
        for piece in pieces {
            let source = async |range: &ByteRange| reading.read(range).await;
            self.engine.load(piece, source).await.map_err(plain)?;
        }
        self.held.push(part.layers);
        Ok(())
    }

    /// Frees those blocks of a part that no other part holds, and what comes with them.
    pub fn unload(&mut self, Part { layers, .. }: Part) {
        let Some(index) = self.held.iter().position(|held| *held == layers) else { return };
        self.held.swap_remove(index);
        for layer in layers.start..layers.end {
            if !self.held.iter().any(|held| held.start <= layer && layer < held.end) {
                let alone = Layers { start: layer, end: layer + 1 };
                pieces(&self.engine, alone).into_iter().for_each(|piece| self.engine.unload(piece));
            }
        }
    }

    /// Frees what a session holds.
    pub fn forget(&mut self, session: (JobId, Lease)) {
        self.open.retain(|open| *open != session);
        self.engine.forget(&session);
    }

    /// What a picture looks like on its way.
    pub fn preview(&self, canvas: &Canvas<Vec<u8>>) -> Result<Image, String> {
        let asked = [canvas.request.height as usize, canvas.request.width as usize];
        let rgb = self.engine.folder().preview(asked, &canvas.made).map_err(|error| error.to_string())?;
        Ok(image::encode(&rgb, None))
    }

    /// A picture that is painted to the end.
    pub fn assemble(&self, canvas: &Canvas<Vec<Vec<u8>>>) -> Result<Image, String> {
        let asked = [canvas.request.height as usize, canvas.request.width as usize];
        let rgb = self.engine.folder().assemble(asked, &canvas.made).map_err(|error| error.to_string())?;
        let about = About { request: &canvas.request, unit: canvas.unit, model: &self.spec.name };
        Ok(image::encode(&rgb, Some(about)))
    }
}
/// Numbers of the hidden states of a picture of this size.
fn hidden_numbers(folder: &Folder, size: [usize; 2]) -> usize {
    size.iter().map(|side| side / folder.unit()).product::<usize>() * folder.denoiser.0.width
}

type Engine = diffusion::Painter<(JobId, Lease)>;

/// What belongs to some blocks of the denoiser: the text encoder to the first, the decoder to the last.
fn pieces(engine: &Engine, layers: Layers) -> Vec<diffusion::Piece> {
    let folder = engine.folder();
    let encoder = kernels::llm::Layers::new(0, folder.text_encoder.0.layers);
    let last = usize::from(layers.end) == folder.denoiser.0.depth;
    let pieces = [
        (layers.start == 0).then_some(diffusion::Piece::Encoder(encoder)),
        Some(diffusion::Piece::Denoiser(range(layers))),
        last.then_some(diffusion::Piece::Decoder),
    ];
    pieces.into_iter().flatten().collect()
}

fn spec(name: String, engine: &Engine, id: ModelId) -> Result<ModelSpec, String> {
    let folder = engine.folder();
    let layers = u16::try_from(folder.denoiser.0.depth).unwrap_or(u16::MAX);
    let bytes = |layers: Layers| -> Result<u64, String> {
        let mut all = 0;
        for piece in pieces(engine, layers) {
            let ranges = engine.ranges(piece).map_err(|error| error.to_string())?;
            all += ranges.iter().map(ByteRange::kept_bytes).sum::<u64>();
        }
        Ok(all)
    };
    let all = bytes(Layers { start: 0, end: layers })?;
    // A block in the middle has no end; a model of two is all ends.
    let layer_bytes =
        if layers < 3 { all / u64::from(layers.max(1)) } else { bytes(Layers { start: 1, end: 2 })? };
    let size = [folder.side(); 2];
    let number = |bytes: usize| u32::try_from(bytes).unwrap_or(u32::MAX);
    let hidden = hidden_numbers(folder, size) * 4;
    Ok(ModelSpec {
        id,
        kind: io::Kind::Picture,
        name,
        layers,
        layer_bytes,
        ends_bytes: all.saturating_sub(layer_bytes * u64::from(layers)),
        context: 0,
        hidden_bytes: number(latent_bytes(folder, size)),
        block_bytes: number(hidden),
        // Keys and values in every block, with the prompt and without.
        context_bytes: number(hidden.saturating_mul(4 * folder.denoiser.0.depth)),
    })
}

/// Bytes of the latent of a picture of this size.
fn latent_bytes(folder: &Folder, size: [usize; 2]) -> usize {
    let config = &folder.denoiser.0;
    size.iter().map(|side| side / folder.unit() * config.patch).product::<usize>() * config.channels * 4
}
