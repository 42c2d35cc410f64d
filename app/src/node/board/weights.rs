//! What is shown of weights on their way.

use super::super::view::Weights;
use super::Board;
use crate::compute::swarm::Usage;
use coordinator::swarm::{Content, Sharing};

impl Board {
    /// Something of a content changed.
    pub fn weights<T>(&mut self, content: Content, change: impl FnOnce(&mut Weights) -> T) {
        self.dirty = true;
        let known = self.view.weights.iter().position(|one| one.content == content);
        let index = known.unwrap_or_else(|| {
            self.view.weights.push(Weights::new(content));
            self.view.weights.len() - 1
        });
        change(&mut self.view.weights[index]);
        self.view.weights.retain(|one| !one.is_over());
    }

    pub fn paused(&mut self, paused: bool) {
        self.dirty = true;
        self.view.paused = paused;
    }

    pub fn kept(&mut self, usage: Usage) {
        self.dirty |= self.view.kept != Some(usage);
        self.view.kept = Some(usage);
    }

    pub fn sharing(&mut self, sharing: Sharing) {
        self.dirty = true;
        self.view.sharing = sharing;
    }
}
