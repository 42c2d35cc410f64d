//! The model that writes here with other adapters: what the person asked for is fetched while everything goes on, and takes effect between
//! two answers, so that nothing that was begun is lost.
//!
//! ```text
//!  Ask::Adapt ─▶ Fit ─▶ Fits ─▶ answers that are being written here end ─▶ Adapt ─▶ Ready
//!                  └──▶ FitsNot: all is as it was, and the person reads why
//! ```
//! What others ask of this device in the meantime goes on elsewhere, as after any loss.

use super::Node;
use crate::compute::{Adapters, Compute, Request, Worn, asked};
use crate::transport::Transport;
use coordinator::JobId;
use std::collections::BTreeSet;

/// How far what the person asked for is.
#[derive(Debug)]
pub enum Stage {
    /// At the worker, which looks for it.
    Fetching,
    /// It is here. Others' answers that were being written here are to end first; this person's in any case.
    Waits(BTreeSet<JobId>),
    /// The worker changes the model.
    Changing,
}

impl<T: Transport, C: Compute> Node<T, C> {
    /// The person wants these, and no others.
    pub(super) fn adapt(&mut self, adapters: Adapters) {
        self.board.adapting(Some(adapters.clone()));
        self.compute.ask(Request::Fit(adapters));
        self.adapting = Some(Stage::Fetching);
    }

    /// They are here.
    pub(super) fn fits(&mut self, adapters: &Adapters) {
        if self.board.wants(adapters) && matches!(self.adapting, Some(Stage::Fetching)) {
            self.board.fetched();
            self.adapting = Some(Stage::Waits(self.board.written_here()));
        }
    }

    /// They cannot be used, and what was is.
    pub(super) fn fits_not(&mut self, adapters: &Adapters, why: String) {
        if self.board.wants(adapters) || self.adapting.is_none() {
            self.adapting = None;
            self.board.fetched();
            self.board.adapting(None);
            self.board.notice(format!("That adapter cannot be used: {why}."));
        }
        self.submit_late();
    }

    /// The worker is ready, with these. If the person wants others by now, or it is a new worker, they are looked for again.
    pub(super) fn ready_with(&mut self, worn: &[Worn]) {
        match self.board.wanted() {
            Some(wanted) if wanted != asked(worn) => {
                self.adapting = Some(Stage::Fetching);
                self.compute.ask(Request::Fit(wanted));
            }
            _ => {
                self.adapting = None;
                self.board.adapting(None);
            }
        }
        self.submit_late();
    }

    /// Once a turn: whether the model may change now.
    pub(super) fn change_if_idle(&mut self) {
        let Some(Stage::Waits(others)) = &mut self.adapting else { return };
        self.board.still_written_here(others);
        let at_tokenizer = self.encoding.len() > self.late.len();
        if !others.is_empty() || self.board.writes_own() || at_tokenizer {
            return;
        }
        if let Some(adapters) = self.board.wanted() {
            self.compute.ask(Request::Adapt(adapters));
            self.adapting = Some(Stage::Changing);
        }
    }

    /// What was asked while the model changed is asked of the new one.
    fn submit_late(&mut self) {
        for (ticket, tokens) in std::mem::take(&mut self.late) {
            self.submit(ticket, tokens);
        }
    }
}
