//! A matrix on its way to the device, a few rows at a time, so that no copy of all of it is ever needed.

use super::layout::{Layout, VECTOR};
use super::{Packed, Piece};
use crate::limits;
use crate::ops::gpu::{Error, Gpu};
use crate::quant::Format;
use burn_cubecl::cubecl::bytes::Bytes;
use burn_cubecl::cubecl::server::Handle;

/// Rows of one piece. Source: 65,535 workgroups of at least four outputs each.
const PIECE_ROWS: usize = 1 << 17;

/// Takes the rows of a matrix in order.
#[derive(Debug)]
pub struct Upload {
    packed: Packed,
    /// Rows that have arrived.
    filled: usize,
}

impl Upload {
    /// Room for `rows` rows of `cols` weights.
    ///
    /// # Errors
    /// If the format has no kernel, a row is not whole blocks, or there are more rows or columns than
    /// [`limits`] allow.
    pub fn new(gpu: &Gpu, format: Format, rows: usize, cols: usize) -> Result<Self, Error> {
        Self::split(gpu, format, rows, cols, gpu.binding_limit())
    }

    /// As [`new`](Self::new), with no buffer larger than `limit` bytes.
    ///
    /// # Errors
    /// As [`new`](Self::new), and if a single row is larger than that.
    pub fn split(gpu: &Gpu, format: Format, rows: usize, cols: usize, limit: usize) -> Result<Self, Error> {
        if cols > limits::WIDTH || rows > limits::VOCABULARY {
            let found = format!("a matrix of {rows}×{cols}");
            return Err(Error::Unsupported(format!(
                "{found} is larger than any model's; the file is damaged"
            )));
        }
        let layout = Layout::of(format, cols)?;
        let most = (limit / layout.row_bytes()).min(PIECE_ROWS);
        if most == 0 || rows == 0 {
            let expected = limit;
            return Err(Error::Size {
                what: "bytes of a row in one binding",
                expected,
                found: layout.row_bytes(),
            });
        }
        let firsts = (0..rows).step_by(most);
        let pieces = firsts.map(|first| room(gpu, &layout, first, most.min(rows - first))).collect();
        Ok(Self { packed: Packed { gpu: gpu.clone(), layout, rows, pieces }, filled: 0 })
    }

    /// The format in which rows have to come.
    #[must_use]
    pub const fn format(&self) -> Format {
        self.packed.format()
    }

    /// The next rows.
    ///
    /// # Errors
    /// If these are not whole rows, or more than there is room for.
    pub fn push(&mut self, bytes: &[u8]) -> Result<(), Error> {
        let row = self.packed.layout.file_bytes();
        let (rows, left) = (bytes.len() / row, self.packed.rows - self.filled);
        if !bytes.len().is_multiple_of(row) || rows > left {
            return Err(Error::Size {
                what: "bytes of the next rows",
                expected: left * row,
                found: bytes.len(),
            });
        }
        let mut bytes = bytes;
        while !bytes.is_empty() {
            let taken = self.write(bytes);
            self.filled += taken;
            bytes = &bytes[taken * row..];
        }
        Ok(())
    }

    /// Writes as many rows as the current piece takes, and says how many.
    fn write(&self, bytes: &[u8]) -> usize {
        let Packed { gpu, layout, pieces, .. } = &self.packed;
        let piece =
            pieces.iter().find(|piece| self.filled < piece.first + piece.rows).expect("room was checked");
        let at = self.filled - piece.first;
        let rows = (bytes.len() / layout.file_bytes()).min(piece.rows - at);
        let (quants, scales) = layout.repack(&bytes[..rows * layout.file_bytes()]);
        put(gpu, &piece.quants, at * layout.row_bytes(), quants);
        if let Some(handle) = &piece.scales {
            put(gpu, handle, at * layout.scale_words * 4, scales);
        }
        rows
    }

    /// The matrix.
    ///
    /// # Errors
    /// If rows are missing.
    pub fn finish(self) -> Result<Packed, Error> {
        let (expected, found) = (self.packed.rows, self.filled);
        if expected != found {
            return Err(Error::Size { what: "rows of the matrix", expected, found });
        }
        Ok(self.packed)
    }
}

fn room(gpu: &Gpu, layout: &Layout, first: usize, rows: usize) -> Piece {
    // Weights outlive everything else: their buffers are exact and do not come from the pool of activations.
    let reserve =
        |bytes: usize| gpu.client.memory_persistent_allocation((), |()| gpu.empty(bytes.max(VECTOR)));
    let quants = reserve(rows * layout.row_bytes());
    let scales = (layout.scale_words > 0).then(|| reserve(rows * layout.scale_words * 4));
    Piece { first, rows, quants, scales }
}

fn put(gpu: &Gpu, handle: &Handle, offset: usize, bytes: Vec<u8>) {
    let part = handle.clone().offset_start(offset as u64);
    gpu.client.write(&part, Bytes::from_bytes_vec(bytes));
}
