//! What is about to be asked: the prompt, and whether it becomes a text or a picture.

use super::browser::{self, Keep};
use super::context::Room;
use super::paint_settings::{PaintSettings, hindrance};
use coordinator::JobId;
use leptos::html::Textarea;
use leptos::prelude::*;
use serde::{Deserialize, Serialize};

const MODE: &str = "manyhands.mode";
const PAINTING: &str = "manyhands.painting";

/// What a prompt becomes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Mode {
    /// Words.
    #[default]
    Text,
    /// Pictures.
    Picture,
}

/// The prompt that is being written; openings in the feed and pictures of the gallery fill it in.
#[derive(Clone, Copy)]
pub struct Draft {
    /// As typed.
    pub prompt: RwSignal<String>,
    /// The answer that it goes on from.
    pub follows: RwSignal<Option<JobId>>,
    /// What the person wants; see `paints`.
    pub mode: RwSignal<Mode>,
    /// Why there can be no pictures; None if there can, or if that is not known yet.
    pub hindrance: Memo<Option<&'static str>>,
    /// Whether it becomes a picture: wanted, and nothing is in the way.
    pub paints: Memo<bool>,
    /// Settings of the next pictures.
    pub painting: RwSignal<PaintSettings>,
    /// The textbox.
    pub field: NodeRef<Textarea>,
}

impl Draft {
    /// An empty prompt, with the choices of the last visit.
    pub fn new(room: Room) -> Self {
        let mode = RwSignal::new(browser::load(Keep::Visits, MODE).unwrap_or_default());
        let painting = RwSignal::new(browser::load(Keep::Visits, PAINTING).unwrap_or_default());
        Effect::new(move |_| mode.with(|mode| browser::store(Keep::Visits, MODE, mode)));
        Effect::new(move |_| painting.with(|painting| browser::store(Keep::Visits, PAINTING, painting)));
        let hindrance = room.memo(hindrance);
        Self {
            prompt: RwSignal::new(String::new()),
            follows: RwSignal::new(None),
            mode,
            hindrance,
            paints: Memo::new(move |_| mode.get() == Mode::Picture && hindrance.get().is_none()),
            painting,
            field: NodeRef::new(),
        }
    }

    /// Replaces the prompt by this opening and puts the cursor behind it.
    pub fn begin(self, mode: Mode, opening: &str) {
        self.mode.set(mode);
        self.replace(opening);
        self.focus();
    }

    /// What is written now goes on from this answer.
    pub fn follow(self, answer: JobId) {
        self.mode.set(Mode::Text);
        self.follows.set(Some(answer));
        self.focus();
    }

    /// Nothing is about to be asked any more.
    pub fn clear(self) {
        self.replace("");
        self.follows.set(None);
        self.focus();
    }

    fn replace(self, text: &str) {
        self.prompt.set(text.to_owned());
        if let Some(field) = self.field.get_untracked() {
            field.set_value(text);
        }
    }

    /// Puts the cursor into the textbox.
    pub fn focus(self) {
        if let Some(field) = self.field.get_untracked() {
            let _ = field.focus();
        }
    }
}
