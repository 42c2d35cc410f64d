//! Which blocks are asked of which peer.

use super::Context;
use super::blocks::Blocks;
use super::hash::draw;
use super::io::{Output, Source};
use super::message::Message;
use super::weights::{Terms, Weights};
use crate::ids::PeerId;
use crate::limits;

impl Weights {
    /// Asks peers for some of `missing`, the fastest first, of each the rarest that it has.
    pub fn ask_peers(&mut self, context: &mut Context<'_>, missing: &mut Blocks) {
        let Self { content, block_bytes, .. } = *self;
        let now = context.now;
        let mut order: Vec<(u64, u64, PeerId)> = self
            .peers
            .keys()
            .filter_map(|&peer| {
                let supplier = context.peers.get(&peer)?;
                Some((supplier.rank(), draw(context.me, peer.0 as u64), peer))
            })
            .collect();
        order.sort_unstable_by(|one, other| other.cmp(one));
        for (_, _, peer) in order {
            let Some(supplier) = context.peers.get(&peer) else { continue };
            let room = supplier.room(now, block_bytes, limits::SWARM_WINDOW).min(context.flights_left);
            if room == 0 || missing.is_empty() {
                continue;
            }
            let mut has = self.peers.get(&peer).map(|said| said.has.and(missing)).unwrap_or_default();
            // Who failed is asked for what nobody else gives.
            if !supplier.gives(now) {
                has = has.minus(&self.given(context));
            }
            let asked: Blocks = self
                .rarest(context.me, &has)
                .into_iter()
                .map(|(_, _, number)| number)
                .take(room as usize)
                .collect();
            if asked.is_empty() {
                continue;
            }
            for number in asked.iter() {
                if let Some(supplier) = context.peers.get_mut(&peer) {
                    supplier.asked(now);
                }
                self.expect(now, number, Source::Peer(peer));
            }
            context.flights_left -= asked.len();
            *missing = missing.minus(&asked);
            context.out.push(Output::Send { to: peer, message: Message::Ask { content, blocks: asked } });
        }
    }

    /// What will come without those who failed: from other peers, or from an origin.
    fn given(&self, context: &Context<'_>) -> Blocks {
        if self.origins.values().any(|origin| origin.is_usable(context.now)) {
            return Blocks::all(self.numbers);
        }
        let gives = |peer: &PeerId| context.peers.get(peer).is_some_and(|one| one.gives(context.now));
        let all = self.peers.iter().filter(|(peer, _)| gives(peer));
        all.fold(Blocks::default(), |all, (_, said)| all.or(&said.has))
    }

    /// Some of these, the rarest first: how many peers have it, a draw, and which. Neighbours are drawn alike.
    fn rarest(&self, me: PeerId, blocks: &Blocks) -> Vec<(usize, u64, u32)> {
        let start = draw(me, u64::from(self.numbers)) % u64::from(self.numbers.max(1));
        let look = blocks.iter_from(start as u32).take(limits::SWARM_LOOK);
        let mut all: Vec<_> =
            look.map(|number| (self.holders(number), draw(me, self.stripe_of(number)), number)).collect();
        all.sort_unstable();
        all
    }

    /// How many peers say that they have a block.
    fn holders(&self, number: u32) -> usize {
        self.peers.values().filter(|said| said.has.contains(number)).count()
    }

    /// What this peer could hold for the room, when it has nothing else to do: blocks that few have. A room that loses a peer
    /// has them then, whoever is to run them. Who gives nothing away, or counts its bytes, holds none.
    pub fn endangered(&self, me: PeerId, terms: Terms) -> Blocks {
        let beyond = self.have.minus(&self.wanted).len();
        let quota = self.spare.saturating_sub(beyond) as usize;
        if quota == 0 || !terms.rescues || !self.flights.is_empty() {
            return Blocks::default();
        }
        let all = self.peers.values().fold(Blocks::default(), |all, said| all.or(&said.has));
        let rare = self.rarest(me, &all.minus(&self.have));
        let rare = rare.into_iter().filter(|(holders, ..)| *holders < limits::SWARM_COPIES);
        rare.map(|(.., number)| number).take(quota).collect()
    }
}
