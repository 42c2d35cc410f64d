//! A peer over real WebRTC that fetches the same weights again and again, as fast as they come.

use crate::stranger::Stranger;
use anyhow::Result;
use app::transport::NetEvent;
use coordinator::PeerId;
use coordinator::limits::SWARM_WINDOW;
use coordinator::swarm::{Blocks, Content, Fact, Message};
use coordinator::wire;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// A peer that asks each other one for as many blocks as it may, always.
pub struct Greedy {
    came: Arc<AtomicU64>,
    _stranger: Stranger,
}

impl Greedy {
    /// Joins a room.
    ///
    /// # Errors
    /// If the link is none.
    pub fn join(id: u128, link: &str, content: Content) -> Result<Self> {
        let came = Arc::new(AtomicU64::new(0));
        let (counts, mut has) = (came.clone(), BTreeMap::new());
        let stranger = Stranger::join(id, link, move |event| match event {
            NetEvent::Up(peer) => vec![(peer, Message::Join(content))],
            NetEvent::Message { from, bytes } => match wire::decode(&bytes) {
                Ok(wire::Message::Swarm(Message::Tell { fact: Fact::Has, blocks, .. }))
                    if !blocks.is_empty() =>
                {
                    let first = has.insert(from, (blocks.iter().collect::<Vec<_>>(), 0)).is_none();
                    ask(content, &mut has, from, if first { SWARM_WINDOW } else { 0 })
                }
                Ok(wire::Message::Swarm(Message::Block { bytes, .. })) => {
                    counts.fetch_add(bytes.len() as u64, Ordering::Relaxed);
                    ask(content, &mut has, from, 1)
                }
                _ => Vec::new(),
            },
            _ => Vec::new(),
        })?;
        Ok(Self { came, _stranger: stranger })
    }

    /// Bytes of blocks that came.
    #[must_use]
    pub fn came(&self) -> u64 {
        self.came.load(Ordering::Relaxed)
    }
}

/// Asks a peer for the next blocks that it has, from the first again after the last.
fn ask(
    content: Content,
    has: &mut BTreeMap<PeerId, (Vec<u32>, usize)>,
    from: PeerId,
    many: u32,
) -> Vec<(PeerId, Message)> {
    let Some((numbers, next)) = has.get_mut(&from).filter(|_| many > 0) else { return Vec::new() };
    let blocks: Blocks = (0..many as usize).map(|at| numbers[(*next + at) % numbers.len()]).collect();
    *next += many as usize;
    vec![(from, Message::Ask { content, blocks })]
}
