//! Shared set-up of the tests that cross crates: programs of this build, a signaling server, native peers, browsers.

pub mod blocks;
pub mod browser;
pub mod models;
pub mod peer;
pub mod program;
pub mod stores;
