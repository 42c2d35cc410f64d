//! Reads experts of a mixture that does not fit: each by itself, several at a time, without being waited for.

use crate::error::Error;
use crate::limits;
use crate::llm::names;
use crate::llm::pager::Place;
use crate::llm::reader::Reader;
use crate::llm::{Config, FeedForward};
use crate::weights::{ByteRange, Header};
use burn::tensor::Device;
use std::cell::Cell;
use std::collections::VecDeque;
use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll};

/// Pieces of an expert that are asked for at a time. Source: guess; 64 MiB, beside the expert that they become.
const PIECES: usize = 4;

/// Where experts are read from.
pub(crate) struct Shelf<'a, S> {
    pub(super) header: &'a Header,
    device: &'a Device,
    source: &'a S,
    /// Bytes that it answered with.
    pub(super) read: Cell<u64>,
}

impl<'a, S> Shelf<'a, S> {
    pub const fn new(header: &'a Header, device: &'a Device, source: &'a S) -> Self {
        Self { header, device, source, read: Cell::new(0) }
    }
}

/// Where an expert's bytes lie, in the order in which they are read.
pub(super) fn ranges_of(
    config: &Config,
    header: &Header,
    (layer, index): Place,
) -> Result<Vec<ByteRange>, Error> {
    let names = names::expert(config, layer, index).into_iter().flat_map(names::FeedForwardNames::into_all);
    names.map(|needed| header.range(&needed.name, &needed.shape)).collect()
}

pub(super) fn kept_bytes(ranges: &[ByteRange]) -> u64 {
    ranges.iter().map(ByteRange::kept_bytes).fold(0, u64::saturating_add)
}

/// Something on its way, which can be driven without being waited for.
pub(super) struct Coming<'a, T> {
    future: Pin<Box<dyn Future<Output = T> + 'a>>,
    pub came: Option<T>,
}

impl<'a, T> Coming<'a, T> {
    pub fn new(future: impl Future<Output = T> + 'a) -> Self {
        Self { future: Box::pin(future), came: None }
    }

    /// As far as it gets; true if it is there.
    pub fn drive(&mut self, cx: &mut Context<'_>) -> bool {
        if self.came.is_none()
            && let Poll::Ready(came) = self.future.as_mut().poll(cx)
        {
            self.came = Some(came);
        }
        self.came.is_some()
    }
}

/// An expert, or why it did not come.
pub(super) type Expert = Result<FeedForward, Error>;

/// Reads an expert, a few pieces at a time.
pub(super) async fn read<S>(
    config: &Config,
    exact: bool,
    shelf: &Shelf<'_, S>,
    (layer, index): Place,
) -> Expert
where
    S: AsyncFn(&ByteRange) -> Result<Vec<u8>, String>,
{
    let ranges = ranges_of(config, shelf.header, (layer, index))?;
    let Some(names) = names::expert(config, layer, index) else {
        unreachable!("only a layer with experts has a router");
    };
    // What a reader will ask for, in its order.
    let pieces: Vec<ByteRange> = ranges.iter().flat_map(|range| range.pieces(limits::PIECE_BYTES)).collect();
    let mut next = pieces.iter();
    let mut window: VecDeque<_> =
        next.by_ref().take(PIECES).map(|piece| Coming::new((shelf.source)(piece))).collect();
    let source = async |_: &ByteRange| {
        poll_fn(|cx| {
            let there = window.iter_mut().map(|piece| piece.drive(cx)).collect::<Vec<_>>();
            if there.first() == Some(&false) { Poll::Pending } else { Poll::Ready(()) }
        })
        .await;
        let came = window.pop_front().and_then(|first| first.came);
        window.extend(next.next().map(|piece| Coming::new((shelf.source)(piece))));
        let bytes = came.unwrap_or_else(|| Err("more pieces were asked for than there are".into()))?;
        shelf.read.set(shelf.read.get() + bytes.len() as u64);
        Ok(bytes)
    };
    let mut reader = Reader { header: shelf.header, device: shelf.device, source, exact };
    reader.feed_forward(&names, config.activation).await
}
