//! Decoding a large latent tile by tile, on one peer or on many: tiles overlap, and where they do one fades into the other.

use crate::error::Error;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

/// One tile, in pixels of the latent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tile {
    /// Rows that are decoded.
    pub rows: Range<usize>,
    /// Columns that are decoded.
    pub columns: Range<usize>,
}

/// Tiles of `side` pixels that cover a latent, neighbours sharing `overlap` pixels (more at the far edges, where the last
/// tile is moved back so that all have the same size).
///
/// # Errors
/// [`Error::Picture`] if a tile would be empty or nothing but overlap.
pub fn tiles([height, width]: [usize; 2], side: usize, overlap: usize) -> Result<Vec<Tile>, Error> {
    if height == 0 || width == 0 || 2 * overlap >= side {
        return Err(Error::Picture(format!(
            "tiles of {side} with {overlap} in common for a latent of {width}×{height}: less than half of a tile may overlap"
        )));
    }
    let rows = spans(height, side, overlap);
    let columns = spans(width, side, overlap);
    let all = rows
        .iter()
        .flat_map(|rows| columns.iter().map(|columns| Tile { rows: rows.clone(), columns: columns.clone() }));
    Ok(all.collect())
}

fn spans(length: usize, side: usize, overlap: usize) -> Vec<Range<usize>> {
    if length <= side {
        return std::iter::once(0..length).collect();
    }
    let count = (length - overlap).div_ceil(side - overlap);
    (0..count).map(|i| (i * (side - overlap)).min(length - side)).map(|from| from..from + side).collect()
}

impl Tile {
    /// Its part of a latent.
    ///
    /// # Shapes
    /// - `latent`: `[channels, height, width]`, of which `size` is height and width
    /// - result: `[channels, rows, columns]`
    ///
    /// # Panics
    /// If the tile is not inside.
    #[must_use]
    pub fn cut(&self, latent: &[f32], [height, width]: [usize; 2]) -> Vec<f32> {
        let planes = latent.chunks_exact(height * width);
        let rows = planes.flat_map(|plane| self.rows.clone().map(move |row| &plane[row * width..][..width]));
        rows.flat_map(|row| &row[self.columns.clone()]).copied().collect()
    }

    /// Height and width.
    #[must_use]
    pub fn size(&self) -> [usize; 2] {
        [self.rows.len(), self.columns.len()]
    }
}

/// A picture that is put together from decoded tiles, in whatever order they come: always the same pixels.
#[derive(Debug, Clone)]
pub struct Canvas {
    tiles: Vec<Tile>,
    /// Pixels of the picture to one of the latent.
    factor: usize,
    channels: usize,
    size: [usize; 2],
    pixels: Vec<f32>,
    /// Tiles that came before those in front of them.
    waiting: BTreeMap<usize, Vec<f32>>,
    next: usize,
}

impl Canvas {
    /// An empty canvas for the picture that `tiles` (as [`tiles`] lists them) of a latent of this size become.
    #[must_use]
    pub fn new(tiles: Vec<Tile>, [height, width]: [usize; 2], channels: usize, factor: usize) -> Self {
        let size = [height * factor, width * factor];
        let pixels = vec![0.0; channels * size[0] * size[1]];
        Self { tiles, factor, channels, size, pixels, waiting: BTreeMap::new(), next: 0 }
    }

    /// Takes a decoded tile; one that was taken before is ignored.
    ///
    /// # Shapes
    /// - `pixels`: `[channels, rows · factor, columns · factor]`
    ///
    /// # Errors
    /// [`Error::Picture`] if there is no such tile, or it has other pixels, or one that is no finite number.
    pub fn add(&mut self, number: usize, pixels: Vec<f32>) -> Result<(), Error> {
        let bad = |why: String| Err(Error::Picture(format!("tile {number}: {why}")));
        let Some(tile) = self.tiles.get(number) else {
            return bad(format!("there are {}", self.tiles.len()));
        };
        let expected = self.channels * tile.rows.len() * tile.columns.len() * self.factor * self.factor;
        if pixels.len() != expected {
            return bad(format!("{} numbers, {expected} were expected", pixels.len()));
        }
        if let Some(index) = pixels.iter().position(|value| !value.is_finite()) {
            return bad(format!("number {index} is not finite"));
        }
        if number >= self.next {
            self.waiting.entry(number).or_insert(pixels);
        }
        // Sums are made in the order of the tiles, whichever came first.
        while let Some(pixels) = self.waiting.remove(&self.next) {
            self.blend(self.next, &pixels);
            self.next += 1;
        }
        Ok(())
    }

    /// The picture, `[channels, height, width]`; none while tiles are missing.
    #[must_use]
    pub fn finish(self) -> Option<Vec<f32>> {
        (self.next == self.tiles.len()).then_some(self.pixels)
    }

