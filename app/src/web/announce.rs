//! What a screen reader hears: the newest answer sentence by sentence, that pictures are painted, notices, and confirmations.

use super::context::Room;
use super::painted::said_at_end;
use super::sentence::spoken_until;
use crate::node::view::View;
use coordinator::JobId;
use leptos::prelude::*;
use std::collections::VecDeque;

/// Lines kept in the live region; older ones have been read.
const LINES: usize = 4;

/// A polite live region, not visible, to which whole sentences are added.
#[component]
pub fn Announcer() -> impl IntoView {
    let room = Room::here();
    let lines = RwSignal::new(VecDeque::<(u64, String)>::new());
    let add = move |line: String| {
        if line.trim().is_empty() {
            return;
        }
        lines.update(|lines| {
            let next = lines.back().map_or(0, |(count, _)| count + 1);
            lines.push_back((next, line));
            lines.drain(..lines.len().saturating_sub(LINES));
        });
    };
    Effect::new(move |heard: Option<Heard>| {
        let mut heard = heard.unwrap_or_else(|| room.view.with_untracked(Heard::before));
        room.view.with(|view| heard.answer(view)).into_iter().for_each(add);
        heard
    });
    Effect::new(move |since: Option<u64>| {
        let since = since.unwrap_or_else(|| room.notices.with_untracked(|all| after(all)));
        room.notices.with(|all| {
            let fresh = all.iter().filter(|(at, _)| *at >= since);
            fresh.for_each(|(_, text)| add(text.clone()));
            since.max(after(all))
        })
    });
    Effect::new(move |_| add(room.say.get()));
    view! {
        <div class="unseen" aria-live="polite" aria-atomic="false">
            <For each=move || lines.get() key=|(count, _)| *count let((_, line))>
                <p>{line}</p>
            </For>
        </div>
    }
}

/// The time after the newest of these notices: from then on they are news.
pub fn after(notices: &[(u64, String)]) -> u64 {
    notices.last().map_or(0, |(at, _)| at + 1)
}

/// How much of the newest answer has been handed to the screen reader.
struct Heard {
    job: Option<JobId>,
    bytes: usize,
    ended: bool,
}

impl Heard {
    /// What was there on arrival is not read out.
    fn before(view: &View) -> Self {
        let newest = view.cards.last();
        Self {
            job: newest.map(|card| card.id),
            bytes: newest.map_or(0, |card| card.text.len()),
            ended: newest.is_none_or(|card| card.end.is_some()),
        }
    }

    fn answer(&mut self, view: &View) -> Option<String> {
        let card = view.cards.last()?;
        if self.job != Some(card.id) {
            // One that comes already ended was written before this person came.
            let old = card.end.is_some();
            (self.job, self.bytes, self.ended) = (Some(card.id), if old { card.text.len() } else { 0 }, old);
        }
        let over = card.end.is_some() && !self.ended;
        let end = if over { card.text.len() } else { spoken_until(&card.text, self.bytes) };
        let sentence = card.text.get(self.bytes..end).unwrap_or_default().to_owned();
        (self.bytes, self.ended) = (end, self.ended || over);
        match (over, &card.painting) {
            (false, _) => Some(sentence),
            (true, None) => Some(format!("{sentence} End of the answer.")),
            (true, Some(_)) => said_at_end(card),
        }
    }
}
