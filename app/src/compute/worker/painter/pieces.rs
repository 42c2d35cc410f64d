//! The pieces of pictures that a painter runs: each from what it is given alone.

use super::{Painter, Schedule, hidden_numbers};
use crate::compute::files::Files;
use crate::compute::worker::model::range;
use crate::painting::PaintRequest;
use coordinator::io::{Chunk, ChunkOutput, Piece, Task};
use coordinator::{JobId, Layers, Lease};
use kernels::Error;
use kernels::diffusion::{self, Band, Painting, Side, Sitting};
use kernels::weights::ByteRange;
use std::ops::Range;

impl<F: Files> Painter<F> {
    /// Runs a chunk. A refused one is the coordinator's business; a failed device is the end of this worker (the outer error).
    /// Between two passes `working` is called.
    pub async fn run(
        &mut self,
        chunk: &Chunk,
        working: &dyn Fn(),
    ) -> Result<Result<ChunkOutput, String>, String> {
        let Task::Piece { piece, unit, settings, inputs } = &chunk.task else {
            return Ok(Err("a model that paints was asked to write".into()));
        };
        let Some(request) = PaintRequest::from_bytes(settings) else {
            return Ok(Err("what is to be painted is not readable".into()));
        };
        let inputs: Vec<&[u8]> = inputs.iter().map(Vec::as_slice).collect();
        let session = (chunk.job, chunk.lease);
        let at = Place { session, layers: chunk.layers, unit: *unit, request: &request, working };
        Ok(match self.piece(*piece, &at, &inputs).await {
            Err(Trouble::Device(cause)) => return Err(cause),
            Err(Trouble::Failed(why)) => Err(why),
            Err(Trouble::Input(input, reason)) => Ok(ChunkOutput::Refused { input, reason }),
            Ok(output) => Ok(output),
        })
    }

    async fn piece(
        &mut self,
        piece: Piece,
        at: &Place<'_>,
        inputs: &[&[u8]],
    ) -> Result<ChunkOutput, Trouble> {
        match (piece, inputs) {
            (Piece::Warm { step, part, of }, [encoding, latent @ ..]) => {
                self.sit(at, encoding).await?;
                self.warm(at, step, Band { part: part.into(), of: of.into() }, latent).await
            }
            (Piece::Patch { step, part, of }, [encoding, latent, others @ ..]) => {
                self.sit(at, encoding).await?;
                let band = Band { part: part.into(), of: of.into() };
                self.patch(at, step, band, latent, others).await
            }
            _ => Ok(ChunkOutput::Piece(self.whole_piece(piece, at, inputs).await?)),
        }
    }

    /// The pieces that are of the whole picture, and have one output.
    async fn whole_piece(
        &mut self,
        piece: Piece,
        at: &Place<'_>,
        inputs: &[&[u8]],
    ) -> Result<Vec<u8>, Trouble> {
        match (piece, inputs) {
            (Piece::Encode, []) => self.encode(at.request).await,
            (Piece::Steps { from, to }, [encoding, latent @ ..]) => {
                self.sit(at, encoding).await?;
                self.steps(at, from..to, latent).await
            }
            (Piece::Half { step, prompted }, [encoding, latent @ ..]) => {
                self.sit(at, encoding).await?;
                let painting = self.resume(at, step, (1, latent))?;
                Ok(self.engine.denoise(&at.session, step.into(), side(prompted), &painting.latent()).await?)
            }
            (Piece::Blocks { step, prompted }, [encoding, input @ ..]) => {
                self.sit(at, encoding).await?;
                let input = match input {
                    [hidden] if at.layers.start > 0 => {
                        let (size, _) = self.painting(at.request, at.unit)?;
                        numbers(1, hidden, hidden_numbers(self.engine.folder(), size))?;
                        hidden.to_vec()
                    }
                    latent => self.resume(at, step, (1, latent))?.latent(),
                };
                Ok(self.engine.denoise(&at.session, step.into(), side(prompted), &input).await?)
            }
            (Piece::Join { step }, inputs) => {
                let (latent, said) = inputs.split_at(inputs.len().min(usize::from(step > 0)));
                let mut painting = self.resume(at, step, (0, latent))?;
                let expected = painting.latent().len() / 4;
                for (place, half) in (latent.len()..).zip(said) {
                    numbers(place, half, expected)?;
                }
                let (with, without) = said.split_first().ok_or_else(|| odd(piece, inputs))?;
                painting.advance(with, without.first().copied())?;
                Ok(painting.latent())
            }
            (Piece::Stitch { step, of }, [latent, bands @ ..]) => {
                let mut painting = self.resume(at, step, (0, &[latent]))?;
                let grid = self.grid(at)?;
                let of_token = painting.latent().len() / 4 / (grid[0] * grid[1]);
                for (part, band) in bands.iter().enumerate() {
                    let tokens = Band { part, of: of.into() }.tokens(grid);
                    numbers(1 + part, band, tokens * of_token)?;
                }
                painting.advance_by_bands(bands)?;
                Ok(painting.latent())
            }
            (Piece::Decode { tile }, [latent]) => {
                let (size, painting) = self.painting(at.request, at.unit)?;
                numbers(0, latent, painting.latent().len() / 4)?;
                Ok(self.engine.decode_tile(latent, size, tile.into()).await?)
            }
            _ => Err(odd(piece, inputs)),
        }
    }

