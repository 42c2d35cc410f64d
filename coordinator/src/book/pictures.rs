//! The pictures of a job as far as they are painted.

use super::{Book, Record};
use crate::ids::{JobId, Millis, PeerId};
use crate::io::{End, Event, PictureWork, Progress, Work};
use crate::limits;
use crate::membership::Members;
use crate::outbox::Outbox;
use crate::pieces;
use crate::wire::{Message, Picture};
use std::collections::BTreeMap;

/// One picture as far as it is painted.
#[derive(Debug, Default)]
pub struct Canvas {
    /// Steps done that the latent below is of.
    pub done: u16,
    /// The latent; empty if this peer only heard of the step.
    pub latent: Vec<u8>,
    /// Pixels by tile.
    pub tiles: BTreeMap<u16, Vec<u8>>,
}

impl Canvas {
    /// Steps that need not be done again here: those whose latent is at hand.
    pub const fn checkpoint(&self) -> u16 {
        if self.latent.is_empty() { 0 } else { self.done }
    }

    /// One bit per tile that is there.
    pub fn tile_bits(&self) -> u64 {
        self.tiles.keys().fold(0, |bits, tile| bits | 1 << (tile % 64))
    }

    fn bytes(&self) -> usize {
        self.latent.len() + self.tiles.values().map(Vec::len).sum::<usize>()
    }
}

/// One bit per picture with a tile missing.
pub fn open_units(work: &PictureWork, pictures: &BTreeMap<u16, Canvas>) -> u64 {
    let whole = |unit: &u16| {
        pictures.get(unit).is_some_and(|canvas| canvas.tiles.len() == usize::from(work.shape.tiles))
    };
    (0..work.shape.count).filter(|unit| !whole(unit)).fold(0, |bits, unit| bits | 1 << (unit % 64))
}

fn bytes_of(record: &Record) -> usize {
    record.pictures.values().map(Canvas::bytes).sum()
}

impl Record {
    /// Whether its asker allows bands with stale neighbours.
    pub fn allows_stale(&self) -> bool {
        matches!(&self.job.work, Work::Picture(work) if work.shape.stale)
    }

    /// Sends everything painted so far.
    pub(super) fn send_pictures(&self, to: PeerId, out: &mut Outbox) {
        let job = self.job.id;
        for (&unit, canvas) in &self.pictures {
            if canvas.tiles.is_empty() && canvas.done > 0 && canvas.latent.len() <= limits::PREVIEW_BYTES {
                let progress = Progress::Step { done: canvas.done, latent: canvas.latent.clone() };
                out.send(to, Message::Picture(Picture { job, unit, progress }));
            }
            for (&tile, pixels) in &canvas.tiles {
                let progress = Progress::Tile { tile, pixels: pixels.clone() };
                out.send(to, Message::Picture(Picture { job, unit, progress }));
            }
        }
    }

    /// Puts progress on the canvas. False if it is no news; Err if it is not possible.
    fn paint(&mut self, unit: u16, progress: &Progress) -> Result<bool, String> {
        let Work::Picture(work) = &self.job.work else {
            return Err("pixels for a job without pictures".into());
        };
        if unit >= work.shape.count {
            return Err("pixels of a picture that was not asked for".into());
        }
        let shape = work.shape;
        let canvas = self.pictures.entry(unit).or_default();
        match progress {
            Progress::Step { done, latent } if *done <= shape.steps => {
                let filled = canvas.latent.is_empty() && !latent.is_empty();
                let news = *done > canvas.done || (*done == canvas.done && *done > 0 && filled);
                if news {
                    canvas.done = *done;
                    canvas.latent.clone_from(latent);
                }
                Ok(news)
            }
            Progress::Tile { tile, pixels } if *tile < shape.tiles => {
                match canvas.tiles.get(tile) {
                    Some(known) if known != pixels => return Err("its pixels differ from those known".into()),
                    Some(_) => return Ok(false),
                    None => canvas.tiles.insert(*tile, pixels.clone()),
                };
                if canvas.tiles.len() == usize::from(shape.tiles) {
                    (canvas.done, canvas.latent) = (shape.steps, Vec::new());
                }
                Ok(true)
            }
            _ => Err("more of a picture than was asked for".into()),
        }
    }
}

