//! `manyhands peer --room LINK`: a peer without a window.

use super::{Common, Kinds, Wish, random_peer};
use crate::link::RoomLink;
use crate::node::view::{Ask, ComputeStatus, SignalingStatus, View};
use anyhow::Result;
use clap::Args;
use coordinator::io::Stage;
use coordinator::wire::Team;
use futures::channel::mpsc::unbounded;
use std::io::Write;

#[derive(Args)]
pub struct Options {
    /// The room's link, as the page shows it.
    #[arg(long, value_name = "LINK")]
    room: String,
    /// Compute nothing but text, or nothing but pictures; with --model, the shipped model of the other kind is left alone.
    #[arg(long, value_enum, default_value_t = Kinds::Both)]
    only: Kinds,
    #[command(flatten)]
    common: Common,
}

pub async fn run(options: Options) -> Result<()> {
    let link = RoomLink::parse(&options.room)?;
    let me = random_peer()?;
    let transport = options.common.join(&link, me)?;
    let node = options.common.node(me, link.room(), transport, options.only)?;
    let (asks, incoming) = unbounded();
    let mut wish = Wish::new(&options.common, asks.clone());
    tokio::task::spawn_local(async move {
        interrupted().await;
        let _ = asks.unbounded_send(Ask::Leave);
    });
    let mut said = Said::default();
    node.run(incoming, |view| {
        wish.see(view);
        said.what_is_new(view);
    })
    .await;
    say("left the room");
    Ok(())
}

/// Ctrl-C, or the signal that service managers send.
async fn interrupted() {
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};
        if let Ok(mut terminate) = signal(SignalKind::terminate()) {
            tokio::select! {
                _ = tokio::signal::ctrl_c() => {}
                _ = terminate.recv() => {}
            }
            return;
        }
    }
    let _ = tokio::signal::ctrl_c().await;
}

/// Prints each thing once.
#[derive(Default)]
struct Said {
    lines: [String; 3],
    notices: usize,
}

impl Said {
    fn what_is_new(&mut self, view: &View) {
        tracing::trace!(?view, "the room");
        let lines = [compute_line(&view.compute), signaling_line(&view.signaling), room_line(view)];
        for (said, line) in self.lines.iter_mut().zip(lines) {
            if *said != line {
                say(&line);
                *said = line;
            }
        }
        let latest = view.notices.iter().skip(self.notices.min(view.notices.len()));
        latest.for_each(|(_, notice)| say(&format!("note: {notice}")));
        self.notices = view.notices.len();
    }
}

/// Whoever read this may be gone; the room goes on.
fn say(line: &str) {
    let _ = writeln!(std::io::stdout(), "{line}");
}

fn compute_line(status: &ComputeStatus) -> String {
    match status {
        ComputeStatus::Loading { what, .. } => format!("compute: {what} ..."),
        ComputeStatus::Ready { adapter, .. } => format!("compute: ready on {adapter}"),
        ComputeStatus::Failed(why) => format!("compute: {why}"),
    }
}

fn signaling_line(status: &SignalingStatus) -> String {
    match status {
        SignalingStatus::Connecting => "signaling: connecting ...".into(),
        SignalingStatus::Open => "signaling: open".into(),
        SignalingStatus::Lost { .. } => "signaling: lost; the room goes on, newcomers wait".into(),
        SignalingStatus::Refused(why) => format!("signaling: refused: {why}"),
    }
}

fn room_line(view: &View) -> String {
    let name = |id| view.peers.peers.iter().find(|peer| peer.id == id).map_or("?", |peer| peer.name.as_str());
    let leader = view.peers.epoch.map_or("nobody yet", |epoch| name(epoch.leader));
    let stage = |stage: &Stage| format!("{} {}", name(stage.peer), stage.layers);
    let team = |team: &Team| format!("[{}]", team.stages.iter().map(stage).collect::<Vec<_>>().join(", "));
    let teams: Vec<String> = view.teams().iter().map(team).collect();
    format!("room: {} peers, coordinator {leader}, layers {}", view.peers.peers.len(), teams.join(" "))
}
