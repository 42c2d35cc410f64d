//! Everything of Manyhands that touches the world: sockets, clocks, seeds, the page, the compute worker and the
//! native peer. It decides nothing (see `coordinator`) and computes nothing (see `kernels`).
//!
//! Reading order: [`link`] (what a room link holds), [`transport`] (bytes between peers), [`compute`] (what the
//! worker is asked and answers), [`node`] (the one driver loop that joins the three), then the faces: `web`
//! and `native`.

pub mod clock;
pub mod compute;
pub mod link;
pub mod names;
#[cfg(all(feature = "compute", not(target_arch = "wasm32")))]
pub mod native;
pub mod node;
pub mod painting;
pub mod sampling;
#[cfg(feature = "compute")]
pub mod store;
pub mod transport;
pub mod web;
