//! A peer over real WebRTC that sends wrong weights.

use anyhow::Result;
use app::link::RoomLink;
use app::transport::{IceServers, JoinOptions, NetEvent, Transport, WebRtc};
use coordinator::PeerId;
use coordinator::swarm::{Blocks, Content, Fact, Message};
use coordinator::wire;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

/// A peer that says it has everything, and sends something else.
pub struct Liar {
    sent: Arc<AtomicU32>,
    _stop: tokio::sync::oneshot::Sender<()>,
}

impl Liar {
    /// Joins a room.
    ///
    /// # Errors
    /// If the link is none.
    pub fn join(id: u128, link: &str, content: Content) -> Result<Self> {
        let options =
            JoinOptions { link: RoomLink::parse(link)?, me: PeerId(id), ice: IceServers::default() };
        let sent = Arc::new(AtomicU32::new(0));
        let (stop, mut stopped) = tokio::sync::oneshot::channel();
        let counts = sent.clone();
        std::thread::spawn(move || {
            let runtime =
                tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
            runtime.block_on(async {
                let mut transport = WebRtc::join(options).expect("a thread and random numbers");
                loop {
                    let event = tokio::select! {
                        event = transport.next() => event,
                        _ = &mut stopped => return transport.leave(),
                    };
                    for (to, message) in lies(event, content) {
                        let blocks = u32::from(matches!(message, Message::Block { .. }));
                        counts.fetch_add(blocks, Ordering::Relaxed);
                        let lane = message.lane();
                        let _ = transport.send(to, lane, wire::encode(&wire::Message::Swarm(message)));
                    }
                }
            });
        });
        Ok(Self { sent, _stop: stop })
    }

    /// Blocks that it sent.
    #[must_use]
    pub fn sent(&self) -> u32 {
        self.sent.load(Ordering::Relaxed)
    }
}

/// What a liar answers.
fn lies(event: NetEvent, content: Content) -> Vec<(PeerId, Message)> {
    let claim = || Message::Tell { content, fact: Fact::Has, blocks: Blocks::all(12) };
    match event {
        NetEvent::Up(peer) => vec![(peer, Message::Join(content)), (peer, claim())],
        NetEvent::Message { from, bytes } => match wire::decode(&bytes) {
            Ok(wire::Message::Swarm(Message::Join(_))) => vec![(from, claim())],
            Ok(wire::Message::Swarm(Message::AskRoot(_))) => vec![(from, Message::NoRoot(content))],
            Ok(wire::Message::Swarm(Message::Ask { blocks, .. })) => {
                let block = |number| Message::Block { content, number, bytes: vec![7; 1 << 20] };
                blocks.iter().map(|number| (from, block(number))).collect()
            }
            _ => Vec::new(),
        },
        _ => Vec::new(),
    }
}
