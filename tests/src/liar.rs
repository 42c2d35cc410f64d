//! A peer over real WebRTC that sends wrong weights.

use crate::stranger::Stranger;
use anyhow::Result;
use app::transport::NetEvent;
use coordinator::PeerId;
use coordinator::swarm::{Blocks, Content, Fact, Message};
use coordinator::wire;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

/// A peer that says it has everything, and sends something else.
pub struct Liar {
    sent: Arc<AtomicU32>,
    _stranger: Stranger,
}

impl Liar {
    /// Joins a room.
    ///
    /// # Errors
    /// If the link is none.
    pub fn join(id: u128, link: &str, content: Content) -> Result<Self> {
        let sent = Arc::new(AtomicU32::new(0));
        let counts = sent.clone();
        let stranger = Stranger::join(id, link, move |event| {
            let lies = lies(event, content);
            let blocks = lies.iter().filter(|(_, message)| matches!(message, Message::Block { .. })).count();
            counts.fetch_add(blocks as u32, Ordering::Relaxed);
            lies
        })?;
        Ok(Self { sent, _stranger: stranger })
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
