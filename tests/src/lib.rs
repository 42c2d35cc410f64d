//! Shared set-up of the tests that cross crates: programs of this build, a signaling server, native peers, browsers, a host
//! of models that counts what it serves.

pub mod blocks;
pub mod browser;
pub mod greedy;
pub mod liar;
pub mod models;
pub mod origin;
pub mod peer;
pub mod program;
pub mod stores;
pub mod stranger;
