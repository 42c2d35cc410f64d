//! Numbers that all peers draw alike: who is asked for what must not depend on who counts.

use crate::ids::PeerId;

/// Scrambles 64 bits. Source: the finaliser of SplitMix64 (Steele et al. 2014).
pub const fn mix(value: u64) -> u64 {
    let value = value.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ (value >> 31)
}

/// How much a peer is drawn to a thing; the peer with the highest draw takes it (rendezvous hashing, Thaler and
/// Ravishankar 1998).
pub const fn draw(peer: PeerId, thing: u64) -> u64 {
    mix(mix(peer.0 as u64 ^ (peer.0 >> 64) as u64) ^ mix(thing))
}