    fn blend(&mut self, number: usize, pixels: &[f32]) {
        let tile = &self.tiles[number];
        let factor = self.factor;
        let rows = weights(self.tiles.iter().map(|tile| &tile.rows), &tile.rows, factor);
        let columns = weights(self.tiles.iter().map(|tile| &tile.columns), &tile.columns, factor);
        let [height, width] = self.size;
        let lines = pixels.chunks_exact(columns.len()).enumerate();
        for (line, pixels) in lines {
            let (plane, row) = (line / rows.len(), line % rows.len());
            let from =
                (plane * height + tile.rows.start * factor + row) * width + tile.columns.start * factor;
            let to = &mut self.pixels[from..from + columns.len()];
            for ((to, pixel), column) in to.iter_mut().zip(pixels).zip(&columns) {
                *to += rows[row] * column * pixel;
            }
        }
    }
}

/// How much each pixel of `own` counts along one axis: 1, but for what it shares with others, where each fades towards its
/// ends and all together count 1.
fn weights<'a>(all: impl Iterator<Item = &'a Range<usize>>, own: &Range<usize>, factor: usize) -> Vec<f32> {
    let spans: BTreeSet<(usize, usize)> = all.map(|span| (span.start, span.end)).collect();
    let (first, last) = (spans.first().map_or(0, |span| span.0), spans.last().map_or(0, |span| span.1));
    // Nothing fades towards the edges of the picture. Halfway between pixels, so that no weight is 0.
    let raw = |(start, end): (usize, usize), pixel: usize| -> f32 {
        let inside = |edge: bool, pixels: usize| if edge { usize::MAX } else { 2 * pixels + 1 };
        let (start, end) = (start * factor, end * factor);
        if !(start..end).contains(&pixel) {
            return 0.0;
        }
        let before = inside(start == first * factor, pixel - start);
        before.min(inside(end == last * factor, end - 1 - pixel)).min(1 << 20) as f32
    };
    let weight = |pixel: usize| {
        let total: f32 = spans.iter().map(|span| raw(*span, pixel)).sum();
        raw((own.start, own.end), pixel) / total
    };
    (own.start * factor..own.end * factor).map(weight).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::uniform;

    #[test]
    fn tiles_cover_everything_and_have_one_size() {
        for (height, width, side, overlap) in [(8, 8, 8, 2), (9, 30, 8, 2), (5, 64, 16, 7), (17, 16, 16, 1)] {
            let all = tiles([height, width], side, overlap).unwrap();
            let covered = |row: usize, column: usize| {
                all.iter().any(|tile| tile.rows.contains(&row) && tile.columns.contains(&column))
            };
            assert!((0..height * width).all(|i| covered(i / width, i % width)), "{height}×{width}");
            assert!(all.iter().all(|tile| tile.size() == [side.min(height), side.min(width)]));
        }
        assert!(tiles([8, 8], 4, 2).is_err() && tiles([0, 8], 4, 1).is_err());
    }

    /// A decoder that only repeats pixels has no seams: what comes out is what went in, in any order.
    #[test]
    fn tiles_add_up_to_the_picture_in_any_order() {
        for (height, width, side, overlap) in [(9, 30, 8, 2), (10, 13, 8, 3), (6, 6, 8, 2)] {
            let latent: Vec<f32> = (0..2 * height * width).map(|i| uniform(3, i as u64) as f32).collect();
            let all = tiles([height, width], side, overlap).unwrap();
            let put_together = |order: &[usize]| {
                let mut canvas = Canvas::new(all.clone(), [height, width], 2, 1);
                for number in order {
                    canvas.add(*number, all[*number].cut(&latent, [height, width])).unwrap();
                }
                canvas.finish().unwrap()
            };
            let forward: Vec<usize> = (0..all.len()).collect();
            let backward: Vec<usize> = forward.iter().rev().copied().collect();
            let found = put_together(&forward);
            let worst = found.iter().zip(&latent).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
            assert!(worst < 1e-6, "{height}×{width}: off by {worst}");
            assert_eq!(found, put_together(&backward), "the order must not matter");
        }
    }

    #[test]
    fn bad_tiles_are_refused() {
        let all = tiles([4, 8], 4, 1).unwrap();
        let mut canvas = Canvas::new(all.clone(), [4, 8], 1, 2);
        assert!(canvas.add(all.len(), vec![0.0; 64]).is_err(), "no such tile");
        assert!(canvas.add(0, vec![0.0; 63]).is_err(), "too few pixels");
        assert!(canvas.add(0, vec![f32::NAN; 64]).is_err(), "no numbers");
        assert!(canvas.finish().is_none(), "tiles are missing");
    }
}