impl Book {
    /// A picture that this peer keeps got on. True if it is news.
    ///
    /// # Errors
    /// Says why it cannot be.
    pub fn advance(
        &mut self,
        job: JobId,
        unit: u16,
        progress: Progress,
        members: &Members,
        out: &mut Outbox,
    ) -> Result<bool, String> {
        self.has_room_for(&progress)?;
        let Some(record) = self.records.get_mut(&job).filter(|record| record.end.is_none()) else {
            return Ok(false);
        };
        if !record.paint(unit, &progress)? {
            return Ok(false);
        }
        let told = match &progress {
            // A latent is worth its bytes to the keeper, who goes on from it; to the others it is a preview.
            Progress::Step { done, latent } if latent.len() > limits::PREVIEW_BYTES => {
                Progress::Step { done: *done, latent: Vec::new() }
            }
            other => other.clone(),
        };
        out.event(Event::Picture { job, unit, progress });
        out.broadcast(members.known(), &Message::Picture(Picture { job, unit, progress: told }));
        Ok(true)
    }

    /// Forgets the latent of this number, which is no good: the picture begins again. False if it is not the one kept here.
    pub fn forget_latent(&mut self, job: JobId, unit: u16, number: u32) -> bool {
        let canvas = self.records.get_mut(&job).and_then(|record| record.pictures.get_mut(&unit));
        let Some(canvas) =
            canvas.filter(|canvas| canvas.checkpoint() > 0 && number == pieces::latent(canvas.done))
        else {
            return false;
        };
        (canvas.done, canvas.latent) = (0, Vec::new());
        true
    }

    /// A watcher hears how a picture gets on.
    ///
    /// # Errors
    /// Says why it is not believed.
    pub fn picture(
        &mut self,
        now: Millis,
        from: PeerId,
        picture: Picture,
        members: &Members,
        out: &mut Outbox,
    ) -> Result<(), String> {
        let Picture { job, unit, progress } = picture;
        self.has_room_for(&progress)?;
        let Some(record) = self.records.get_mut(&job) else {
            self.ask_for(now, from, job, members, out);
            return Ok(());
        };
        if job.requester == self.me || (from != job.requester && members.is_live(job.requester)) {
            return Ok(());
        }
        if record.end.is_some() {
            return Ok(());
        }
        record.heard = now;
        if record.paint(unit, &progress)? {
            out.event(Event::Picture { job, unit, progress });
        }
        if record.open_units() == 0
            && let Some((end, _)) = record.ending.take()
        {
            self.end(job, end, out);
        }
        Ok(())
    }

    /// Ends a job at its keeper's word; a finished one when all its pixels are here.
    pub(super) fn end_when_whole(&mut self, now: Millis, job: JobId, end: End, out: &mut Outbox) {
        let Some(record) = self.records.get_mut(&job).filter(|record| record.end.is_none()) else {
            return;
        };
        let waits = record.text().is_none() && end == End::Finished && record.open_units() != 0;
        if waits {
            if record.ending.is_none() {
                record.ending = Some((end, 0));
                record.nudged = now;
            }
        } else {
            self.end(job, end, out);
        }
        self.trim();
    }

    fn has_room_for(&self, progress: &Progress) -> Result<(), String> {
        let more = match progress {
            Progress::Step { latent, .. } => latent.len(),
            Progress::Tile { pixels, .. } => pixels.len(),
        };
        let total: usize = self.records.values().map(bytes_of).sum();
        if total.saturating_add(more) > limits::PIXELS_MOST {
            return Err("its pixels would be more than the room's pictures may have in all".into());
        }
        Ok(())
    }

    /// Drops the pixels of the oldest finished jobs until the rest fits the bound. Screens have shown them.
    pub(super) fn trim(&mut self) {
        let mut total: usize = self.records.values().map(bytes_of).sum();
        for job in &self.finished {
            if total <= limits::PIXELS_BYTES {
                return;
            }
            if let Some(record) = self.records.get_mut(job) {
                total -= bytes_of(record);
                record.pictures.clear();
            }
        }
    }
}

#[cfg(test)]
mod tests;
