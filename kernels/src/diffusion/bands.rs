//! A picture cut into bands of rows, each of which is denoised by another peer. Lossy, and faster where a link carries it.
//!
//! In every block a band attends to itself as it is and to the other bands as they were some steps before, whose keys and
//! values were on their way meanwhile (DistriFusion, Li et al. 2024: neighbouring steps differ little). Where those are of the
//! same step it is the whole picture's step.

use crate::diffusion::denoiser::{self, Around, Keys};
use crate::diffusion::painter::{Moment, Painter, Side, finite};
use crate::diffusion::painting::{from_bytes, to_bytes};
use crate::error::Error;
use crate::llm::read_back;
use burn::tensor::{Tensor, TensorData};
use std::ops::Range;

/// One of several bands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Band {
    /// Which, from the top.
    pub part: usize,
    /// How many there are.
    pub of: usize,
}

impl Band {
    /// How many tokens it is of, of a picture of so many rows and columns of them.
    #[must_use]
    pub fn tokens(self, [rows, columns]: [usize; 2]) -> usize {
        self.rows(rows).len() * columns
    }

    /// Its rows, of so many rows of tokens.
    fn rows(self, all: usize) -> Range<usize> {
        self.part * all / self.of..(self.part + 1) * all / self.of
    }

    /// # Errors
    /// [`Error::Picture`] if there is no such band, or a band has no row.
    fn check(self, rows: usize) -> Result<(), Error> {
        if self.part < self.of && self.of <= rows {
            return Ok(());
        }
        Err(Error::Picture(format!(
            "band {} of {} of a picture of {rows} rows of patches",
            self.part, self.of
        )))
    }
}

/// Keys and values of a whole picture in every block of a session, from one step and one of its texts.
#[derive(Debug, Clone)]
pub struct Context {
    blocks: Vec<Keys>,
    /// Rows and columns of tokens.
    grid: [usize; 2],
}

impl Context {
    /// What the others have to be told of a band: for each block keys, then values, `[tokens, width]` little-endian f32.
    ///
    /// # Errors
    /// [`Error::Picture`] if there is no such band; [`Error::Device`].
    pub async fn of(&self, band: Band) -> Result<Vec<u8>, Error> {
        let [rows, columns] = self.grid;
        band.check(rows)?;
        let rows = band.rows(rows);
        let (from, count) = (rows.start * columns, rows.len() * columns);
        to_context(self.blocks.iter().map(|keys| keys.clone().map(|all| all.narrow(1, from, count)))).await
    }
}

async fn to_context(blocks: impl Iterator<Item = Keys>) -> Result<Vec<u8>, Error> {
    let mut bytes = Vec::new();
    for part in blocks.flatten() {
        bytes.extend(to_bytes(&read_back(part).await?));
    }
    Ok(bytes)
}

impl<K: Ord + Clone> Painter<K> {
    /// [`Painter::denoise`] of a whole picture by all blocks, which keeps what bands will be told of it.
    ///
    /// # Errors
    /// As [`Painter::denoise`].
    pub async fn denoise_keeping(
        &self,
        session: &K,
        step: usize,
        side: Side,
        latent: &[u8],
    ) -> Result<(Vec<u8>, Context), Error> {
        let (x, at) = (self.enter(session, latent)?, self.moment(session, step, side)?);
        self.check_whole(&at)?;
        let Moment { session, text, modulations } = at;
        let (out, blocks) = self.denoiser.run(session.layers, x, text, &modulations, &session.positions, &[]);
        let context = Context { blocks, grid: session.grid(self.denoiser.config()) };
        Ok((finite(self.leave(session, out)).await?, context))
    }

    /// One step of one band by all blocks: what the denoiser says of its rows of the latent, and its context.
    /// `others` are the contexts of the other bands, from the top, as [`Context::of`] or this makes them.
    ///
    /// # Errors
    /// As [`Painter::denoise`]; [`Error::Picture`] if there is no such band, or the contexts are others than those.
    pub async fn denoise_band(
        &self,
        session: &K,
        step: usize,
        side: Side,
        latent: &[u8],
        band: Band,
        others: &[&[u8]],
    ) -> Result<[Vec<u8>; 2], Error> {
        let (x, at) = (self.enter(session, latent)?, self.moment(session, step, side)?);
        self.check_whole(&at)?;
        let Moment { session, text, modulations } = at;
        let [rows, columns] = session.grid(self.denoiser.config());
        band.check(rows)?;
        let around = self.around(band, [rows, columns], session.layers.range().len(), others)?;
        let own = band.rows(rows);
        let x = x.narrow(1, own.start * columns, own.len() * columns);
        let positions = session.positions.rows(own, columns);
        let (out, keys) = self.denoiser.run(session.layers, x, text, &modulations, &positions, &around);
        let context = to_context(keys.into_iter()).await?;
        Ok([finite(self.leave(session, out)).await?, context])
    }

    fn check_whole(&self, at: &Moment<'_>) -> Result<(), Error> {
        let (found, depth) = (at.session.layers, self.denoiser.config().depth);
        if found.start == 0 && found.end == depth {
            return Ok(());
        }
        Err(Error::Picture(format!("bands are denoised by all {depth} blocks; there are {found} here")))
    }

    /// What each block is told, from the contexts of the other bands.
    fn around(
        &self,
        band: Band,
        [rows, columns]: [usize; 2],
        blocks: usize,
        others: &[&[u8]],
    ) -> Result<Vec<Around>, Error> {
        if others.len() + 1 != band.of {
            let (found, expected) = (others.len(), band.of - 1);
            return Err(Error::Picture(format!("contexts of {found} bands; there are {expected} others")));
        }
        let config = self.denoiser.config();
        let parts = (0..band.of).filter(|part| *part != band.part);
        let mut all = vec![Around::default(); blocks];
        for (part, bytes) in parts.zip(others) {
            let tokens = Band { part, ..band }.tokens([rows, columns]);
            let values = from_bytes(bytes, blocks * 2 * tokens * config.width)?;
            for (around, keys) in all.iter_mut().zip(self.keys(config, tokens, &values)) {
                let side = if part < band.part { &mut around.before } else { &mut around.after };
                *side = Some(match side.take() {
                    Some(before) => join(before, keys),
                    None => keys,
                });
            }
        }
        Ok(all)
    }

    /// Keys and values of each block.
    fn keys<'a>(
        &'a self,
        config: &denoiser::Config,
        tokens: usize,
        values: &'a [f32],
    ) -> impl Iterator<Item = Keys> + 'a {
        let (width, numbers) = (config.width, tokens * config.width);
        let tensor = move |values: &[f32]| {
            let data = TensorData::new(values.to_vec(), [1, tokens, width]);
            Tensor::<3>::from_data(data, &self.opened.device)
        };
        values
            .chunks_exact(2 * numbers)
            .map(move |block| [tensor(&block[..numbers]), tensor(&block[numbers..])])
    }
}

fn join([keys, values]: Keys, [more_keys, more_values]: Keys) -> Keys {
    [Tensor::cat(vec![keys, more_keys], 1), Tensor::cat(vec![values, more_values], 1)]
}