    /// Rows of both texts, as far as they are needed.
    async fn encode(&self, request: &PaintRequest) -> Result<Vec<u8>, Trouble> {
        let with = self.rows(&request.prompt).await?;
        let without = if request.guided() { self.rows(&request.negative).await? } else { Vec::new() };
        Ok([&(with.len() as u32).to_le_bytes()[..], &with, &without].concat())
    }

    async fn rows(&self, text: &str) -> Result<Vec<u8>, Trouble> {
        let tokens = self.tokens(text)?;
        let files = &self.files;
        let source = async |range: &ByteRange| files.range(&range.file, range.range.clone()).await;
        Ok(self.engine.encode(&tokens, source).await?)
    }

    /// Prepares the engine for a picture, unless it is.
    async fn sit(&mut self, at: &Place<'_>, encoding: &[u8]) -> Result<(), Trouble> {
        if self.open.contains(&at.session) {
            return Ok(());
        }
        let texts = encoding
            .split_first_chunk()
            .and_then(|(length, rows)| rows.split_at_checked(u32::from_le_bytes(*length) as usize));
        let Some((with, without)) = texts else {
            return Err(Trouble::Input(0, "an encoding that breaks off".into()));
        };
        for text in [with, without] {
            numbers(0, text, text.len() / 4)?;
        }
        let (size, _) = self.painting(at.request, at.unit)?;
        let schedule = Schedule { layers: at.layers, size, steps: at.request.steps.into() };
        self.tabulate(schedule).await?;
        let sitting = Sitting {
            layers: range(at.layers),
            size,
            steps: schedule.steps,
            with: Some(with),
            without: at.request.guided().then_some(without),
            modulations: self.table.as_ref().map(|(_, table)| table.as_slice()),
        };
        self.engine.open(at.session, &sitting)?;
        self.open.push(at.session);
        Ok(())
    }

    /// Rows and columns of the picture's tokens.
    fn grid(&self, at: &Place<'_>) -> Result<[usize; 2], Trouble> {
        let (size, _) = self.painting(at.request, at.unit)?;
        Ok(size.map(|side| side / self.engine.folder().unit()))
    }

    /// Has the table of a schedule at hand, if these blocks need one.
    async fn tabulate(&mut self, schedule: Schedule) -> Result<(), Trouble> {
        let layers = range(schedule.layers);
        if !self.engine.needs_table() || self.table.as_ref().is_some_and(|(of, _)| *of == schedule) {
            return Ok(());
        }
        let files = &self.files;
        let source = async |range: &ByteRange| files.range(&range.file, range.range.clone()).await;
        let table = self.engine.tabulate(layers, schedule.size, schedule.steps, source).await?;
        self.table = Some((schedule, table));
        Ok(())
    }

    /// The picture as it is before a step: from the latent, or from noise before the first.
    fn resume(
        &self,
        at: &Place<'_>,
        step: u16,
        (place, latent): (usize, &[&[u8]]),
    ) -> Result<Painting, Trouble> {
        let (_, mut painting) = self.painting(at.request, at.unit)?;
        match (step, latent) {
            (0, []) => {}
            (1.., [latent]) => {
                numbers(place, latent, painting.latent().len() / 4)?;
                painting.restore(&[&u32::from(step).to_le_bytes()[..], latent].concat())?;
            }
            _ => return Err("a step without the latent before it".to_owned().into()),
        }
        Ok(painting)
    }

    async fn steps(&self, at: &Place<'_>, steps: Range<u16>, latent: &[&[u8]]) -> Result<Vec<u8>, Trouble> {
        let mut painting = self.resume(at, steps.start, (1, latent))?;
        for step in steps.map(usize::from) {
            let before = painting.latent();
            let with = self.engine.denoise(&at.session, step, Side::With, &before).await?;
            let without = match painting.is_guided() {
                true => Some(self.engine.denoise(&at.session, step, Side::Without, &before).await?),
                false => None,
            };
            painting.advance(&with, without.as_deref())?;
            (at.working)();
        }
        Ok(painting.latent())
    }

