//! What is shown of adapters, and what an answer's model has to do with them.

use super::super::view::{Brought, Card};
use super::{Behind, Board};
use crate::compute::{Adapters, Worn, source};
use coordinator::{JobId, ModelId};
use std::collections::BTreeSet;

/// Adapters of this person's own that are shown. Source: more than anybody tries at a time.
const BROUGHT: usize = 16;

/// Models whose tokens this device can read, because they are its own with other adapters. Source: guess; the answers of more
/// are not on the screen.
const TONGUES: usize = 64;

impl Board {
    /// The person wants these; None once they have them, or cannot.
    pub fn adapting(&mut self, wanted: Option<Adapters>) {
        self.dirty = true;
        for (source, _) in wanted.iter().flatten() {
            let content = source::content(source).is_ok_and(|content| content.is_some());
            let brought = &mut self.view.adapters.brought;
            if !content && brought.iter().all(|one| one.source != *source) {
                brought.truncate(BROUGHT - 1);
                brought.insert(0, Brought { source: source.clone(), content: None });
            }
        }
        self.view.adapters.wanted = wanted;
    }

    /// What the person wants, if it is not so yet.
    pub fn wanted(&self) -> Option<Adapters> {
        self.view.adapters.wanted.clone()
    }

    /// Whether the person wants these, still.
    pub fn wants(&self, adapters: &Adapters) -> bool {
        self.view.adapters.wanted.as_ref() == Some(adapters)
    }

    /// The worker computes with these; without them its model would be `plain`.
    pub(super) fn worn(&mut self, worn: Vec<Worn>, plain: Option<ModelId>) {
        for one in &worn {
            let brought = self.view.adapters.brought.iter_mut().find(|brought| brought.source == one.source);
            brought.into_iter().for_each(|brought| brought.content = one.content);
        }
        self.view.adapters.worn = worn;
        for model in plain.into_iter().chain(self.view.model.as_ref().map(|model| model.id)) {
            if !self.tongues.contains(&model) {
                self.tongues.truncate(TONGUES - 1);
                self.tongues.insert(0, model);
            }
        }
    }

    /// Whether the worker that is ready knows the tokens of that model.
    pub(super) fn speaks(&self, model: ModelId) -> bool {
        self.tongues.contains(&model)
    }

    /// Texts of the model that is here that have not ended.
    fn open(&self) -> impl Iterator<Item = &Card> {
        let own = self.view.model.as_ref().map(|model| model.id);
        let model = |card: &Card| self.behind.get(&card.id).map(|behind: &Behind| behind.model);
        self.view.cards.iter().filter(move |card| card.end.is_none() && own.is_some() && model(card) == own)
    }

    /// Whether one of this person's is among them.
    pub fn writes_own(&self) -> bool {
        self.open().any(|card| card.mine)
    }

    /// Others' that this device works on.
    pub fn written_here(&self) -> BTreeSet<JobId> {
        let here = |card: &&Card| card.stages.iter().any(|stage| stage.peer == self.view.me);
        self.open().filter(|card| !card.mine).filter(here).map(|card| card.id).collect()
    }

    /// Takes out those that this device works on no more.
    pub fn still_written_here(&self, jobs: &mut BTreeSet<JobId>) {
        if !jobs.is_empty() {
            let here = self.written_here();
            jobs.retain(|job| here.contains(job));
        }
    }
}
