//! What every part of the room shares.

use super::colour::{self, Hues};
use super::comings::Comings;
use crate::clock;
use crate::node::view::{Ask, View};
use coordinator::PeerId;
use leptos::prelude::*;
use std::collections::VecDeque;

/// The room as its components see it. Cheap to copy.
#[derive(Clone, Copy)]
pub struct Room {
    /// The newest view.
    pub view: RwSignal<View>,
    /// The colour of everybody who is here.
    pub hues: Memo<Hues>,
    /// The link, as people pass it on.
    pub link: StoredValue<String>,
    /// What there is to read once, with the time in ms since the start, oldest first: the node's notices and who
    /// came and left.
    pub notices: Memo<Vec<(u64, String)>>,
    /// What to read aloud next; each new value is read once, politely.
    pub say: RwSignal<String>,
    /// Whether the gallery stands in place of the feed.
    pub gallery: RwSignal<bool>,
    ask: StoredValue<Box<dyn Fn(Ask)>, LocalStorage>,
}

impl Room {
    /// A room at this link whose node is asked through `ask`.
    pub fn new(view: RwSignal<View>, link: String, ask: Box<dyn Fn(Ask)>) -> Self {
        let hues = Memo::new(move |_| {
            view.with(|view| colour::hues(view.peers.peers.iter().map(|peer| (peer.id, peer.name.as_str()))))
        });
        Self {
            view,
            hues,
            link: StoredValue::new(link),
            notices: notices(view),
            say: RwSignal::new(String::new()),
            gallery: RwSignal::new(false),
            ask: StoredValue::new_local(ask),
        }
    }

    /// The room around the current component.
    pub fn here() -> Self {
        expect_context()
    }

    /// Asks the node.
    pub fn ask(self, ask: Ask) {
        self.ask.with_value(|send| send(ask));
    }

    /// Something derived from the view, recomputed when the view changes and passed on when it differs.
    pub fn memo<T: PartialEq + Send + Sync + 'static>(
        self,
        part: impl Fn(&View) -> T + Send + Sync + 'static,
    ) -> Memo<T> {
        Memo::new(move |_| self.view.with(&part))
    }

    /// The `style` that gives an element the colour of this peer.
    pub fn tint(self, id: PeerId, name: &str) -> String {
        let hue = self.hues.with(|hues| hues.get(&id).copied()).unwrap_or_else(|| colour::own_hue(id, name));
        format!("--hue:{hue}")
    }
}

fn notices(view: RwSignal<View>) -> Memo<Vec<(u64, String)>> {
    /// Comings and goings kept. Source: as many as the node keeps of its own notices.
    const KEPT: usize = 50;
    let seen = StoredValue::new((Comings::default(), VecDeque::new()));
    Memo::new(move |_| {
        let mut all = view.with(|view| {
            seen.update_value(|(comings, news)| {
                let now = clock::now().0;
                news.extend(comings.see(now, view).into_iter().map(|text| (now, text)));
                news.drain(..news.len().saturating_sub(KEPT));
            });
            view.notices.clone()
        });
        seen.with_value(|(_, news)| all.extend(news.iter().cloned()));
        all.sort_by_key(|(at, _)| *at);
        all
    })
}