    /// A whole step that keeps what the band here has to be told of the others: latent, and their contexts from the top.
    async fn warm(
        &self,
        at: &Place<'_>,
        step: u16,
        band: Band,
        latent: &[&[u8]],
    ) -> Result<ChunkOutput, Trouble> {
        let mut painting = self.resume(at, step, (1, latent))?;
        let before = painting.latent();
        let (mut said, mut contexts) = (Vec::new(), Vec::new());
        for side in sides(at.request) {
            let (velocity, context) =
                self.engine.denoise_keeping(&at.session, step.into(), *side, &before).await?;
            said.push(velocity);
            contexts.push(context);
        }
        painting.advance(&said[0], said.get(1).map(Vec::as_slice))?;
        let mut outputs = vec![painting.latent()];
        for part in (0..band.of).filter(|part| *part != band.part) {
            let mut both = Vec::new();
            for context in &contexts {
                both.push(context.of(Band { part, ..band }).await?);
            }
            outputs.push(both.concat());
        }
        Ok(ChunkOutput::Pieces(outputs))
    }

    /// A step of one band, told of the `others`: what is said of it, guidance included, and its own context.
    async fn patch(
        &self,
        at: &Place<'_>,
        step: u16,
        band: Band,
        latent: &[u8],
        others: &[&[u8]],
    ) -> Result<ChunkOutput, Trouble> {
        let before = self.resume(at, step, (1, &[latent]))?.latent();
        let (sides, grid) = (sides(at.request), self.grid(at)?);
        let config = &self.engine.folder().denoiser.0;
        let of_token = sides.len() * config.depth * 2 * config.width;
        let parts = (0..band.of).filter(|part| *part != band.part);
        for ((place, part), context) in (2..).zip(parts).zip(others) {
            numbers(place, context, Band { part, ..band }.tokens(grid) * of_token)?;
        }
        let (mut said, mut own) = (Vec::new(), Vec::new());
        for (number, side) in sides.iter().enumerate() {
            // The contexts of both branches follow one another and are of one size.
            let of_side = |context: &&[u8]| {
                let size = context.len() / sides.len();
                context[number * size..(number + 1) * size].to_vec()
            };
            let told: Vec<Vec<u8>> = others.iter().map(of_side).collect();
            let told: Vec<&[u8]> = told.iter().map(Vec::as_slice).collect();
            let [velocity, context] =
                self.engine.denoise_band(&at.session, step.into(), *side, &before, band, &told).await?;
            said.push(velocity);
            own.push(context);
        }
        let guided = match said.as_slice() {
            [with, without] => guided(with, without, at.request.guidance),
            _ => said.concat(),
        };
        Ok(ChunkOutput::Pieces(vec![guided, own.concat()]))
    }
}

/// Which picture of which job a piece belongs to, and the blocks that are run here.
struct Place<'a> {
    session: (JobId, Lease),
    layers: Layers,
    unit: u16,
    request: &'a PaintRequest,
    working: &'a dyn Fn(),
}

/// Why a piece was not run.
enum Trouble {
    /// It cannot be run, here or in this form.
    Failed(String),
    /// The input at this place is no good.
    Input(u32, String),
    /// The device failed.
    Device(String),
}

impl From<String> for Trouble {
    fn from(why: String) -> Self {
        Self::Failed(why)
    }
}

impl From<Error> for Trouble {
    fn from(error: Error) -> Self {
        match error {
            Error::Device(cause) => Self::Device(cause),
            other => Self::Failed(other.to_string()),
        }
    }
}

fn odd(piece: Piece, inputs: &[&[u8]]) -> Trouble {
    Trouble::Failed(format!("{piece:?} with {} inputs", inputs.len()))
}

/// The branches that a picture takes.
fn sides(request: &PaintRequest) -> &'static [Side] {
    if request.guided() { &[Side::With, Side::Without] } else { &[Side::With] }
}

fn guided(with: &[u8], without: &[u8], guidance: f32) -> Vec<u8> {
    let floats = |bytes: &[u8]| bytes.as_chunks().0.iter().map(|four| f32::from_le_bytes(*four)).collect();
    let (with, mut both): (Vec<f32>, Vec<f32>) = (floats(with), floats(without));
    diffusion::guide(&mut both, &with, guidance);
    both.iter().flat_map(|value| value.to_le_bytes()).collect()
}

const fn side(prompted: bool) -> Side {
    if prompted { Side::With } else { Side::Without }
}

/// An error unless the input at this place has so many numbers, all of which are finite.
fn numbers(place: usize, bytes: &[u8], expected: usize) -> Result<(), Trouble> {
    let bad = |why: String| Err(Trouble::Input(place as u32, why));
    let (numbers, rest) = bytes.as_chunks::<4>();
    if numbers.len() != expected || !rest.is_empty() {
        return bad(format!("{} bytes where {} are expected", bytes.len(), expected * 4));
    }
    match numbers.iter().position(|number| !f32::from_le_bytes(*number).is_finite()) {
        Some(at) => bad(format!("number {at} is no finite number")),
        None => Ok(()),
    }
}

#[cfg(all(test, not(target_arch = "wasm32")))]
mod tests;
