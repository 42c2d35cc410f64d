//! What is behind the pictures on the board: latents and tiles, until the compute worker has made images of them.

use crate::clock;
use crate::compute::{Canvas, Image, Request};
use crate::node::view::{PaintingView, PictureView};
use crate::painting::PaintRequest;
use coordinator::io::{Job, PictureWork, Progress};
use coordinator::{JobId, ModelId};
use std::collections::BTreeMap;
use std::sync::Arc;

/// The pictures of a job.
pub struct Sheets {
    job: JobId,
    pub model: ModelId,
    request: PaintRequest,
    tiles: u16,
    asked_at: u64,
    /// This peer saw it being worked on, so that it knows how long it took.
    pub watched: bool,
    sheets: Vec<Sheet>,
}

/// One picture.
#[derive(Default)]
struct Sheet {
    /// The newest, if it is not shown yet.
    latent: Option<Vec<u8>>,
    /// The worker makes an image of an earlier one: the next waits for it, so that no more than one does.
    at_worker: bool,
    tiles: BTreeMap<u16, Vec<u8>>,
}

impl Sheets {
    /// Of a job that was asked for just now, and what is shown of it; None if its settings cannot be read.
    pub fn new(job: &Job, work: &PictureWork) -> Option<(Self, PaintingView)> {
        let request = PaintRequest::from_bytes(&work.settings)?;
        let count = usize::from(work.shape.count);
        let view = PaintingView { request: request.clone(), pictures: vec![PictureView::default(); count] };
        let sheets = Self {
            job: job.id,
            model: job.model,
            request,
            tiles: work.shape.tiles,
            asked_at: clock::now().0,
            watched: false,
            sheets: (0..count).map(|_| Sheet::default()).collect(),
        };
        Some((sheets, view))
    }

    /// A picture got on; returns what the worker is to make of it.
    pub fn progress(&mut self, view: &mut PaintingView, unit: u16, progress: Progress) -> Option<Request> {
        let index = usize::from(unit);
        let (sheet, picture) = (self.sheets.get_mut(index)?, view.pictures.get_mut(index)?);
        match progress {
            Progress::Step { done, latent } => {
                picture.done = done;
                sheet.latent = (!latent.is_empty()).then_some(latent).or(sheet.latent.take());
            }
            Progress::Tile { tile, pixels } => {
                picture.done = self.request.steps;
                sheet.tiles.insert(tile, pixels);
            }
        }
        self.next(unit)
    }

    /// The worker made an image; returns what it is to make next.
    pub fn image(
        &mut self,
        view: &mut PaintingView,
        unit: u16,
        whole: bool,
        image: Option<Image>,
    ) -> Option<Request> {
        let index = usize::from(unit);
        let (sheet, picture) = (self.sheets.get_mut(index)?, view.pictures.get_mut(index)?);
        sheet.at_worker = false;
        if picture.whole {
            return None;
        }
        if let Some(image) = image {
            (picture.image, picture.whole) = (Some(Arc::new(image)), whole);
        }
        if picture.whole {
            picture.ms = self.watched.then(|| clock::now().0 - self.asked_at);
            *sheet = Sheet::default();
            return None;
        }
        self.next(unit)
    }

    /// The worker is new: what an earlier one did not finish is asked for again.
    pub fn afresh(&mut self) -> Vec<Request> {
        self.sheets.iter_mut().for_each(|sheet| sheet.at_worker = false);
        (0..).take(self.sheets.len()).filter_map(|unit| self.next(unit)).collect()
    }

    /// All tiles if they are there, else the newest latent.
    fn next(&mut self, unit: u16) -> Option<Request> {
        let (job, model, request) = (self.job, self.model, self.request.clone());
        let sheet = self.sheets.get_mut(usize::from(unit)).filter(|sheet| !sheet.at_worker)?;
        let asked = if sheet.tiles.len() == usize::from(self.tiles) && self.tiles > 0 {
            let made = sheet.tiles.values().cloned().collect();
            Request::Assemble(Canvas { job, unit, model, request, made })
        } else {
            let made = sheet.latent.take()?;
            Request::Preview(Canvas { job, unit, model, request, made })
        };
        sheet.at_worker = true;
        Some(asked)
    }
}
