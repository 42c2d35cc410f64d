//! What is shown of the compute worker and its models.

use super::super::view::{ComputeStatus, Fetching, ModelView, PainterView};
use super::{Board, finish};
use crate::compute::{Easel, ModelSource, Worn};
use coordinator::ModelId;
use coordinator::io::{Device, Kind, ModelSpec, Offer};

/// What computes, as the worker says.
pub struct Computing {
    pub device: Device,
    /// Its name.
    pub adapter: String,
    /// Why not another.
    pub notice: Option<String>,
}

/// Before the worker has said anything.
pub fn starting() -> ComputeStatus {
    ComputeStatus::Loading { what: "Starting".into(), done: 0, total: 0 }
}

impl Board {
    pub fn loading(&mut self, what: String, done: u64, total: u64) {
        self.dirty = true;
        match &self.view.compute {
            ComputeStatus::Ready { .. } => self.view.fetching = Some(Fetching { what, done, total }),
            _ => self.view.compute = ComputeStatus::Loading { what, done, total },
        }
    }

    /// Nothing is loading any more.
    pub fn fetched(&mut self) {
        self.dirty |= self.view.fetching.take().is_some();
    }

    /// This device starts on another model.
    pub fn opening(&mut self, chosen: Option<ModelSource>) {
        self.finish_parked();
        (self.view.chosen, self.view.model, self.view.painter) = (chosen, None, None);
        self.view.fetching = None;
        (self.view.adapters.wanted, self.view.adapters.worn) = (None, Vec::new());
        self.tongues.clear();
        self.view.compute = starting();
        self.dirty = true;
    }

    /// `plain` and `worn` as the worker's report has them.
    pub fn ready(
        &mut self,
        Computing { device, adapter, notice }: Computing,
        offers: &[Offer],
        chat: bool,
        easel: Option<Easel>,
        (plain, worn): (Option<ModelId>, Vec<Worn>),
    ) {
        // A worker that starts again says why, as its loss did.
        let said = |notice: &String| self.view.notices.iter().any(|(_, text)| text.contains(notice.as_str()));
        if let Some(notice) = notice.as_ref().filter(|notice| !said(notice)) {
            self.notice(notice.clone());
        }
        self.dirty = true;
        self.view.fetching = None;
        self.view.compute = ComputeStatus::Ready { gpu: device == Device::Gpu, adapter, notice };
        let of = |kind: Kind| offers.iter().map(|offer| &offer.model).find(|model| model.kind == kind);
        let bytes = |model: &ModelSpec| model.layer_bytes * u64::from(model.layers) + model.ends_bytes;
        self.view.model = of(Kind::Text).map(|model| ModelView {
            id: model.id,
            name: model.name.clone(),
            layers: model.layers,
            bytes: bytes(model),
            context: model.context,
            chat,
        });
        self.view.painter = of(Kind::Picture).zip(easel).map(|(model, easel)| PainterView {
            id: model.id,
            name: model.name.clone(),
            layers: model.layers,
            bytes: bytes(model),
            easel,
        });
        self.worn(worn, plain);
    }

    pub fn compute_failed(&mut self, why: String) {
        self.finish_parked();
        self.view.fetching = None;
        self.dirty = true;
        self.view.compute = ComputeStatus::Failed(why);
    }

    /// Ends that waited for the last text from a worker that is gone.
    fn finish_parked(&mut self) {
        for card in &mut self.view.cards {
            if let Some(end) = self.behind.get_mut(&card.id).and_then(|behind| behind.ending.take()) {
                finish(card, end);
            }
        }
    }
}
