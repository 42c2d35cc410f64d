//! Details, for the curious.

use super::context::Room;
use super::words;
use crate::node::view::{ComputeStatus, SignalingStatus, View};
use leptos::prelude::*;

/// The device, traffic, dropped messages, events.
#[component]
pub fn Details() -> impl IntoView {
    let room = Room::here();
    let facts = room.memo(facts);
    let dropped = room.memo(|view| view.dropped.clone());
    let events = move || room.notices.with(|notices| notices.iter().rev().cloned().collect::<Vec<_>>());
    view! {
        <details class="details">
            <summary>"Details"</summary>
            <dl>
                {move || {
                    let row = |(name, value)| view! { <dt>{name}</dt><dd>{value}</dd> };
                    facts.get().into_iter().map(row).collect_view()
                }}
            </dl>
            <h3>"Dropped messages"</h3>
            {move || match dropped.get() {
                none if none.is_empty() => view! { <p class="fine">"None."</p> }.into_any(),
                some => {
                    let row = |(reason, count): (String, u64)| {
                        view! { <dt>{reason}</dt><dd class="number">{count}</dd> }
                    };
                    view! { <dl>{some.into_iter().map(row).collect_view()}</dl> }.into_any()
                }
            }}
            <h3>"Events"</h3>
            <ol class="events" aria-label="Events">
                <For each=events key=Clone::clone let((at, text))>
                    <li><span class="number">{clock(at)}</span>" "{text}</li>
                </For>
            </ol>
            <p class="fine">"Everyone in this room can read what you write. The server cannot."</p>
        </details>
    }
}

fn facts(view: &View) -> Vec<(&'static str, String)> {
    let compute = match &view.compute {
        ComputeStatus::Loading { what, .. } => what.clone(),
        ComputeStatus::Ready { gpu, adapter, notice } => {
            let adapter = if *gpu { format!("WebGPU on {adapter}") } else { adapter.clone() };
            let notice = notice.as_ref().map(|notice| format!(". {}", words::sentence(notice)));
            adapter + &notice.unwrap_or_default()
        }
        ComputeStatus::Failed(why) => why.clone(),
    };
    let signaling = match &view.signaling {
        SignalingStatus::Connecting => "connecting".to_owned(),
        SignalingStatus::Open => "open to newcomers".to_owned(),
        SignalingStatus::Lost { retry_ms } => {
            format!("lost, next try in {}", words::span(u64::from(*retry_ms)))
        }
        SignalingStatus::Refused(why) => why.clone(),
    };
    let mut facts = vec![("This device", compute), ("Server", signaling)];
    if let Some(model) = &view.model {
        facts.push((
            "Model",
            format!("{}, {}, up to {} tokens", model.name, words::bytes(model.bytes), model.context),
        ));
    }
    if let Some(painter) = &view.painter {
        facts.push((
            "Painter",
            format!("{}, {}, {} blocks", painter.name, words::bytes(painter.bytes), painter.layers),
        ));
    }
    if let Some(epoch) = view.peers.epoch {
        facts.push(("Epoch", epoch.term.to_string()));
    }
    facts.push(("Sent", words::bytes(view.sent_bytes)));
    facts.push(("Received", words::bytes(view.received_bytes)));
    facts
}

/// Minutes and seconds since the start.
fn clock(ms: u64) -> String {
    format!("{}:{:02}", ms / 60_000, ms / 1_000 % 60)
}
